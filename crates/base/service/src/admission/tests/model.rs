//! Random operations in one thread, thousands of seeds; what must hold is checked after each.

use super::*;
use crate::rng::Rng;

struct Waiter {
    ticket: Ticket,
    flag: Arc<Flag>,
    /// Was it polled since it began to wait?
    polled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Waiting(Turn),
    Granted(Turn),
    Shed(Turn, Shed),
    Kept,
}

struct World {
    gates: Vec<Gate>,
    entries: Vec<Entry>,
    waiters: Vec<Waiter>,
    spec: AdmissionSpec,
    rng: Rng,
    now_us: u64,
    /// Did the last operation leave somebody in line with nobody in flight?
    alone: bool,
    served: u32,
}

impl World {
    fn admission(&self) -> &Admission {
        self.gates[0].admission()
    }

    fn seen(&self) -> Vec<Seen> {
        let mut line = self.admission().lock();
        let seen = |waiter: &Waiter| {
            let Some(place) = waiter.ticket.place() else {
                return Seen::Kept;
            };
            let turn = line.queue.turn(place);
            match line.queue.fate(place) {
                Fate::Waiting(_) => Seen::Waiting(turn),
                Fate::Granted => Seen::Granted(turn),
                Fate::Shed(reason) => Seen::Shed(turn, *reason),
                Fate::Free(_) => panic!("a ticket without a place"),
            }
        };
        self.waiters.iter().map(seen).collect()
    }

    fn some<T>(rng: &mut Rng, of: &mut Vec<T>) -> Option<T> {
        let index = rng.below(of.len() as u32) as usize;
        (!of.is_empty()).then(|| of.swap_remove(index))
    }

    fn add(&mut self, ticket: Ticket) {
        self.waiters.push(Waiter {
            ticket,
            flag: Arc::default(),
            polled: false,
        });
    }

    fn step(&mut self) {
        let before = self.seen();
        let kept = |s: &[Seen]| s.iter().filter(|s| matches!(s, Seen::Kept)).count();
        let waiting = |s: &[Seen]| s.iter().filter(|s| matches!(s, Seen::Waiting(_))).count();
        let gate = self.gates[self.rng.below(self.gates.len() as u32) as usize].clone();
        let priority = Priority::ALL[self.rng.below(3) as usize];
        let mut refused = None;
        let mut entered = false;
        self.alone = false;
        // Whoever comes or goes in this step is put at the end, so that the others keep their indexes.
        let mut gone = Vec::new();
        match self.rng.below(20) {
            0..=3 => {
                if let Ok(entry) = gate.try_enter(priority) {
                    assert_eq!(waiting(&before), 0, "overtook those who wait");
                    self.entries.push(entry);
                    entered = true;
                }
            }
            4..=6 => match gate.enqueue(priority, self.now_us) {
                Ok(ticket) => self.add(ticket),
                Err(reason) => refused = Some(reason),
            },
            7..=9 => {
                if let Some(entry) = Self::some(&mut self.rng, &mut self.entries) {
                    entry.finish(1000, true, self.now_us);
                    self.served += 1;
                }
            }
            10 => drop(Self::some(&mut self.rng, &mut self.entries)),
            11 => {
                if let Some(entry) = Self::some(&mut self.rng, &mut self.entries) {
                    match entry.wait_for_room(self.now_us) {
                        Ok(ticket) => self.add(ticket),
                        Err(reason) => refused = Some(reason),
                    }
                    self.alone = self.admission().in_flight() == 0;
                }
            }
            12..=15 => {
                if !self.waiters.is_empty() {
                    let index = self.rng.below(self.waiters.len() as u32) as usize;
                    let mut waiter = self.waiters.remove(index);
                    gone.push(index);
                    match poll(&mut waiter.ticket, &waiter.flag) {
                        Poll::Ready(Ok(entry)) => self.entries.push(entry),
                        Poll::Ready(Err(_)) => {}
                        Poll::Pending => {
                            waiter.polled = true;
                            waiter.flag.0.store(false, Ordering::SeqCst);
                            self.waiters.insert(index, waiter);
                            gone.clear();
                        }
                    }
                }
            }
            16 => {
                if !self.waiters.is_empty() {
                    let index = self.rng.below(self.waiters.len() as u32) as usize;
                    drop(self.waiters.remove(index));
                    gone.push(index);
                    self.alone = self.admission().in_flight() == 0;
                }
            }
            17..=18 => self.now_us += u64::from(self.rng.below(20_000)),
            _ => match self.rng.below(4) {
                0 => {
                    self.spec.requests = 1 + self.rng.below(12);
                    self.spec.pending = self.rng.below(12);
                    self.admission().configure(&self.spec);
                }
                _ => self.admission().endpoints_changed(),
            },
        }
        let after = self.seen();
        let mut before: Vec<Option<Seen>> = before.into_iter().map(Some).collect();
        for index in gone {
            before.remove(index);
        }
        before.resize(after.len(), None);
        self.check(&before, &after, refused, entered);
        let counted = self.entries.len()
            + kept(&after)
            + after
                .iter()
                .filter(|s| matches!(s, Seen::Granted(_)))
                .count();
        assert_eq!(
            self.admission().in_flight() as usize,
            counted,
            "permits leak"
        );
    }

