//! What a scenario starts from: servers, the service's configuration, its route and the load.

use weir_service::{Backoff, Balance, Policy};

use crate::control::Check;
use crate::server::Work;
use crate::stage::{MS, SECOND};

/// One server and its entry in the configuration.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) work: Work,
    pub(crate) capacity: u32,
    pub(crate) weight: u32,
    pub(crate) priority: u8,
    pub(crate) zone: Option<&'static str>,
}

impl Place {
    pub(crate) fn new(work: Work, capacity: u32) -> Self {
        Self {
            work,
            capacity,
            weight: 1,
            priority: 0,
            zone: None,
        }
    }
}

/// When a request is asked again although nobody has answered yet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hedge {
    Off,
    After(u64),
    P95,
}

/// What routes say, and what their requests are like.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Retries beside the first attempt.
    pub(crate) attempts: u32,
    pub(crate) on_timeout: bool,
    pub(crate) on_5xx: bool,
    pub(crate) percent: u32,
    pub(crate) floor: u32,
    pub(crate) connect_us: u64,
    pub(crate) per_try_us: u64,
    pub(crate) first_byte_us: u64,
    pub(crate) total_us: u64,
    pub(crate) backoff: Backoff,
    pub(crate) hedge: Hedge,
    /// Of 100 requests, how many may be repeated.
    pub(crate) idempotent: u32,
    /// Of 100 requests, how many are given up by their clients.
    pub(crate) given_up: u32,
    /// Of 100 requests, how many are of high and of low priority.
    pub(crate) high: u32,
    pub(crate) low: u32,
}

impl Default for Route {
    /// As the proxy's defaults, but with deadlines that suit requests of milliseconds.
    fn default() -> Self {
        Self {
            attempts: 2,
            on_timeout: true,
            on_5xx: true,
            percent: 20,
            floor: 10,
            connect_us: SECOND,
            per_try_us: u64::MAX,
            first_byte_us: 2 * SECOND,
            total_us: 5 * SECOND,
            backoff: Backoff::default(),
            hedge: Hedge::Off,
            idempotent: 90,
            given_up: 2,
            high: 0,
            low: 0,
        }
    }
}

/// A stage to be.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) balance: Balance,
    pub(crate) policy: Policy,
    pub(crate) places: Vec<Place>,
    pub(crate) check: Option<Check>,
    pub(crate) route: Route,
    pub(crate) workers: usize,
    /// Requests a second.
    pub(crate) rate: u64,
}

impl Setup {
    /// `n` equal servers that take 10 ms with eight at a time, two workers, the default policy.
    pub(crate) fn new(seed: u64, n: usize, rate: u64) -> Self {
        Self {
            seed,
            balance: Balance::P2c,
            policy: Policy::default(),
            places: vec![Place::new(Work::Exponential(10 * MS), 8); n],
            check: None,
            route: Route::default(),
            workers: 2,
            rate,
        }
    }
}
