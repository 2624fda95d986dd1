//! How many requests of a service are in flight at once, and who of the others waits for how long.
//!
//! A service that is given more than it can do does not do as much as it can: it does less, and all of it late. So there is
//! a cap, and a queue in front of it that is bounded in length, in order of importance, and in how long anyone stands in it
//! when it does not get shorter (see [`codel`]). With `adaptive` the cap follows what the service can do (see
//! [`gradient`]).
//!
//! # The count
//!
//! One [`Admission`] is shared by all workers. As long as nobody waits, a request costs one atomic addition to enter and one to
//! leave, on one word: the number in flight, a bit that says whether somebody waits, and a count of those that left.
//! Everything else is behind a mutex, which is taken only when somebody waits, and never while a waker runs.
//!
//! Whoever leaves sees the bit in the same operation that takes it off the count, and then passes its slot on. Whoever starts to
//! wait sets the bit first, and then looks at the count. Both happen to one word, so in one order: either the one who leaves
//! sees the bit, or the one who waits sees the slot.
//!
//! A request that enters adds itself first and looks then. If it was one too many it takes itself off again, as if it left: so for
//! a moment the count can be above the limit, but never the number of entries.
//!
//! # Room
//!
//! A request that was let in can find that no endpoint has room, because each has a cap of its own. It gives its entry back for a
//! ticket ([`Entry::wait_for_room`]) and stands in the same queue, in its old place. From then on the number that was in
//! flight when there was no room is the limit, until the queue is empty or [`Admission::endpoints_changed`]; and it is raised by one
//! after every 16 who find room, because it can have been too low. So each request that ends lets in exactly one, whatever it
//! was that the request waits for. The one condition: *an endpoint's slot is given back before the entry is*.

mod codel;
mod gradient;
mod line;
mod queue;
mod spec;
#[cfg(test)]
mod tests;
mod ticket;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::task::{Poll, Waker};

use gradient::{Batch, Gradient};
use line::{Line, Wakes};
use queue::{Fate, Turn};

pub use spec::{AdmissionSpec, Priority};
pub use ticket::{Entry, Full, Gate, Shed, Ticket};

/// The word: requests in flight in the lowest 31 bits.
const IN_FLIGHT: u64 = (1 << 31) - 1;
/// ... then whether somebody waits.
const WAITING: u64 = 1 << 31;
/// ... and, in the upper half, how many have left.
const ENTER: u64 = 1;
/// One less in flight, one more that left. Nothing carries over between, because whoever leaves is counted.
const LEAVE: u64 = (1 << 32) - 1;

/// No limit is higher: far from where the count would run into the bit above it.
const MOST: u32 = 1 << 30;

/// After so many that found room, there may be more room.
const FOUND_ROOM: u32 = 16;

fn in_flight(word: u64) -> u32 {
    (word & IN_FLIGHT) as u32
}

/// How many have left, modulo 2^32. (Who looks for room would have to be 2^32 departures behind to take an old number for a
/// new one.)
fn departures(word: u64) -> u32 {
    (word >> 32) as u32
}

/// A value on cache lines of its own (two of them: processors fetch them in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(T);

/// The cap on requests in flight of one service, for all workers. Each of them holds a [`Gate`].
#[derive(Debug)]
pub struct Admission {
    word: Padded<AtomicU64>,
    /// How many may be in flight for one of each priority to be let in.
    caps: [AtomicU32; 3],
    adaptive: AtomicBool,
    line: Padded<Mutex<Line>>,
    /// Locked before `line`, if both are.
    gradient: Padded<Mutex<Gradient>>,
}

impl Admission {
    /// Nobody in flight, nobody waiting.
    pub fn new(spec: &AdmissionSpec) -> Arc<Self> {
        let this = Self {
            word: Padded(AtomicU64::new(0)),
            caps: [const { AtomicU32::new(1) }; 3],
            adaptive: AtomicBool::new(false),
            line: Padded(Mutex::new(Line::new())),
            gradient: Padded(Mutex::new(Gradient::new(1))),
        };
        this.configure(spec);
        Arc::new(this)
    }

    /// Takes on a changed configuration. Nobody loses a place; if the limit is lower now, nobody is let in until enough have left.
    pub fn configure(&self, spec: &AdmissionSpec) {
        let requests = spec.requests.clamp(1, MOST);
        let mut gradient = self
            .gradient
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let limit = match spec.adaptive {
            true if self.adaptive.load(Ordering::Relaxed) => {
                gradient.configure(requests);
                gradient.limit()
            }
            true => {
                *gradient = Gradient::new(requests);
                gradient.limit()
            }
            false => requests,
        };
        self.adaptive.store(spec.adaptive, Ordering::Relaxed);
        let mut line = self.lock();
        line.pending = spec.pending as usize;
        line.codel
            .configure(micros(spec.target), micros(spec.interval));
        let wakes = self.apply(line, limit);
        drop(gradient);
        wakes.wake();
    }

