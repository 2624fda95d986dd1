//! Read buffers, lent by a per-worker pool.
//!
//! A connection holds a buffer only while bytes wait in it: an idle keep-alive
//! connection holds none, which is what keeps ten thousand of them cheap. The
//! memory is zeroed once, when it is first allocated, and never again.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

/// A window of unread bytes in pooled memory: `[start, end)` is unread, `[end, len)` is room.
#[derive(Debug, Default)]
pub struct Buffer {
    memory: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// The unread bytes.
    #[inline]
    #[must_use]
    pub fn unread(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    /// How many bytes are unread.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is unread.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether memory is held (from the pool or grown).
    #[must_use]
    pub fn is_held(&self) -> bool {
        !self.memory.is_empty()
    }

    /// Marks `n` unread bytes as read.
    #[inline]
    pub fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.len());
        self.start = (self.start + n).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Bytes that can be read in without moving or growing.
    #[inline]
    #[must_use]
    pub fn room(&self) -> usize {
        self.memory.len() - self.end
    }

    /// Moves the unread bytes to the front, so that all free memory is room.
    pub fn compact(&mut self) {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }

    /// Makes the memory at least `size` bytes; unread bytes stay.
    pub fn grow(&mut self, size: usize) {
        self.compact();
        if self.memory.len() < size {
            self.memory.resize(size, 0);
        }
    }

    /// The room, to be written to and then [`filled`](Self::filled).
    #[inline]
    pub fn room_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.end..]
    }

    /// Says that `n` bytes of the room were written.
    #[inline]
    pub fn filled(&mut self, n: usize) {
        debug_assert!(n <= self.room());
        self.end = (self.end + n).min(self.memory.len());
    }
}

/// A worker's pool of equally sized read buffers.
#[derive(Debug)]
pub struct Buffers {
    size: usize,
    keep: usize,
    free: RefCell<Vec<Vec<u8>>>,
    lent: Cell<usize>,
}

impl Buffers {
    /// A pool of buffers of `size` bytes that keeps at most `keep` of them when idle.
    #[must_use]
    pub fn new(size: usize, keep: usize) -> Rc<Self> {
        Rc::new(Self {
            size,
            keep,
            free: RefCell::new(Vec::with_capacity(keep.min(64))),
            lent: Cell::new(0),
        })
    }

    /// Bytes in each buffer.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// How many buffers are lent out now.
    #[must_use]
    pub fn lent(&self) -> usize {
        self.lent.get()
    }

    /// Gives `buffer` memory if it holds none.
    #[inline]
    pub fn lend(&self, buffer: &mut Buffer) {
        if buffer.memory.is_empty() {
            buffer.memory = self
                .free
                .borrow_mut()
                .pop()
                .unwrap_or_else(|| vec![0; self.size]);
            self.lent.set(self.lent.get() + 1);
        }
    }

    /// Takes the memory of `buffer` back if nothing in it is unread.
    #[inline]
    pub fn reclaim_if_empty(&self, buffer: &mut Buffer) {
        if buffer.is_empty() && !buffer.memory.is_empty() {
            self.reclaim(buffer);
        }
    }

    /// The few bytes in `buffer` wait for more, perhaps for long: they get memory of their own size, and the pool its own
    /// back. So a thousand clients that drip a head hold a thousand heads, not a thousand buffers.
    pub fn tuck(&self, buffer: &mut Buffer) {
        let len = buffer.len();
        if buffer.memory.len() != self.size || len == 0 || len > self.size / 8 {
            return;
        }
        let mut small = vec![0; (2 * len).next_multiple_of(256)];
        small[..len].copy_from_slice(buffer.unread());
        self.reclaim(buffer);
        buffer.memory = small;
        buffer.end = len;
        self.lent.set(self.lent.get() + 1);
    }

    /// Undoes [`tuck`](Self::tuck): what comes next may be large.
    #[inline]
    pub fn untuck(&self, buffer: &mut Buffer) {
        if buffer.memory.len() < self.size && buffer.is_held() {
            self.exchange(buffer);
        }
    }

