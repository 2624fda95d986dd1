//! One answer for all who ask the same at once.
//!
//! A thousand requests with the same unknown token are one question to its server; so are a thousand requests of a page
//! whose session is due. Whoever asks first sends the work off as a task of its own, so that it reaches its end although
//! nobody may wait any more: half a refresh would lose the session.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

type Answer<V> = watch::Receiver<Option<V>>;

/// What is being found out, by what it is about. There is one entry for each task under way, so that who bounds the tasks
/// bounds it.
pub(crate) struct Flights<K, V>(Arc<Mutex<HashMap<K, Answer<V>>>>);

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// What is found out about `key`: by `work`, unless that is under way. `None` if it panicked. Must be called within a
    /// runtime, which does the work.
    pub(crate) async fn join<W>(&self, key: K, work: W) -> Option<V>
    where
        W: Future<Output = V> + Send + 'static,
    {
        let mut answer = self.start(key, work);
        let found = answer.wait_for(Option::is_some).await.ok()?;
        found.clone()
    }

    /// Sees to it that `key` is being found out about.
    pub(crate) fn start<W>(&self, key: K, work: W) -> Answer<V>
    where
        W: Future<Output = V> + Send + 'static,
    {
        let mut flights = lock(&self.0);
        if let Some(answer) = flights.get(&key) {
            return answer.clone();
        }
        let (sender, answer) = watch::channel(None);
        flights.insert(key.clone(), answer.clone());
        drop(flights);
        let landing = Landing {
            flights: Arc::clone(&self.0),
            key,
        };
        tokio::spawn(async move {
            let found = work.await;
            // Whoever asks from now on asks anew, so what was found must be where they look before they ask.
            drop(landing);
            sender.send_replace(Some(found));
        });
        answer
    }
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K, V> std::fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Ends a flight, even by a panic.
struct Landing<K: Eq + Hash, V> {
    flights: Arc<Mutex<HashMap<K, Answer<V>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.flights).remove(&self.key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn those_at_once_share_one_answer() {
        let flights = Arc::new(Flights::<u8, u32>::default());
        let runs = Arc::new(AtomicU32::new(0));
        let open = Arc::new(tokio::sync::Notify::new());
        let ask = |key| {
            let (flights, runs, open) =
                (Arc::clone(&flights), Arc::clone(&runs), Arc::clone(&open));
            tokio::spawn(async move {
                let work = async move {
                    open.notified().await;
                    runs.fetch_add(1, Ordering::Relaxed)
                };
                flights.join(key, work).await
            })
        };
        let same: Vec<_> = (0..50).map(|_| ask(1)).collect();
        tokio::task::yield_now().await;
        // One that gives up does not take the others with it.
        same[0].abort();
        open.notify_one();
        for (at, task) in same.into_iter().enumerate() {
            match task.await {
                Ok(answer) => assert_eq!(answer, Some(0)),
                Err(error) => assert!(at == 0 && error.is_cancelled()),
            }
        }
        open.notify_one();
        assert_eq!(ask(1).await.expect("no panic"), Some(1));
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_panic_ends_its_flight_only() {
        let flights = Flights::<u8, u32>::default();
        let broken = flights.join(1, async { panic!("as the test wants") }).await;
        assert_eq!(broken, None);
        assert_eq!(flights.join(1, async { 5 }).await, Some(5));
    }
}
