//! Clients, and what the proxy does with their requests: the line, attempts, retries, deadlines.
//!
//! This follows the proxy step by step, with servers in place of sockets. Requests come whether or not others were answered
//! (an open loop), as those of many independent clients do.

use std::rc::Rc;
use std::sync::Arc;

use weir_service::{EndpointId, Entry, Outcome, Picked, Priority, Unpicked, Wish};

use crate::invariants::{Before, Mark};
use crate::setup::Route;
use crate::stage::{End, Record, SECOND, Stage, Worker};
use crate::world::{Either, race};

/// Requests of one worker, for ever.
pub(crate) async fn arrive(stage: Rc<Stage>, worker: Rc<Worker>) {
    let world = Rc::clone(&stage.world);
    loop {
        let rate = stage.rate.get();
        if rate == 0 {
            world.sleep(10_000).await;
            continue;
        }
        let mean_us = SECOND as f64 * stage.workers.len() as f64 / rate as f64;
        let unit = f64::from(worker.rng.borrow_mut().below(1 << 30) + 1) / f64::from(1u32 << 30);
        world.sleep((-unit.ln() * mean_us) as u64).await;
        if stage.rate.get() > 0 {
            world.spawn(request(Rc::clone(&stage), Rc::clone(&worker)));
        }
    }
}

/// One request from its arrival to its end.
async fn request(stage: Rc<Stage>, worker: Rc<Worker>) {
    let mut exchange = Exchange::new(&stage, &worker);
    let leaves_us = {
        let mut rng = worker.rng.borrow_mut();
        let leaves = rng.below(100) < stage.setup.route.given_up;
        leaves.then(|| u64::from(rng.below(200_000)))
    };
    let end = match leaves_us {
        None => exchange.run().await,
        Some(us) => match race(exchange.run(), stage.world.sleep(us)).await {
            Either::Left(end) => end,
            Either::Right(()) => End::Gone,
        },
    };
    let now_us = stage.now_us();
    assert!(
        now_us <= exchange.deadline_us,
        "a request outlived its deadline: {end:?}"
    );
    let record = Record {
        at_us: exchange.begun_us,
        took_us: now_us - exchange.begun_us,
        end,
        attempts: exchange.attempts,
        priority: exchange.priority,
        idempotent: exchange.idempotent,
    };
    stage.results.borrow_mut().push(record);
}

/// An endpoint that was chosen, in the books.
pub(crate) struct Held {
    pub(crate) picked: Picked,
    /// Given back with the first report.
    probes: [Option<Mark>; 2],
    _active: Mark,
}

impl Held {
    pub(crate) fn report(&mut self, outcome: Outcome, latency_us: u64, now_ms: u64) {
        self.picked.report(outcome, latency_us, now_ms);
        self.probes = [None, None];
    }
}

/// An entry, in the books.
pub(crate) struct Entered {
    pub(crate) entry: Entry,
    pub(crate) mark: Mark,
}

/// Why a try was not the last one, perhaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Unsent,
    Lost,
    Timeout,
    TryTimeout,
    Status,
    Final,
}

pub(crate) enum Tried {
    Done(End),
    Failed(End, Why),
    Unwanted(u16, Held),
}

/// A request under way.
pub(crate) struct Exchange {
    pub(crate) stage: Rc<Stage>,
    pub(crate) worker: Rc<Worker>,
    pub(crate) begun_us: u64,
    pub(crate) deadline_us: u64,
    /// When it came, by the worker's clock.
    pub(crate) start_ms: u64,
    pub(crate) priority: Priority,
    pub(crate) idempotent: bool,
    key: u64,
    pub(crate) attempts: u32,
    /// Its number in the line.
    pub(crate) turn: Option<u64>,
    /// When the last attempt was sent.
    pub(crate) sent_us: u64,
    pub(crate) first_byte_us: u64,
    /// The last attempt did not even begin to be answered in time.
    pub(crate) failed_slowly: bool,
    /// The endpoint of the last attempt.
    pub(crate) last: Option<EndpointId>,
}

impl Exchange {
    /// A request that has just come.
    fn new(stage: &Rc<Stage>, worker: &Rc<Worker>) -> Self {
        let mut rng = worker.rng.borrow_mut();
        let route = &stage.setup.route;
        let priority = match rng.below(100) {
            n if n < route.high => Priority::High,
            n if n < route.high + route.low => Priority::Low,
            _ => Priority::Normal,
        };
        Self {
            begun_us: stage.now_us(),
            deadline_us: stage.now_us() + route.total_us,
            start_ms: worker.now_ms(),
            priority,
            idempotent: rng.below(100) < route.idempotent,
            key: rng.next_u64() % 500,
            attempts: 0,
            turn: None,
            sent_us: 0,
            first_byte_us: 0,
            failed_slowly: false,
            last: None,
            stage: Rc::clone(stage),
            worker: Rc::clone(worker),
        }
    }

