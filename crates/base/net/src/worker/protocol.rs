//! What a protocol is given, and what it is asked.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use tokio::sync::{Notify, mpsc};

use super::Load;
use crate::{accept::Pass, incident::Refusal, proxied::Preamble, stream::Stream};

/// What a worker does with a connection.
pub trait Protocol: 'static {
    /// Serves one connection to its end.
    fn serve(self: Rc<Self>, connection: Connection) -> impl Future<Output = ()> + 'static;

    /// What a new connection from `peer` begins with.
    fn preamble(&self, listener: &Listening, peer: IpAddr) -> Preamble {
        let _ = (listener, peer);
        Preamble::None
    }

    /// Whether this client may connect, asked before its connection costs anything. `client` is who the PROXY header
    /// says, if there is one, and else the peer. One that is not admitted is [refused](Self::refused) as
    /// [`Refusal::Denied`].
    fn admit(&self, listener: &Listening, client: IpAddr) -> bool {
        let _ = (listener, client);
        true
    }

    /// A connection was turned away before it was served.
    fn refused(&self, listener: &Listening, refusal: Refusal);
}

/// A listener as one worker sees it.
#[derive(Debug)]
pub struct Listening {
    /// What the plan knows it by; stays the same while the address is bound.
    pub key: Arc<str>,
    /// The address it is bound to.
    pub address: SocketAddr,
    pub(super) closing: Cell<bool>,
    pub(super) wake: Notify,
    /// Dropped once the socket is closed.
    pub(super) open: RefCell<Option<mpsc::Sender<()>>>,
}

/// An accepted connection.
#[derive(Debug)]
pub struct Connection {
    /// The bytes.
    pub stream: Stream,
    /// The client's address: as the socket has it, or as the PROXY header told that came before anything else.
    pub peer: SocketAddr,
    /// Where it came in.
    pub listener: Rc<Listening>,
    /// Its place among all connections; to be kept until it ends.
    pub admission: Admission,
}

/// Counts a connection while it lives.
#[derive(Debug)]
pub struct Admission {
    _pass: Pass,
    _load: Load,
}

impl Listening {
    pub(super) fn new(key: Arc<str>, address: SocketAddr, closing: bool) -> Rc<Self> {
        Rc::new(Self {
            key,
            address,
            closing: Cell::new(closing),
            wake: Notify::new(),
            open: RefCell::default(),
        })
    }

    /// Whether this listener has gone: finish what runs, begin nothing.
    #[inline]
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }
}

impl Admission {
    pub(super) fn new(pass: Pass, load: Load) -> Self {
        Self {
            _pass: pass,
            _load: load,
        }
    }
}
