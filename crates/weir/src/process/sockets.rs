//! The addresses that are bound, and how a reload changes them.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use weir_config::{Cx, Diagnostics, Sources};
use weir_net::{BoundListener, bind, bind_beside};

use super::compile::failed;
use crate::config::Config;

/// What is bound, by the address in the config.
pub(super) type Bound = HashMap<Arc<str>, SocketAddr>;

/// What a new config changes.
pub(super) struct Changes {
    /// Bound and not yet accepting.
    pub(super) opened: Vec<(Arc<str>, BoundListener)>,
    /// To be closed.
    pub(super) closed: Vec<(Arc<str>, SocketAddr)>,
}

/// Binds what `config` wants beyond `bound`. Nothing accepts yet, so dropping the result undoes it.
pub(super) fn prepare(
    config: &Config,
    sources: &Sources,
    bound: &Bound,
    workers: usize,
) -> Result<Changes, Diagnostics> {
    let mut cx = Cx::new(sources.clone());
    let mut opened = Vec::new();
    for (_, listener) in config.listeners.iter() {
        let key: Arc<str> = Arc::from(listener.address.to_string());
        if bound.contains_key(&key) {
            continue;
        }
        let address = listener.address.socket_addr();
        // What overlaps it cannot be in the new config as well, so it is about to close.
        let beside_ours = bound.values().any(|ours| overlap(*ours, address));
        let bind = if beside_ours { bind_beside } else { bind };
        match bind(address, workers, listener.backlog.as_u32()) {
            Ok(listener) => opened.push((key, listener)),
            Err(error) => {
                cx.error(listener.address.span, error.to_string());
            }
        }
    }
    if cx.has_errors() {
        return Err(failed(cx));
    }
    let wanted: Vec<String> = config
        .listeners
        .iter()
        .map(|(_, listener)| listener.address.to_string())
        .collect();
    let closed = bound
        .iter()
        .filter(|(key, _)| !wanted.iter().any(|wanted| **wanted == ***key))
        // The same address in another spelling: the new sockets take the place of the old.
        .filter(|(_, address)| !opened.iter().any(|(_, new)| new.address == **address))
        .map(|(key, address)| (Arc::clone(key), *address))
        .collect();
    Ok(Changes { opened, closed })
}

/// Whether sockets on both could get the same connection.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port()
        && a.port() != 0
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
