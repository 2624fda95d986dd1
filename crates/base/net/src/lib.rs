//! What every listener stands on: workers, sockets, deadlines, buffers.
//!
//! Weir runs one thread per core. Each [`Worker`] owns a tokio current-thread
//! runtime, its own `SO_REUSEPORT` sockets, one deadline [`Wheel`], and pools of
//! buffers and pipes. A connection is born, served and buried on one worker, so
//! what it touches needs no lock and no `Send`; only connection counts are
//! shared. When the kernel spreads connections unevenly, a worker hands a new
//! one to a neighbour before anything was read from it.
//!
//! This crate knows sockets and time but no protocol: a crate that speaks one
//! implements [`Protocol`] and is handed [`Connection`]s.

mod accept;
mod buffer;
mod clock;
mod config;
mod incident;
mod listener;
mod proxied;
mod proxy_protocol;
mod splice;
mod stream;
mod wheel;
mod worker;

pub use self::{
    accept::{ConnectionLimits, ConnectionRate, Gate, Pass},
    buffer::{Buffer, Buffers},
    clock::{Micros, now, unix_millis},
    config::{
        LimitsConfig, ListenerProtocol, OthersConfig, ProxyProtocolConfig, ShutdownConfig,
        WorkersConfig,
    },
    incident::{Incident, Incidents, Refusal},
    listener::{BindError, BoundListener, bind, bind_beside},
    proxied::{Preamble, ProxyProtocol},
    proxy_protocol::{ProxyHeader, ProxyHeaderError, ProxyParser, begins_with_proxy_header},
    splice::{Pipe, Pipes},
    stream::{ResetWatch, Stream},
    wheel::{Timer, Wheel},
    worker::{
        Admission, Connection, Listening, Protocol, Settings, ShutdownReport, Worker, Workers,
    },
};
