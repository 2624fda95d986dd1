//! What a worker holds: the gate, and for each request an entry or a ticket.
//!
//! All of them give back what they stand for when they are dropped, in whatever state: a client that goes away while its
//! request waits, or just as it is let in, costs nobody a slot.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use super::gradient::Batch;
use super::queue::Turn;
use super::{Admission, Priority};

/// Nobody can be let in right now without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shed {
    /// The queue was full, and the others in it more important, or there before.
    QueueFull,
    /// It waited longer than a queue that does not get shorter allows.
    Overload,
}

impl Shed {
    /// A name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Overload => "overload",
        }
    }
}

/// One worker's way into an [`Admission`]. Entries and tickets count references to this, which no other worker touches.
#[derive(Debug, Clone)]
pub struct Gate(Rc<Inner>);

struct Inner {
    admission: Arc<Admission>,
    /// What this worker has seen and the adaptive limit has not yet.
    batch: Cell<Batch>,
}

/// How often a worker tells what it has seen: after so many requests, or so long after the first of them.
const BATCH: u32 = 32;
const BATCH_US: u64 = 10_000;
/// What is older than this tells nothing of now.
const STALE_US: u64 = 1_000_000;

impl Gate {
    /// A worker's gate.
    pub fn new(admission: Arc<Admission>) -> Self {
        Self(Rc::new(Inner {
            admission,
            batch: Cell::default(),
        }))
    }

    /// What it is a gate to.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.0.admission
    }

    /// Lets a request in, if there is a slot and nobody waits for it.
    #[inline]
    pub fn try_enter(&self, priority: Priority) -> Result<Entry, Full> {
        let seen = self.0.admission.enter(priority).ok_or(Full)?;
        Ok(Entry::new(self.clone(), priority, None, seen))
    }

    /// Gets a request in line. Poll the ticket, and drop it to give up (when the request's time to wait is over).
    pub fn enqueue(&self, priority: Priority, now_us: u64) -> Result<Ticket, Shed> {
        let place = self.0.admission.join(priority, now_us)?;
        Ok(Ticket {
            gate: self.clone(),
            priority,
            state: State::Place(place),
        })
    }
}

impl Inner {
    fn sample(&self, latency_us: u64, ok: bool, now_us: u64) {
        let mut batch = self.batch.take();
        if batch.count() > 0 && now_us.saturating_sub(batch.since_us) > STALE_US {
            batch = Batch::default();
        }
        batch.add(latency_us, ok, self.admission.in_flight(), now_us);
        let is_due = batch.count() >= BATCH || now_us.saturating_sub(batch.since_us) >= BATCH_US;
        if !is_due || !self.admission.learn(&batch, now_us) {
            self.batch.set(batch);
        }
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gate").field(&self.admission).finish()
    }
}

/// A request that is in flight, until this is dropped.
///
/// Give the endpoint's slot back before this.
#[derive(Debug)]
#[must_use = "dropping it ends the request"]
pub struct Entry {
    /// `None` once it has been given back.
    gate: Option<Gate>,
    priority: Priority,
    /// Where it stood in line, if it had to wait.
    turn: Option<Turn>,
    /// How many had left before it looks for room.
    seen: u32,
    /// When it ended, if that is known.
    now_us: Option<u64>,
}

impl Entry {
    fn new(gate: Gate, priority: Priority, turn: Option<Turn>, seen: u32) -> Self {
        Self {
            gate: Some(gate),
            priority,
            turn,
            seen,
            now_us: None,
        }
    }

    /// Since when it waited, if it had to.
    pub fn waited_since_us(&self) -> Option<u64> {
        self.turn.map(|turn| turn.since_us)
    }

    /// Ends the request, and tells the adaptive limit how it went.
    ///
    /// `ok` is whether its latency says how fast the service works. Timeouts and failed connections are not ok; errors that the
    /// service answers in its usual time are. Just drop the entry if the request says nothing, as when its client went away.
    #[inline]
    pub fn finish(mut self, latency_us: u64, ok: bool, now_us: u64) {
        self.now_us = Some(now_us);
        if let Some(gate) = &self.gate
            && gate.0.admission.adaptive.load(Ordering::Relaxed)
        {
            gate.0.sample(latency_us, ok, now_us);
        }
    }

    /// No endpoint has room: gets back in line, in front of those who came later.
    ///
    /// The request is not in flight while it waits. When the ticket is granted, pick again.
    pub fn wait_for_room(mut self, now_us: u64) -> Result<Ticket, Shed> {
        let Some(gate) = self.gate.take() else {
            return Err(Shed::Overload);
        };
        let rejoined = gate
            .0
            .admission
            .rejoin(self.priority, self.turn, self.seen, now_us);
        let state = match rejoined {
            Some(place) => State::Place(place?),
            None => State::Kept(Self::new(gate.clone(), self.priority, self.turn, self.seen)),
        };
        Ok(Ticket {
            gate,
            priority: self.priority,
            state,
        })
    }
}

impl Drop for Entry {
    #[inline]
    fn drop(&mut self) {
        if let Some(gate) = &self.gate {
            gate.0.admission.leave(self.now_us);
        }
    }
}

/// A request that waits, until it is let in or shed, or gives up by dropping this.
#[derive(Debug)]
#[must_use = "dropping it gives up"]
pub struct Ticket {
    gate: Gate,
    priority: Priority,
    state: State,
}

#[derive(Debug)]
enum State {
    /// A place in the queue.
    Place(u32),
    /// It need not wait: it kept its entry.
    Kept(Entry),
    Done,
}

impl Future for Ticket {
    type Output = Result<Entry, Shed>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Place(index) => match self.gate.0.admission.look(index, cx.waker()) {
                Poll::Pending => {
                    self.state = State::Place(index);
                    Poll::Pending
                }
                Poll::Ready(Ok((turn, seen))) => {
                    let gate = self.gate.clone();
                    Poll::Ready(Ok(Entry::new(gate, self.priority, Some(turn), seen)))
                }
                Poll::Ready(Err(reason)) => Poll::Ready(Err(reason)),
            },
            State::Kept(mut entry) => {
                entry.seen = self.gate.0.admission.departures();
                Poll::Ready(Ok(entry))
            }
            State::Done => Poll::Pending,
        }
    }
}

#[cfg(test)]
impl Ticket {
    /// Its place, unless it kept its entry or is done.
    pub(super) fn place(&self) -> Option<u32> {
        match self.state {
            State::Place(index) => Some(index),
            State::Kept(_) | State::Done => None,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let State::Place(index) = self.state {
            self.gate.0.admission.abandon(index);
        }
    }
}
