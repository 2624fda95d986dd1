//! Content without waiting for a disk.
//!
//! Reading a file that is in the page cache costs a copy; reading one that is not can stop a worker, and every
//! connection on it, for as long as the disk takes. `RWF_NOWAIT` tells the two apart; what is not in memory is read
//! by a blocking thread first. Some file systems cannot tell (overlays, older tmpfs): there a read happens in
//! place, as it would everywhere else.

use std::{
    fs::File,
    io::{self, ErrorKind, IoSliceMut},
    os::unix::fs::FileExt,
};

use rustix::{
    fs::{Advice, fadvise},
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::body::{FilesBody, Piece};

/// How much a blocking thread reads at a time.
const READ_AHEAD: usize = 64 * 1024;

impl FilesBody {
    /// Returns when `len` bytes at `offset` can, as far as one can know, be sent without waiting for a disk. Call it with
    /// each [`Piece::File`] before `sendfile`.
    ///
    /// The first and the last page are asked for, which is right for memory that fills and empties in order; a hole
    /// between them costs a wait and nothing else.
    ///
    /// # Errors
    ///
    /// The disk failed. A file that has become too short is no error here: `sendfile` will then send 0 bytes, which the
    /// caller must take for one.
    pub async fn ensure_resident(&self, offset: u64, len: usize) -> io::Result<()> {
        let Some(last) = (len as u64).checked_sub(1) else {
            return Ok(());
        };
        if is_resident(self.file(), offset + last)?
            && (last == 0 || is_resident(self.file(), offset)?)
        {
            return Ok(());
        }
        let file = self.file().try_clone()?;
        tokio::task::spawn_blocking(move || read_ahead(&file, offset, len))
            .await
            .map_err(io::Error::other)?
    }

    /// Appends what comes next to `into` and counts it as sent: `max` bytes, or all that remains if that is less. It
    /// stops early where it would have to wait, and returns how many bytes it appended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnexpectedEof`]: the file has become shorter than announced. The answer cannot be completed; the
    /// connection must end. Other errors are the disk's.
    pub fn read_now(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut appended = 0;
        while appended < max {
            match self.append_piece(into, max - appended, Patience::None)? {
                0 => break,
                n => appended += n,
            }
        }
        Ok(appended)
    }

    /// Like [`read_now`](Self::read_now), but waits, on a blocking thread, for what is not in memory.
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn read(&mut self, into: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        let mut appended = self.read_now(into, max)?;
        while appended < max {
            match self.piece() {
                Piece::End => break,
                Piece::Bytes(_) => {}
                Piece::File { offset, len } => {
                    let len = len.min(max - appended);
                    self.ensure_resident(offset, len).await?;
                }
            }
            // What has just been read by another thread is read in place, so that there is always progress.
            appended += self.append_piece(into, max - appended, Patience::Some)?;
        }
        Ok(appended)
    }

    /// Appends at most `max` bytes of the next piece. 0 is the end, or a wait.
    fn append_piece(
        &mut self,
        into: &mut Vec<u8>,
        max: usize,
        patience: Patience,
    ) -> io::Result<usize> {
        let n = match self.piece() {
            Piece::End => return Ok(0),
            Piece::Bytes(bytes) => {
                let n = bytes.len().min(max);
                into.extend_from_slice(&bytes[..n]);
                n
            }
            Piece::File { offset, len } => {
                let start = into.len();
                into.resize(start + len.min(max), 0);
                let read = match patience {
                    Patience::None => read_cached(self.file(), &mut into[start..], offset),
                    Patience::Some => read_at(self.file(), &mut into[start..], offset).map(Some),
                };
                into.truncate(start + read.as_ref().map_or(0, |read| read.unwrap_or(0)));
                match read? {
                    None => return Ok(0),
                    Some(0) => return Err(ErrorKind::UnexpectedEof.into()),
                    Some(n) => n,
                }
            }
        };
        self.advance(n);
        Ok(n)
    }
}

/// Whether a read may wait.
#[derive(Clone, Copy, Debug)]
enum Patience {
    None,
    Some,
}

/// Whether the byte at `offset` is in memory. Beyond the end, nothing needs to be.
fn is_resident(file: &File, offset: u64) -> io::Result<bool> {
    Ok(read_cached(file, &mut [0], offset)?.is_some())
}

/// Reads what is in memory; `None` when the first byte is not. 0 bytes is the end of the file.
fn read_cached(file: &File, into: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
    let mut slices = [IoSliceMut::new(into)];
    match preadv2(file, &mut slices, offset, ReadWriteFlags::NOWAIT) {
        Ok(n) => Ok(Some(n)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        // The file system, the kernel or a filter of system calls does not offer it.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INVAL) => {
            read_at(file, into, offset).map(Some)
        }
        Err(errno) => Err(errno.into()),
    }
}

fn read_at(file: &File, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match file.read_at(into, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Brings a range into memory.
fn read_ahead(file: &File, mut offset: u64, len: usize) -> io::Result<()> {
    let end = offset + len as u64;
    // Lets the disk work on all of it at once; it is advice, and its failure means nothing.
    let _ = fadvise(
        file,
        offset,
        std::num::NonZeroU64::new(len as u64),
        Advice::WillNeed,
    );
    let mut buffer = vec![0; len.min(READ_AHEAD)];
    while offset < end {
        let want = buffer.len().min((end - offset) as usize);
        match read_at(file, &mut buffer[..want], offset)? {
            0 => break,
            n => offset += n as u64,
        }
    }
    Ok(())
}
