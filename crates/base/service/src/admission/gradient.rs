//! How many requests in flight are best for a service, found out from its latency.
//!
//! Up to some number of requests in flight a service answers as fast as it can; beyond that they only queue inside it,
//! and latency grows in proportion while throughput does not. Netflix's Gradient2 looks for that knee: it compares the
//! latency of the last moments with the usual one. While `short <= 1.5 * long`, the limit grows by a queue allowance, the
//! square root of the limit; above, it shrinks by the ratio, by at most a half; either way a fifth of the way at a time. If less
//! than half the limit is in use the limit says nothing, and stays. Where the service shows no queueing at all and the limit
//! is all that holds requests back, it grows by a quarter a window, as after a start.
//!
//! What Gradient2 leaves open is what "usual" means for a service that is always at its limit: a mean of all latencies, however
//! slow, comes to include the queueing that the limit allows, and then the limit grows again, without end. Envoy's answer,
//! to stop nearly all requests every minute to measure, costs more than it cures. So here the usual latency is learnt
//! only when the limit cannot be what shapes it:
//!
//! - freely, while the limit is not reached;
//! - whenever the limit has come down to 60 % of where it was because the service got slower: if fewer requests in flight
//!   did not help, the service itself is slow now, and that is the new usual. So it never stays at the minimum for long;
//! - in a dip of two windows, after every 64 at the limit (16, if the last dip showed that it was too high). At the equilibrium
//!   latency is `1.5 / (1 - 1 / sqrt(limit))` times the usual one, and half of `limit - sqrt(limit)` in flight bring it down
//!   to three quarters of that: if the usual latency was taken for too high, the dip shows it; if it was right, the dip is to three
//!   quarters of the knee, and costs less than a hundredth of the throughput.
//!
//! Failures (timeouts, refused connections; never a request that was turned away here) take a tenth off the limit for each
//! window in which they are a tenth of all. Until the next start it grows fast only up to three quarters of where that began.
//! Windows are of time, at least 100 ms and at least the usual latency, so that the effect of one step is seen before the
//! next, whatever the rate of requests.

/// Requests that ended, summed up.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Batch {
    /// When the first one ended.
    pub(super) since_us: u64,
    /// How many succeeded.
    pub(super) good: u32,
    /// How many failed in a way that tells of overload.
    pub(super) bad: u32,
    /// The sum of the latencies of those that succeeded.
    pub(super) latency_us: u64,
    /// Most requests in flight when one ended.
    pub(super) in_flight: u32,
}

impl Batch {
    pub(super) fn count(&self) -> u32 {
        self.good + self.bad
    }

    pub(super) fn add(&mut self, latency_us: u64, ok: bool, in_flight: u32, now_us: u64) {
        if self.count() == 0 {
            self.since_us = now_us;
        }
        if ok {
            self.good += 1;
            self.latency_us = self.latency_us.saturating_add(latency_us);
        } else {
            self.bad += 1;
        }
        self.in_flight = self.in_flight.max(in_flight);
    }

    fn merge(&mut self, other: &Self) {
        if self.count() == 0 {
            self.since_us = other.since_us;
        }
        self.since_us = self.since_us.min(other.since_us);
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.latency_us = self.latency_us.saturating_add(other.latency_us);
        self.in_flight = self.in_flight.max(other.in_flight);
    }
}

const TOLERANCE: f64 = 1.5;
const SMOOTHING: f64 = 0.2;
/// Up to this, times the usual, latency shows no queueing.
const QUIET: f64 = 1.2;
const FAST: f64 = 1.25;
/// The limit never goes below this (or the configured limit).
const LEAST: u32 = 4;
const INITIAL: u32 = 20;
const WINDOW_US: u64 = 100_000;
/// A window lasts longer if it has seen fewer requests, ...
const SAMPLES: u32 = 32;
/// ... but at most so many times its length.
const STRETCH: u64 = 10;
/// Windows at the limit before a dip.
const DIP_AFTER: u32 = 64;
/// ... if the last one lowered the usual latency by a tenth or more.
const DIP_AGAIN: u32 = 16;
/// The part of a former limit at which the usual latency is learnt again.
const FALLEN: f64 = 0.6;

