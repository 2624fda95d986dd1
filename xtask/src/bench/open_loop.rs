//! Load at a constant rate, whatever the subject does.
//!
//! wrk sends the next request when the last was answered, so a subject that stalls is asked less and looks better than
//! its users would find it (coordinated omission). Here request number i is due at its time, is sent as soon as a
//! connection is free, and its latency counts from when it was due.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{Timespec, epoll};
use rustix::thread::{CpuSet, sched_setaffinity};
use weir_testkit::Histogram;

use crate::Result;

/// How long after the last request is due its response may come.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct OpenLoop {
    pub(super) addr: SocketAddr,
    /// Requests in a second.
    pub(super) rate: f64,
    pub(super) connections: usize,
    pub(super) duration: Duration,
    pub(super) core: usize,
}

pub(super) struct OpenLoopReport {
    pub(super) latency: Histogram,
    pub(super) errors: u64,
    /// Responses in a second.
    pub(super) rate: f64,
}

impl OpenLoop {
    /// Runs on a thread of its own, bound to its core.
    pub(super) fn run(&self) -> Result<OpenLoopReport> {
        std::thread::scope(|scope| {
            let generator = scope.spawn(|| {
                let mut core = CpuSet::new();
                core.set(self.core);
                sched_setaffinity(None, &core)?;
                Generator::new(self)?.run()
            });
            generator
                .join()
                .map_err(|_| "the load generator panicked".to_owned())?
                .map_err(|e| format!("{}: {e}", self.addr))
        })
    }
}

struct Generator<'a> {
    plan: &'a OpenLoop,
    request: Vec<u8>,
    poll: std::os::fd::OwnedFd,
    connections: Vec<Connection>,
    free: VecDeque<usize>,
    latency: Histogram,
    errors: u64,
    answered: u64,
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
    /// When its request was due.
    due: Instant,
}

impl<'a> Generator<'a> {
    fn new(plan: &'a OpenLoop) -> io::Result<Self> {
        let mut generator = Self {
            plan,
            request: format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", plan.addr).into_bytes(),
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            connections: Vec::new(),
            free: (0..plan.connections).collect(),
            latency: Histogram::default(),
            errors: 0,
            answered: 0,
        };
        for number in 0..plan.connections {
            let connection = generator.connect(number)?;
            generator.connections.push(connection);
        }
        Ok(generator)
    }

    fn connect(&self, number: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.plan.addr)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(
            &self.poll,
            &stream,
            epoll::EventData::new_u64(number as u64),
            epoll::EventFlags::IN,
        )?;
        Ok(Connection {
            stream,
            received: Vec::with_capacity(4096),
            due: Instant::now(),
        })
    }

    fn run(mut self) -> io::Result<OpenLoopReport> {
        let start = Instant::now();
        let total = (self.plan.rate * self.plan.duration.as_secs_f64()) as u64;
        let due = |number: u64| start + Duration::from_secs_f64(number as f64 / self.plan.rate);
        // The first tenth opens connections to the origin and warms caches.
        let warm = start + self.plan.duration / 10;
        let end = start + self.plan.duration + PATIENCE;
        let mut sent = 0;
        let mut events = Vec::with_capacity(256);
        while self.answered + self.errors < total {
            let mut now = Instant::now();
            if now > end {
                self.errors += total - self.answered - self.errors;
                break;
            }
            while sent < total && due(sent) <= now {
                let Some(number) = self.free.pop_front() else {
                    break;
                };
                self.send(number, due(sent))?;
                sent += 1;
                now = Instant::now();
            }
            let pause = if sent < total && !self.free.is_empty() {
                due(sent) - now
            } else {
                Duration::from_millis(100)
            };
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::from(pause.min(Duration::from_millis(100)).subsec_nanos()),
            };
            events.clear();
            epoll::wait(
                &self.poll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            )?;
            for event in &events {
                self.receive(event.data.u64() as usize, warm)?;
            }
        }
        Ok(OpenLoopReport {
            rate: self.answered as f64 / start.elapsed().as_secs_f64(),
            latency: self.latency,
            errors: self.errors,
        })
    }

    fn send(&mut self, number: usize, due: Instant) -> io::Result<()> {
        let connection = &mut self.connections[number];
        connection.due = due;
        // A request is far smaller than an empty socket buffer, so it goes out whole or not at all.
        if (&connection.stream).write_all(&self.request).is_err() {
            self.fail(number)?;
        }
        Ok(())
    }

    fn receive(&mut self, number: usize, warm: Instant) -> io::Result<()> {
        let connection = &mut self.connections[number];
        let mut chunk = [0; 8192];
        match (&connection.stream).read(&mut chunk) {
            Ok(0) => return self.fail(number),
            Ok(count) => connection.received.extend_from_slice(&chunk[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(_) => return self.fail(number),
        }
        match length(&connection.received) {
            None => Ok(()),
            Some(Ok(length)) if length > connection.received.len() => Ok(()),
            Some(Ok(length)) if length == connection.received.len() => {
                if connection.due >= warm {
                    self.latency.record(connection.due.elapsed());
                }
                connection.received.clear();
                self.answered += 1;
                self.free.push_back(number);
                Ok(())
            }
            Some(_) => self.fail(number),
        }
    }

    /// Counts an error and opens the connection anew.
    fn fail(&mut self, number: usize) -> io::Result<()> {
        self.errors += 1;
        self.connections[number] = self.connect(number)?;
        self.free.push_back(number);
        Ok(())
    }
}

/// The length of the response at the start of `bytes`, once its head is whole; an error when it is not a 200 with a
/// Content-Length.
fn length(bytes: &[u8]) -> Option<std::result::Result<usize, ()>> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    if !bytes.starts_with(b"HTTP/1.1 200 ") {
        return Some(Err(()));
    }
    let text = std::str::from_utf8(&bytes[..head]).unwrap_or_default();
    let value = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then_some(value.trim())
    });
    Some(
        value
            .and_then(|value| value.parse::<usize>().ok())
            .map(|body| head + body)
            .ok_or(()),
    )
}