    #[cold]
    fn exchange(&self, buffer: &mut Buffer) {
        let small = std::mem::take(buffer);
        self.lent.set(self.lent.get().saturating_sub(1));
        if !small.is_empty() {
            self.lend(buffer);
            buffer.memory[..small.len()].copy_from_slice(small.unread());
            buffer.end = small.len();
        }
    }

    /// Takes the memory of `buffer` back, whatever it holds.
    pub fn reclaim(&self, buffer: &mut Buffer) {
        let memory = std::mem::take(&mut buffer.memory);
        buffer.start = 0;
        buffer.end = 0;
        if memory.is_empty() {
            return;
        }
        self.lent.set(self.lent.get().saturating_sub(1));
        let mut free = self.free.borrow_mut();
        // A buffer that had to grow for one long head is not worth keeping.
        if memory.len() == self.size && free.len() < self.keep {
            free.push(memory);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_keeps_order_over_compaction_and_growth() {
        let pool = Buffers::new(8, 1);
        let mut buffer = Buffer::default();
        pool.lend(&mut buffer);
        buffer.room_mut()[..6].copy_from_slice(b"abcdef");
        buffer.filled(6);
        buffer.consume(4);
        assert_eq!((buffer.unread(), buffer.room()), (&b"ef"[..], 2));
        buffer.compact();
        assert_eq!((buffer.unread(), buffer.room()), (&b"ef"[..], 6));
        buffer.grow(16);
        assert_eq!((buffer.unread(), buffer.room()), (&b"ef"[..], 14));
        buffer.consume(2);
        assert_eq!((buffer.len(), buffer.room()), (0, 16));
    }

    #[test]
    fn the_pool_takes_back_only_what_it_can_lend_again() {
        let pool = Buffers::new(8, 1);
        let (mut a, mut b, mut c) = (Buffer::default(), Buffer::default(), Buffer::default());
        for buffer in [&mut a, &mut b, &mut c] {
            pool.lend(buffer);
        }
        assert_eq!(pool.lent(), 3);
        c.grow(32);
        pool.reclaim(&mut c);
        pool.reclaim_if_empty(&mut a);
        pool.reclaim_if_empty(&mut b);
        assert_eq!((pool.lent(), pool.free.borrow().len()), (0, 1));
        a.grow(4);
        assert!(a.is_held());
    }

    #[test]
    fn bytes_that_wait_take_little_room() {
        let pool = Buffers::new(16_384, 4);
        let mut buffer = Buffer::default();
        pool.lend(&mut buffer);
        buffer.room_mut()[..200].copy_from_slice(&[7; 200]);
        buffer.filled(200);
        buffer.consume(60);
        pool.tuck(&mut buffer);
        assert_eq!((buffer.unread(), buffer.room()), (&[7; 140][..], 512 - 140));
        assert_eq!((pool.lent(), pool.free.borrow().len()), (1, 1));
        pool.tuck(&mut buffer);
        buffer.grow(1024);
        assert_eq!(
            (buffer.unread(), buffer.room()),
            (&[7; 140][..], 1024 - 140)
        );
        pool.untuck(&mut buffer);
        assert_eq!(buffer.unread(), &[7; 140]);
        assert_eq!(buffer.room(), 16_384 - 140);
        assert_eq!((pool.lent(), pool.free.borrow().len()), (1, 0));

        pool.tuck(&mut buffer);
        buffer.consume(140);
        pool.untuck(&mut buffer);
        assert!(!buffer.is_held());
        assert_eq!((pool.lent(), pool.free.borrow().len()), (0, 1));
        // One that is well filled is left as it is.
        pool.lend(&mut buffer);
        buffer.filled(5000);
        pool.tuck(&mut buffer);
        assert_eq!((buffer.len(), buffer.room()), (5000, 16_384 - 5000));
    }
}
