//! The one deadline that an exchange waits under at any moment.
//!
//! Several limits run at once (the whole exchange, the first byte, progress of
//! either body). The nearest is on the connection's timer; which one it was is
//! worked out only when it fires.

use std::task::{Context, Poll};

use weir_net::{Micros, Timer, now};
use weir_telemetry::Reason;

use crate::wire::{Grant, Pace};

/// No limit.
pub(crate) const NEVER: Micros = u64::MAX;

/// Watches for progress under a deadline for the whole exchange.
pub(crate) struct Deadline {
    total: Micros,
    /// The last reading of the clock; valid for the first wait.
    at: Micros,
    /// Bytes moved when progress was last seen.
    seen: u64,
    phase: Micros,
    why: Reason,
    armed: bool,
    /// How slow the client has been.
    pace: Pace,
}

impl Deadline {
    /// `at` is a reading of the clock taken just before.
    pub(crate) fn new(at: Micros, total: Micros) -> Self {
        Self {
            total,
            at,
            seen: 0,
            phase: NEVER,
            why: Reason::TotalTimeout,
            armed: false,
            pace: Pace::default(),
        }
    }

    /// The exchange must wait. `moved` counts bytes on both sides; `limit` is how
    /// long it may stand still, `why` what it means if it does.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        timer: &Timer,
        moved: u64,
        limit: Micros,
        why: Reason,
    ) -> Poll<Reason> {
        let time = self.time();
        self.pace.rest(time);
        if !self.armed || moved != self.seen || why != self.why {
            self.seen = moved;
            self.why = why;
            self.phase = time.saturating_add(limit);
            timer.set(self.phase.min(self.total));
        }
        self.wait(cx, timer, time)
    }

    /// As [`poll`](Self::poll), if it is the client that must do something: read, or send. `moved` counts the bytes that it
    /// has read, or sent, in all.
    pub(crate) fn poll_client(
        &mut self,
        cx: &mut Context<'_>,
        timer: &Timer,
        moved: u64,
        grant: Grant,
        why: Reason,
    ) -> Poll<Reason> {
        let time = self.time();
        let until = self.pace.wait(time, moved, grant);
        // Whoever is waited for next begins anew.
        self.seen = u64::MAX;
        self.why = why;
        if !self.armed || until != self.phase {
            self.phase = until;
            timer.set_yielding(time, until.min(self.total));
        }
        self.wait(cx, timer, time)
    }

    fn time(&self) -> Micros {
        if self.armed { now() } else { self.at }
    }

    fn wait(&mut self, cx: &mut Context<'_>, timer: &Timer, time: Micros) -> Poll<Reason> {
        if !self.armed {
            self.armed = true;
            timer.register(cx);
            return Poll::Pending;
        }
        timer.poll_expired(cx, time).map(|()| {
            if timer.is_cut() {
                Reason::Draining
            } else if time >= self.total {
                Reason::TotalTimeout
            } else {
                self.why
            }
        })
    }
}
