//! A file with a list of endpoints, read again whenever it changes.
//!
//! A change is noticed by looking at the file (time, size, inode) a few times a second, which works on every file system and
//! for every way to replace a file: writing, renaming, switching a link. It is read when two looks in a row see the same: who
//! writes in place may be half way, and half a list of endpoints is often a valid list. What cannot be read or
//! makes no sense changes nothing.

mod format;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir_config::fingerprint;

use super::FileSpec;
use super::listing::{Listing, SourceError};

pub(super) use format::read;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(150);
/// A file that changes all the time is read all the same after this.
const UNREST: Duration = Duration::from_secs(3);
/// Two changes within the granularity of a file's time look like one: after a change, the file is read once more.
const AGAIN: Duration = Duration::from_secs(2);

/// One file.
pub(crate) struct File {
    path: PathBuf,
    written: String,
    /// What the last look saw.
    looked: Option<u64>,
    /// What was last read; then the time for reading it again although it looks the same.
    read: Option<(u64, Option<Instant>)>,
    last: Option<Result<Listing, SourceError>>,
}

impl File {
    pub(crate) fn new(spec: &FileSpec) -> Self {
        Self {
            path: spec.path.clone(),
            written: spec.written.clone(),
            looked: None,
            read: None,
            last: None,
        }
    }

    /// What the file holds, once it is something else than before.
    pub(crate) async fn next(&mut self) -> Result<Listing, SourceError> {
        let mut unrest = None;
        loop {
            if self.last.is_some() {
                sleep(LOOK).await;
            }
            let path = self.path.clone();
            let now = blocking(move || fingerprint([path.as_path()])).await?;
            let before = self.looked.replace(now);
            let due = match self.read {
                None => true,
                Some((read, again)) if read == now => again.is_some_and(|at| at <= Instant::now()),
                Some(_) => {
                    let since = *unrest.get_or_insert_with(Instant::now);
                    before == Some(now) || since.elapsed() >= UNREST
                }
            };
            if !due {
                continue;
            }
            let changed = self.read.is_none_or(|(read, _)| read != now);
            self.read = Some((now, changed.then(|| Instant::now() + AGAIN)));
            unrest = None;
            let (path, written) = (self.path.clone(), self.written.clone());
            let content = blocking(move || read(&path, &written)).await?;
            if self.last.as_ref() != Some(&content) {
                self.last = Some(content.clone());
                return content;
            }
        }
    }
}

/// Disks may take their time.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, SourceError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| SourceError::Unreachable("reading the file was given up".to_owned()))
}