    /// How many are in flight now.
    pub fn in_flight(&self) -> u32 {
        in_flight(self.word.0.load(Ordering::Relaxed))
    }

    /// How many wait now.
    pub fn waiting(&self) -> usize {
        self.lock().queue.len()
    }

    /// How many may be in flight now.
    pub fn limit(&self) -> u32 {
        self.caps[Priority::High.index()].load(Ordering::Relaxed)
    }

    /// Endpoints came, went, recovered or failed: what is known of their room is void.
    pub fn endpoints_changed(&self) {
        let mut line = self.lock();
        if line.queue.len() > 0 {
            line.room = u32::MAX;
            self.pass_on(line).wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        // A panic under the lock would be a bug here; the line is consistent between any two calls on it.
        self.line.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the limit, and lets in whom it allows now.
    fn apply(&self, mut line: MutexGuard<'_, Line>, limit: u32) -> Wakes {
        line.limit = limit;
        self.refresh_caps(&line);
        // Whoever leaves after this sees the new limit, and whoever left before it is seen by what follows.
        self.word.0.fetch_or(0, Ordering::AcqRel);
        self.pass_on(line)
    }

    fn refresh_caps(&self, line: &Line) {
        let caps = line.reserve.caps(line.limit, line.now_us);
        for (slot, cap) in self.caps.iter().zip(caps) {
            // Everyone who enters reads them, so they are written only to change them.
            if slot.load(Ordering::Relaxed) != cap {
                slot.store(cap, Ordering::Relaxed);
            }
        }
    }

    /// Enters, unless somebody waits or too many are in flight. Returns the number of departures until then.
    #[inline]
    fn enter(&self, priority: Priority) -> Option<u32> {
        let before = self.word.0.fetch_add(ENTER, Ordering::AcqRel);
        let cap = self.caps[priority.index()].load(Ordering::Relaxed);
        if before & WAITING == 0 && in_flight(before) < cap {
            return Some(departures(before));
        }
        self.step_back();
        None
    }

    /// Takes back an addition to the count that was one too many.
    #[cold]
    fn step_back(&self) {
        let before = self.word.0.fetch_sub(ENTER, Ordering::AcqRel);
        self.after_leaving(before, None);
    }

    /// Counts one out. Returns how many were in flight until then.
    #[inline]
    fn leave(&self, now_us: Option<u64>) -> u32 {
        let before = self.word.0.fetch_add(LEAVE, Ordering::AcqRel);
        self.after_leaving(before, now_us);
        in_flight(before)
    }

    /// Somebody left when the word was `before`: whoever takes the count below the limit passes the slot on.
    #[inline]
    fn after_leaving(&self, before: u64, now_us: Option<u64>) {
        if before & WAITING != 0 && in_flight(before) <= self.limit() {
            self.slot_is_free(now_us);
        }
    }

    #[cold]
    fn slot_is_free(&self, now_us: Option<u64>) {
        let mut line = self.lock();
        line.is_now(now_us);
        self.pass_on(line).wake();
    }

    /// Lets in whom there are slots for, and releases the lock. They have to be woken.
    fn pass_on(&self, mut line: MutexGuard<'_, Line>) -> Wakes {
        let mut wakes = Wakes::default();
        self.dispatch(&mut line, &mut wakes);
        wakes
    }

    fn dispatch(&self, line: &mut Line, wakes: &mut Wakes) {
        self.refresh_caps(line);
        let caps = line.reserve.caps(line.limit, line.now_us);
        loop {
            line.let_go(wakes);
            let Some((index, turn)) = line.queue.first() else {
                break;
            };
            // Caps fall with importance: if the first cannot enter, nobody can.
            // With nobody in flight nobody will leave, so one has to try whether there is room.
            let cap = caps[turn.priority.index()].min(line.room.max(1));
            let entered = self
                .word
                .0
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                    (in_flight(word) < cap).then_some(word + ENTER)
                });
            if entered.is_err() {
                break;
            }
            line.codel.departs(line.now_us);
            wakes.add(line.queue.decide(index, Fate::Granted));
            line.found_room += 1;
            if line.found_room >= FOUND_ROOM {
                line.found_room = 0;
                line.room = line.room.saturating_add(1);
            }
        }
        self.nobody_waits(line);
    }

