//! The way of a connection from the kernel to whoever serves it.
//!
//! ```text
//! accept -> what does it begin with? -> PROXY header -> may this client connect? -> is there room? -> this worker or another
//! ```
//!
//! At every step it may be turned away, and then nothing of it stays: no task, no place, no half-open socket in the
//! kernel. See [`Incident`] for what is told of it.

use std::{
    future::poll_fn,
    io,
    net::{SocketAddr, TcpStream as StdStream},
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    task::coop::has_budget_remaining,
};

use super::{Listening, Protocol, Worker};
use crate::{
    accept::Pass,
    clock,
    incident::{Incident, Refusal},
    proxied::{self, Preamble},
};

/// How long accepting rests when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A connection on its way to another worker.
#[derive(Debug)]
pub(super) struct Handover {
    pub(super) socket: StdStream,
    pub(super) peer: SocketAddr,
    pub(super) key: Arc<str>,
    pub(super) address: SocketAddr,
    pub(super) pass: Pass,
}

/// Accepts until the listener closes, then takes what already waits and ends.
pub(super) async fn accept<P: Protocol>(
    worker: Rc<Worker>,
    protocol: Rc<P>,
    listening: Rc<Listening>,
    socket: TcpListener,
) {
    loop {
        let mut closed = std::pin::pin!(listening.wake.notified());
        let accepted = poll_fn(|cx| match socket.poll_accept(cx) {
            Poll::Ready(accepted) => Poll::Ready(Some(accepted)),
            // Unless it is pending only because this task has had its turn, nobody waits any more.
            Poll::Pending if listening.closing() && has_budget_remaining() => Poll::Ready(None),
            Poll::Pending => closed.as_mut().poll(cx).map(|()| None),
        })
        .await;
        match accepted {
            Some(Ok((stream, peer))) => worker.arrive(&protocol, &listening, stream, peer),
            Some(Err(error)) if is_about_one_connection(&error) => {}
            Some(Err(_)) => {
                worker
                    .notes
                    .note(&listening.key, Incident::NotAccepted, None);
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None if listening.closing() => break,
            None => {}
        }
    }
    drop(socket);
    listening.open.take();
}

/// The connection died between the kernel's accept and ours: the next one is fine.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

impl Worker {
    /// A connection was accepted: finds out whose it is.
    fn arrive<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        listener: &Rc<Listening>,
        socket: TcpStream,
        peer: SocketAddr,
    ) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let time = match protocol.preamble(listener, peer.ip()) {
            Preamble::None => return self.admit(protocol, listener, socket, peer, None),
            Preamble::Refused => {
                return self.turn_away(&**protocol, listener, &socket, peer, Refusal::NotAProxy);
            }
            Preamble::ProxyHeader(time) => time,
        };
        // It has a place before its client is known, so that there are not more of these than of any.
        let held = match self.shared.gate.hold() {
            Ok(held) => held,
            Err(refusal) => {
                return self.turn_away(&**protocol, listener, &socket, peer, refusal);
            }
        };
        let (worker, protocol) = (Rc::clone(self), Rc::clone(protocol));
        let listener = Rc::clone(listener);
        tokio::task::spawn_local(async move {
            let timer = worker.wheel.timer();
            let closing = || listener.closing() || worker.draining();
            let client = proxied::read_header(&socket, peer, &timer, time, closing).await;
            match client {
                Ok(Some(client)) => {
                    worker.admit(&protocol, &listener, socket, client, Some(held));
                }
                Ok(None) => {}
                Err(refusal) => worker.turn_away(&*protocol, &listener, &socket, peer, refusal),
            }
        });
    }

    fn admit<P: Protocol>(
        self: &Rc<Self>,
        protocol: &Rc<P>,
        listener: &Rc<Listening>,
        socket: TcpStream,
        client: SocketAddr,
        held: Option<Pass>,
    ) {
        // First the one that keeps no state: who is denied takes no place in a table.
        if !protocol.admit(listener, client.ip()) {
            return self.turn_away(&**protocol, listener, &socket, client, Refusal::Denied);
        }
        let now = clock::now();
        let pass = match held {
            Some(held) => held.claim(client.ip(), now),
            None => self.shared.gate.enter(client.ip(), now),
        };
        let pass = match pass {
            Ok(pass) => pass,
            Err(refusal) => {
                return self.turn_away(&**protocol, listener, &socket, client, refusal);
            }
        };
        let inbox = self.lighter().map(|other| &self.shared.inboxes[other]);
        // A place in the inbox first: once the socket has left this worker there is no way back.
        let Some(place) = inbox.and_then(|inbox| inbox.try_reserve().ok()) else {
            self.serve(protocol, Rc::clone(listener), socket, client, pass);
            return;
        };
        if let Ok(socket) = socket.into_std() {
            place.send(Handover {
                socket,
                peer: client,
                key: Arc::clone(&listener.key),
                address: listener.address,
                pass,
            });
        }
    }

    /// Closes a connection at once, by a reset: the system keeps nothing of it, and whoever floods gains nothing.
    fn turn_away<P: Protocol>(
        &self,
        protocol: &P,
        listener: &Listening,
        socket: &TcpStream,
        client: SocketAddr,
        refusal: Refusal,
    ) {
        let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        self.notes
            .note(&listener.key, Incident::Refused(refusal), Some(client.ip()));
        protocol.refused(listener, refusal);
    }
}
