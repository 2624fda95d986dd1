//! The line in front of a service, as the proxy lets requests stand in it.

use std::rc::Rc;

use weir_service::{Entry, Gate, Ticket, Unpicked};

use crate::client::{Entered, Exchange, Held};
use crate::stage::End;
use crate::world::{Either, race};

impl Exchange {
    /// Lets the request in at once, or in its turn, or not at all.
    pub(crate) async fn enter(&mut self, gate: &Gate) -> Result<Entered, End> {
        if let Ok(entry) = gate.try_enter(self.priority) {
            return Ok(self.entered(entry));
        }
        let ticket = gate.enqueue(self.priority, self.worker.now_us());
        let ticket = ticket.map_err(|_| End::Shed)?;
        self.wait(ticket, self.stage.now_us(), false).await
    }

    fn entered(&self, entry: Entry) -> Entered {
        Entered {
            entry,
            mark: self.stage.ledger.entered(),
        }
    }

    /// Waits in line. `since_us` is when it first got in line; `again` if it was in already.
    async fn wait(&mut self, ticket: Ticket, since_us: u64, again: bool) -> Result<Entered, End> {
        let ledger = Rc::clone(&self.stage.ledger);
        let (turn, mark) = ledger.queued(self.priority, self.turn);
        let world = Rc::clone(&self.stage.world);
        let (begun, known) = (world.now_us(), self.turn.is_some());
        let limit = since_us + self.stage.setup.policy.limits.queue_timeout_us;
        let late = world.sleep_until(limit.min(self.deadline_us));
        let waited = race(ticket, late).await;
        drop(mark);
        match waited {
            Either::Left(Ok(entry)) => {
                // One that kept its entry never was in line.
                let kept = again && world.now_us() == begun && entry.waited_since_us().is_none();
                if !kept {
                    self.turn = Some(turn);
                    if !(again && known && world.now_us() == begun) {
                        ledger.let_in(self.priority, turn);
                    }
                }
                Ok(self.entered(entry))
            }
            Either::Left(Err(_)) => Err(End::Shed),
            Either::Right(()) if world.now_us() >= self.deadline_us => Err(End::Late),
            Either::Right(()) => Err(End::QueueTimeout),
        }
    }

    /// Chooses the first endpoint; waits in line if all that could take the request are full.
    pub(crate) async fn first_pick(&mut self, entered: &mut Option<Entered>) -> Result<Held, End> {
        let mut now_ms = self.start_ms;
        loop {
            let unpicked = match self.pick(&[], now_ms) {
                Ok(held) => return Ok(held),
                Err(unpicked) => unpicked,
            };
            if unpicked == Unpicked::Full
                && let Some(Entered { entry, mark }) = entered.take()
            {
                let now_us = self.worker.now_us();
                let since = entry
                    .waited_since_us()
                    .map_or(0, |since| now_us.saturating_sub(since));
                drop(mark);
                let ticket = entry.wait_for_room(now_us).map_err(|_| End::Shed)?;
                *entered = Some(self.wait(ticket, self.stage.now_us() - since, true).await?);
                now_ms = self.worker.now_ms();
                continue;
            }
            return Err(match unpicked {
                Unpicked::BreakerOpen { .. } => End::BreakerOpen,
                _ => End::NoEndpoint,
            });
        }
    }
}
