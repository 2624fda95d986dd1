//! An HTTP client for what happens beside the traffic: keys of identity providers, token introspection, logins.
//!
//! Whom Weir asks is named in its config, and still answers as it likes: slowly, endlessly, or not at all. So a
//! [`Client`] takes a deadline for the whole of an exchange and a bound for its body, holds few connections, and gives
//! back a [`Response`] that is complete or a [`ClientError`] that says at which step it failed. It never follows a
//! redirect: where a secret is sent is the config's decision, not that of whoever answers. It speaks HTTP/1.1, in plain
//! text or through TLS with the roots of the system or those of one file ([`Roots`]).
//!
//! A client may be shared by any number of tasks and cloned cheaply. Connections are driven by tasks on the runtime that
//! opened them, which must have I/O and time enabled.

mod client;
mod connect;
mod error;
mod form;
mod message;
mod pool;
mod tls;
mod url;

pub use crate::client::Client;
pub use crate::error::ClientError;
pub use crate::form::{form, percent_decoded, percent_encoded};
pub use crate::message::{Request, Response};
pub use crate::tls::{Pem, Roots, RootsError};
pub use crate::url::{Url, UrlError};
pub use hyper::{Method, StatusCode, header};
