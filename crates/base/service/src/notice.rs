//! What workers leave for the control runtime: rare, small, and bounded.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::breaker;
use crate::endpoint::EndpointId;

/// Something that a worker noticed and control decides about or reports.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    /// Some endpoint failed as often in a row as it may; the detector sees which.
    Tripped,
    /// A circuit breaker changed its state: an endpoint's, or the service's.
    Breaker(Option<EndpointId>, breaker::Change),
}

/// More than this many at once are not kept: the state that they tell of can still be seen where it is.
const MOST: usize = 1024;

/// Notices of one service.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    waiting: Mutex<Vec<Notice>>,
    arrived: Notify,
}

impl Notices {
    pub(crate) fn push(&self, notice: Notice) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MOST {
            waiting.push(notice);
        }
        drop(waiting);
        self.arrived.notify_one();
    }

    /// Control should look, though there is nothing to tell it.
    pub(crate) fn call(&self) {
        self.arrived.notify_one();
    }

    pub(crate) fn take(&self) -> Vec<Notice> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *waiting)
    }

    /// Until something was left.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}