    async fn run(&mut self) -> End {
        let gate = self.worker.gate.borrow().clone();
        let mut entered = match &gate {
            None => None,
            Some(gate) => match self.enter(gate).await {
                Ok(entered) => Some(entered),
                Err(end) => return end,
            },
        };
        let service = self.stage.service();
        service.budget().request(self.start_ms);
        self.stage.ledger.request(self.start_ms);
        let end = self.attempts(&mut entered).await;
        if let Some(Entered { entry, mark: _mark }) = entered {
            let now_us = self.worker.now_us();
            if self.first_byte_us > 0 {
                let latency_us = self.first_byte_us - self.sent_us;
                entry.finish(latency_us, matches!(end, End::Answered(..500)), now_us);
            } else if self.failed_slowly {
                entry.finish(self.stage.now_us() - self.begun_us, false, now_us);
            }
        }
        end
    }

    /// Tries until it is over.
    async fn attempts(&mut self, entered: &mut Option<Entered>) -> End {
        let mut exclude = Vec::new();
        let mut held = match self.first_pick(entered).await {
            Ok(held) => held,
            Err(end) => return end,
        };
        loop {
            self.attempts += 1;
            self.last = Some(held.picked.endpoint().id());
            self.first_byte_us = 0;
            self.failed_slowly = false;
            let tried = self.attempt(held, &mut exclude).await;
            exclude.extend(self.last);
            let (end, why, unwanted) = match tried {
                Tried::Done(end) => return end,
                Tried::Failed(end, why) => (end, why, None),
                Tried::Unwanted(status, held) => (End::Answered(status), Why::Status, Some(held)),
            };
            held = match self.next(why, &mut exclude).await {
                Some(held) => held,
                None => return end,
            };
            drop(unwanted);
        }
    }

    /// Asks the picker, and the books whether it was right.
    pub(crate) fn pick(&self, exclude: &[EndpointId], now_ms: u64) -> Result<Held, Unpicked> {
        let mut picker = self.worker.picker.borrow_mut();
        let service = Arc::clone(picker.service());
        let set = Arc::clone(picker.endpoints());
        let before = Before::look(&service, &set, exclude, now_ms);
        let wish = Wish {
            now_ms,
            exclude,
            key: Some(self.key),
            prefer: None,
        };
        let result = picker.pick(&wish);
        before.judge(&result);
        let picked = result?;
        let ledger = &self.stage.ledger;
        let spec = service
            .policy()
            .breaker
            .as_ref()
            .map(|breaker| &breaker.spec);
        let probes = spec.map_or([None, None], |spec| {
            let id = picked.endpoint().id();
            let member = set.all().iter().find(|m| m.endpoint.id() == id);
            let own = member.and_then(|m| m.breaker.as_ref());
            [
                service
                    .breaker()
                    .and_then(|b| ledger.admitted(b, before.breaker(), spec.probes)),
                own.and_then(|b| ledger.admitted(b, before.breaker_of(id), spec.probes)),
            ]
        });
        Ok(Held {
            probes,
            _active: ledger.picked(&picked),
            picked,
        })
    }

    /// Asks the budget for a retry or a hedge.
    pub(crate) fn may_retry(&self) -> bool {
        let (route, now_ms) = (&self.stage.setup.route, self.worker.now_ms());
        let service = self.stage.service();
        let granted = service
            .budget()
            .try_retry(now_ms, route.percent, route.floor);
        if granted {
            self.stage.ledger.retry(now_ms, route.percent, route.floor);
        }
        granted
    }

    /// Decides about another try, and waits until it may begin.
    async fn next(&self, why: Why, exclude: &mut Vec<EndpointId>) -> Option<Held> {
        let route = &self.stage.setup.route;
        let wanted = match why {
            Why::Unsent => true,
            Why::Lost | Why::TryTimeout | Why::Status => self.idempotent,
            Why::Timeout => route.on_timeout && self.idempotent,
            Why::Final => false,
        };
        let late = self.stage.now_us() >= self.deadline_us;
        if !wanted || self.attempts > route.attempts || late || !self.may_retry() {
            return None;
        }
        let waits = why != Why::Unsent || self.attempts > 1;
        if waits {
            self.pause(route).await?;
        }
        loop {
            match self.pick(exclude, self.worker.now_ms()) {
                Ok(held) => return Some(held),
                Err(Unpicked::Tried) if !exclude.is_empty() => {
                    exclude.clear();
                    if !waits {
                        self.pause(route).await?;
                    }
                }
                Err(_) => return None,
            }
        }
    }

    /// Waits for a random part of the backoff.
    async fn pause(&self, route: &Route) -> Option<()> {
        let nth = self.attempts.saturating_sub(1);
        let wait = route.backoff.wait(nth, &mut self.worker.rng.borrow_mut());
        let until = self.stage.now_us() + wait.as_micros() as u64;
        let world = &self.stage.world;
        world.sleep_until(until.min(self.deadline_us)).await;
        (until < self.deadline_us).then_some(())
    }
}
