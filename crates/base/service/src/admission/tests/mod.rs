mod adaptive;
mod model;
mod overload;
mod simulation;
mod threads;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use super::*;

/// No controlled delay, so that only order and bounds decide.
fn patient(requests: u32, pending: u32) -> AdmissionSpec {
    AdmissionSpec {
        requests,
        pending,
        target: Duration::from_secs(1_000_000),
        interval: Duration::from_secs(1_000_000),
        adaptive: false,
    }
}

/// Remembers that it was woken.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Flag {
    fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll(ticket: &mut Ticket, flag: &Arc<Flag>) -> Poll<Result<Entry, Shed>> {
    let waker = Waker::from(Arc::clone(flag));
    Pin::new(ticket).poll(&mut Context::from_waker(&waker))
}

fn granted(ticket: &mut Ticket) -> Entry {
    match poll(ticket, &Arc::default()) {
        Poll::Ready(Ok(entry)) => entry,
        other => panic!("{other:?}"),
    }
}

#[test]
fn lets_in_up_to_the_limit() {
    let gate = Gate::new(Admission::new(&patient(2, 10)));
    let first = gate.try_enter(Priority::Normal).unwrap();
    let second = gate.try_enter(Priority::Low).unwrap();
    assert_eq!(gate.try_enter(Priority::High).unwrap_err(), Full);
    assert_eq!(gate.admission().in_flight(), 2);
    drop(first);
    let third = gate.try_enter(Priority::High).unwrap();
    second.finish(1, true, 1);
    third.finish(1, true, 1);
    assert_eq!(gate.admission().in_flight(), 0);
}

#[test]
fn serves_by_priority_then_in_order() {
    let gate = Gate::new(Admission::new(&patient(1, 10)));
    let mut entry = gate.try_enter(Priority::Normal).unwrap();
    let mut tickets: Vec<(Priority, usize, Ticket, Arc<Flag>)> = [
        Priority::Low,
        Priority::Normal,
        Priority::High,
        Priority::Normal,
        Priority::Low,
    ]
    .into_iter()
    .enumerate()
    .map(|(i, p)| (p, i, gate.enqueue(p, 0).unwrap(), Arc::default()))
    .collect();
    for (.., ticket, flag) in &mut tickets {
        assert!(poll(ticket, flag).is_pending());
    }
    for expected in [2, 1, 3, 0, 4] {
        entry.finish(1, true, 1);
        let woken: Vec<_> = tickets
            .iter()
            .filter(|t| t.3.is_set())
            .map(|t| t.1)
            .collect();
        assert_eq!(woken, [expected]);
        let at = tickets.iter().position(|t| t.1 == expected).unwrap();
        entry = granted(&mut tickets.remove(at).2);
    }
}

#[test]
fn a_full_queue_sheds_the_newest_of_the_least_important() {
    let gate = Gate::new(Admission::new(&patient(1, 3)));
    let _entry = gate.try_enter(Priority::Normal).unwrap();
    let mut low: Vec<Ticket> = (0..2)
        .map(|_| gate.enqueue(Priority::Low, 0).unwrap())
        .collect();
    let _normal = gate.enqueue(Priority::Normal, 0).unwrap();
    assert_eq!(gate.enqueue(Priority::Low, 0).unwrap_err(), Shed::QueueFull);

    let flag = Arc::default();
    assert!(poll(&mut low[1], &flag).is_pending());
    let _high = gate.enqueue(Priority::High, 0).unwrap();
    assert!(flag.is_set());
    assert!(matches!(
        poll(&mut low[1], &flag),
        Poll::Ready(Err(Shed::QueueFull))
    ));
    assert!(poll(&mut low[0], &flag).is_pending());

    let _normal = gate.enqueue(Priority::Normal, 0).unwrap();
    assert!(matches!(
        poll(&mut low[0], &flag),
        Poll::Ready(Err(Shed::QueueFull))
    ));
    assert_eq!(
        gate.enqueue(Priority::Normal, 0).unwrap_err(),
        Shed::QueueFull
    );
    assert_eq!(gate.admission().waiting(), 3);
}