    /// If nobody waits, says so to those who enter.
    fn nobody_waits(&self, line: &mut Line) {
        if line.queue.len() == 0 {
            line.room = u32::MAX;
            self.word.0.fetch_and(!WAITING, Ordering::AcqRel);
        }
    }

    /// Gets in line, at the end. `Ok` can be a place that is already decided about.
    fn join(&self, priority: Priority, now_us: u64) -> Result<u32, Shed> {
        let mut line = self.lock();
        line.is_now(Some(now_us));
        let turn = line.next_turn(priority);
        let index = line.insert(turn);
        self.word.0.fetch_or(WAITING, Ordering::AcqRel);
        let mut wakes = Wakes::default();
        self.dispatch(&mut line, &mut wakes);
        line.shed_beyond_bound(&mut wakes);
        self.nobody_waits(&mut line);
        let result = match *line.queue.fate(index) {
            Fate::Shed(reason) => {
                line.queue.remove(index);
                Err(reason)
            }
            Fate::Waiting(_) => {
                let now_us = line.now_us;
                line.reserve.waits(priority, now_us);
                self.refresh_caps(&line);
                Ok(index)
            }
            Fate::Granted | Fate::Free(_) => Ok(index),
        };
        drop(line);
        wakes.wake();
        result
    }

    /// Gets in line again after finding no room, in an old place if there is one. `seen` is how many had left before it looked.
    ///
    /// `None`: somebody left since then. Keep the entry and look again.
    fn rejoin(
        &self,
        priority: Priority,
        turn: Option<Turn>,
        seen: u32,
        now_us: u64,
    ) -> Option<Result<u32, Shed>> {
        let mut line = self.lock();
        line.is_now(Some(now_us));
        let word = self.word.0.fetch_or(WAITING, Ordering::AcqRel);
        if departures(word) != seen {
            self.nobody_waits(&mut line);
            return None;
        }
        // As of the moment at which nobody had left: whoever does from here on sees the bit, and passes the slot on.
        line.room = in_flight(word) - 1;
        line.found_room = 0;
        let turn = turn.unwrap_or_else(|| line.next_turn(priority));
        let index = line.insert(turn);
        self.word.0.fetch_sub(ENTER, Ordering::AcqRel);
        let mut wakes = Wakes::default();
        line.let_go(&mut wakes);
        line.shed_beyond_bound(&mut wakes);
        self.nobody_waits(&mut line);
        let result = match *line.queue.fate(index) {
            Fate::Shed(reason) => {
                line.queue.remove(index);
                Err(reason)
            }
            _ => Ok(index),
        };
        drop(line);
        wakes.wake();
        Some(result)
    }

    /// The ticket of a place is dropped.
    fn abandon(&self, index: u32) {
        let mut line = self.lock();
        let fate = line.queue.remove(index);
        self.nobody_waits(&mut line);
        drop(line);
        if matches!(fate, Fate::Granted) {
            self.leave(None);
        }
    }

    /// What became of the request in a place; if it is decided, the place is gone.
    fn look(&self, index: u32, waker: &Waker) -> Poll<Result<(Turn, u32), Shed>> {
        let mut line = self.lock();
        let old;
        let result = match line.queue.fate(index) {
            Fate::Waiting(slot) => {
                old = match slot {
                    Some(known) if known.will_wake(waker) => None,
                    slot => slot.replace(waker.clone()),
                };
                Poll::Pending
            }
            Fate::Shed(reason) => {
                let reason = *reason;
                old = None;
                line.queue.remove(index);
                Poll::Ready(Err(reason))
            }
            Fate::Granted | Fate::Free(_) => {
                let turn = line.queue.turn(index);
                old = None;
                line.queue.remove(index);
                Poll::Ready(Ok((turn, self.departures())))
            }
        };
        // Dropping a waker can drop the task, and with it a ticket, which takes the lock.
        drop(line);
        drop(old);
        result
    }

    /// How many have left until now. What they gave back before is seen by whoever reads this.
    fn departures(&self) -> u32 {
        departures(self.word.0.load(Ordering::Acquire))
    }

    /// Takes in what one worker has seen, unless another one is doing that right now.
    fn learn(&self, batch: &Batch, now_us: u64) -> bool {
        let mut gradient = match self.gradient.0.try_lock() {
            Ok(gradient) => gradient,
            Err(TryLockError::Poisoned(error)) => error.into_inner(),
            Err(TryLockError::WouldBlock) => return false,
        };
        if gradient.add(batch, now_us) && self.adaptive.load(Ordering::Relaxed) {
            let mut line = self.lock();
            line.is_now(Some(now_us));
            let wakes = self.apply(line, gradient.limit());
            drop(gradient);
            wakes.wake();
        }
        true
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    duration.as_micros().min(u64::MAX.into()) as u64
}
