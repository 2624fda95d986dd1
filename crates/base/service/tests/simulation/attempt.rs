//! One try at one endpoint, as the proxy makes it.

use std::pin::pin;
use std::rc::Rc;

use weir_service::{EndpointId, Outcome};

use crate::client::{Exchange, Held, Tried, Why};
use crate::hedge::{self, Winner};
use crate::server::{Connection, Lost, Server};
use crate::setup::{Hedge, Route};
use crate::stage::End;
use crate::world::{Either, race};

impl Exchange {
    /// One try at one endpoint.
    pub(crate) async fn attempt(&mut self, mut held: Held, exclude: &mut Vec<EndpointId>) -> Tried {
        let world = Rc::clone(&self.stage.world);
        let route = self.stage.setup.route.clone();
        let mut fresh = false;
        loop {
            let server = self.stage.server_at(held.picked.address());
            let id = held.picked.endpoint().id();
            let idle = if fresh {
                None
            } else {
                self.take_idle(&server, id)
            };
            let reused = idle.is_some();
            let connection = match idle {
                Some(connection) => connection,
                None => {
                    let begun = world.now_us();
                    let limit = (begun + route.connect_us).min(self.deadline_us);
                    match race(server.connect(), world.sleep_until(limit)).await {
                        Either::Left(Ok(connection)) => {
                            held.picked.endpoint().succeeded();
                            connection
                        }
                        refused => {
                            let now_ms = self.worker.now_ms();
                            held.picked.endpoint().connect_failed(now_ms);
                            held.report(Outcome::Connect, world.now_us() - begun, now_ms);
                            self.failed_slowly = matches!(refused, Either::Right(()));
                            return Tried::Failed(End::Failed, Why::Unsent);
                        }
                    }
                }
            };
            let mut kept = Some(connection);
            self.sent_us = world.now_us();
            let limit = self
                .sent_us
                .saturating_add(route.per_try_us.min(route.first_byte_us));
            let limit = limit.min(self.deadline_us);
            let mut first = pin!(server.answer(connection));
            let hedge_us = self.hedge_due(&route).filter(|at| *at < limit);
            let answered = match race(first.as_mut(), world.sleep_until(hedge_us.unwrap_or(limit)))
                .await
            {
                Either::Left(answered) => Some(answered),
                Either::Right(()) if hedge_us.is_some() => match hedge::choose(self, id, exclude) {
                    None => match race(first.as_mut(), world.sleep_until(limit)).await {
                        Either::Left(answered) => Some(answered),
                        Either::Right(()) => None,
                    },
                    Some(second) => match hedge::race_two(self, first.as_mut(), second).await {
                        Winner::First(answered) => Some(answered),
                        Winner::Late => None,
                        Winner::Second(status, second, begun_us) => {
                            exclude.push(id);
                            let now_ms = self.worker.now_ms();
                            held.picked.outpaced(world.now_us() - self.sent_us, now_ms);
                            self.last = Some(second.picked.endpoint().id());
                            self.sent_us = begun_us;
                            held = second;
                            kept = None;
                            Some(Ok(status))
                        }
                    },
                },
                Either::Right(()) => None,
            };
            let (now_us, now_ms) = (world.now_us(), self.worker.now_ms());
            let took_us = now_us - self.sent_us;
            match answered {
                Some(Ok(status)) => return self.answered(held, kept, status, &route).await,
                // An endpoint closed an idle connection just as we used it: nobody's fault.
                Some(Err(_)) if reused && self.idempotent => fresh = true,
                Some(Err(Lost::Before | Lost::With)) => {
                    held.report(Outcome::Reset, took_us, now_ms);
                    return Tried::Failed(End::Failed, Why::Lost);
                }
                None => {
                    held.report(Outcome::Timeout, took_us, now_ms);
                    if now_us >= self.deadline_us {
                        return Tried::Failed(End::Late, Why::Final);
                    }
                    self.failed_slowly = true;
                    let why = match route.per_try_us < route.first_byte_us {
                        true => Why::TryTimeout,
                        false => Why::Timeout,
                    };
                    return Tried::Failed(End::Failed, why);
                }
            }
        }
    }

    /// The head of an answer is here.
    async fn answered(
        &mut self,
        mut held: Held,
        connection: Option<Connection>,
        status: u16,
        route: &Route,
    ) -> Tried {
        let world = Rc::clone(&self.stage.world);
        self.first_byte_us = world.now_us();
        let (latency_us, now_ms) = (self.first_byte_us - self.sent_us, self.worker.now_ms());
        held.report(Outcome::of_status(status), latency_us, now_ms);
        self.worker
            .latencies
            .borrow_mut()
            .record(latency_us, now_ms);
        if route.on_5xx && status >= 500 && self.attempts <= route.attempts && self.idempotent {
            return Tried::Unwanted(status, held);
        }
        // The body.
        let end = world.now_us() + 300;
        world.sleep_until(end.min(self.deadline_us)).await;
        if end > self.deadline_us {
            return Tried::Done(End::Late);
        }
        held.picked.endpoint().succeeded();
        let mut idle = self.worker.idle.borrow_mut();
        idle.entry(held.picked.endpoint().id())
            .or_default()
            .extend(connection);
        Tried::Done(End::Answered(status))
    }

    fn take_idle(&self, server: &Server, id: EndpointId) -> Option<Connection> {
        let mut idle = self.worker.idle.borrow_mut();
        let idle = idle.get_mut(&id)?;
        idle.retain(|connection| server.seems_open(*connection));
        idle.pop()
    }

    fn hedge_due(&self, route: &Route) -> Option<u64> {
        let after = match route.hedge {
            Hedge::Off => None,
            Hedge::After(us) => Some(us),
            Hedge::P95 => self.worker.latencies.borrow().p95_us(),
        };
        let after = after.filter(|_| self.idempotent)?;
        Some(self.sent_us + after)
    }
}