#[test]
fn nobody_waits_if_nobody_may() {
    let gate = Gate::new(Admission::new(&patient(1, 0)));
    let entry = gate.try_enter(Priority::Normal).unwrap();
    assert_eq!(
        gate.enqueue(Priority::High, 0).unwrap_err(),
        Shed::QueueFull
    );
    drop(entry);
    // A slot that came free between the two calls is not refused.
    let entry = granted(&mut gate.enqueue(Priority::Low, 0).unwrap());
    drop(entry);
    assert_eq!(gate.admission().in_flight(), 0);
}

#[test]
fn whoever_was_one_too_many_passes_on_what_it_kept_from_others() {
    let gate = Gate::new(Admission::new(&patient(1, 10)));
    let admission = gate.admission();
    let entry = gate.try_enter(Priority::Normal).unwrap();
    let mut ticket = gate.enqueue(Priority::Normal, 0).unwrap();
    let flag = Arc::default();
    assert!(poll(&mut ticket, &flag).is_pending());
    // Another one adds itself and has not looked yet when the first one leaves.
    admission.word.0.fetch_add(ENTER, Ordering::AcqRel);
    drop(entry);
    assert!(!flag.is_set());
    admission.step_back();
    assert!(flag.is_set());
    drop(granted(&mut ticket));
    assert_eq!(admission.in_flight(), 0);
}

#[test]
fn whoever_gives_up_passes_the_slot_on() {
    let gate = Gate::new(Admission::new(&patient(1, 10)));
    let entry = gate.try_enter(Priority::Normal).unwrap();
    let mut tickets: Vec<Ticket> = (0..3)
        .map(|_| gate.enqueue(Priority::Low, 0).unwrap())
        .collect();
    let flag = Arc::default();
    assert!(poll(&mut tickets[2], &flag).is_pending());
    drop(tickets.remove(1));
    drop(entry);
    // The first one is let in, and gives up without having looked.
    assert!(!flag.is_set());
    drop(tickets.remove(0));
    assert!(flag.is_set());
    drop(granted(&mut tickets[0]));
    assert_eq!(gate.admission().in_flight(), 0);
    assert!(gate.try_enter(Priority::Low).is_ok());
}

#[test]
fn slots_are_kept_free_only_for_those_who_had_to_wait_lately() {
    let gate = Gate::new(Admission::new(&patient(20, 100)));
    let mut low: Vec<Entry> = (0..20)
        .map(|_| gate.try_enter(Priority::Low).unwrap())
        .collect();
    let mut high = gate.enqueue(Priority::High, 0).unwrap();
    low.pop();
    drop(granted(&mut high));
    // Nobody waits, 19 are in flight: the others have to leave one free for each that is important, and then some.
    assert!(gate.try_enter(Priority::Normal).is_err());
    let high = gate.try_enter(Priority::High).unwrap();
    drop(high);
    low.pop();
    assert!(gate.try_enter(Priority::Low).is_err());
    let normal = gate.try_enter(Priority::Normal).unwrap();
    drop(normal);
    low.truncate(16);
    let mut waits = gate.enqueue(Priority::Low, 10).unwrap();
    assert!(poll(&mut waits, &Arc::default()).is_pending());
    low.pop();
    low.push(granted(&mut waits));
    assert!(gate.try_enter(Priority::Low).is_err());
    // After a second all is as before: the first who notices is let in.
    low.push(granted(
        &mut gate.enqueue(Priority::Low, 1_000_001).unwrap(),
    ));
    while low.len() < 20 {
        low.push(gate.try_enter(Priority::Low).unwrap());
    }
}

