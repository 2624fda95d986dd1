//! Servers as they are met: quick, slow, overloaded, refusing, silent, failing, gone.
//!
//! A server works on `capacity` requests at a time and queues the others. When a client has gone it stops working for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Poll, Waker};

use weir_service::Rng;

use crate::world::World;

/// How a server behaves at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Works.
    Up,
    /// The process is gone; the kernel says so.
    Refusing,
    /// The machine is gone: not even a refusal.
    Silent,
    /// Accepts, and never answers (SIGSTOP, a deadlock).
    BlackHole,
    /// Answers this status at once, without doing any work.
    Failing(u16),
    /// Works, but answers 500 to this many of 100 requests.
    Sick(u32),
}

/// How long work takes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work {
    /// Exponentially distributed with this mean.
    Exponential(u64),
    /// Mostly a fifth below this mean, a twentieth of the requests much longer.
    LongTail(u64),
}

impl Work {
    fn sample(self, rng: &mut Rng) -> u64 {
        // (0, 1]
        let unit = (f64::from(rng.below(1 << 30)) + 1.0) / f64::from(1u32 << 30);
        match self {
            Self::Exponential(mean) => (-unit.ln() * mean as f64) as u64,
            Self::LongTail(mean) => match rng.below(20) {
                0 => (unit.powf(-0.5).min(10.0) * 2.0 * mean as f64) as u64,
                _ => (mean as f64 * (0.6 + 0.4 * unit)) as u64,
            },
        }
    }
}

/// A connection to a server, from before or after its last start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Connection {
    start: u32,
}

/// What may come of an attempt to connect, if anything does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// The connection ended before the answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    /// It had ended before the request was sent.
    Before,
    /// The server died with the request.
    With,
}

pub(crate) struct Server {
    world: Rc<World>,
    pub(crate) address: SocketAddr,
    mode: Cell<Mode>,
    /// Starts so far.
    start: Cell<u32>,
    killed_us: Cell<u64>,
    work: Cell<Work>,
    /// Times slower than it should be, in percent.
    slowness: Cell<u64>,
    capacity: Cell<u32>,
    busy: Cell<u32>,
    /// Tickets of those who wait for a place, in order.
    line: RefCell<VecDeque<(u64, Option<Waker>)>>,
    tickets: Cell<u64>,
    /// Those who wait for it to wake up.
    stopped: RefCell<Vec<Waker>>,
    rng: RefCell<Rng>,
    /// Requests that it has seen, whatever became of them.
    pub(crate) seen: Cell<u64>,
    /// Requests that it has answered with success.
    pub(crate) served: Cell<u64>,
    /// Fresh connections tried.
    pub(crate) connects: Cell<u64>,
}

impl Server {
    pub(crate) fn new(
        world: &Rc<World>,
        address: SocketAddr,
        work: Work,
        capacity: u32,
        seed: u64,
    ) -> Rc<Self> {
        Rc::new(Self {
            world: Rc::clone(world),
            address,
            mode: Cell::new(Mode::Up),
            start: Cell::new(0),
            killed_us: Cell::new(0),
            work: Cell::new(work),
            slowness: Cell::new(100),
            capacity: Cell::new(capacity),
            busy: Cell::new(0),
            line: RefCell::default(),
            tickets: Cell::new(0),
            stopped: RefCell::default(),
            rng: RefCell::new(Rng::new(seed)),
            seen: Cell::new(0),
            served: Cell::new(0),
            connects: Cell::new(0),
        })
    }

    pub(crate) fn slow_down(&self, percent: u64) {
        self.slowness.set(percent);
    }

    pub(crate) fn become_(&self, mode: Mode) {
        self.mode.set(mode);
        let stopped = std::mem::take(&mut *self.stopped.borrow_mut());
        stopped.into_iter().for_each(Waker::wake);
    }

    /// Dies with all that it was doing, and is not there again until it [becomes](Self::become_) something else.
    pub(crate) fn kill(&self) {
        self.start.set(self.start.get() + 1);
        self.killed_us.set(self.world.now_us());
        self.busy.set(0);
        let line = std::mem::take(&mut *self.line.borrow_mut());
        line.into_iter()
            .filter_map(|(_, waker)| waker)
            .for_each(Waker::wake);
        self.become_(Mode::Refusing);
    }

