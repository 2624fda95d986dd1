//! Real threads, each with its own gate, contending for few slots.

use std::sync::atomic::AtomicU32;
use std::thread::{self, Thread};
use std::time::Instant;

use super::*;
use crate::rng::Rng;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Longer than anything here takes: whoever waits this long was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// Waits for `ticket`, or gives up after so many looks.
fn wait(mut ticket: Ticket, looks: Option<u32>) -> Option<Result<Entry, Shed>> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let started = Instant::now();
    let mut looked = 0;
    loop {
        if let Poll::Ready(result) = Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)) {
            return Some(result);
        }
        looked += 1;
        if looks.is_some_and(|looks| looked >= looks) {
            return None;
        }
        match looks {
            Some(_) => thread::yield_now(),
            None => thread::park_timeout(FORGOTTEN),
        }
        assert!(started.elapsed() < FORGOTTEN, "forgotten");
    }
}

/// `slots` on endpoints, `limit` requests in flight. Returns how many were served, shed, and gave up.
fn contend(threads: u64, limit: u32, slots: u32, pending: u32, requests: u32) -> [u32; 3] {
    let admission = Admission::new(&patient(limit, pending));
    let (inside, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    let outcomes: [AtomicU32; 3] = Default::default();
    let started = Instant::now();
    let one = |rng: &mut Rng, gate: &Gate| -> usize {
        let now_us = || started.elapsed().as_micros() as u64;
        let priority = Priority::ALL[rng.below(3) as usize];
        let looks = (rng.below(4) == 0).then(|| rng.below(4));
        let mut entered = match gate.try_enter(priority) {
            Ok(entry) => Ok(entry),
            Err(Full) => match gate.enqueue(priority, now_us()) {
                Ok(ticket) => match wait(ticket, looks) {
                    Some(result) => result,
                    None => return 2,
                },
                Err(reason) => Err(reason),
            },
        };
        loop {
            let Ok(entry) = entered else { return 1 };
            assert!(
                inside.fetch_add(1, Ordering::SeqCst) < limit,
                "above the limit"
            );
            let pick = taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < slots).then_some(n + 1)
            });
            if pick.is_ok() {
                for _ in 0..rng.below(3) {
                    thread::yield_now();
                }
                taken.fetch_sub(1, Ordering::Relaxed);
                inside.fetch_sub(1, Ordering::SeqCst);
                match rng.below(3) {
                    0 => drop(entry),
                    _ => entry.finish(1, true, now_us()),
                }
                return 0;
            }
            inside.fetch_sub(1, Ordering::SeqCst);
            entered = match entry.wait_for_room(now_us()) {
                Ok(ticket) => match wait(ticket, looks) {
                    Some(result) => result,
                    None => return 2,
                },
                Err(reason) => Err(reason),
            };
        }
    };
    thread::scope(|scope| {
        for seed in 0..threads {
            let (admission, one, outcomes) = (Arc::clone(&admission), &one, &outcomes);
            scope.spawn(move || {
                let (gate, mut rng) = (Gate::new(admission), Rng::new(seed));
                for _ in 0..requests {
                    outcomes[one(&mut rng, &gate)].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
    assert!(admission.lock().queue.is_unused());
    assert_eq!(admission.word.0.load(Ordering::SeqCst) & WAITING, 0);
    outcomes.map(AtomicU32::into_inner)
}

#[test]
fn nobody_is_forgotten_and_the_limit_holds() {
    for (threads, limit, slots, pending) in [
        (8, 1, 100, 100),
        (8, 3, 100, 100),
        (8, 3, 100, 2),
        (8, 6, 2, 100),
        (8, 100, 1, 100),
        (6, 5, 3, 1),
        (4, 100, 100, 100),
    ] {
        let requests = 2_000;
        let [served, shed, gave_up] = contend(threads, limit, slots, pending, requests);
        assert_eq!(
            u64::from(served + shed + gave_up),
            threads * u64::from(requests)
        );
        assert!(served > requests, "{served} {shed} {gave_up}");
        if pending == 100 {
            assert_eq!(shed, 0);
        }
    }
}

#[test]
fn the_limit_can_change_under_load() {
    let admission = Admission::new(&patient(4, 100));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let admission = Arc::clone(&admission);
                scope.spawn(move || {
                    let gate = Gate::new(admission);
                    for now_us in 0..20_000 {
                        let entry = match gate.try_enter(Priority::Normal) {
                            Ok(entry) => entry,
                            Err(Full) => {
                                let ticket = gate.enqueue(Priority::Normal, now_us).unwrap();
                                wait(ticket, None).unwrap().unwrap()
                            }
                        };
                        entry.finish(1, true, now_us);
                    }
                })
            })
            .collect();
        let mut requests = 0;
        while workers.iter().any(|w| !w.is_finished()) {
            requests = requests % 4 + 1;
            admission.configure(&patient(requests, 100));
            thread::yield_now();
        }
    });
    assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
}

/// One leaves and one gets in line at about the same moment; then nobody else comes, so whoever is forgotten stays forgotten.
#[test]
fn a_slot_that_comes_free_while_another_one_gets_in_line_is_not_lost() {
    let admission = Admission::new(&patient(1, 10));
    let (start, done) = (AtomicU32::new(0), AtomicU32::new(0));
    let rounds = 5_000;
    // Both spin first, so that they start within nanoseconds; the delays shift them against each other.
    let until = |counter: &AtomicU32, value: u32| {
        for spins in 0u32.. {
            if counter.load(Ordering::SeqCst) >= value {
                break;
            }
            if spins > 500 {
                thread::yield_now();
            }
        }
    };
    let delay = |rng: &mut Rng| (0..rng.below(60)).for_each(|_| std::hint::spin_loop());
    thread::scope(|scope| {
        let gets_in_line = || {
            let (gate, mut rng) = (Gate::new(Arc::clone(&admission)), Rng::new(7));
            for round in 1..=rounds {
                until(&start, round);
                delay(&mut rng);
                let ticket = gate.enqueue(Priority::Normal, 1).unwrap();
                drop(wait(ticket, None).unwrap().unwrap());
                done.store(round, Ordering::SeqCst);
            }
        };
        scope.spawn(gets_in_line);
        let (gate, mut rng) = (Gate::new(Arc::clone(&admission)), Rng::new(9));
        for round in 1..=rounds {
            let entry = gate.try_enter(Priority::Normal).unwrap();
            start.store(round, Ordering::SeqCst);
            delay(&mut rng);
            drop(entry);
            until(&done, round);
        }
    });
    assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
}
