//! Load at a constant rate, whatever the subject does.
//!
//! wrk sends the next request when the last was answered, so a subject that stalls is asked less and looks better than
//! its users would find it (coordinated omission). Here request number i is due at its time, is sent as soon as a
//! connection is free, and its latency counts from when it was due. Who has no answer after some seconds has left.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::thread::{CpuSet, sched_setaffinity};

/// How long users wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked who has left.
const TICK: Duration = Duration::from_millis(50);
/// The core that load shares with origin or endpoints.
const CORE: usize = 1;

/// Load to be.
pub(super) struct OpenLoop {
    pub(super) addr: SocketAddr,
    /// Requests in a second.
    pub(super) rate: f64,
    pub(super) duration: Duration,
    pub(super) connections: Connections,
    /// How long a user waits.
    pub(super) patience: Duration,
}

/// The connections that requests take.
#[derive(Clone, Copy)]
pub(super) enum Connections {
    /// So many, opened before the first request, one after another.
    Fixed(usize),
    /// The one that was used last, or a new one, up to so many: a request that hangs delays no other.
    Growing(usize),
}

/// Who sends requests, and reads what comes back.
pub(super) trait User {
    /// What becomes of a request.
    type End;

    /// The connection ended without a whole answer, or could not be opened.
    const BROKEN: Self::End;
    /// No answer while the user waited.
    const LATE: Self::End;

    /// Appends the request that is due then.
    fn write(&self, due: Duration, out: &mut Vec<u8>);

    /// What the response at the start of `bytes` says, and whether the connection stays; none before it is whole.
    fn read(&self, bytes: &[u8]) -> Option<(Self::End, bool)>;

    /// Notes what became of a request.
    fn note(&mut self, due: Duration, latency: Duration, end: Self::End);
}

/// Load that is ready to begin.
pub(super) struct Generator<U> {
    plan: OpenLoop,
    user: U,
    start: Instant,
    request: Vec<u8>,
    poll: OwnedFd,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    /// Requests of which it is known what became of them.
    ended: u64,
}

#[derive(Default)]
struct Connection {
    stream: Option<TcpStream>,
    received: Vec<u8>,
    /// When its request was due; none without one.
    due: Option<Duration>,
}

impl OpenLoop {
    /// Makes all ready; to be called on the thread that then runs it, which is bound to its core.
    pub(super) fn ready<U: User>(self, user: U) -> io::Result<Generator<U>> {
        let mut core = CpuSet::new();
        core.set(CORE);
        sched_setaffinity(None, &core)?;
        let fixed = match self.connections {
            Connections::Fixed(count) => count,
            Connections::Growing(_) => 0,
        };
        let mut generator = Generator {
            plan: self,
            user,
            start: Instant::now(),
            request: Vec::new(),
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            free: (0..fixed).collect(),
            ended: 0,
        };
        for number in 0..fixed {
            let stream = generator.connect(number)?;
            generator.connections.push(Connection {
                stream: Some(stream),
                ..Connection::default()
            });
        }
        Ok(generator)
    }
}

impl<U: User> Generator<U> {
    /// Sends it all, the first request at `start`.
    pub(super) fn run(mut self, start: Instant) -> io::Result<U> {
        self.start = start;
        let rate = self.plan.rate;
        let total = (self.plan.duration.as_secs_f64() * rate) as u64;
        let due = |number: u64| Duration::from_secs_f64(number as f64 / rate);
        let mut sent = 0;
        let mut swept = Duration::ZERO;
        let mut events = Vec::with_capacity(256);
        while self.ended < total {
            let mut now = start.elapsed();
            let mut pause = TICK;
            while sent < total {
                if due(sent) > now {
                    pause = pause.min(due(sent) - now);
                    break;
                }
                if !self.send(due(sent), now) {
                    break;
                }
                sent += 1;
                now = start.elapsed();
            }
            if now > swept + TICK {
                swept = now;
                self.give_up(now);
            }
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(pause.subsec_nanos()),
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
        Ok(self.user)
    }

    /// Sends the request that was due then; false if it has to wait for a connection.
    fn send(&mut self, due: Duration, now: Duration) -> bool {
        let Some(number) = self.take_free() else {
            let leaves = due + self.plan.patience <= now;
            if leaves {
                self.ended += 1;
                self.user.note(due, now - due, U::LATE);
            }
            return leaves;
        };
        self.connections[number].due = Some(due);
        if self.connections[number].stream.is_none() {
            self.connections[number].stream = self.connect(number).ok();
        }
        self.request.clear();
        self.user.write(due, &mut self.request);
        // A request is far smaller than an empty socket buffer, so it goes out whole or not at all.
        let stream = self.connections[number].stream.as_mut();
        if stream.is_none_or(|stream| stream.write_all(&self.request).is_err()) {
            self.end(number, U::BROKEN, false);
        }
        true
    }

    fn take_free(&mut self) -> Option<usize> {
        let most = match self.plan.connections {
            Connections::Fixed(_) => return self.free.pop_front(),
            Connections::Growing(most) => most,
        };
        self.free.pop_back().or_else(|| {
            let number = self.connections.len();
            (number < most).then(|| {
                self.connections.push(Connection::default());
                number
            })
        })
    }

    fn connect(&self, number: usize) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.plan.addr, self.plan.patience)?;
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
            Ok(0) => return self.end(number, U::BROKEN, false),
            Ok(count) => connection.received.extend_from_slice(&chunk[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return,
            Err(_) => return self.end(number, U::BROKEN, false),
        }
        if let Some((end, stays)) = self.user.read(&connection.received) {
            self.end(number, end, stays);
        }
    }