    /// Would whoever looks at this connection take it for a good one? The end of one takes a moment to arrive.
    pub(crate) fn seems_open(&self, connection: Connection) -> bool {
        connection.start == self.start.get() || self.world.now_us() < self.killed_us.get() + 1_000
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, Refused> {
        self.connects.set(self.connects.get() + 1);
        self.world.sleep(150).await;
        match self.mode.get() {
            Mode::Refusing => Err(Refused),
            Mode::Silent => std::future::pending().await,
            _ => Ok(Connection {
                start: self.start.get(),
            }),
        }
    }

    /// Answers a request with a status.
    pub(crate) async fn answer(self: &Rc<Self>, connection: Connection) -> Result<u16, Lost> {
        if connection.start != self.start.get() || self.mode.get() == Mode::Refusing {
            self.world.sleep(100).await;
            return Err(Lost::Before);
        }
        self.seen.set(self.seen.get() + 1);
        match self.mode.get() {
            Mode::Failing(status) => {
                self.world.sleep(200).await;
                return Ok(status);
            }
            // Once it goes on, what came meanwhile is answered like everything else.
            Mode::BlackHole | Mode::Silent => self.until_awake(connection).await?,
            _ => {}
        }
        let slot = self.slot(connection).await?;
        let us = self.work.get().sample(&mut self.rng.borrow_mut());
        self.world.sleep(us * self.slowness.get() / 100).await;
        self.until_awake(connection).await?;
        drop(slot);
        if let Mode::Sick(percent) = self.mode.get()
            && self.rng.borrow_mut().below(100) < percent
        {
            return Ok(500);
        }
        self.served.set(self.served.get() + 1);
        Ok(200)
    }

    /// Answers a health check: no work, but no answer from those who do not answer.
    pub(crate) async fn check(&self) -> bool {
        if self.connect().await.is_err() {
            return false;
        }
        self.world.sleep(200).await;
        match self.mode.get() {
            Mode::Up | Mode::Sick(_) => true,
            Mode::Failing(_) | Mode::Refusing => false,
            Mode::BlackHole | Mode::Silent => std::future::pending().await,
        }
    }

    async fn until_awake(&self, connection: Connection) -> Result<(), Lost> {
        poll_fn(|cx| {
            if self.start.get() != connection.start {
                return Poll::Ready(Err(Lost::With));
            }
            if matches!(self.mode.get(), Mode::BlackHole | Mode::Silent) {
                self.stopped.borrow_mut().push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// A place to work in.
    async fn slot(self: &Rc<Self>, connection: Connection) -> Result<Slot, Lost> {
        let place = Place {
            server: self,
            ticket: self.tickets.get(),
        };
        self.tickets.set(place.ticket + 1);
        self.line.borrow_mut().push_back((place.ticket, None));
        poll_fn(|cx| {
            if self.start.get() != connection.start {
                return Poll::Ready(Err(Lost::With));
            }
            let mut line = self.line.borrow_mut();
            if self.busy.get() < self.capacity.get()
                && line
                    .front()
                    .is_some_and(|(ticket, _)| *ticket == place.ticket)
            {
                line.pop_front();
                drop(line);
                self.busy.set(self.busy.get() + 1);
                self.next();
                return Poll::Ready(Ok(Slot {
                    server: Rc::clone(self),
                    start: connection.start,
                }));
            }
            if let Some(at) = place.position(&line) {
                line[at].1 = Some(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// Calls whose turn it is.
    fn next(&self) {
        if self.busy.get() < self.capacity.get()
            && let Some((_, Some(waker))) = self.line.borrow().front()
        {
            waker.wake_by_ref();
        }
    }
}

/// A place in the line.
struct Place<'a> {
    server: &'a Server,
    ticket: u64,
}

impl Place<'_> {
    fn position(&self, line: &VecDeque<(u64, Option<Waker>)>) -> Option<usize> {
        line.binary_search_by_key(&self.ticket, |(ticket, _)| *ticket)
            .ok()
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.server.line.borrow_mut();
        if let Some(at) = self.position(&line) {
            line.remove(at);
            drop(line);
            self.server.next();
        }
    }
}

/// A place to work in; free again when this is dropped.
struct Slot {
    server: Rc<Server>,
    start: u32,
}

impl Drop for Slot {
    fn drop(&mut self) {
        // One that died has no places.
        if self.server.start.get() == self.start {
            self.server.busy.set(self.server.busy.get() - 1);
            self.server.next();
        }
    }
}
