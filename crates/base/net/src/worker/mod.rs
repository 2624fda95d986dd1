//! One thread per core, and what a connection finds there.
//!
//! The control side owns [`Workers`] and talks to each thread over a channel:
//! new listeners, a new plan, drain, stop. A worker owns its sockets and its
//! connections; [`Worker`] is the `!Send` context that every connection shares.
//!
//! [`arrival`] is the way of a connection from the kernel to its protocol,
//! [`control`] the side that other threads see, [`life`] what a worker does from
//! its first command to its last.

mod arrival;
mod control;
mod life;
mod protocol;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::mpsc;

use self::arrival::Handover;
pub use self::{
    control::{Settings, ShutdownReport, Workers},
    protocol::{Admission, Connection, Listening, Protocol},
};
use crate::{
    accept::Gate,
    buffer::Buffers,
    clock::{self, Micros},
    incident::{Board, Incident, Notes},
    splice::Pipes,
    wheel::Wheel,
};

/// A new connection moves to the least loaded worker when ours has this many more.
const HANDOFF_MARGIN: usize = 2;
/// Spare pipes a worker keeps for large bodies.
const SPARE_PIPES: usize = 32;

/// The context of one worker thread.
#[derive(Debug)]
pub struct Worker {
    /// 0 for the first.
    pub id: usize,
    /// Deadlines of this worker's connections.
    pub wheel: Rc<Wheel>,
    /// Read buffers.
    pub buffers: Rc<Buffers>,
    /// Pipes for splicing.
    pub pipes: Rc<Pipes>,
    drift: Cell<i64>,
    draining: Cell<bool>,
    listening: RefCell<HashMap<SocketAddr, Rc<Listening>>>,
    notes: Notes,
    shared: Arc<Shared>,
}

/// What all workers and the control side share.
#[derive(Debug)]
struct Shared {
    gate: Arc<Gate>,
    board: Board,
    loads: Vec<Arc<CachePadded>>,
    inboxes: Vec<mpsc::Sender<Handover>>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct CachePadded(AtomicUsize);

/// Counts a connection into its worker's load.
#[derive(Debug)]
struct Load(Arc<CachePadded>);

impl Load {
    fn new(load: &Arc<CachePadded>) -> Self {
        load.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(load))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Worker {
    fn new(id: usize, settings: Settings, shared: Arc<Shared>) -> Rc<Self> {
        Rc::new(Self {
            id,
            wheel: Wheel::new(),
            buffers: Buffers::new(settings.buffer, settings.spare_buffers),
            pipes: Pipes::new(SPARE_PIPES),
            drift: Cell::new(clock::measure_drift()),
            draining: Cell::new(false),
            listening: RefCell::default(),
            notes: Notes::default(),
            shared,
        })
    }

    /// Whether the process is on its way out: finish what runs, begin nothing.
    #[inline]
    #[must_use]
    pub fn draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether the time for finishing is over: every wait ends, as if its deadline had passed.
    #[inline]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.wheel.is_cut()
    }

    /// The wall clock at `now`, in milliseconds since 1970.
    #[inline]
    #[must_use]
    pub fn unix_millis(&self, now: Micros) -> u64 {
        clock::unix_millis(now, self.drift.get())
    }

    /// The gate in front of all workers.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.shared.gate
    }

    /// Client connections that this worker serves now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.loads[self.id].0.load(Ordering::Relaxed)
    }

    /// Notes that a client was let in whom a rule that is only tried out would have turned away.
    pub fn would_refuse(&self, listener: &Listening, client: IpAddr) {
        self.notes
            .note(&listener.key, Incident::WouldRefuse, Some(client));
    }

    /// The worker that should take a new connection, if another one has clearly less to do.
    fn lighter(&self) -> Option<usize> {
        let mine = self.connections();
        let (id, least) = self
            .shared
            .loads
            .iter()
            .map(|load| load.0.load(Ordering::Relaxed))
            .enumerate()
            .min_by_key(|(_, load)| *load)?;
        (id != self.id && mine >= least + HANDOFF_MARGIN + least / 16).then_some(id)
    }
}
