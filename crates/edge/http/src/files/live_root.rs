//! The root as its path leads to it now.
//!
//! A root is opened once, so that a request costs no lookup of its path. But sites are deployed by moving a link or
//! by building a directory anew, and then the open directory is the old one, or deleted. So, at most once a second and
//! only when there are requests, the path is looked up again, by a blocking thread. When it leads elsewhere the
//! root is replaced; when it leads nowhere the old one stays, as it may be back in a moment.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
};

use super::root::Root;

/// A root that follows its path.
#[derive(Debug)]
pub(super) struct LiveRoot {
    /// The path as configured, made absolute.
    path: PathBuf,
    current: RwLock<Arc<Root>>,
    /// When it was last looked up, in seconds since 1970.
    checked: AtomicU64,
}

impl LiveRoot {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let root = Root::open(&path)?;
        Ok(Self {
            path,
            current: RwLock::new(Arc::new(root)),
            checked: AtomicU64::new(0),
        })
    }

    /// The path as configured, made absolute.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The root to use for a whole request.
    pub(super) fn current(&self) -> Arc<Root> {
        // Nothing can panic while the lock is held for writing, so poison would mean nothing.
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    /// Whether the path is to be looked up again, by the one caller that is told so.
    pub(super) fn is_due(&self, now: u64) -> bool {
        let checked = self.checked.load(Ordering::Relaxed);
        now != checked
            && self
                .checked
                .compare_exchange(checked, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Looks up the path again. It may wait for a disk.
    pub(super) fn refresh(&self) {
        let Ok(root) = Root::open(&self.path) else {
            return;
        };
        if !root.is_same(&self.current()) {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(root);
        }
    }

    /// The same root through another interface of the kernel.
    #[cfg(test)]
    pub(super) fn through(self, kernel: super::root::Kernel) -> io::Result<Self> {
        let root = Root::open(&self.path)?.through(kernel);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(root);
        Ok(self)
    }
}
