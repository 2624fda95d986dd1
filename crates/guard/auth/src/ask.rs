//! Where questions are answered: on the control runtime, or on a few threads of their own. Bounded either way: a question
//! that finds too many before it is not asked. Each method has its own share of the bounds: when one server is slow, or one
//! password is guessed at, the methods that have nothing to do with it go on.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::method::{Asking, Fault, Tried, Work};
use crate::refusal::Why;

/// How many questions to the network are open at once.
const WAITING: usize = 4096;
/// How many of them may be one method's.
const WAITING_OF_ONE: usize = 256;
/// How many slow computations are open at once, those included that wait for a thread.
const QUEUED: usize = 128;
/// How many of them may be one method's.
const QUEUED_OF_ONE: usize = 32;

/// Takes questions. Clones share the bounds.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    control: Option<Handle>,
    waiting: Arc<Semaphore>,
    queued: Arc<Semaphore>,
    threads: Arc<Semaphore>,
}

/// How many questions may be open of one method.
#[derive(Debug)]
pub(crate) struct Share {
    waiting: Arc<Semaphore>,
    queued: Arc<Semaphore>,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(WAITING_OF_ONE)),
            queued: Arc::new(Semaphore::new(QUEUED_OF_ONE)),
        }
    }
}

/// A place among those of a method, and among all.
struct Permit {
    _own: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl Permit {
    fn take(own: &Arc<Semaphore>, all: &Arc<Semaphore>) -> Result<Self, Fault> {
        let take = |bound: &Arc<Semaphore>| {
            let permit = Arc::clone(bound).try_acquire_owned();
            permit.map_err(|_| Fault {
                why: Why::Overloaded,
                detail: "too many credentials are being checked",
            })
        };
        Ok(Self {
            _own: take(own)?,
            _of_all: take(all)?,
        })
    }
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

    /// Asks for a method, unless too many others do.
    pub(crate) fn ask(
        &self,
        asking: Asking,
        share: &Share,
    ) -> Result<oneshot::Receiver<Tried>, Fault> {
        let control = self.control.as_ref().ok_or(Fault {
            why: Why::Unavailable,
            detail: "nothing is asked here",
        })?;
        let (mut answer, question) = oneshot::channel();
        match asking.work {
            Work::Waiting(work) => {
                let permit = Permit::take(&share.waiting, &self.waiting)?;
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
                let permit = Permit::take(&share.queued, &self.queued)?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// How many of so many questions are taken.
    fn taken(asker: &Asker, share: &Share, count: usize, waits: bool) -> Vec<impl Sized + use<>> {
        let work = || {
            if waits {
                Work::Waiting(Box::pin(std::future::pending()))
            } else {
                Work::Blocking(Box::new(|| Tried::unavailable("")))
            }
        };
        let asking = || Asking {
            work: work(),
            deadline: Duration::from_secs(1),
        };
        (0..count)
            .filter_map(|_| asker.ask(asking(), share).ok())
            .collect()
    }

    // Nothing of what is asked runs before the test is over: it never waits.
    #[tokio::test]
    async fn no_method_takes_the_places_of_the_others() {
        let asker = Asker::new(Some(Handle::current()));
        for (waits, of_one, all) in [
            (true, WAITING_OF_ONE, WAITING),
            (false, QUEUED_OF_ONE, QUEUED),
        ] {
            let mut open = taken(&asker, &Share::default(), all, waits);
            assert_eq!(open.len(), of_one);
            for _ in 0..all {
                open.extend(taken(&asker, &Share::default(), of_one, waits));
            }
            assert_eq!(open.len(), all);
        }
    }
}
