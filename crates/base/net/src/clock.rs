//! The data plane's clock: microseconds since the process started.
//!
//! One `u64` is cheaper to store, compare and subtract than an `Instant`, and
//! can be handed to the pure cores as a plain argument.

use std::{
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Microseconds since the process started, from a monotonic clock.
pub type Micros = u64;

struct Epoch {
    monotonic: Instant,
    unix_micros: u64,
}

fn epoch() -> &'static Epoch {
    static EPOCH: OnceLock<Epoch> = OnceLock::new();
    EPOCH.get_or_init(|| Epoch {
        monotonic: Instant::now(),
        unix_micros: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64),
    })
}

/// Reads the monotonic clock.
#[inline]
#[must_use]
pub fn now() -> Micros {
    let since = epoch().monotonic.elapsed();
    since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
}

/// The wall clock in milliseconds since 1970, without a system call of its own.
///
/// `now` is a reading of [`now`]; `drift` is what [`measure_drift`] returned
/// last, so that steps of the system clock are followed within a second.
#[inline]
#[must_use]
pub fn unix_millis(now: Micros, drift: i64) -> u64 {
    (epoch().unix_micros + now).saturating_add_signed(drift) / 1000
}

/// How far the wall clock has moved against the monotonic clock, in microseconds.
pub(crate) fn measure_drift() -> i64 {
    let wall = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64);
    wall as i64 - (epoch().unix_micros + now()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_follows_the_monotonic_one() {
        let drift = measure_drift();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_millis() as u64);
        assert!(unix_millis(now(), drift).abs_diff(wall) < 1000);
    }
}
