//! A file whose content is used while it may change.
//!
//! When a change is taken is said by [`Settling`]; and what was read counts only if the file was the same before and
//! after. Readers hold no lock: they get the newest content by one atomic load.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arc_swap::{ArcSwap, Guard};
use weir_config::fingerprint;

use crate::settling::{Look, Moment, Settling};

/// How much a file may hold.
const MOST_BYTES: u64 = 1 << 30;
/// How often a file that changes while it is read is tried again.
const TRIES: usize = 3;

/// What a live file holds.
pub(crate) trait Content: Sized + Send + Sync + 'static {
    fn read(bytes: Vec<u8>) -> Result<Self, String>;

    /// How much there is of it, for people.
    fn entries(&self) -> usize;
}

/// What became of a file that changed.
#[derive(Clone, Copy, Debug)]
pub enum FileEvent<'a> {
    /// It was read and is used from now on.
    Loaded {
        /// Its path.
        path: &'a Path,
        /// Prefixes in a list; nodes in a database.
        entries: usize,
    },
    /// It could not be read; what it held before is still used.
    Kept {
        /// Its path.
        path: &'a Path,
        /// Why.
        error: &'a str,
    },
}

/// A live file as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// Its path.
    pub path: PathBuf,
    /// Prefixes in a list; nodes in a database.
    pub entries: usize,
    /// Why what it holds now could not be taken over, if so.
    pub error: Option<String>,
}

/// A file and what it held when it could last be read.
#[derive(Debug)]
pub(crate) struct Live<T> {
    path: PathBuf,
    content: ArcSwap<T>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// What the file looked like when it was last read.
    taken: u64,
    settling: Settling,
    error: Option<String>,
}

impl<T: Content> Live<T> {
    /// Reads the file for the first time.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let (content, taken, length) = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            content: ArcSwap::from_pointee(content),
            state: Mutex::new(State {
                taken,
                settling: Settling::new(taken, length, Moment::now()),
                error: None,
            }),
        })
    }

    /// The newest content.
    #[inline]
    pub(crate) fn load(&self) -> Guard<Arc<T>> {
        self.content.load()
    }

    /// Looks at the file, and reads it if it has changed and is at rest.
    pub(crate) fn look(&self, time: Moment, report: &dyn Fn(FileEvent<'_>)) {
        let path = self.path.as_path();
        let now = Look::at(path);
        {
            let mut state = self.state();
            let at_rest = state.settling.is_over(now, time);
            if !at_rest || state.taken == now.fingerprint {
                return;
            }
        }
        let read = read::<T>(path).and_then(|(content, taken, length)| {
            // Whoever writes a file anew empties it first, and may take long to fill it: meanwhile nobody is let in.
            if length == 0 && self.load().entries() > 0 {
                return Err(
                    "it is empty; if that is meant, leave a line with a comment in it".to_owned(),
                );
            }
            Ok((content, taken, length))
        });
        let mut state = self.state();
        match read {
            Ok((content, taken, length)) => {
                let entries = content.entries();
                self.content.store(Arc::new(content));
                state.taken = taken;
                state.settling = Settling::new(taken, length, time);
                state.error = None;
                report(FileEvent::Loaded { path, entries });
            }
            Err(error) => {
                // Once for each state that the file is in.
                state.taken = now.fingerprint;
                report(FileEvent::Kept {
                    path,
                    error: &error,
                });
                state.error = Some(error);
            }
        }
    }

    pub(crate) fn status(&self) -> FileStatus {
        let state = self.state();
        FileStatus {
            path: self.path.clone(),
            entries: self.load().entries(),
            error: state.error.clone(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content, what the file looked like meanwhile, and how long it is.
fn read<T: Content>(path: &Path) -> Result<(T, u64, u64), String> {
    let say = |error: std::io::Error| format!("cannot read it: {error}");
    for _ in 0..TRIES {
        let before = fingerprint([path]);
        // Before it is opened: opening a pipe waits for its writer.
        let metadata = fs::metadata(path).map_err(say)?;
        if !metadata.is_file() {
            return Err("it is not a file".to_owned());
        }
        if metadata.len() > MOST_BYTES {
            return Err(format!("it holds more than {} MiB", MOST_BYTES >> 20));
        }
        let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
        let file = File::open(path).map_err(say)?;
        file.take(MOST_BYTES).read_to_end(&mut bytes).map_err(say)?;
        if fingerprint([path]) == before {
            let length = bytes.len() as u64;
            return Ok((T::read(bytes)?, before, length));
        }
    }
    Err("it changes while it is read".to_owned())
}

#[cfg(test)]
mod tests;
