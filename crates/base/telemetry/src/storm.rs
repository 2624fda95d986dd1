//! Keeping a storm of equal events from flooding the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Events of one kind that pass within a window.
const BURST: u32 = 50;
const WINDOW: Duration = Duration::from_secs(10);

/// Counts events by kind. Kinds are literals in the code, which bounds their number.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    kinds: HashMap<&'static str, Window>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    passed: u32,
    held: u64,
}

impl Storm {
    /// Whether an event of this kind may pass; if so, how many were held back since the last
    /// report.
    pub(crate) fn admit(&mut self, kind: &'static str, now: Instant) -> Option<u64> {
        let window = self.kinds.entry(kind).or_insert(Window {
            since: now,
            passed: 0,
            held: 0,
        });
        if now.saturating_duration_since(window.since) >= WINDOW {
            window.since = now;
            window.passed = 0;
        }
        if window.passed >= BURST {
            window.held += 1;
            return None;
        }
        window.passed += 1;
        Some(std::mem::take(&mut window.held))
    }

    /// Kinds whose window is over and of which some were held back, with how many: reports that no
    /// later event made.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        self.kinds
            .iter_mut()
            .filter(|(_, window)| {
                window.held > 0 && now.saturating_duration_since(window.since) >= WINDOW
            })
            .map(|(kind, window)| (*kind, std::mem::take(&mut window.held)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rest_is_counted() {
        let mut storm = Storm::default();
        let start = Instant::now();
        let passed = (0..1000)
            .filter(|_| storm.admit("a", start).is_some())
            .count();
        assert_eq!(passed, BURST as usize);
        assert_eq!(
            storm.admit("b", start),
            Some(0),
            "another kind is not held back"
        );
        assert!(storm.overdue(start).is_empty());
        assert_eq!(
            storm.admit("a", start + WINDOW),
            Some(1000 - u64::from(BURST))
        );
        assert_eq!(storm.admit("a", start + WINDOW), Some(0));
    }

    #[test]
    fn what_was_held_is_reported_once_even_when_no_more_come() {
        let mut storm = Storm::default();
        let start = Instant::now();
        let passed = (0..60)
            .filter(|_| storm.admit("a", start).is_some())
            .count();
        assert_eq!(passed, BURST as usize);
        assert_eq!(
            storm.overdue(start + WINDOW),
            [("a", 60 - u64::from(BURST))]
        );
        assert!(storm.overdue(start + WINDOW).is_empty());
        assert_eq!(storm.admit("a", start + WINDOW), Some(0));
    }
}
