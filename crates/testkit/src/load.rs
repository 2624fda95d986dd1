//! Load while a test does something to its subject: keep-alive clients on threads, and every failure counted by kind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::wire::{TIMEOUT, Wire};
use crate::{Histogram, Response};

/// Why a request under load failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadError {
    /// The connection could not be opened.
    Connect,
    /// The connection closed without a response, or the request could not be sent.
    Closed,
    /// The connection was reset.
    Reset,
    /// The response ended too early.
    Truncated,
    /// The response broke HTTP's rules.
    Malformed,
    /// No whole response came in time.
    Timeout,
    /// The response was not the expected one.
    Unexpected,
}

/// Load to be: where to, on how many connections, which requests in turn.
#[derive(Clone, Debug)]
pub struct Load {
    addr: SocketAddr,
    connections: usize,
    requests: Vec<String>,
    pause: Duration,
    per_connection: u64,
    timeout: Duration,
    expected: Option<Vec<u8>>,
}

impl Load {
    /// Eight connections that GET `/` without a pause.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            connections: 8,
            requests: Vec::new(),
            pause: Duration::ZERO,
            per_connection: u64::MAX,
            timeout: TIMEOUT,
            expected: None,
        }
    }

    /// How many connections, each on a thread of its own.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// Adds a GET for this path, with the address as Host.
    #[must_use]
    pub fn path(self, path: &str) -> Self {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.addr);
        self.request(&request)
    }

    /// Adds a whole request, as bytes on the wire; its method must not be HEAD.
    #[must_use]
    pub fn request(mut self, bytes: &str) -> Self {
        self.requests.push(bytes.to_owned());
        self
    }

    /// Waits after each response.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Opens a new connection after that many requests.
    #[must_use]
    pub fn requests_per_connection(mut self, count: u64) -> Self {
        self.per_connection = count;
        self
    }

    /// Bounds the wait for each response (10 s by default).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Every response with status 200 must have this body.
    #[must_use]
    pub fn expect_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.expected = Some(body.as_ref().to_vec());
        self
    }

    /// Starts, and goes on until it is stopped.
    pub fn start(mut self) -> RunningLoad {
        if self.requests.is_empty() {
            self = self.path("/");
        }
        let load = Arc::new(self);
        let shared = Arc::new(Shared::default());
        let threads = (0..load.connections)
            .map(|number| {
                let (load, shared) = (Arc::clone(&load), Arc::clone(&shared));
                thread::spawn(move || Worker::new(&load, &shared, number).run())
            })
            .collect();
        RunningLoad {
            shared,
            threads,
            started: Instant::now(),
        }
    }

    /// Runs until that many requests were answered or failed, in all.
    pub fn run(self, count: u64) -> LoadReport {
        let running = self.start();
        running.wait_done(count);
        running.stop()
    }
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    done: AtomicU64,
}

/// Load that goes on; dropped without [`RunningLoad::stop`], it stops too.
#[derive(Debug)]
pub struct RunningLoad {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<LoadReport>>,
    started: Instant,
}

impl RunningLoad {
    /// How many requests were answered or failed so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until that many requests are done, counted from the start.
    pub fn wait_done(&self, count: u64) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.done() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} requests after two minutes",
                self.done()
            );
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until that many more requests are done: the subject has surely worked in its new state.
    pub fn wait_more(&self, count: u64) {
        self.wait_done(self.done() + count);
    }

    /// Lets every connection finish its request, and reports.
    pub fn stop(mut self) -> LoadReport {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let mut report = LoadReport::default();
        for thread in std::mem::take(&mut self.threads) {
            report.merge(&thread.join().expect("load threads do not panic"));
        }
        report.elapsed = self.started.elapsed();
        report
    }
}

impl Drop for RunningLoad {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

/// What became of the requests.
#[derive(Clone, Debug, Default)]
pub struct LoadReport {
    /// Responses, by status.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests without a proper response, by reason.
    pub errors: BTreeMap<LoadError, u64>,
    /// The first few failures in words.
    pub samples: Vec<String>,
    /// Responses, by the value of their `X-Origin` field.
    pub origins: BTreeMap<String, u64>,
    /// From sending to the last byte of the response.
    pub latency: Histogram,
    /// From the start to the end.
    pub elapsed: Duration,
}

impl LoadReport {
    /// Responses with this status.
    pub fn status(&self, status: u16) -> u64 {
        self.statuses.get(&status).copied().unwrap_or(0)
    }

    /// All responses and failures.
    pub fn total(&self) -> u64 {
        self.statuses.values().sum::<u64>() + self.failures()
    }

    /// Requests without a proper response.
    pub fn failures(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Panics unless there was at least one response and every one had a 2xx status.
    pub fn assert_all_ok(&self) {
        let good = self
            .statuses
            .keys()
            .all(|status| (200..300).contains(status));
        assert!(
            good && self.failures() == 0 && self.total() > 0,
            "not all fine under load: {}",
            self.summary()
        );
    }

    /// The counts in one line, and the samples below.
    pub fn summary(&self) -> String {
        let mut text = format!(
            "{} requests in {:?}, statuses {:?}, errors {:?}, origins {:?}, p50 {:?}, p99 {:?}, max {:?}",
            self.total(),
            self.elapsed,
            self.statuses,
            self.errors,
            self.origins,
            self.latency.percentile(50.0),
            self.latency.percentile(99.0),
            self.latency.max(),
        );
        for sample in &self.samples {
            let _ = write!(text, "\n  {sample}");
        }
        text
    }

    fn merge(&mut self, other: &Self) {
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        for (error, count) in &other.errors {
            *self.errors.entry(*error).or_default() += count;
        }
        for (origin, count) in &other.origins {
            *self.origins.entry(origin.clone()).or_default() += count;
        }
        self.samples.extend(
            other
                .samples
                .iter()
                .take(5usize.saturating_sub(self.samples.len()))
                .cloned(),
        );
        self.latency.merge(&other.latency);
    }

    fn fail(&mut self, error: LoadError, detail: String) {
        *self.errors.entry(error).or_default() += 1;
        if self.samples.len() < 5 {
            self.samples.push(format!("{error:?}: {detail}"));
        }
    }
}

struct Worker<'a> {
    load: &'a Load,
    shared: &'a Shared,
    wire: Option<Wire>,
    /// Requests on the open connection.
    count: u64,
    next: usize,
    report: LoadReport,
}

impl<'a> Worker<'a> {
    fn new(load: &'a Load, shared: &'a Shared, number: usize) -> Self {
        Self {
            load,
            shared,
            wire: None,
            count: 0,
            next: number,
            report: LoadReport::default(),
        }
    }

