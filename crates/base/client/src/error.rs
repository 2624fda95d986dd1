//! What can go wrong, by the step that failed.

use std::io;

/// Why there is no answer. Texts name the host and the cause, never what was sent.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The name has no address, or was not looked up in time.
    #[error("cannot look up {host}: {why}")]
    Lookup {
        /// The name.
        host: String,
        /// The cause.
        why: String,
    },
    /// No address accepts connections.
    #[error("cannot connect to {host}: {source}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the last address said.
        source: io::Error,
    },
    /// The server could not prove who it is, or does not speak TLS as we do.
    #[error("cannot speak TLS with {host}: {why}")]
    Tls {
        /// Host and port.
        host: String,
        /// The cause.
        why: String,
    },
    /// The connection broke, or what came over it is no HTTP.
    #[error("no answer from {host}: {why}")]
    Exchange {
        /// Host and port.
        host: String,
        /// The cause.
        why: String,
    },
    /// The deadline passed first.
    #[error("no answer from {host} in time")]
    Deadline {
        /// Host and port.
        host: String,
    },
    /// The body is larger than the caller wants.
    #[error("the answer of {host} is larger than {most} bytes")]
    TooLarge {
        /// Host and port.
        host: String,
        /// The bound.
        most: usize,
    },
}
