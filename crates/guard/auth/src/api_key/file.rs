//! A file of keys that changes on its own: keys come and go without a reload of the config.
//!
//! The file is looked at once a second. A file that cannot be read, or has a mistake in it, changes nothing: the keys that it
//! had before go on to count, and the event log says what is wrong. It should be replaced as a whole, by a rename, as
//! `weir key new --file` does.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use weir_config::{Cx, Diagnostics, Span, Spanned, fingerprint};

use super::entry::KeyEntry;
use super::table::KeyTable;

/// The keys of a file.
#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    table: RwLock<Arc<KeyTable>>,
    /// Rises with each change.
    epoch: AtomicU64,
    /// How the file looked when it was read.
    seen: AtomicU64,
}

impl KeyFile {
    /// Reads a file for the first time.
    pub(crate) fn open(path: &Path) -> Result<Self, Diagnostics> {
        // Looked at before it is read: what changes from here on is another change.
        let seen = fingerprint([path]);
        let table = read(path)?;
        Ok(Self {
            path: path.to_owned(),
            table: RwLock::new(Arc::new(table)),
            epoch: AtomicU64::new(1),
            seen: AtomicU64::new(seen),
        })
    }

    /// The keys as they are now.
    pub(crate) fn table(&self) -> Arc<KeyTable> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&table)
    }

    /// A number that changes with the keys.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again if it has changed: how many keys it has now, or what is wrong with it.
    pub(crate) fn refresh(&self) -> Option<Result<usize, Diagnostics>> {
        let now = fingerprint([&*self.path]);
        if self.seen.swap(now, Ordering::AcqRel) == now {
            return None;
        }
        Some(read(&self.path).map(|table| {
            let count = table.len();
            *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
            self.epoch.fetch_add(1, Ordering::AcqRel);
            count
        }))
    }
}

fn read(path: &Path) -> Result<KeyTable, Diagnostics> {
    // What the environment holds is the business of the config: a list of keys is data.
    if let Err(problem) = crate::file::check(path) {
        let mut cx = Cx::default();
        cx.error(Span::NONE, problem);
        return cx.finish(None).map(|loaded| loaded.value);
    }
    let mut cx = Cx::load(path, &|_| None);
    let entries = cx.decode::<Vec<Spanned<KeyEntry>>>();
    let table = entries.filter(|_| !cx.has_errors()).and_then(|entries| {
        match KeyTable::new(entries.iter().map(|entry| &entry.value)) {
            Ok(table) => Some(table),
            Err(twins) => {
                cx.error(entries[twins.at].span, twins.what);
                None
            }
        }
    });
    cx.finish(table).map(|loaded| loaded.value)
}