    fn run(mut self) -> LoadReport {
        while !self.shared.stopped.load(Ordering::Relaxed) {
            if let Err((error, detail)) = self.one() {
                self.wire = None;
                self.report.fail(error, detail);
                // A subject that is down would otherwise get a storm of connects instead of a load.
                thread::sleep(Duration::from_millis(1));
            }
            self.shared.done.fetch_add(1, Ordering::Relaxed);
            if !self.load.pause.is_zero() {
                thread::sleep(self.load.pause);
            }
        }
        self.report
    }

    fn one(&mut self) -> Result<(), (LoadError, String)> {
        let request = &self.load.requests[self.next % self.load.requests.len()];
        self.next += 1;
        let mut wire = match self.wire.take() {
            Some(wire) => wire,
            None => {
                self.count = 0;
                connect(self.load).map_err(|e| (LoadError::Connect, e.to_string()))?
            }
        };
        let sent = Instant::now();
        wire.write(request.as_bytes()).map_err(|e| classify(&e))?;
        let response = match wire.response("GET") {
            Ok(Some(response)) => response,
            Ok(None) => {
                return Err((
                    LoadError::Closed,
                    format!("closed, {} requests before", self.count),
                ));
            }
            Err(e) => return Err(classify(&e)),
        };
        self.report.latency.record(sent.elapsed());
        self.count += 1;
        let stays = response.keeps_alive() && self.count < self.load.per_connection;
        self.judge(&response)?;
        if stays {
            self.wire = Some(wire);
        }
        Ok(())
    }

    fn judge(&mut self, response: &Response) -> Result<(), (LoadError, String)> {
        if let Some(expected) = &self.load.expected
            && response.status == 200
            && response.body != *expected
        {
            return Err((
                LoadError::Unexpected,
                format!("a body of {} bytes", response.body.len()),
            ));
        }
        *self.report.statuses.entry(response.status).or_default() += 1;
        if !(200..300).contains(&response.status) && self.report.samples.len() < 5 {
            let body = String::from_utf8_lossy(&response.body).into_owned();
            self.report
                .samples
                .push(format!("{}: {body}", response.status));
        }
        if let Some(origin) = response.header("x-origin") {
            match self.report.origins.get_mut(origin) {
                Some(count) => *count += 1,
                None => drop(self.report.origins.insert(origin.to_owned(), 1)),
            }
        }
        Ok(())
    }
}

fn connect(load: &Load) -> io::Result<Wire> {
    Wire::new(
        TcpStream::connect_timeout(&load.addr, load.timeout)?,
        load.timeout,
    )
}

fn classify(error: &io::Error) -> (LoadError, String) {
    let kind = match error.kind() {
        ErrorKind::ConnectionReset => LoadError::Reset,
        ErrorKind::BrokenPipe => LoadError::Closed,
        ErrorKind::UnexpectedEof => LoadError::Truncated,
        ErrorKind::InvalidData => LoadError::Malformed,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => LoadError::Timeout,
        _ => LoadError::Closed,
    };
    (kind, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Echo, Origin, Step, send};

    #[test]
    fn a_good_origin_has_no_failures() {
        let echo = Echo::start("app");
        let report = Load::new(echo.addr())
            .connections(4)
            .path("/bytes/100")
            .expect_body(crate::pattern(100))
            .run(200);
        report.assert_all_ok();
        assert!(
            report.status(200) >= 200 && report.origins.len() == 1,
            "{}",
            report.summary()
        );
        assert_eq!(echo.connections(), 4);
    }

    #[test]
    fn failures_are_told_apart() {
        let cases = [
            (vec![Step::ReadRequest], LoadError::Closed),
            (vec![Step::ReadRequest, Step::Reset], LoadError::Reset),
            (
                vec![
                    Step::ReadRequest,
                    send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
                ],
                LoadError::Truncated,
            ),
            (
                vec![Step::ReadRequest, send("HTTP/1.1 nonsense\r\n\r\n")],
                LoadError::Malformed,
            ),
            (vec![Step::ReadRequest, Step::Hold], LoadError::Timeout),
        ];
        for (script, expected) in cases {
            let origin = Origin::script(script);
            let load = Load::new(origin.addr())
                .connections(1)
                .timeout(Duration::from_millis(50));
            let report = load.run(1);
            assert!(
                report.errors.contains_key(&expected),
                "{expected:?}: {}",
                report.summary()
            );
        }
        let nobody = Load::new(crate::free_addr()).connections(1).run(1);
        assert!(
            nobody.errors.contains_key(&LoadError::Connect),
            "{}",
            nobody.summary()
        );
    }
}
