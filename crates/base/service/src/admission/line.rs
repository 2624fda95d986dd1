//! Those who wait, and who of them is let go: everything behind the mutex.

use std::task::Waker;

use super::Shed;
use super::codel::Codel;
use super::queue::{Fate, Queue, Turn};
use super::spec::{Priority, Reserve};

/// Those who wait, and what decides about them.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) queue: Queue,
    pub(super) codel: Codel,
    pub(super) reserve: Reserve,
    pub(super) limit: u32,
    pub(super) pending: usize,
    /// The number of the last arrival.
    pub(super) arrivals: u64,
    /// With so many in flight there is no room on any endpoint.
    pub(super) room: u32,
    pub(super) found_room: u32,
    /// The latest time that anyone told.
    pub(super) now_us: u64,
}

/// Wakers to call once the lock is released. A slot that is passed on wakes one.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    first: Option<Waker>,
    others: Vec<Waker>,
}

impl Wakes {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        match (&self.first, waker) {
            (None, waker) => self.first = waker,
            (Some(_), Some(waker)) => self.others.push(waker),
            (Some(_), None) => {}
        }
    }

    pub(super) fn wake(self) {
        self.first
            .into_iter()
            .chain(self.others)
            .for_each(Waker::wake);
    }
}

impl Line {
    /// Nobody waits, and nobody may: to be configured.
    pub(super) fn new() -> Self {
        Self {
            queue: Queue::new(),
            codel: Codel::new(0, 0),
            reserve: Reserve::default(),
            limit: 1,
            pending: 0,
            arrivals: 0,
            room: u32::MAX,
            found_room: 0,
            now_us: 0,
        }
    }

    pub(super) fn is_now(&mut self, now_us: Option<u64>) {
        self.now_us = self.now_us.max(now_us.unwrap_or(0));
    }

    pub(super) fn next_turn(&mut self, priority: Priority) -> Turn {
        self.arrivals += 1;
        Turn {
            priority,
            number: self.arrivals,
            since_us: self.now_us,
        }
    }

    pub(super) fn insert(&mut self, turn: Turn) -> u32 {
        self.codel.arrives(self.queue.lens(), self.now_us);
        self.queue.insert(turn)
    }

    /// Lets those go that have waited longer than the service's pace allows, the least important first.
    ///
    /// The newest of the most important always stays: a slot that comes free must not find nobody. So this never costs
    /// throughput, however short the target is.
    pub(super) fn let_go(&mut self, wakes: &mut Wakes) {
        for priority in Priority::ALL.into_iter().rev() {
            let Some(allowed) = self.codel.allowed(priority, self.now_us) else {
                continue;
            };
            let more_important: usize = self.queue.lens()[..priority.index()].iter().sum();
            let stay = usize::from(more_important == 0);
            while let Some((index, turn)) = self.queue.oldest(priority) {
                let waited = self.now_us.saturating_sub(turn.since_us);
                if waited <= allowed || self.queue.lens()[priority.index()] <= stay {
                    break;
                }
                wakes.add(self.queue.decide(index, Fate::Shed(Shed::Overload)));
            }
        }
    }

    /// Makes the queue as short as it has to be, from its end.
    pub(super) fn shed_beyond_bound(&mut self, wakes: &mut Wakes) {
        while self.queue.len() > self.pending
            && let Some(index) = self.queue.last()
        {
            wakes.add(self.queue.decide(index, Fate::Shed(Shed::QueueFull)));
        }
    }
}
