//! Sessions of browsers: sealed cookies.
//!
//! Weir keeps no sessions. What it must remember about somebody who logged in travels in a cookie of their browser, sealed
//! so that nobody can read or change it ([`Sealer`]), split where browsers would not keep it whole ([`Jar`]). So every
//! worker, every process and every restart knows the session, and nothing grows with the number of people.

mod content;
mod jar;
mod seal;

pub(crate) use content::Session;
pub(crate) use jar::{Jar, Presence, cookies, set, values};
pub(crate) use seal::{NONCE, Sealer, to_base64url};
