//! Which endpoint gets the next request.
//!
//! Each algorithm is a pure structure over indexes: weights in, choices out, randomness from a seeded [`Rng`](crate::Rng).
//! [`Picker`] is what a worker holds for each service: it follows the published endpoint set, runs the service's
//! algorithm, and steps over endpoints that this request already tried or that refuse connections.

mod alias;
mod least;
mod picker;
mod smooth;

pub(crate) use alias::Draws;
pub use picker::{Picked, Picker};
