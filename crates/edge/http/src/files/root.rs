//! Opening files beneath one directory, and never anywhere else.
//!
//! The kernel resolves the path and refuses, at every step, to leave the directory (`RESOLVE_BENEATH`): there is no
//! moment between a check and an open in which a link could be changed. Links of /proc (`RESOLVE_NO_MAGICLINKS`) could
//! leave nonetheless and are refused.
//!
//! `RESOLVE_BENEATH` also refuses absolute links, even when they point inside. Those are resolved by name; that result is
//! only a hint: it is opened beneath the root again, this time with no links at all, so whatever changed meanwhile can
//! lead to no other place.
//!
//! Where `openat2` is missing (before Linux 5.6) or filtered (older container runtimes), the path is walked one
//! directory at a time without following links, and links are resolved by name as above.

use std::{
    ffi::{CStr, CString, OsStr},
    fs, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, fstat, openat, openat2},
    io::Errno,
};

/// Opening never waits for the other end of a pipe and never takes over a terminal.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);
/// A rename elsewhere can disturb the kernel while it resolves `..` in a link; it then asks for another try.
const TRIES: u32 = 16;

/// Whether opening may wait for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// No: [`Errno::AGAIN`] when memory does not hold the answer.
    Never,
    /// Yes.
    Allowed,
}

/// What the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    /// `openat2`, with `RESOLVE_CACHED` (Linux 5.12).
    Cached,
    /// `openat2` without it.
    Beneath,
    /// No `openat2`.
    Walk,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct Root {
    directory: OwnedFd,
    /// Its name without links.
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    kernel: Kernel,
}

impl Root {
    /// Opens `path`, which may itself be a link.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let directory = openat(CWD, &path, DIRECTORY, Mode::empty())?;
        let stat = fstat(&directory)?;
        let kernel = Kernel::probe(&directory);
        Ok(Self {
            directory,
            path,
            identity: (stat.st_dev, stat.st_ino),
            kernel,
        })
    }

    /// Whether both are the same directory under the same name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity && self.path == other.path
    }

    /// The same directory through another interface of the kernel.
    #[cfg(test)]
    pub(super) fn through(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// Opens `path`, a relative path of plain names.
    pub(super) fn open_file(&self, path: &CStr, wait: Wait) -> Result<OwnedFd, Errno> {
        match (wait, self.kernel) {
            (Wait::Never, Kernel::Cached) => {
                match self.open_beneath(path, BENEATH | ResolveFlags::CACHED) {
                    // An absolute link, or one that leads outside: finding out which may wait.
                    Err(Errno::XDEV) => Err(Errno::AGAIN),
                    opened => opened,
                }
            }
            (Wait::Never, Kernel::Beneath | Kernel::Walk) => Err(Errno::AGAIN),
            (Wait::Allowed, Kernel::Cached | Kernel::Beneath) => {
                match self.open_patiently(path, BENEATH) {
                    Err(Errno::XDEV) => self.open_by_name(path),
                    opened => opened,
                }
            }
            (Wait::Allowed, Kernel::Walk) => match self.walk(path) {
                // A link at the end, or before it.
                Err(Errno::LOOP | Errno::NOTDIR) => self.open_by_name(path),
                opened => opened,
            },
        }
    }

    /// Resolves all links by name, then opens the result without following any.
    fn open_by_name(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let path = self.path.join(OsStr::from_bytes(path.to_bytes()));
        // Whatever goes wrong outside the root is nobody's business.
        let path = fs::canonicalize(path).map_err(|_| Errno::NOENT)?;
        let beneath = path.strip_prefix(&self.path).map_err(|_| Errno::XDEV)?;
        let beneath = beneath.as_os_str().as_bytes();
        if beneath.is_empty() {
            return self.open_beneath_without_links(c".");
        }
        let beneath = CString::new(beneath).map_err(|_| Errno::NOENT)?;
        self.open_beneath_without_links(&beneath)
    }

    fn open_beneath_without_links(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        match self.kernel {
            Kernel::Cached | Kernel::Beneath => {
                self.open_patiently(path, BENEATH | ResolveFlags::NO_SYMLINKS)
            }
            Kernel::Walk => self.walk(path),
        }
    }

    fn open_patiently(&self, path: &CStr, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        for _ in 1..TRIES {
            match self.open_beneath(path, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        self.open_beneath(path, resolve)
    }

    fn open_beneath(&self, path: &CStr, resolve: ResolveFlags) -> Result<OwnedFd, Errno> {
        openat2(&self.directory, path, FILE, Mode::empty(), resolve)
    }

    /// Goes down one directory at a time. `path` must hold no `..`.
    fn walk(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let path = path.to_bytes();
        let (parents, name) = match memchr::memrchr(b'/', path) {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        let mut directory: Option<OwnedFd> = None;
        for parent in parents.split(|&byte| byte == b'/') {
            if parent.is_empty() {
                continue;
            }
            let at = directory.as_ref().unwrap_or(&self.directory);
            let flags = DIRECTORY | OFlags::NOFOLLOW;
            directory = Some(openat(at, parent, flags, Mode::empty())?);
        }
        let at = directory.as_ref().unwrap_or(&self.directory);
        openat(at, name, FILE | OFlags::NOFOLLOW, Mode::empty())
    }
}

impl Kernel {
    /// A container's system call filter may answer `EPERM` or `ENOSYS` whatever the kernel is, so it is asked.
    fn probe(directory: &OwnedFd) -> Self {
        let offers = |resolve| {
            !matches!(
                openat2(directory, c".", DIRECTORY, Mode::empty(), resolve),
                Err(Errno::NOSYS | Errno::PERM | Errno::INVAL)
            )
        };
        if offers(BENEATH | ResolveFlags::CACHED) {
            Self::Cached
        } else if offers(BENEATH) {
            Self::Beneath
        } else {
            Self::Walk
        }
    }
}
