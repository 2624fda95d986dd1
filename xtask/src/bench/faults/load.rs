//! Users who keep coming, whatever happens: idempotent requests at a constant rate, and what became of each.
//!
//! A request is sent when it is due, on a free connection or a new one, so that one that hangs delays no other. Its
//! latency counts from when it was due, and who has no answer after some seconds has left. Its path says in which phase
//! it was due, so that endpoints can tell whose requests they read, however late.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::figures::Spans;

/// How long a user waits.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// More would be needed only if every request hung for all its time.
const MAX_CONNECTIONS: usize = 8192;
/// The core that load and endpoints share.
const CORE: usize = 1;

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
        let mut core = CpuSet::new();
        core.set(CORE);
        sched_setaffinity(None, &core)?;
        let users = Users {
            load: self,
            start,
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            free: Vec::new(),
            records: Vec::new(),
        };
        users.run()
    }
}

struct Users {
    load: Load,
    start: Instant,
    poll: OwnedFd,
    connections: Vec<Connection>,
    free: Vec<usize>,
    records: Vec<Record>,
}

#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    received: Vec<u8>,
    /// When its request was due; none without one.
    due: Option<Duration>,
}

impl Users {
    fn run(mut self) -> io::Result<Vec<Record>> {
        let total = (self.load.spans.end.as_secs_f64() * f64::from(self.load.rate)) as u32;
        let rate = f64::from(self.load.rate);
        let due = |number: u32| Duration::from_secs_f64(f64::from(number) / rate);
        let mut sent = 0;
        let mut swept = Duration::ZERO;
        let mut events = Vec::with_capacity(256);
        while self.records.len() < total as usize {
            let mut now = self.start.elapsed();
            while sent < total && due(sent) <= now {
                self.send(due(sent))?;
                sent += 1;
                now = self.start.elapsed();
            }
            if now > swept + Duration::from_millis(50) {
                swept = now;
                self.give_up(now);
            }
            let next = if sent < total {
                due(sent).saturating_sub(now)
            } else {
                PATIENCE
            };
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(next.min(Duration::from_millis(50)).subsec_nanos()),
            };
            events.clear();
            epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            )?;
            for event in &events {
                self.receive(event.data.u64() as usize);
            }
        }
        Ok(self.records)
    }

    fn send(&mut self, due: Duration) -> io::Result<()> {
        let number = match self.free.pop() {
            Some(number) => number,
            None if self.connections.len() < MAX_CONNECTIONS => {
                self.connections.push(Connection::default());
                self.connections.len() - 1
            }
            None => {
                return Err(io::Error::other("too many requests hang at once"));
            }
        };
        self.connections[number].due = Some(due);
        if self.connections[number].stream.is_none() {
            match self.connect(number) {
                Ok(stream) => self.connections[number].stream = Some(stream),
                Err(_) => {
                    self.end(number, End::Broken);
                    return Ok(());
                }
            }
        }
        let phase = self.load.spans.phase(due).name();
        let request = format!("GET /{phase} HTTP/1.1\r\nHost: {}\r\n\r\n", self.load.addr);
        // A request is far smaller than an empty socket buffer, so it goes out whole or not at all.
        let stream = self.connections[number].stream.as_mut();
        if stream.is_none_or(|stream| stream.write_all(request.as_bytes()).is_err()) {
            self.end(number, End::Broken);
        }
        Ok(())
    }

    fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.load.addr, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &self.poll,
            &stream,
            epoll::EventData::new_u64(number as u64),
            epoll::EventFlags::IN,
        )?;
        Ok(stream)
    }

    fn receive(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        let Some(mut stream) = connection.stream.as_ref() else {
            return; // closed by an event of the same batch
        };
        let mut chunk = [0; 8192];
        match stream.read(&mut chunk) {
            Ok(0) => return self.end(number, End::Broken),
            Ok(count) => connection.received.extend_from_slice(&chunk[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => return self.end(number, End::Broken),
        }
        if let Some((end, stays)) = answer(&connection.received) {
            if !stays {
                connection.stream = None;
            }
            self.end(number, end);
        }
    }

    /// Ends the request on a connection, if it has one; the connection stays only after a whole answer.
    fn end(&mut self, number: usize, end: End) {
        let now = self.start.elapsed();
        let connection = &mut self.connections[number];
        connection.received.clear();
        if !matches!(end, End::Answered(_) | End::Status(_)) {
            connection.stream = None;
        }
        // An idle connection may be closed by the subject; it is still in the list of free ones.
        if let Some(due) = connection.due.take() {
            self.records.push(Record {
                due,
                latency: now.saturating_sub(due),
                end,
            });
            self.free.push(number);
        }
    }

    fn give_up(&mut self, now: Duration) {
        for number in 0..self.connections.len() {
            let due = self.connections[number].due;
            if due.is_some_and(|due| due + PATIENCE <= now) {
                self.end(number, End::Late);
            }
        }
    }
}

/// What the response at the start of `bytes` says, and whether the connection stays; none before it is whole.
fn answer(bytes: &[u8]) -> Option<(End, bool)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap_or_default();
    let field = |wanted: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    };
    let status = text.split(' ').nth(1).and_then(|text| text.parse().ok());
    let length = field("content-length").and_then(|value| value.parse::<usize>().ok());
    // Endpoints and subjects all say how long their answers are.
    let (Some(status), Some(length)) = (status, length) else {
        return Some((End::Broken, false));
    };
    if bytes.len() < head + length {
        return None;
    }
    let origin = field("x-origin").and_then(|name| name.parse().ok());
    let end = match (status, origin) {
        (200, Some(origin)) if &bytes[head..] == b"ok\n" => End::Answered(origin),
        (200, _) => End::Broken,
        _ => End::Status(status),
    };
    let closes = field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
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
