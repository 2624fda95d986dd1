//! Moving body bytes between two sockets inside the kernel.
//!
//! `splice(2)` hands pages from one socket to a pipe and on to the other socket
//! without copying them through this process. Pipes cost two descriptors, so a
//! worker keeps a few and lends them to the exchanges that move large bodies.

use std::{cell::RefCell, io, os::fd::AsFd, os::fd::OwnedFd, rc::Rc};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes a pipe is asked to hold. The kernel gives an unprivileged process up to 1 MiB a pipe.
const PIPE_SIZE: usize = 512 * 1024;

/// A kernel pipe and how many bytes lie in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    capacity: usize,
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Past the user's pipe quota the default of 64 KiB still works.
        let capacity = fcntl_setpipe_size(&write, PIPE_SIZE).unwrap_or(65_536);
        Ok(Self {
            read,
            write,
            held: 0,
            capacity,
        })
    }

    /// Bytes that lie in the pipe.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held
    }

    /// Bytes the pipe takes in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub(crate) fn fill_from(&mut self, from: impl AsFd, limit: usize) -> io::Result<usize> {
        let n = splice(
            from,
            None,
            &self.write,
            None,
            limit,
            SpliceFlags::MOVE | SpliceFlags::NONBLOCK,
        )?;
        self.held += n;
        Ok(n)
    }

    pub(crate) fn drain_to(&mut self, to: impl AsFd) -> io::Result<usize> {
        // No MORE flag: it would hold a slow stream's last segment back for 200 ms.
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let n = splice(&self.read, None, to, None, self.held, flags)?;
        self.held -= n.min(self.held);
        Ok(n)
    }
}

/// A worker's spare pipes.
#[derive(Debug)]
pub struct Pipes {
    keep: usize,
    free: RefCell<Vec<Pipe>>,
}

impl Pipes {
    /// A pool that keeps at most `keep` pipes.
    #[must_use]
    pub fn new(keep: usize) -> Rc<Self> {
        Rc::new(Self {
            keep,
            free: RefCell::new(Vec::new()),
        })
    }

    /// An empty pipe.
    ///
    /// # Errors
    /// When the process is out of descriptors; the caller then copies instead.
    pub fn lend(&self) -> io::Result<Pipe> {
        match self.free.borrow_mut().pop() {
            Some(pipe) => Ok(pipe),
            None => Pipe::new(),
        }
    }

    /// Takes a pipe back. One that still holds bytes is closed instead: they belong to nobody else.
    pub fn reclaim(&self, pipe: Pipe) {
        let mut free = self.free.borrow_mut();
        if pipe.held == 0 && free.len() < self.keep {
            free.push(pipe);
        }
    }
}
