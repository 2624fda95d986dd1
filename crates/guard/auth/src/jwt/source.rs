//! Where the keys of an issuer come from, and how they stay fresh.
//!
//! Keys that were fetched once are used until others replace them, however long fetching fails: an identity provider that is
//! down for an hour must not take with it everybody who has a token. All methods with the same URL, before and after a
//! reload, have the same source, so that a reload fetches nothing and forgets nothing. All that wait for an unknown key wait
//! for the same fetch.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use weir_client::{Client, Request, StatusCode, Url};
use weir_config::fingerprint;

use super::key_set::KeySet;
use super::schedule::Schedule;
use crate::auth::{Event, Events};
use crate::cache_control::Keep;

/// How long a fetch may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Sets are not larger than this.
const MOST_BYTES: usize = 512 << 10;

/// The keys of an issuer.
#[derive(Debug)]
pub(crate) struct KeySource {
    keys: RwLock<Option<Arc<KeySet>>>,
    /// Rises with each change of the keys.
    epoch: AtomicU64,
    origin: Origin,
}

#[derive(Debug)]
enum Origin {
    /// They never change.
    Fixed,
    File {
        path: PathBuf,
        seen: AtomicU64,
    },
    Url(Box<Remote>),
}

#[derive(Debug)]
struct Remote {
    url: Url,
    begun: Instant,
    schedule: Mutex<Schedule>,
    /// Wakes the fetching task: somebody wants keys, or nobody does any more.
    wake: Arc<Notify>,
    /// How many fetches have ended.
    fetched: watch::Sender<u64>,
    /// What was fetched last, so that the same again is no change.
    text: Mutex<Vec<u8>>,
}

impl KeySource {
    /// Keys that never change.
    pub(crate) fn fixed(keys: KeySet) -> Self {
        Self::new(Some(Arc::new(keys)), Origin::Fixed)
    }

    /// Keys of a file.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub(crate) fn file(path: &Path) -> Result<Self, String> {
        let seen = fingerprint([path]);
        let keys = read_file(path)?;
        let origin = Origin::File {
            path: path.to_owned(),
            seen: AtomicU64::new(seen),
        };
        Ok(Self::new(Some(Arc::new(keys)), origin))
    }

    /// Keys of a URL, fetched on this runtime from now on until nobody has the source any more.
    pub(crate) fn url(url: Url, client: Client, events: Events, control: &Handle) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        let _on = control.enter();
        let source = Arc::new(Self::new(
            None,
            Origin::Url(Box::new(Remote {
                url,
                begun: Instant::now(),
                schedule: Mutex::default(),
                wake: Arc::clone(&wake),
                fetched: watch::Sender::new(0),
                text: Mutex::default(),
            })),
        ));
        control.spawn(keep_fresh(Arc::downgrade(&source), wake, client, events));
        source
    }

    /// Keys of a URL that are never fetched: for looking at a config.
    pub(crate) fn unfetched() -> Self {
        Self::new(None, Origin::Fixed)
    }

    const fn new(keys: Option<Arc<KeySet>>, origin: Origin) -> Self {
        Self {
            keys: RwLock::new(keys),
            epoch: AtomicU64::new(0),
            origin,
        }
    }

    /// The keys as they are now, if there have been any.
    pub(crate) fn keys(&self) -> Option<Arc<KeySet>> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// A number that changes with the keys.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    fn set(&self, keys: KeySet) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(keys));
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Asks for other keys, if it is time for that. What comes back ends when a fetch has ended; `None` if there will be none
    /// soon.
    pub(crate) fn demand(&self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Origin::Url(remote) = &self.origin else {
            return None;
        };
        // Both at once, so that no fetch ends in between: it would not be the one to wait for.
        let (due, mut fetched) = {
            let mut schedule = remote.schedule();
            let due = schedule.want(remote.begun.elapsed());
            (due, remote.fetched.subscribe())
        };
        due.then(|| {
            remote.wake.notify_one();
            async move {
                // An error means that the source is gone.
                let _ = fetched.changed().await;
            }
        })
    }

    /// Reads its file again, if it has one and that has changed.
    pub(crate) fn refresh_file(&self) -> Option<(&Path, Result<usize, String>)> {
        let Origin::File { path, seen } = &self.origin else {
            return None;
        };
        let now = fingerprint([&**path]);
        if seen.swap(now, Ordering::AcqRel) == now {
            return None;
        }
        let read = read_file(path).map(|keys| {
            let count = keys.len();
            self.set(keys);
            count
        });
        Some((path, read))
    }

    /// As if it had been a long time since the last fetch for an unknown key.
    #[cfg(test)]
    pub(crate) fn be_due(&self) {
        if let Some(remote) = self.remote() {
            remote.schedule().forget();
        }
    }

    fn remote(&self) -> Option<&Remote> {
        match &self.origin {
            Origin::Url(remote) => Some(remote),
            Origin::Fixed | Origin::File { .. } => None,
        }
    }
}

