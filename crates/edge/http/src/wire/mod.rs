//! Bodies on their way: where they come from, where they go, and what carries them.
//!
//! [`Source`] and [`Sink`] are the two ends of a body whatever the protocol: a
//! source decodes its framing and shows plain bytes, a sink adds its own framing.
//! [`Relay`] moves a body from one to the other with backpressure: it reads only
//! what it could write, so an exchange never holds more than one read buffer per
//! side. [`Wire`] is both ends for HTTP/1, on the client's side and the server's.

mod body;
mod connection;
mod pace;
mod relay;
mod replay;

pub(crate) use self::{
    body::{BodyError, Data, Sink, Source},
    connection::{Framing, Wire},
    pace::{Grant, Pace},
    relay::{Relay, RelayError, Waits},
    replay::Replay,
};
