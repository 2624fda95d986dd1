//! When places for connections run short.
//!
//! A flood of connections that do nothing would keep everybody else out for as long as each of them may be idle. So the
//! fuller the house, the less patient it is with those who have nothing to say: beside connections that wait for a
//! request, also those that send one, or take an answer, more slowly than they could. Who gets on with it is not
//! affected, and as soon as places are free again all have their time.

use weir_net::Worker;

/// When so many thousandths of the places are taken, waits begin to shrink.
const BUSY: u32 = 600;
/// When so many are, nothing is left of them: the last tenth is for those who have just come.
const FULL: u32 = 900;

/// Called whenever the number of connections changes.
pub(super) fn watch(worker: &Worker) {
    worker.wheel.hurry(patience(worker.gate().fullness()));
}

/// How much of each wait is left, in thousandths.
fn patience(fullness: u32) -> u32 {
    FULL.saturating_sub(fullness) * 1000 / (FULL - BUSY)
}

#[cfg(test)]
mod tests {
    use super::patience;

    #[test]
    fn patience_ends_where_the_places_do() {
        assert!(patience(0) >= 1000);
        assert_eq!(patience(600), 1000);
        assert_eq!(patience(750), 500);
        assert_eq!(patience(870), 100);
        assert_eq!(patience(900), 0);
        assert_eq!(patience(1000), 0);
    }
}
