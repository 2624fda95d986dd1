//! The bounded queue between those who log and the writer.

use super::LogStats;
use crate::sink::{Sink, Target};
use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

/// Buffers kept for reuse.
const SPARE: usize = 16;
/// A buffer that an unusual batch made larger is not kept.
const LARGEST_SPARE: usize = 128 * 1024;

/// Lines in one buffer.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

/// What the writer does next.
#[derive(Debug)]
pub(super) enum Step {
    Batch(Batch),
    Redirect(Sink),
    Stop,
}

/// What became of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handover {
    /// The queue took it.
    Taken,
    /// The queue was full; the lines are dropped and counted.
    Dropped,
    /// Somebody else is at the queue; the buffer is untouched.
    Busy,
}

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// The writer waits here for something to do.
    work: Condvar,
    /// [`Queue::wait_stopped`] waits here for the writer.
    stopped: Condvar,
    on: AtomicBool,
    pub(super) stats: Arc<LogStats>,
    capacity: usize,
}

#[derive(Debug)]
struct State {
    batches: VecDeque<Batch>,
    spare: Vec<Vec<u8>>,
    /// Where lines go, once `redirect` has been taken.
    target: Target,
    redirect: Option<Sink>,
    /// Set when the writer should end, at the latest then.
    stop: Option<Instant>,
    stopped: bool,
    waiting: bool,
}

impl Queue {
    pub(super) fn new(capacity: usize, target: Target, stats: Arc<LogStats>) -> Self {
        Self {
            on: AtomicBool::new(target != Target::Off),
            state: Mutex::new(State {
                batches: VecDeque::with_capacity(capacity),
                spare: Vec::with_capacity(SPARE),
                target,
                redirect: None,
                stop: None,
                stopped: false,
                waiting: false,
            }),
            work: Condvar::new(),
            stopped: Condvar::new(),
            stats,
            capacity,
        }
    }

    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    pub(super) fn target(&self) -> Target {
        self.lock().target.clone()
    }

    pub(super) fn try_push(&self, buffer: &mut Vec<u8>, lines: u64) -> Handover {
        let state = match self.state.try_lock() {
            Ok(state) => state,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Handover::Busy,
        };
        self.push_locked(state, buffer, lines)
    }

    pub(super) fn push(&self, mut buffer: Vec<u8>, lines: u64) {
        self.push_locked(self.lock(), &mut buffer, lines);
    }

    fn push_locked(
        &self,
        mut state: MutexGuard<'_, State>,
        buffer: &mut Vec<u8>,
        lines: u64,
    ) -> Handover {
        if state.batches.len() >= self.capacity || state.stopped {
            drop(state);
            buffer.clear();
            self.stats.dropped.fetch_add(lines, Relaxed);
            return Handover::Dropped;
        }
        let fresh = state.spare.pop().unwrap_or_default();
        let bytes = mem::replace(buffer, fresh);
        state.batches.push_back(Batch { bytes, lines });
        self.wake(state);
        Handover::Taken
    }

    /// Waits for something to do, and takes back the buffer that has been written.
    pub(super) fn next(&self, written: Option<Vec<u8>>) -> Step {
        let mut state = self.lock();
        if let Some(mut buffer) = written
            && state.spare.len() < SPARE
            && buffer.capacity() <= LARGEST_SPARE
        {
            buffer.clear();
            state.spare.push(buffer);
        }
        loop {
            if state
                .stop
                .is_some_and(|deadline| Instant::now() >= deadline)
            {
                let lost = state.batches.drain(..).map(|batch| batch.lines).sum();
                self.stats.lost.fetch_add(lost, Relaxed);
            }
            // What was logged while the log was on is still written when it is turned off.
            let flush_first =
                !state.batches.is_empty() && state.redirect.as_ref().is_some_and(Sink::is_off);
            if !flush_first && let Some(sink) = state.redirect.take() {
                return Step::Redirect(sink);
            }
            if let Some(batch) = state.batches.pop_front() {
                return Step::Batch(batch);
            }
            if state.stop.is_some() {
                return Step::Stop;
            }
            state.waiting = true;
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
            state.waiting = false;
        }
    }

    pub(super) fn redirect(&self, sink: Sink) {
        self.on.store(!sink.is_off(), Relaxed);
        let mut state = self.lock();
        state.target = sink.target().clone();
        let replaced = state.redirect.replace(sink);
        self.wake(state);
        drop(replaced);
    }

    /// While a reader sleeps: another destination, if there is one by now.
    pub(super) fn take_redirect(&self) -> Option<Sink> {
        self.lock().redirect.take()
    }

    /// While a reader sleeps: whether the writer has waited for as long as it may.
    pub(super) fn is_overdue(&self) -> bool {
        self.lock()
            .stop
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    pub(super) fn stop(&self, grace: Duration) {
        let mut state = self.lock();
        if state.stop.is_none() {
            state.stop = Some(Instant::now() + grace);
        }
        self.wake(state);
    }

    pub(super) fn set_stopped(&self) {
        self.lock().stopped = true;
        self.stopped.notify_all();
    }

    /// Whether the writer ended in time.
    pub(super) fn wait_stopped(&self, grace: Duration) -> bool {
        // A stalled sink notices its deadline with a small delay.
        let patience = grace + Duration::from_millis(100);
        let (state, _) = self
            .stopped
            .wait_timeout_while(self.lock(), patience, |state| !state.stopped)
            .unwrap_or_else(PoisonError::into_inner);
        state.stopped
    }

    fn wake(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting;
        drop(state);
        if waiting {
            self.work.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
