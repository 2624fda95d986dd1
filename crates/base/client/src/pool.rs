//! Connections that wait for their next request, few and not for long.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connect::Sender;

/// How many connections wait, to all servers together. A Weir asks a handful of servers.
const MOST: usize = 32;
/// How many of them wait for one server.
const MOST_OF_ONE: usize = 8;
/// How long one waits; servers rarely wait shorter.
const IDLE: Duration = Duration::from_secs(20);

struct Idle {
    /// Scheme, host and port: a connection in plain text is no connection through TLS.
    origin: Box<str>,
    sender: Sender,
    since: Instant,
}

/// The pool of one [`Client`](crate::Client).
#[derive(Default)]
pub(crate) struct Pool(Mutex<Vec<Idle>>);

impl Pool {
    /// A connection to this origin that is open as far as anyone knows: the one used last, which is the least likely to
    /// be closed by the other side.
    pub(crate) fn take(&self, origin: &str) -> Option<Sender> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE && !idle.sender.is_closed());
        let at = idle
            .iter()
            .rposition(|idle| &*idle.origin == origin && idle.sender.is_ready())?;
        Some(idle.remove(at).sender)
    }

    /// Keeps a connection whose response was read to its end; when too many wait, the oldest goes.
    pub(crate) fn keep(&self, origin: &str, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE && !idle.sender.is_closed());
        let same = idle.iter().filter(|idle| &*idle.origin == origin).count();
        if same >= MOST_OF_ONE {
            if let Some(at) = idle.iter().position(|idle| &*idle.origin == origin) {
                idle.remove(at);
            }
        } else if idle.len() >= MOST {
            idle.remove(0);
        }
        idle.push(Idle {
            origin: origin.into(),
            sender,
            since: Instant::now(),
        });
    }
}