#[test]
fn the_newest_of_the_most_important_is_never_let_go() {
    let spec = AdmissionSpec {
        target: Duration::from_millis(5),
        interval: Duration::from_millis(100),
        ..patient(1, 10_000)
    };
    let gate = Gate::new(Admission::new(&spec));
    let mut entry = gate.try_enter(Priority::Normal).unwrap();
    let enqueue = |priority, now_us| gate.enqueue(priority, now_us).unwrap();
    let _low = [0; 3].map(|_| enqueue(Priority::Low, 0));
    // A slot comes free every 100 us for 154 ms, always for the important, and the queue is never empty.
    let mut normal: Vec<Ticket> = Vec::new();
    for now_us in (0..154_000).step_by(100) {
        if now_us <= 149_000 {
            normal.push(enqueue(Priority::Normal, now_us));
        }
        let mut next = enqueue(Priority::High, now_us);
        entry.finish(1, true, now_us);
        entry = granted(&mut next);
    }
    let mut newest = normal.pop().unwrap();
    assert!(poll(normal.last_mut().unwrap(), &Arc::default()).is_pending());
    // Now all have waited too long. The slot finds somebody all the same.
    entry.finish(1, true, 154_050);
    for ticket in &mut normal {
        let fate = poll(ticket, &Arc::default());
        assert!(matches!(fate, Poll::Ready(Err(Shed::Overload))));
    }
    drop(granted(&mut newest));
}

#[test]
fn those_who_find_no_room_wait_for_whoever_leaves() {
    let gate = Gate::new(Admission::new(&patient(100, 10)));
    let mut served: Vec<Entry> = (0..3)
        .map(|_| gate.try_enter(Priority::Normal).unwrap())
        .collect();
    let seeker = gate.try_enter(Priority::Normal).unwrap();
    let mut first = seeker.wait_for_room(1).unwrap();
    assert_eq!(gate.admission().in_flight(), 3);
    let flag = Arc::default();
    assert!(poll(&mut first, &flag).is_pending());
    // Those who come later have to stand behind it, though the limit is far.
    assert!(gate.try_enter(Priority::Normal).is_err());
    let mut second = gate.enqueue(Priority::Normal, 2).unwrap();
    assert!(poll(&mut second, &Arc::default()).is_pending());

    served.pop();
    assert!(flag.is_set());
    let entry = granted(&mut first);
    assert!(poll(&mut second, &Arc::default()).is_pending());
    // Still no room: it keeps its place.
    let mut first = entry.wait_for_room(3).unwrap();
    assert!(poll(&mut first, &Arc::default()).is_pending());
    served.pop();
    let entry = granted(&mut first);
    assert!(poll(&mut second, &Arc::default()).is_pending());

    // A new endpoint is room for all.
    gate.admission().endpoints_changed();
    drop((entry, granted(&mut second), served));
    assert_eq!(gate.admission().in_flight(), 0);
    assert!(gate.try_enter(Priority::Low).is_ok());
}

#[test]
fn whoever_leaves_while_another_one_looks_is_not_missed() {
    let gate = Gate::new(Admission::new(&patient(100, 10)));
    let served = gate.try_enter(Priority::Normal).unwrap();
    let seeker = gate.try_enter(Priority::Normal).unwrap();
    drop(served);
    let entry = granted(&mut seeker.wait_for_room(1).unwrap());
    assert_eq!(
        (gate.admission().in_flight(), gate.admission().waiting()),
        (1, 0)
    );
    // Nobody is in flight, and still no room: it waits, and whoever comes next makes it try again.
    let mut alone = entry.wait_for_room(1).unwrap();
    let flag = Arc::default();
    assert!(poll(&mut alone, &flag).is_pending());
    let _second = gate.enqueue(Priority::Normal, 2).unwrap();
    assert!(flag.is_set());
    drop(granted(&mut alone));
}

#[test]
fn a_changed_configuration_applies_at_once() {
    let gate = Gate::new(Admission::new(&patient(1, 10)));
    let _entry = gate.try_enter(Priority::Normal).unwrap();
    let mut ticket = gate.enqueue(Priority::Normal, 0).unwrap();
    let flag = Arc::default();
    assert!(poll(&mut ticket, &flag).is_pending());
    gate.admission().configure(&patient(2, 10));
    assert!(flag.is_set());
    let _second = granted(&mut ticket);
    gate.admission().configure(&patient(1, 10));
    assert!(gate.try_enter(Priority::High).is_err());
    drop(_second);
    assert!(gate.try_enter(Priority::High).is_err());
    drop(_entry);
    assert!(gate.try_enter(Priority::High).is_ok());
}
