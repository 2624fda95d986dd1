//! Moving body bytes between two sockets inside the kernel.
//!
//! `splice(2)` hands pages from one socket to a pipe and on to the other socket
//! without copying them through this process. Pipes cost two descriptors, and
//! what lies in them is memory of the kernel that no reader of `/proc` sees on
//! our bill. So a worker keeps a few, lends them to the exchanges that move
//! large bodies, and does not lend more than [`MOST_LENT`]: clients that read
//! slowly hold on to theirs, and beyond that bodies are copied.

use std::{
    cell::{Cell, RefCell},
    io,
    os::fd::AsFd,
    os::fd::OwnedFd,
    rc::Rc,
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};

/// Bytes a pipe is asked to hold. The kernel gives an unprivileged process up to 1 MiB a pipe.
const PIPE_SIZE: usize = 512 * 1024;
/// Pipes that are lent at once: 128 MiB, and 512 descriptors.
const MOST_LENT: usize = 256;

/// A kernel pipe and how many bytes lie in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
    capacity: usize,
    /// Its place among those that are lent.
    place: Option<Place>,
}

/// Counts a pipe as lent while it lives.
#[derive(Debug)]
struct Place(Rc<Cell<usize>>);

impl Place {
    /// One more, unless there are too many.
    fn take(lent: &Rc<Cell<usize>>) -> Option<Self> {
        let count = lent.get();
        (count < MOST_LENT).then(|| {
            lent.set(count + 1);
            Self(Rc::clone(lent))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
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
            place: None,
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
    lent: Rc<Cell<usize>>,
}

impl Pipes {
    /// A pool that keeps at most `keep` pipes.
    #[must_use]
    pub fn new(keep: usize) -> Rc<Self> {
        Rc::new(Self {
            keep,
            free: RefCell::new(Vec::new()),
            lent: Rc::default(),
        })
    }

    /// An empty pipe.
    ///
    /// # Errors
    /// When enough are lent, or the process is out of descriptors; the caller then copies instead.
    pub fn lend(&self) -> io::Result<Pipe> {
        let place = Place::take(&self.lent).ok_or(io::ErrorKind::QuotaExceeded)?;
        let mut pipe = match self.free.borrow_mut().pop() {
            Some(pipe) => pipe,
            None => Pipe::new()?,
        };
        pipe.place = Some(place);
        Ok(pipe)
    }

    /// Takes a pipe back. One that still holds bytes is closed instead: they belong to nobody else.
    pub fn reclaim(&self, mut pipe: Pipe) {
        pipe.place = None;
        let mut free = self.free.borrow_mut();
        if pipe.held == 0 && free.len() < self.keep {
            free.push(pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_lent_than_may_be_and_each_end_gives_a_place_back() {
        let pipes = Pipes::new(1);
        let mut lent: Vec<Pipe> = (0..MOST_LENT)
            .map(|_| pipes.lend().expect("a pipe"))
            .collect();
        assert!(pipes.lend().is_err());
        lent.truncate(MOST_LENT - 2);
        pipes.reclaim(lent.pop().expect("one"));
        pipes.reclaim(lent.pop().expect("one"));
        let more: Vec<Pipe> = std::iter::from_fn(|| pipes.lend().ok()).collect();
        assert_eq!(more.len(), 4);
    }
}