impl Drop for KeySource {
    fn drop(&mut self) {
        if let Some(remote) = self.remote() {
            remote.wake.notify_one();
        }
    }
}

impl Remote {
    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_file(path: &Path) -> Result<KeySet, String> {
    use std::io::Read;
    crate::file::check(path)?;
    let mut text = Vec::new();
    let cannot = |error: std::io::Error| format!("cannot read it: {error}");
    let file = std::fs::File::open(path).map_err(cannot)?;
    let most = MOST_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut text).map_err(cannot)?;
    if text.len() > MOST_BYTES {
        return Err("it holds more than 512 KiB".to_owned());
    }
    KeySet::read(&text)
}

/// Fetches keys whenever it is time, until nobody needs them.
async fn keep_fresh(source: Weak<KeySource>, wake: Arc<Notify>, client: Client, events: Events) {
    loop {
        let Some(wait) = source.upgrade().and_then(|source| {
            let remote = source.remote()?;
            Some(remote.begun + remote.schedule().due())
        }) else {
            return;
        };
        tokio::select! {
            () = tokio::time::sleep_until(wait) => {}
            () = wake.notified() => {}
        }
        let Some(source) = source.upgrade() else {
            return;
        };
        let Some(remote) = source.remote() else {
            return;
        };
        let now = remote.begun.elapsed();
        {
            let mut schedule = remote.schedule();
            // Who was waiting may have been served by the fetch before.
            if !schedule.is_time(now) {
                continue;
            }
            schedule.begin(now);
        }
        let fetched = fetch(&source, remote, &client).await;
        let event = {
            let mut schedule = remote.schedule();
            remote.fetched.send_modify(|count| *count += 1);
            match fetched {
                Ok((keep, changed)) => {
                    schedule.fetched(keep, changed.is_some());
                    changed.map(|keys| Event::KeysFetched {
                        url: remote.url.to_string(),
                        keys,
                    })
                }
                Err(error) => {
                    schedule.failed();
                    Some(Event::KeysFailed {
                        url: remote.url.to_string(),
                        error,
                        stale: source.keys().is_some(),
                    })
                }
            }
        };
        if let Some(event) = event {
            events.tell(event);
        }
    }
}

/// Fetches once: how long the keys may be kept, and how many there are if they have changed.
async fn fetch(
    source: &KeySource,
    remote: &Remote,
    client: &Client,
) -> Result<(Keep, Option<usize>), String> {
    let request = Request::get(remote.url.clone());
    let response = client
        .send(request, DEADLINE, MOST_BYTES)
        .await
        .map_err(|error| error.to_string())?;
    if response.status != StatusCode::OK {
        return Err(format!("it answers {}", response.status));
    }
    let keep = Keep::of(&response);
    let same = {
        let text = remote.text.lock().unwrap_or_else(PoisonError::into_inner);
        **text == *response.body
    };
    if same {
        return Ok((keep, None));
    }
    let keys = KeySet::read(&response.body)?;
    let count = keys.len();
    source.set(keys);
    *remote.text.lock().unwrap_or_else(PoisonError::into_inner) = response.body.to_vec();
    Ok((keep, Some(count)))
}
