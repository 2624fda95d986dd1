//! How slow a client may be.
//!
//! A timeout that begins anew with every byte bounds nothing: a client that moves one whenever its time is nearly over
//! holds a connection, an endpoint and their memory for as long as it likes, and next to nothing does it cost. So time
//! is earned. A client begins with all that its timeout grants, waiting for it uses that up, and each byte that it moves
//! gives back what a byte may take at the least rate, though never more than all. Who is silent is let go as soon as
//! with a timeout alone, who drips a little later, and who keeps up with the rate has all the time that it needs. While
//! Weir waits for somebody else, it costs the client nothing.

use weir_net::Micros;

/// What a client is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// How long it may move nothing at all.
    pub(crate) timeout: Micros,
    /// Bytes in a second, in the long run; `None` if any progress is enough.
    pub(crate) min_rate: Option<u64>,
}

/// What is left of a [`Grant`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    left: Micros,
    /// When the wait that is under way was last looked at.
    since: Option<Micros>,
    /// What the client had moved by then.
    moved: u64,
    /// It was waited for before.
    begun: bool,
}

impl Pace {
    /// Weir waits for the client, which has moved so many bytes in all. Returns when its time is over.
    pub(crate) fn wait(&mut self, now: Micros, moved: u64, grant: Grant) -> Micros {
        self.rest(now);
        let earned = match grant.min_rate {
            _ if !self.begun => grant.timeout,
            _ if moved == self.moved => 0,
            Some(rate) => (moved - self.moved).saturating_mul(1_000_000) / rate.max(1),
            None => grant.timeout,
        };
        self.left = self.left.saturating_add(earned).min(grant.timeout);
        self.begun = true;
        self.moved = moved;
        self.since = Some(now);
        now.saturating_add(self.left)
    }

    /// Weir waits for somebody else, or for nobody.
    pub(crate) fn rest(&mut self, now: Micros) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now.saturating_sub(since));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Micros = 1_000_000;
    const GRANT: Grant = Grant {
        timeout: 10 * SECOND,
        min_rate: Some(100),
    };

    /// When a client is let go that moves `bytes` every `every`, if it is within an hour.
    fn end_of(bytes: u64, every: Micros, grant: Grant) -> Option<Micros> {
        let mut pace = Pace::default();
        let (mut now, mut moved) = (0, 0);
        let mut until = pace.wait(now, moved, grant);
        while now < 3600 * SECOND {
            if now + every >= until {
                return Some(until);
            }
            now += every;
            moved += bytes;
            until = pace.wait(now, moved, grant);
        }
        None
    }

    #[test]
    fn a_silent_client_has_its_timeout_and_no_more() {
        assert_eq!(end_of(0, SECOND, GRANT), Some(10 * SECOND));
        let lax = Grant {
            min_rate: None,
            ..GRANT
        };
        assert_eq!(end_of(0, SECOND, lax), Some(10 * SECOND));
    }

    #[test]
    fn a_drip_earns_little() {
        // A byte is worth a hundredth of a second.
        let end = end_of(1, SECOND, GRANT).expect("let go");
        assert!(end > 10 * SECOND && end < 11 * SECOND, "{end}");
        // Nine tenths of the rate end after ten times the timeout.
        let end = end_of(90, SECOND, GRANT).expect("let go");
        assert!(end > 90 * SECOND && end <= 101 * SECOND, "{end}");
        let lax = Grant {
            min_rate: None,
            ..GRANT
        };
        assert_eq!(end_of(1, 9 * SECOND, lax), None);
    }

    #[test]
    fn who_keeps_up_is_never_let_go() {
        assert_eq!(end_of(100, SECOND, GRANT), None);
        assert_eq!(end_of(900, 9 * SECOND, GRANT), None);
        // Nothing can be saved up for a pause that is too long.
        assert_eq!(end_of(1_000_000, 11 * SECOND, GRANT), Some(10 * SECOND));
    }

    #[test]
    fn time_that_others_take_costs_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.wait(0, 0, GRANT), 10 * SECOND);
        pace.rest(4 * SECOND);
        assert_eq!(pace.wait(100 * SECOND, 0, GRANT), 106 * SECOND);
        // What was moved meanwhile counts.
        pace.rest(101 * SECOND);
        assert_eq!(pace.wait(200 * SECOND, 200, GRANT), 207 * SECOND);
    }

    #[test]
    fn a_shorter_timeout_cuts_what_was_left() {
        let mut pace = Pace::default();
        pace.wait(0, 0, GRANT);
        let short = Grant {
            timeout: 2 * SECOND,
            ..GRANT
        };
        assert_eq!(pace.wait(SECOND, 0, short), 3 * SECOND);
    }
}
