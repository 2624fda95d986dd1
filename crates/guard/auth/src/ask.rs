//! Where questions are answered: on the control runtime, or on a few threads of their own. Bounded either way: a question
//! that finds too many before it is not asked.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::method::{Asking, Fault, Tried, Work};
use crate::refusal::Why;

/// How many questions to the network are open at once.
const WAITING: usize = 1024;
/// How many slow computations are open at once, those included that wait for a thread.
const QUEUED: usize = 64;

/// Takes questions. Clones share the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    control: Option<Handle>,
    waiting: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

impl Asker {
    /// One that has answers come from this runtime; without one it has none.
    pub(crate) fn new(control: Option<Handle>) -> Self {
        // Half the processors at most: the others belong to the traffic.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            control,
            waiting: Arc::new(Semaphore::new(WAITING)),
            queued: Arc::new(Semaphore::new(QUEUED)),
            threads: Arc::new(Semaphore::new((cores / 2).max(1))),
        }
    }

    /// The runtime on which answers are found.
    pub(crate) const fn control(&self) -> Option<&Handle> {
        self.control.as_ref()
    }

    /// Asks, unless too many others do.
    pub(crate) fn ask(&self, asking: Asking) -> Result<oneshot::Receiver<Tried>, Fault> {
        let control = self.control.as_ref().ok_or(Fault {
            why: Why::Unavailable,
            detail: "nothing is asked here",
        })?;
        let overloaded = |_| Fault {
            why: Why::Overloaded,
            detail: "too many credentials are being checked",
        };
        let (mut answer, question) = oneshot::channel();
        match asking.work {
            Work::Waiting(work) => {
                let permit = Arc::clone(&self.waiting)
                    .try_acquire_owned()
                    .map_err(overloaded)?;
                control.spawn(async move {
                    let _permit = permit;
                    // Who gave up waiting needs no answer; but what others wait for with them goes on elsewhere.
                    tokio::select! {
                        tried = work => { let _ = answer.send(tried); }
                        () = answer.closed() => {}
                    }
                });
            }
            Work::Blocking(work) => {
                let permit = Arc::clone(&self.queued)
                    .try_acquire_owned()
                    .map_err(overloaded)?;
                let threads = Arc::clone(&self.threads);
                control.spawn(async move {
                    let _permit = permit;
                    // Never closed.
                    let Ok(_thread) = threads.acquire().await else {
                        return;
                    };
                    if answer.is_closed() {
                        return;
                    }
                    if let Ok(tried) = tokio::task::spawn_blocking(work).await {
                        let _ = answer.send(tried);
                    }
                });
            }
        }
        Ok(question)
    }
}
