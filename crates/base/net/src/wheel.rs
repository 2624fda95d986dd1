//! Deadlines for every connection of a worker, at the price of one store each.
//!
//! A proxy sets and moves several deadlines per request and almost none of them
//! ever fires. Arming a runtime timer each time would cost more than parsing the
//! request. So each connection owns one [`Timer`] whose deadline is a plain
//! number, and one hashed wheel per worker *visits* each timer at least once a
//! second: the visit compares, wakes what is due and files the rest again.
//! Moving a deadline later costs a store; moving it before the next visit (only
//! deadlines under a second) files the timer in a nearer slot, and the stale
//! entry is recognised by its tick and skipped.
//!
//! Some deadlines are about clients that have nothing to say. They can be set to
//! [yield](Timer::set_yielding): when places for connections run short, the
//! wheel is told to [hurry](Wheel::hurry), and such waits shrink together, from one
//! visit to the next, without anybody being woken for it.
//!
//! Hashed wheels: Varghese & Lauck, "Hashed and hierarchical timing wheels", 1987.

use std::{
    cell::RefCell,
    future::poll_fn,
    num::NonZero,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use crate::clock::{Micros, now};

/// Microseconds a slot spans: deadlines fire at most this late.
const TICK: Micros = 8_192;
const SLOTS: u64 = 128;
/// A timer is visited at least this often (just under one turn of the wheel).
const HORIZON: u64 = SLOTS - 2;
const NEVER: u64 = u64::MAX;
/// What is left of a wait that yields when there is no hurry, in thousandths.
const WHOLE: u32 = 1000;
/// However great the hurry: a client is given the time of a round trip or two.
const LEAST: Micros = 1_000_000;

#[derive(Debug)]
struct Entry {
    deadline: Micros,
    /// When the wait began, if it yields.
    from: Option<NonZero<Micros>>,
    /// The tick of the slot in which the valid filing of this timer lies.
    visit: u64,
    waker: Option<Waker>,
    used: bool,
}

#[derive(Debug)]
struct Inner {
    entries: Vec<Entry>,
    free: Vec<u32>,
    slots: Vec<Vec<(u32, u64)>>,
    /// The last tick that was processed.
    tick: u64,
    /// The tick for which the driver sleeps.
    armed: u64,
    driver: Option<Waker>,
    /// Every deadline counts as passed.
    cut: bool,
    /// How much of the waits that yield is left, in thousandths.
    share: u32,
}

impl Entry {
    /// The deadline, as near as the hurry brings it.
    #[inline]
    fn due(&self, share: u32) -> Micros {
        match self.from {
            Some(from) if share < WHOLE => self.hurried(from.get(), share),
            _ => self.deadline,
        }
    }

    #[cold]
    fn hurried(&self, from: Micros, share: u32) -> Micros {
        let wait = self.deadline.saturating_sub(from) / u64::from(WHOLE) * u64::from(share);
        from.saturating_add(wait.max(LEAST)).min(self.deadline)
    }
}

/// The deadlines of one worker.
#[derive(Debug)]
pub struct Wheel(RefCell<Inner>);

impl Wheel {
    /// A wheel that starts now.
    #[must_use]
    pub fn new() -> Rc<Self> {
        Rc::new(Self(RefCell::new(Inner {
            entries: Vec::new(),
            free: Vec::new(),
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            tick: now() / TICK,
            armed: NEVER,
            driver: None,
            cut: false,
            share: WHOLE,
        })))
    }

    /// A timer with no deadline yet.
    #[must_use]
    pub fn timer(self: &Rc<Self>) -> Timer {
        let mut inner = self.0.borrow_mut();
        let entry = Entry {
            deadline: NEVER,
            from: None,
            visit: NEVER,
            waker: None,
            used: true,
        };
        let key = if let Some(key) = inner.free.pop() {
            inner.entries[key as usize] = entry;
            key
        } else {
            inner.entries.push(entry);
            (inner.entries.len() - 1) as u32
        };
        drop(inner);
        Timer {
            wheel: Rc::clone(self),
            key,
        }
    }

    /// How many timers exist.
    #[must_use]
    pub fn len(&self) -> usize {
        let inner = self.0.borrow();
        inner.entries.len() - inner.free.len()
    }

    /// Whether no timer exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Wakes every task that waits on a timer, so that it looks again at what changed.
    pub fn wake_all(&self) {
        let wakers: Vec<Waker> = self
            .0
            .borrow_mut()
            .entries
            .iter_mut()
            .filter_map(|entry| entry.waker.take())
            .collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// From now on every deadline has passed, whatever it says, and those to come have as well: what waits must end.
    pub fn cut(&self) {
        self.0.borrow_mut().cut = true;
        self.wake_all();
    }

    /// From now on waits that yield last this many thousandths of their time, though at least a second; 1000 ends the
    /// hurry. Those under way notice within a second, and
    /// from then on within an eighth of that.
    #[inline]
    pub fn hurry(&self, thousandths: u32) {
        self.0.borrow_mut().share = thousandths.min(WHOLE);
    }

    /// Whether [`cut`](Self::cut) was called.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.0.borrow().cut
    }

    /// Runs the wheel; one task per worker, for the worker's whole life.
    pub async fn run(self: Rc<Self>) {
        let mut sleep = pin!(tokio::time::sleep(Duration::ZERO));
        poll_fn(|cx| -> Poll<()> {
            loop {
                let due = {
                    let mut inner = self.0.borrow_mut();
                    inner.driver = Some(cx.waker().clone());
                    let due = inner.advance(now());
                    inner.armed = due.unwrap_or(NEVER);
                    due
                };
                let Some(due) = due else {
                    return Poll::Pending;
                };
                let wait = (due * TICK).saturating_sub(now());
                sleep
                    .as_mut()
                    .reset(tokio::time::Instant::now() + Duration::from_micros(wait));
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }
}

impl Inner {
    /// Visits every slot up to `now`; returns the tick of the next slot with anything in it.
    fn advance(&mut self, now: Micros) -> Option<u64> {
        let current = now / TICK;
        // After a long stall one turn visits everything.
        let first = (self.tick + 1).max(current.saturating_sub(SLOTS - 1));
        for tick in first..=current {
            let slot = (tick % SLOTS) as usize;
            let mut filed = std::mem::take(&mut self.slots[slot]);
            for (key, at) in filed.drain(..) {
                self.visit(key, at, now);
            }
            if self.slots[slot].is_empty() {
                self.slots[slot] = filed;
            }
        }
        self.tick = self.tick.max(current);
        (1..=SLOTS)
            .map(|ahead| self.tick + ahead)
            .find(|tick| !self.slots[(tick % SLOTS) as usize].is_empty())
    }

    fn visit(&mut self, key: u32, at: u64, now: Micros) {
        let entry = &mut self.entries[key as usize];
        if !entry.used || entry.visit != at {
            return;
        }
        entry.visit = NEVER;
        if entry.due(self.share) <= now {
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        } else if entry.deadline != NEVER {
            self.file(key, now / TICK);
        }
    }

    /// Files the timer in the slot of its deadline, or of the horizon if that is nearer.
    fn file(&mut self, key: u32, current: u64) {
        let entry = &mut self.entries[key as usize];
        // In a hurry it may soon be greater.
        let horizon = if self.share < WHOLE {
            HORIZON / 8
        } else {
            HORIZON
        };
        // The slot whose end lies at or behind the deadline: never early.
        let tick = (entry.due(self.share) / TICK + 1).clamp(current + 1, current + horizon);
        entry.visit = tick;
        self.slots[(tick % SLOTS) as usize].push((key, tick));
    }
}

/// One connection's deadline. Dropping it frees its place on the wheel.
#[derive(Debug)]
pub struct Timer {
    wheel: Rc<Wheel>,
    key: u32,
}

impl Timer {
    /// Sets the deadline; `u64::MAX` means none.
    #[inline]
    pub fn set(&self, deadline: Micros) {
        let mut inner = self.wheel.0.borrow_mut();
        let entry = &mut inner.entries[self.key as usize];
        entry.deadline = deadline;
        entry.from = None;
        if deadline / TICK < entry.visit && deadline != NEVER {
            self.refile(&mut inner, deadline);
        }
    }

    /// As [`set`](Self::set), for a wait since `from` that yields when the wheel [must hurry](Wheel::hurry).
    #[inline]
    pub fn set_yielding(&self, from: Micros, deadline: Micros) {
        let mut inner = self.wheel.0.borrow_mut();
        let share = inner.share;
        let entry = &mut inner.entries[self.key as usize];
        entry.deadline = deadline;
        entry.from = NonZero::new(from);
        let due = entry.due(share);
        if due / TICK < entry.visit && deadline != NEVER {
            self.refile(&mut inner, due);
        }
    }

    /// Takes the deadline away.
    #[inline]
    pub fn clear(&self) {
        self.wheel.0.borrow_mut().entries[self.key as usize].deadline = NEVER;
    }

    #[inline(never)]
    fn refile(&self, inner: &mut Inner, deadline: Micros) {
        let entry = &inner.entries[self.key as usize];
        // Filed already, and visited early enough to see this deadline.
        if entry.visit != NEVER && entry.visit <= deadline / TICK + 1 {
            return;
        }
        // The wheel stands still while nothing is filed; `tick` may lag behind.
        let current = inner.tick.max(now() / TICK);
        inner.file(self.key, current);
        if inner.entries[self.key as usize].visit < inner.armed
            && let Some(driver) = &inner.driver
        {
            driver.wake_by_ref();
        }
    }

    /// Whether the deadline counts as passed because [everything must end](Wheel::cut).
    #[inline]
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.wheel.is_cut()
    }

    /// Whether the wait ended before its deadline, because the wheel [hurries](Wheel::hurry).
    #[must_use]
    pub fn was_hurried(&self, now: Micros) -> bool {
        let inner = self.wheel.0.borrow();
        let entry = &inner.entries[self.key as usize];
        entry.due(inner.share) <= now && now < entry.deadline
    }

    /// Ready once the deadline has passed; otherwise remembers whom to wake.
    ///
    /// The caller must be polled by one task only, the one that owns the connection.
    #[inline]
    pub fn poll_expired(&self, cx: &mut Context<'_>, now: Micros) -> Poll<()> {
        let mut inner = self.wheel.0.borrow_mut();
        let (cut, share) = (inner.cut, inner.share);
        let entry = &mut inner.entries[self.key as usize];
        if entry.due(share) <= now || cut {
            return Poll::Ready(());
        }
        if !entry
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            entry.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Remembers whom to wake when the deadline passes, without reading the clock.
    #[inline]
    pub fn register(&self, cx: &Context<'_>) {
        let mut inner = self.wheel.0.borrow_mut();
        if inner.cut {
            // Whoever only registers looks at its deadline the next time.
            cx.waker().wake_by_ref();
            return;
        }
        let entry = &mut inner.entries[self.key as usize];
        if !entry
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            entry.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut inner = self.wheel.0.borrow_mut();
        let entry = &mut inner.entries[self.key as usize];
        entry.used = false;
        entry.visit = NEVER;
        entry.deadline = NEVER;
        entry.waker = None;
        inner.free.push(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn on_runtime(test: impl AsyncFnOnce(Rc<Wheel>)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build_local(Default::default())
            .expect("a runtime");
        runtime.block_on(async {
            let wheel = Wheel::new();
            tokio::task::spawn_local(Rc::clone(&wheel).run());
            tokio::task::yield_now().await;
            test(wheel).await;
        });
    }

    async fn wait(timer: &Timer) -> Micros {
        poll_fn(|cx| timer.poll_expired(cx, now())).await;
        now()
    }

    #[test]
    fn a_deadline_fires_after_its_time_and_not_before() {
        on_runtime(async |wheel| {
            let timer = wheel.timer();
            for after in [1_000, 20_000, 300_000, 1_500_000] {
                let deadline = now() + after;
                timer.set(deadline);
                assert!(wait(&timer).await >= deadline);
            }
        });
    }

    #[test]
    fn a_deadline_can_be_moved_both_ways() {
        on_runtime(async |wheel| {
            let timer = wheel.timer();
            timer.set(now() + 10_000_000);
            let soon = now() + 30_000;
            timer.set(soon);
            let fired = wait(&timer).await;
            assert!(fired >= soon && fired < soon + 5_000_000);

            timer.set(now() + 20_000);
            let later = now() + 200_000;
            timer.set(later);
            assert!(wait(&timer).await >= later);
        });
    }

    #[test]
    fn waits_that_yield_shrink_together_and_the_others_do_not() {
        on_runtime(async |wheel| {
            let begun = now();
            let ended = Rc::new(Cell::new(0));
            let waits = |yields: bool, after: Micros| {
                let (timer, ended) = (wheel.timer(), Rc::clone(&ended));
                if yields {
                    timer.set_yielding(begun, begun + after);
                } else {
                    timer.set(begun + after);
                }
                tokio::task::spawn_local(async move {
                    wait(&timer).await;
                    ended.set(ended.get() + 1);
                })
            };
            let tasks: Vec<_> = (0..50).map(|_| waits(true, 30_000_000)).collect();
            let steady = waits(false, 30_000_000);
            tokio::time::sleep(Duration::from_millis(700)).await;
            assert_eq!(ended.get(), 0);
            // A thirtieth of 30 seconds.
            wheel.hurry(33);
            for task in tasks {
                task.await.expect("the task ends");
            }
            let took = now() - begun;
            assert!((980_000..10_000_000).contains(&took), "{took}");
            assert_eq!(ended.get(), 50);

            // One that begins now; however great the hurry, it has a second.
            wheel.hurry(0);
            let timer = wheel.timer();
            let from = now();
            timer.set_yielding(from, from + 60_000_000);
            let took = wait(&timer).await - from;
            assert!((LEAST..10_000_000).contains(&took), "{took}");
            assert!(timer.was_hurried(now()));
            wheel.hurry(1000);
            assert!(!timer.was_hurried(now()));
            timer.set_yielding(from, from + 60_000_000);
            assert_eq!(
                wheel.0.borrow().entries[timer.key as usize].due(WHOLE),
                from + 60_000_000
            );
            assert!(!steady.is_finished());
            wheel.cut();
            steady.await.expect("the task ends");
        });
    }

    #[test]
    fn many_timers_fire_each_at_its_own_time() {
        on_runtime(async |wheel| {
            let left = Rc::new(Cell::new(0));
            let tasks: Vec<_> = (0..200u64)
                .map(|i| {
                    let timer = wheel.timer();
                    let left = Rc::clone(&left);
                    left.set(left.get() + 1);
                    tokio::task::spawn_local(async move {
                        let deadline = now() + (i * 7919) % 400_000;
                        timer.set(deadline);
                        assert!(wait(&timer).await >= deadline);
                        left.set(left.get() - 1);
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("the task ends");
            }
            assert_eq!(left.get(), 0);
            assert!(wheel.is_empty());
        });
    }

    #[test]
    fn a_cut_ends_every_wait_under_way_and_to_come() {
        on_runtime(async |wheel| {
            let waiting = wheel.timer();
            waiting.set(NEVER);
            let task = tokio::task::spawn_local(async move {
                wait(&waiting).await;
            });
            tokio::task::yield_now().await;
            assert!(!task.is_finished());
            wheel.cut();
            task.await.expect("the task ends");

            let late = wheel.timer();
            assert!(late.is_cut());
            late.set(now() + 1_000_000_000);
            let mut first = true;
            poll_fn(|cx| {
                if std::mem::take(&mut first) {
                    late.register(cx);
                    return Poll::Pending;
                }
                late.poll_expired(cx, now())
            })
            .await;
        });
    }

    #[test]
    fn a_timer_without_deadline_can_still_be_woken() {
        on_runtime(async |wheel| {
            let timer = wheel.timer();
            let woken = Rc::new(Cell::new(false));
            let task = tokio::task::spawn_local({
                let woken = Rc::clone(&woken);
                async move {
                    let mut polls = 0;
                    poll_fn(|cx| {
                        polls += 1;
                        timer.register(cx);
                        if polls > 1 {
                            Poll::Ready(())
                        } else {
                            Poll::Pending
                        }
                    })
                    .await;
                    woken.set(true);
                }
            });
            tokio::task::yield_now().await;
            assert!(!woken.get());
            wheel.wake_all();
            task.await.expect("the task ends");
            assert!(woken.get());
        });
    }
}
