//! Where log lines go.
//!
//! A file takes a batch in one write. A pipe, a socket or a terminal may have
//! a reader that sleeps, and a blocked write could not be told about a reload or a shutdown. So
//! there the sink asks `poll` first, waits at most a moment, and writes whole lines of at most
//! `PIPE_BUF` bytes, which a ready pipe takes without blocking (pipe(7)) and without another
//! process's lines getting in between.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

/// Linux's `PIPE_BUF`; POSIX promises at least 512.
const PIPE_BUF: usize = if cfg!(target_os = "linux") { 4096 } else { 512 };
/// How long one write may wait for its reader.
const PATIENCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// A destination, as the config names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing is logged.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to and made if need be (mode 0640); or a named pipe that has a reader.
    File(PathBuf),
}

/// An open destination.
#[derive(Debug)]
pub struct Sink {
    target: Target,
    out: Option<File>,
    paced: bool,
}

impl Sink {
    /// Opens the destination. The error is the operating system's; the caller knows the path.
    pub fn open(target: Target) -> io::Result<Self> {
        let out = match &target {
            Target::Off => None,
            Target::Stdout => Some(File::from(io::stdout().as_fd().try_clone_to_owned()?)),
            Target::Stderr => Some(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
            Target::File(path) => {
                // Non-blocking matters for a named pipe: no waiting for its reader.
                let flags = OFlags::WRONLY
                    | OFlags::APPEND
                    | OFlags::CREATE
                    | OFlags::CLOEXEC
                    | OFlags::NOCTTY
                    | OFlags::NONBLOCK;
                Some(File::from(rustix::fs::open(
                    path,
                    flags,
                    Mode::from_raw_mode(0o640),
                )?))
            }
        };
        let paced = match &out {
            Some(file) => has_reader(file)?,
            None => false,
        };
        Ok(Self { target, out, paced })
    }

    pub(crate) const fn target(&self) -> &Target {
        &self.target
    }

    pub(crate) const fn is_off(&self) -> bool {
        self.out.is_none()
    }

    /// Writes some of `lines`, at least a byte. `WouldBlock` means that the reader did not read for
    /// a moment.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let Some(file) = &mut self.out else {
            return Ok(lines.len());
        };
        let mut some = lines;
        if self.paced {
            some = whole_lines(lines);
            if poll(&mut [PollFd::new(file, PollFlags::OUT)], Some(&PATIENCE))? == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        match file.write(some)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => Ok(n),
        }
    }
}

/// Whether somebody at the other end may be slow to read. Devices such as `/dev/null` have nobody.
fn has_reader(file: &File) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(kind.is_fifo() || kind.is_socket() || file.is_terminal())
}

/// As many lines as fit into one atomic write, or a piece of one that does not.
fn whole_lines(lines: &[u8]) -> &[u8] {
    let piece = &lines[..lines.len().min(PIPE_BUF)];
    match piece.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => &piece[..=end],
        None => piece,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_ends_with_a_line() {
        assert_eq!(whole_lines(b"a\nb\nc"), b"a\nb\n");
        assert_eq!(whole_lines(b"abc"), b"abc");
        let mut long = vec![b'x'; PIPE_BUF - 1];
        long.extend_from_slice(b"\ny\n");
        assert_eq!(whole_lines(&long).len(), PIPE_BUF);
        long.insert(0, b'x');
        assert_eq!(
            whole_lines(&long).len(),
            PIPE_BUF,
            "a line that does not fit goes in pieces"
        );
        long.splice(0..0, *b"z\n");
        assert_eq!(whole_lines(&long), b"z\n");
    }

    #[test]
    fn what_cannot_be_opened_is_an_error() {
        assert!(Sink::open(Target::File("/".into())).is_err());
        assert!(Sink::open(Target::File("/nowhere/at/all".into())).is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_and_off_takes_all() {
        let mut full = Sink::open(Target::File("/dev/full".into())).unwrap();
        assert_eq!(
            full.write(b"x\n").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        assert_eq!(Sink::open(Target::Off).unwrap().write(b"x\n").unwrap(), 2);
    }
}