    /// Ends the request on a connection, if it has one.
    fn end(&mut self, number: usize, end: U::End, stays: bool) {
        let now = self.start.elapsed();
        let connection = &mut self.connections[number];
        connection.received.clear();
        if !stays {
            connection.stream = None;
        }
        // An idle connection may be closed by the subject; it is still in the list of free ones.
        if let Some(due) = connection.due.take() {
            self.ended += 1;
            self.user.note(due, now.saturating_sub(due), end);
            self.free.push_back(number);
        }
    }

    fn give_up(&mut self, now: Duration) {
        for number in 0..self.connections.len() {
            let due = self.connections[number].due;
            if due.is_some_and(|due| due + self.plan.patience <= now) {
                self.end(number, U::LATE, false);
            }
        }
    }
}

/// The lines of the head at the start of a response.
pub(super) struct Head<'a> {
    /// Its length in bytes.
    pub(super) length: usize,
    text: &'a str,
}

impl<'a> Head<'a> {
    /// None before it is whole.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let length = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        Some(Self {
            length,
            text: std::str::from_utf8(&bytes[..length]).unwrap_or_default(),
        })
    }

    pub(super) fn status(&self) -> Option<u16> {
        self.text.split(' ').nth(1)?.parse().ok()
    }

    pub(super) fn field(&self, wanted: &str) -> Option<&'a str> {
        self.text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    }

    /// The length of the body.
    pub(super) fn body(&self) -> Option<usize> {
        self.field("content-length")?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use weir_testkit::{App, Reply};

    use super::*;

    #[derive(Default)]
    struct Counts {
        good: u64,
        late: u64,
        longest: Duration,
    }

    impl User for Counts {
        type End = bool;

        const BROKEN: bool = false;
        const LATE: bool = false;

        fn write(&self, _: Duration, out: &mut Vec<u8>) {
            out.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }

        fn read(&self, bytes: &[u8]) -> Option<(bool, bool)> {
            let head = Head::of(bytes)?;
            let whole = head.body()? + head.length <= bytes.len();
            whole.then(|| (head.status() == Some(200), true))
        }

        fn note(&mut self, _: Duration, latency: Duration, good: bool) {
            *(if good { &mut self.good } else { &mut self.late }) += 1;
            self.longest = self.longest.max(latency);
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn load(app: &App, connections: Connections, patience: Duration) -> Counts {
        let plan = OpenLoop {
            addr: app.addr(),
            rate: 200.0,
            duration: Duration::from_millis(500),
            connections,
            patience,
        };
        let generator = plan.ready(Counts::default()).expect("a generator");
        generator.run(Instant::now()).expect("a run")
    }

    #[test]
    fn every_request_is_sent_and_counted_from_when_it_was_due() {
        let app = App::fine("app");
        let counts = load(&app, Connections::Fixed(4), SECOND * 20);
        assert_eq!((counts.good, counts.late, app.requests()), (100, 0, 100));
        assert_eq!(app.connections(), 4, "used in turn");
        // One connection for what takes longer than the time between two: they wait, and that counts.
        let slow = App::start("slow", |_| Reply::ok().after(Duration::from_millis(10)));
        let counts = load(&slow, Connections::Fixed(1), SECOND * 20);
        assert_eq!((counts.good, slow.connections()), (100, 1));
        assert!(
            counts.longest >= Duration::from_millis(400),
            "{:?}",
            counts.longest
        );
        let counts = load(&slow, Connections::Growing(50), SECOND * 20);
        assert_eq!(counts.good, 100);
        assert!(slow.connections() > 2, "none waits for another");
    }

    #[test]
    fn who_is_not_answered_leaves() {
        let app = App::start("app", |_| Reply::hold());
        let counts = load(&app, Connections::Growing(10), SECOND);
        assert_eq!((counts.good, counts.late), (0, 100));
        assert!(app.most_at_once() <= 10, "no more than it may have");
    }
}
