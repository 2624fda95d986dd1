//! Signals: HUP reloads, TERM and INT end, USR1 reopens the access log.

use std::{io, sync::Arc};

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::state::State;

/// The signals that Weir listens to.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    user1: Signal,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            user1: signal(SignalKind::user_defined1())?,
        })
    }

    /// Acts on signals until one says that it is over.
    pub(super) async fn handle(&mut self, state: &Arc<State>) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    let state = Arc::clone(state);
                    tokio::spawn(async move {
                        let _ = state.reload("SIGHUP").await;
                    });
                }
                _ = self.user1.recv() => state.reopen_logs(),
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
            }
        }
    }

    /// Somebody will not wait for the drain.
    pub(super) async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
