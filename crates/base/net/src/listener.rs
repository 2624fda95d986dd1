//! Binding an address once per worker.
//!
//! Every worker gets a socket of its own on the same address (`SO_REUSEPORT`), and
//! the kernel spreads connections over them. That option would also let a second
//! process of the same user take half of our traffic unnoticed, so an address is
//! first bound without it: if anyone listens there already, that fails and says so.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Why an address could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process (or an earlier Weir) listens there.
    #[error("address {0} is already in use by another process")]
    InUse(SocketAddr),
    /// The address is not one of this machine's.
    #[error("address {0} does not belong to this machine")]
    NotLocal(SocketAddr),
    /// Ports below 1024 need a privilege.
    #[error(
        "binding {0} needs a privilege (ports below 1024): run as root or grant CAP_NET_BIND_SERVICE"
    )]
    Denied(SocketAddr),
    /// Anything else the system said.
    #[error("cannot bind {0}: {1}")]
    Other(SocketAddr, io::Error),
}

/// One socket per worker on one address, not yet accepting.
#[derive(Debug)]
pub struct BoundListener {
    /// The address as bound: a port of 0 has become the real one.
    pub address: SocketAddr,
    /// The sockets, one for each worker.
    pub sockets: Vec<TcpListener>,
}

/// Binds `address` for `workers` workers.
///
/// An IPv6 wildcard also takes IPv4 connections.
///
/// # Errors
/// See [`BindError`].
pub fn bind(address: SocketAddr, workers: usize, backlog: u32) -> Result<BoundListener, BindError> {
    // Sockets that share a port would bind beside those of another Weir, and take half of its connections.
    let probe = socket(address, false).map_err(|error| explain(address, error))?;
    let bound = probe
        .local_addr()
        .map_err(|error| explain(address, error))?
        .as_socket()
        .unwrap_or(address);
    drop(probe);
    bind_beside(bound, workers, backlog)
}

/// As [`bind`], for an address that overlaps one of our own that is about to close, such as `[::]:80` and
/// `127.0.0.1:80`: both are bound for a moment, so no connection meets a closed port.
///
/// # Errors
/// See [`BindError`].
pub fn bind_beside(
    address: SocketAddr,
    workers: usize,
    backlog: u32,
) -> Result<BoundListener, BindError> {
    let sockets = (0..workers)
        .map(|_| {
            let socket = socket(address, true)?;
            socket.listen(backlog.min(i32::MAX as u32) as i32)?;
            Ok(TcpListener::from(socket))
        })
        .collect::<io::Result<_>>()
        .map_err(|error| explain(address, error))?;
    Ok(BoundListener { address, sockets })
}

fn explain(address: SocketAddr, error: io::Error) -> BindError {
    match error.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse(address),
        io::ErrorKind::AddrNotAvailable => BindError::NotLocal(address),
        io::ErrorKind::PermissionDenied => BindError::Denied(address),
        _ => BindError::Other(address, error),
    }
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_nonblocking(true)?;
    // Lets a restart bind while old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_port(shared)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_on_the_same_port() {
        let bound = bind(([127, 0, 0, 1], 0).into(), 3, 16).expect("binds");
        assert_eq!(bound.sockets.len(), 3);
        for socket in &bound.sockets {
            assert_eq!(socket.local_addr().expect("an address"), bound.address);
        }
    }

    #[test]
    fn a_taken_address_is_refused_even_if_it_could_be_shared() {
        let first = bind(([127, 0, 0, 1], 0).into(), 1, 16).expect("binds");
        let second = bind(first.address, 1, 16);
        assert!(matches!(second, Err(BindError::InUse(_))), "{second:?}");
    }

    #[test]
    fn our_own_address_may_be_overlapped() {
        let first = bind(([127, 0, 0, 1], 0).into(), 2, 16).expect("binds");
        let wider = ([0, 0, 0, 0], first.address.port()).into();
        assert!(matches!(bind(wider, 2, 16), Err(BindError::InUse(_))));
        assert!(bind_beside(wider, 2, 16).is_ok());
    }

    #[test]
    fn a_foreign_address_is_named() {
        let refused = bind(([192, 0, 2, 1], 0).into(), 1, 16);
        assert!(
            matches!(refused, Err(BindError::NotLocal(_))),
            "{refused:?}"
        );
    }
}
