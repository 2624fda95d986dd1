//! Which endpoint gets the next request.
//!
//! Each algorithm is a pure structure over indexes: weights in, choices out, randomness from a seeded [`Rng`](crate::Rng).
//! [`Picker`] is what a worker holds for each service: it follows the published endpoint set, runs the service's
//! algorithm, and steps over endpoints that this request already tried or that refuse connections.

mod alias;
mod ewma;
mod hash;
mod least;
mod picked;
mod picker;
mod smooth;

pub(crate) use alias::Draws;
pub(crate) use ewma::Ewma;
pub use hash::{HashMethod, hash_bytes, hash_ip};
pub(crate) use hash::{HashPeer, HashTable, hash_address};
pub use picked::Picked;
pub use picker::{Picker, Unpicked, Wish};
