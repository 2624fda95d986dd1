//! Outliers: endpoints that fail more than the others are left alone for a while, whatever health checks say.
//!
//! A health check asks one question now and then; the requests themselves ask all of them, all the time. Two signs eject an
//! endpoint:
//!
//! - **Failures in a row**: `consecutive_failures` attempts one after the other found no connection, no answer in time, a broken
//!   answer, or 502, 503 or 504. This is decided at once. The application's own errors (500) do not count, and end the run: the
//!   endpoint answers. Nothing is compared, because a dead endpoint is dead even if all are.
//! - **Success rate**: at the end of each interval, an endpoint with at least `min_requests` whose success rate is clearly below
//!   that of the others with as many. Here every 5xx counts, since it is the comparison that tells an endpoint that is ill from
//!   an application that is. See [`rate`] for what "clearly" is, and why it is not Envoy's mean - 1.9 standard deviations.
//!
//! An ejection lasts `eject_for` times the number of ejections in a row, at most `max_eject_for`, with up to 10 % jitter so that
//! endpoints that went together do not return together. The multiplier falls by one for every interval in use. An endpoint that
//! was ejected for failures in a row returns on probation: no success has ended that run yet, so the first further failure
//! ejects it again, and the first success clears it.
//!
//! Ejecting must never be worse than not ejecting. Of the endpoints that health checks and operators allow, at most
//! `max_ejected` are ejected, and likewise of all. If there are two or more, one may always be (a service with three endpoints and
//! `max_ejected: 30%` would otherwise not be protected at all; Envoy went back and forth on this and came to the same); the last
//! one never is. If the others go away, or health checks take them out, ejections end early until that holds again.
//!
//! A successful health check does not end an ejection, unless that is configured: it may well succeed while requests fail,
//! and then the endpoint would come and go.
//!
//! [`OutlierCounts`] is the hot half: a few atomics in each endpoint. [`Detector`] is the cold half, one for each service, pure:
//! it looks at a slice of [`OutlierView`]s and says what to do.

mod counts;
mod detector;
mod rate;
mod spec;
#[cfg(test)]
mod tests;

pub use counts::{OutlierCounts, Totals, Trip};
pub use detector::{Decision, Detector, Ejection, EjectionReason, OutlierView, Returned};
pub use spec::OutlierSpec;
