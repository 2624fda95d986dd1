//! One request and its answer, from the parsed head to the log line.
//!
//! [`Exchange`] carries what every step needs and every step adds to: the heads,
//! the route, the endpoint, times, the outcome. It moves one way:
//!
//! ```text
//! admit (method, Max-Forwards) -> normalise and route -> [policies] -> action
//!     respond | redirect | files        -> answered by Weir
//!     service | split: aim -> pick -> connect or reuse -> send, await head -> relay both bodies
//! -> finish: metrics and access log
//! ```
//!
//! Steps that later parts add (authentication, limits, cache lookup) stand where
//! `[policies]` is, as a flat list of enum steps compiled into the route.

mod aim;
mod answer;
mod file;
pub(crate) mod forward;
pub(crate) mod reply;
mod run;
mod state;

pub(crate) use self::{
    aim::Stays,
    answer::{Answer, answer},
    forward::FieldSet,
    run::{Headers, Next, may_be_read_differently, run},
    state::{AMBIGUOUS_PATH, Exchange},
};
