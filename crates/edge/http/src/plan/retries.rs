//! When a request is tried again.

use weir_config::OrOff;
use weir_net::Micros;
use weir_service::Backoff;

use super::listener::micros;
use crate::{
    config::{HedgeAfter, RetriesConfig, RetryOn},
    proxy::NEVER,
};

/// When a request is tried again, with times in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Retries {
    /// Tries beyond the first.
    pub(crate) attempts: u32,
    pub(crate) connect: bool,
    pub(crate) reset: bool,
    pub(crate) timeout: bool,
    statuses: Statuses,
    /// Retries on top of the requests of the last ten seconds, in percent of these.
    pub(crate) budget_percent: u32,
    /// Retries a second that are always allowed.
    pub(crate) budget_floor: u32,
    pub(crate) per_try: Micros,
    pub(crate) backoff: Backoff,
    /// Largest body that is kept for another try.
    pub(crate) buffer: usize,
    pub(crate) hedge: Hedge,
}

/// When a request is sent to a second endpoint as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hedge {
    Off,
    After(Micros),
    P95,
}

/// 429, and 500 to 599, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Statuses(u128);

impl Retries {
    pub(super) fn compile(config: &RetriesConfig) -> Self {
        let mut statuses = Statuses::default();
        for on in &config.on {
            match on {
                RetryOn::ServerError => (500..600).for_each(|status| statuses.add(status)),
                RetryOn::Status(status) => statuses.add(*status),
                RetryOn::Connect | RetryOn::Reset | RetryOn::Timeout => {}
            }
        }
        Self {
            attempts: config.attempts.as_u32(),
            connect: config.on.contains(&RetryOn::Connect),
            reset: config.on.contains(&RetryOn::Reset),
            timeout: config.on.contains(&RetryOn::Timeout),
            statuses,
            budget_percent: (config.budget.ratio() * 100.0).round() as u32,
            budget_floor: config.budget_floor.as_u32(),
            per_try: config.per_try.map_or(NEVER, micros),
            backoff: Backoff {
                base: config.backoff.get(),
                max: config.max_backoff.get(),
            },
            buffer: config.buffer.as_usize(),
            hedge: match config.hedge_after {
                OrOff::Off => Hedge::Off,
                OrOff::On(HedgeAfter::Time(time)) => Hedge::After(micros(time)),
                OrOff::On(HedgeAfter::P95) => Hedge::P95,
            },
        }
    }

    /// Whether an answer with this status is a reason to try again.
    #[inline]
    pub(crate) fn on_status(&self, status: u16) -> bool {
        self.statuses.has(status)
    }
}

impl Statuses {
    const fn bit(status: u16) -> Option<u32> {
        match status {
            429 => Some(100),
            500..=599 => Some(status as u32 - 500),
            _ => None,
        }
    }

    fn add(&mut self, status: u16) {
        if let Some(bit) = Self::bit(status) {
            self.0 |= 1 << bit;
        }
    }

    #[inline]
    fn has(self, status: u16) -> bool {
        Self::bit(status).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_that_were_named() {
        let config = |on: &[RetryOn]| RetriesConfig {
            on: on.to_vec(),
            ..RetriesConfig::default()
        };
        let some = Retries::compile(&config(&[RetryOn::Status(503), RetryOn::Status(429)]));
        let hit: Vec<u16> = (100..1000)
            .filter(|status| some.on_status(*status))
            .collect();
        assert_eq!(hit, [429, 503]);
        let all = Retries::compile(&config(&[RetryOn::ServerError]));
        let hit: Vec<u16> = (100..1000)
            .filter(|status| all.on_status(*status))
            .collect();
        assert_eq!(hit, (500..600).collect::<Vec<u16>>());
        assert!(!all.connect && !all.reset && !all.timeout);
        let none = Retries::compile(&RetriesConfig::default());
        assert!((100..1000).all(|status| !none.on_status(status)));
        assert!(none.connect && none.reset);
    }
}