#[derive(Debug)]
pub(super) struct Gradient {
    least: f64,
    most: f64,
    limit: f64,
    /// The usual latency; 0: not known yet.
    long_us: f64,
    window: Batch,
    /// The limit from which it last began to come down.
    top: f64,
    /// Below this the limit grows fast.
    fast_below: f64,
    /// Windows at the limit until the next dip.
    until_dip: u32,
    /// Windows of the dip that are left.
    dip: u32,
    /// Windows of the start that are left: those who end first are the quick ones.
    skip: u32,
}

impl Gradient {
    pub(super) fn new(most: u32) -> Self {
        let most = most.max(1);
        Self {
            least: f64::from(most.min(LEAST)),
            most: f64::from(most),
            limit: f64::from(most.min(INITIAL)),
            long_us: 0.0,
            window: Batch::default(),
            top: 0.0,
            fast_below: f64::from(most),
            until_dip: DIP_AFTER,
            skip: 2,
            dip: 0,
        }
    }

    /// Sets another upper bound.
    pub(super) fn configure(&mut self, most: u32) {
        let most = most.max(1);
        self.least = f64::from(most.min(LEAST));
        self.most = f64::from(most);
        self.limit = self.limit.clamp(self.least, self.most);
    }

    /// The limit to apply now.
    pub(super) fn limit(&self) -> u32 {
        match self.dip {
            0 => self.limit as u32,
            _ => (0.5 * (self.limit - self.limit.sqrt())).max(1.0) as u32,
        }
    }

    /// Takes in requests that ended. Is the limit another one now?
    pub(super) fn add(&mut self, batch: &Batch, now_us: u64) -> bool {
        self.window.merge(batch);
        let length = WINDOW_US.max(self.long_us as u64);
        let elapsed = now_us.saturating_sub(self.window.since_us);
        if elapsed < length || (self.window.count() < SAMPLES && elapsed < length * STRETCH) {
            return false;
        }
        let before = self.limit();
        let window = std::mem::take(&mut self.window);
        self.step(&window);
        self.limit() != before
    }

    fn step(&mut self, window: &Batch) {
        if window.bad > 0 && u64::from(window.bad) * 9 >= u64::from(window.good) {
            if self.limit >= self.top {
                self.fast_below = self.limit * 0.75;
            }
            (self.dip, self.until_dip) = (0, DIP_AFTER);
            self.set(self.limit * 0.9);
            return;
        }
        if window.good == 0 {
            return;
        }
        let short_us = (window.latency_us as f64 / f64::from(window.good)).max(1.0);
        if self.skip > 0 {
            self.skip -= 1;
            self.long_us = short_us;
            return;
        }
        if self.dip > 0 {
            self.dip -= 1;
            // The first window still holds requests from before.
            if self.dip == 0 {
                let before = self.long_us;
                self.learn(short_us, if short_us < before { 0.8 } else { 0.5 });
                self.until_dip = match self.long_us < before * 0.9 {
                    true => DIP_AGAIN,
                    false => DIP_AFTER,
                };
            }
            return;
        }
        if self.long_us > 2.0 * short_us {
            self.long_us *= 0.95;
        }
        let in_flight = f64::from(window.in_flight);
        if in_flight < self.limit / 2.0 {
            self.learn(short_us, 0.1);
            return;
        }
        let full = in_flight >= self.limit * 0.9;
        if !full {
            self.learn(short_us, 0.05);
        }
        if full && short_us < self.long_us * QUIET && self.limit < self.fast_below {
            self.grow(self.limit * FAST);
        } else {
            let gradient = (TOLERANCE * self.long_us / short_us).clamp(0.5, 1.0);
            let aim = self.limit * gradient + self.limit.sqrt();
            let next = self.limit + SMOOTHING * (aim - self.limit);
            if next < self.limit {
                self.set(next);
            } else {
                self.grow(next);
            }
        }
        if self.limit <= self.top * FALLEN {
            self.learn(short_us, 0.5);
            self.top = self.limit;
        }
        if full {
            self.until_dip -= 1;
            if self.until_dip == 0 {
                self.dip = 2;
            }
        }
    }

    fn learn(&mut self, short_us: f64, rate: f64) {
        self.long_us += rate * (short_us - self.long_us);
    }

    fn set(&mut self, limit: f64) {
        self.limit = limit.clamp(self.least, self.most);
    }

    fn grow(&mut self, limit: f64) {
        self.set(limit);
        self.top = self.limit;
    }
}
