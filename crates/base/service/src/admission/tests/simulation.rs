//! A service of several servers with one queue inside, behind an admission, in virtual time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::*;
use crate::rng::Rng;

/// What is simulated. Times are in microseconds.
pub(super) struct Setup {
    pub(super) spec: AdmissionSpec,
    /// How many requests the service really works on at once.
    pub(super) servers: usize,
    /// Mean time of work on a request, at each time. Times are distributed exponentially.
    pub(super) work_us: fn(u64) -> u64,
    /// Requests a second, at each time.
    pub(super) rate: fn(u64) -> u64,
    /// Of ten requests, how many are of each priority.
    pub(super) mix: [u32; 3],
    pub(super) queue_timeout_us: u64,
    /// Requests that take longer in the service are not ok.
    pub(super) timeout_us: u64,
    /// Only what arrives after this is counted.
    pub(super) from_us: u64,
    pub(super) until_us: u64,
}

/// What became of the requests of each priority.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) arrived: u32,
    pub(super) served: u32,
    pub(super) shed: u32,
    pub(super) gave_up: u32,
    /// How long each of those served waited to be let in.
    pub(super) waited_us: Vec<u64>,
}

impl Counts {
    /// The `percent`th percentile of the waits.
    pub(super) fn waited(&mut self, percent: usize) -> u64 {
        self.waited_us.sort_unstable();
        let last = self.waited_us.len() - 1;
        self.waited_us[last * percent / 100]
    }
}

#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) of: [Counts; 3],
    /// The limit, every 100 ms.
    pub(super) limits: Vec<u32>,
    /// Requests served in each 100 ms.
    pub(super) served: Vec<u32>,
    /// The sum of their times in the service.
    pub(super) latency_us: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrives,
    GivesUp(u64),
    IsDone(u64),
    Measure,
}

/// Collects who was woken.
struct Bell(Mutex<Vec<u64>>);
struct Chime(Arc<Bell>, u64);

impl Wake for Chime {
    fn wake(self: Arc<Self>) {
        self.0.0.lock().unwrap().push(self.1);
    }
}

struct Job {
    entry: Entry,
    let_in_us: u64,
}

pub(super) fn run(setup: &Setup, seed: u64) -> Report {
    let gate = Gate::new(Admission::new(&setup.spec));
    let mut rng = Rng::new(seed);
    let exponential = |mean: f64, rng: &mut Rng| -> u64 {
        let uniform = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        (-(1.0 - uniform).ln() * mean) as u64
    };
    let bell = Arc::new(Bell(Mutex::default()));
    let mut events = BinaryHeap::from([Reverse((0, Event::Arrives)), Reverse((0, Event::Measure))]);
    let mut waiting: HashMap<u64, (Ticket, usize, u64)> = HashMap::new();
    let mut inside: VecDeque<(u64, Job)> = VecDeque::new();
    let mut working: HashMap<u64, Job> = HashMap::new();
    let mut report = Report::default();
    let mut next_id = 0;
    while let Some(Reverse((now_us, event))) = events.pop() {
        if now_us > setup.until_us {
            break;
        }
        let counted = now_us >= setup.from_us;
        let mut let_in = Vec::new();
        match event {
            Event::Arrives => {
                let gap = exponential(1e6 / (setup.rate)(now_us) as f64, &mut rng);
                events.push(Reverse((now_us + gap, Event::Arrives)));
                let draw = rng.below(10);
                let class = match draw {
                    d if d < setup.mix[0] => 0,
                    d if d < setup.mix[0] + setup.mix[1] => 1,
                    _ => 2,
                };
                let counts = &mut report.of[class];
                counts.arrived += u32::from(counted);
                next_id += 1;
                if let Ok(entry) = gate.try_enter(Priority::ALL[class]) {
                    let_in.push((next_id, entry, class, now_us));
                } else if let Ok(ticket) = gate.enqueue(Priority::ALL[class], now_us) {
                    waiting.insert(next_id, (ticket, class, now_us));
                    bell.0.lock().unwrap().push(next_id);
                    events.push(Reverse((
                        now_us + setup.queue_timeout_us,
                        Event::GivesUp(next_id),
                    )));
                } else {
                    counts.shed += u32::from(counted);
                }
            }
            Event::GivesUp(id) => {
                if let Some((_, class, _)) = waiting.remove(&id) {
                    report.of[class].gave_up += u32::from(counted);
                }
            }
            Event::IsDone(id) => {
                let job = working.remove(&id).expect("a job");
                let latency_us = now_us - job.let_in_us;
                job.entry
                    .finish(latency_us, latency_us <= setup.timeout_us, now_us);
                *report.served.last_mut().expect("a slice") += 1;
                *report.latency_us.last_mut().expect("a slice") += latency_us;
            }
            Event::Measure => {
                events.push(Reverse((now_us + 100_000, Event::Measure)));
                report.limits.push(gate.admission().limit());
                report.served.push(0);
                report.latency_us.push(0);
            }
        }
        loop {
            let woken = std::mem::take(&mut *bell.0.lock().unwrap());
            if woken.is_empty() {
                break;
            }
            for id in woken {
                let Some((mut ticket, class, since_us)) = waiting.remove(&id) else {
                    continue;
                };
                let waker = Waker::from(Arc::new(Chime(Arc::clone(&bell), id)));
                match Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => drop(waiting.insert(id, (ticket, class, since_us))),
                    Poll::Ready(Ok(entry)) => let_in.push((id, entry, class, since_us)),
                    Poll::Ready(Err(_)) => report.of[class].shed += u32::from(counted),
                }
            }
        }
        for (id, entry, class, since_us) in let_in {
            if counted {
                report.of[class].served += 1;
                report.of[class].waited_us.push(now_us - since_us);
            }
            let let_in_us = now_us;
            inside.push_back((id, Job { entry, let_in_us }));
        }
        while working.len() < setup.servers {
            let Some((id, job)) = inside.pop_front() else {
                break;
            };
            let work = exponential((setup.work_us)(now_us) as f64, &mut rng).max(1);
            events.push(Reverse((now_us + work, Event::IsDone(id))));
            working.insert(id, job);
        }
    }
    report
}
