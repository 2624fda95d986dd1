//! Users who keep coming, whatever happens: idempotent requests at a constant rate, and what became of each.
//!
//! A request is sent when it is due, on a free connection or a new one, so that one that hangs delays no other. Its
//! latency counts from when it was due, and who has no answer after some seconds has left. Its path says in which phase
//! it was due, so that endpoints can tell whose requests they read, however late.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::open_loop::{Connections, Head, OpenLoop, PATIENCE, User};
use super::figures::Spans;

/// More would be needed only if every request hung for all its time.
const MAX_CONNECTIONS: usize = 8192;

/// Load to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) addr: SocketAddr,
    /// Requests in a second.
    pub(super) rate: u32,
    pub(super) spans: Spans,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The right answer, from the endpoint of this number.
    Answered(usize),
    /// An answer with another status.
    Status(u16),
    /// The connection ended without a whole answer, or could not be opened.
    Broken,
    /// No answer while the user waited.
    Late,
}

/// One request of a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// When it was due, from the start.
    pub(super) due: Duration,
    pub(super) latency: Duration,
    pub(super) end: End,
}

impl Load {
    /// Sends it all, the first request at `start`; to be called on a thread of its own, which is bound to its core.
    pub(super) fn run(self, start: Instant) -> io::Result<Vec<Record>> {
        let plan = OpenLoop {
            addr: self.addr,
            rate: f64::from(self.rate),
            duration: self.spans.end,
            connections: Connections::Growing(MAX_CONNECTIONS),
            patience: PATIENCE,
        };
        let users = Users {
            load: self,
            records: Vec::new(),
        };
        Ok(plan.ready(users)?.run(start)?.records)
    }
}

struct Users {
    load: Load,
    records: Vec<Record>,
}

impl User for Users {
    type End = End;

    const BROKEN: End = End::Broken;
    const LATE: End = End::Late;

    fn write(&self, due: Duration, out: &mut Vec<u8>) {
        let phase = self.load.spans.phase(due).name();
        let addr = self.load.addr;
        // Writing to memory does not fail.
        let _ = write!(out, "GET /{phase} HTTP/1.1\r\nHost: {addr}\r\n\r\n");
    }

    fn read(&self, bytes: &[u8]) -> Option<(End, bool)> {
        answer(bytes)
    }

    fn note(&mut self, due: Duration, latency: Duration, end: End) {
        self.records.push(Record { due, latency, end });
    }
}

/// What the response at the start of `bytes` says, and whether the connection stays; none before it is whole.
fn answer(bytes: &[u8]) -> Option<(End, bool)> {
    let head = Head::of(bytes)?;
    // Endpoints and subjects all say how long their answers are.
    let (Some(status), Some(length)) = (head.status(), head.body()) else {
        return Some((End::Broken, false));
    };
    if bytes.len() < head.length + length {
        return None;
    }
    let origin = head.field("x-origin").and_then(|name| name.parse().ok());
    let end = match (status, origin) {
        (200, Some(origin)) if &bytes[head.length..] == b"ok\n" => End::Answered(origin),
        (200, _) => return Some((End::Broken, false)),
        _ => End::Status(status),
    };
    let closes = head
        .field("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Some((end, !closes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_whole() {
        let ok = b"HTTP/1.1 200 OK\r\nX-Origin: 2\r\nContent-Length: 3\r\n\r\nok\n";
        assert_eq!(answer(ok), Some((End::Answered(2), true)));
        assert_eq!(answer(&ok[..ok.len() - 1]), None);
        assert_eq!(
            answer(b"HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            Some((End::Status(503), false))
        );
        assert_eq!(
            answer(b"HTTP/1.1 200 OK\r\n\r\n"),
            Some((End::Broken, false))
        );
    }
}
