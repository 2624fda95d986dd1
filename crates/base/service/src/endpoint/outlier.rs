//! What is remembered of an endpoint whose requests fail.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::Endpoint;
use crate::outlier::Ejection;

impl Endpoint {
    /// Is it left alone because requests failed?
    pub fn is_ejected(&self) -> bool {
        self.ejected.load(Relaxed)
    }

    /// What is remembered of its ejections.
    pub(crate) fn ejection(&self) -> Ejection {
        self.checked().ejection
    }

    /// Remembers that, and nothing else.
    pub(crate) fn keep_ejection(&self, ejection: Ejection) {
        self.checked().ejection = ejection;
    }

    /// It is left alone from now on, for this reason.
    pub(crate) fn eject(&self, reason: Arc<str>) {
        self.checked().ejected_for = Some(reason);
        self.ejected.store(true, Relaxed);
    }

    /// Its ejection is over.
    pub(crate) fn restore(&self, now_ms: u64) {
        self.checked().ejected_for = None;
        self.ejected.store(false, Relaxed);
        self.joined(now_ms);
    }
}