    fn check(&self, before: &[Option<Seen>], after: &[Seen], refused: Option<Shed>, entered: bool) {
        let key = |turn: &Turn| (turn.priority, turn.number);
        let waiting: Vec<Turn> = after
            .iter()
            .filter_map(|s| {
                if let Seen::Waiting(turn) = s {
                    Some(*turn)
                } else {
                    None
                }
            })
            .collect();
        let mut any_granted = entered;
        for ((before, after), waiter) in before.iter().zip(after).zip(&self.waiters) {
            if before.as_ref() == Some(after) {
                continue;
            }
            match after {
                Seen::Granted(turn) => {
                    any_granted = true;
                    assert!(waiting.iter().all(|w| key(w) > key(turn)), "out of turn");
                }
                Seen::Shed(turn, Shed::QueueFull) => {
                    assert!(
                        waiting.iter().all(|w| key(w) < key(turn)),
                        "shed the wrong one"
                    );
                }
                Seen::Shed(turn, Shed::Overload) => {
                    let waited = self.now_us - turn.since_us;
                    assert!(u128::from(waited) > self.spec.target.as_micros());
                    let older = |w: &&Turn| w.priority == turn.priority && w.number < turn.number;
                    assert_eq!(waiting.iter().find(older), None, "shed a newer one");
                }
                Seen::Waiting(_) | Seen::Kept => continue,
            }
            assert!(!waiter.polled || waiter.flag.is_set(), "not woken");
        }
        let in_flight = self.admission().in_flight();
        let line = self.admission().lock();
        if any_granted {
            assert!(in_flight <= line.limit, "above the limit");
        }
        // A lower bound takes effect as others come.
        assert!(waiting.len() <= 12);
        if refused == Some(Shed::QueueFull) {
            assert!(waiting.len() >= line.pending, "shed without need");
        }
        assert_eq!(line.queue.len(), waiting.len());
        let word = self.admission().word.0.load(Ordering::SeqCst);
        assert_eq!(word & WAITING != 0, !waiting.is_empty());
        if let Some(first) = waiting.iter().min_by_key(|w| key(w)) {
            let cap = self.admission().caps[first.priority.index()].load(Ordering::SeqCst);
            assert!(
                in_flight >= cap.min(line.room.max(1)) || self.alone || line.room == 0,
                "a free slot while somebody waits: {in_flight}, {cap}, {line:?}"
            );
        }
    }
}

fn run(seed: u64, steps: u32) -> World {
    let mut rng = Rng::new(seed);
    let mut spec = patient(1 + rng.below(8), rng.below(10));
    if rng.below(2) == 0 {
        spec.target = Duration::from_millis(5);
        spec.interval = Duration::from_millis(20);
    }
    let admission = Admission::new(&spec);
    let gates = (0..2).map(|_| Gate::new(Arc::clone(&admission))).collect();
    let mut world = World {
        gates,
        entries: Vec::new(),
        waiters: Vec::new(),
        spec,
        rng,
        now_us: 1,
        alone: false,
        served: 0,
    };
    for _ in 0..steps {
        world.step();
    }
    world
}

#[test]
fn order_bounds_and_permits_hold_for_every_seed() {
    let mut served = 0;
    for seed in 0..2_000 {
        let mut world = run(seed, 200);
        served += world.served;
        // Whatever is left ends, in one way or another.
        world.admission().endpoints_changed();
        while !world.entries.is_empty() || !world.waiters.is_empty() {
            world.entries.clear();
            let mut waiters = std::mem::take(&mut world.waiters);
            let mut moved = false;
            waiters.retain_mut(|w| match poll(&mut w.ticket, &w.flag) {
                Poll::Pending => true,
                Poll::Ready(result) => {
                    moved = true;
                    world.entries.extend(result);
                    false
                }
            });
            assert!(
                moved || waiters.is_empty(),
                "stuck: {:?}",
                world.admission()
            );
            world.waiters = waiters;
        }
        let admission = world.admission();
        assert_eq!((admission.in_flight(), admission.waiting()), (0, 0));
        assert_eq!(admission.word.0.load(Ordering::SeqCst) & WAITING, 0);
        assert!(admission.lock().queue.is_unused());
    }
    assert!(served > 25_000, "{served}");
}
