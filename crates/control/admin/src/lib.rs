//! The admin API: what Weir tells about itself, and what it can be told to do.
//!
//! It runs on the control runtime, never on a worker, and knows nothing of the rest of Weir but [`Control`], which the
//! composition implements. [`serve`] is the server, [`request`] the client that the command line uses.
//!
//! # Who may ask
//! Without a token only this machine can connect, because the config refuses any other address. But a browser on this
//! machine connects for whatever page it shows, so that is not enough:
//! * A page whose name was rebound to 127.0.0.1 sends that name as `Host`. Only IP addresses and `localhost` are accepted.
//! * A page of another site can send simple POST requests blindly. Browsers say where those come from (`Origin`,
//!   `Sec-Fetch-Site`), and requests that change something are refused unless that is here.
//!
//! With a token, whoever shows it may ask; no browser sends it on its own.
//!
//! # Bounds
//! Connections, heads, bodies, the time for a head, the time a connection lives: all bounded by [`Limits`], so that
//! nothing that connects here can keep Weir from its work. Connections that ask nothing make room for newcomers, so that
//! nothing can keep an operator out either.

mod access;
mod api;
mod client;
mod config;
mod control;
mod limits;
mod places;
mod respond;
mod server;
mod status;
#[cfg(test)]
mod tests;

pub use self::{
    client::{ClientError, Response, request},
    config::AdminConfig,
    control::{Control, DrainTarget, Drained, Refused, ReloadFuture, Reloaded},
    limits::Limits,
    server::serve,
    status::{EngineStatus, LastReload, ListenerStatus, SourceFailure, Status},
};
