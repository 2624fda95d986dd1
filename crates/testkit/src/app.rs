//! An application that behaves as a test tells it, request by request, and remembers everything that it was sent.
//!
//! [`Origin`](crate::Origin) plays bytes and [`Echo`](crate::Echo) always behaves; this one is for tests of what a proxy
//! does about an endpoint: it answers with any status after any time, breaks its connections, holds requests until the
//! test lets them go, and tells how often it was asked, in which order, and by whom it was left waiting.

use std::fmt::Write as _;
use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::acceptor::Acceptor;
use crate::message::Request;
use crate::wire::Wire;

/// Connections between a proxy and an endpoint may idle for long.
const IDLE: Duration = Duration::from_secs(60);
/// How often one that waits looks up.
const TICK: Duration = Duration::from_millis(1);

/// What an [`App`] does about one request.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Answer,
    Hold,
    Reset,
    ResetAtHead,
    Break,
}

impl Reply {
    /// This status with a short body.
    pub fn status(status: u16) -> Self {
        Self {
            status,
            fields: Vec::new(),
            body: b"ok\n".to_vec(),
            delay: Duration::ZERO,
            act: Act::Answer,
        }
    }

    /// 200 with a short body.
    pub fn ok() -> Self {
        Self::status(200)
    }

    /// Nothing, until [`App::release`] lets one go on; then 200.
    pub fn hold() -> Self {
        Self::ok().act(Act::Hold)
    }

    /// Reads the whole request, and resets the connection.
    pub fn reset() -> Self {
        Self::ok().act(Act::Reset)
    }

    /// Reads the head of the request, and resets the connection before its body.
    pub fn reset_at_head() -> Self {
        Self::ok().act(Act::ResetAtHead)
    }

    /// Sends half of the answer, and resets the connection.
    pub fn break_off() -> Self {
        Self::ok().act(Act::Break)
    }

    fn act(mut self, act: Act) -> Self {
        self.act = act;
        self
    }

    /// Only after this time.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }
}

/// A request as an [`App`] saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The request; without its body if that was not awaited.
    pub request: Request,
    /// When its head was complete.
    pub at: Instant,
    /// The number of its connection, from 1.
    pub connection: usize,
}

type Behaviour = Arc<dyn Fn(&Request) -> Reply + Send + Sync>;

/// A running application; dropped, it stops and cuts its connections. Every answer has `X-Origin: NAME`.
pub struct App {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "App {} at {}", self.shared.name, self.addr())
    }
}

struct Shared {
    name: String,
    behaviour: Mutex<Behaviour>,
    stopped: Arc<AtomicBool>,
    seen: Mutex<Vec<Seen>>,
    left: AtomicUsize,
    permits: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl App {
    /// Starts one on a free address.
    pub fn start(
        name: &str,
        behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::start_at(name, crate::free_addr(), behaviour)
    }

    /// Starts one on this address.
    pub fn start_at(
        name: &str,
        addr: SocketAddr,
        behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            behaviour: Mutex::new(Arc::new(behaviour)),
            stopped: Arc::default(),
            seen: Mutex::default(),
            left: AtomicUsize::new(0),
            permits: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        });
        let acceptor = Acceptor::start(addr, Arc::clone(&shared.stopped), {
            let shared = Arc::clone(&shared);
            move |stream, number| serve(stream, number, &shared)
        });
        Self { acceptor, shared }
    }

    /// One that answers 200 to everything.
    pub fn fine(name: &str) -> Self {
        Self::start(name, |_| Reply::ok())
    }

    /// From now on it behaves like this.
    pub fn behave(&self, behaviour: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.behaviour) = Arc::new(behaviour);
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.acceptor.connections()
    }

    /// How many requests it was sent.
    pub fn requests(&self) -> usize {
        lock(&self.shared.seen).len()
    }

    /// Every request so far, in the order they came.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// The targets of all requests so far, in the order they came.
    pub fn targets(&self) -> Vec<String> {
        let seen = lock(&self.shared.seen);
        seen.iter().map(|one| one.request.target.clone()).collect()
    }

    /// How many requests it works on or holds right now.
    pub fn busy(&self) -> usize {
        self.shared.now.load(Ordering::SeqCst)
    }

    /// The most requests that it ever had at once.
    pub fn most_at_once(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }

    /// How many requests the other side has left before they were answered.
    pub fn left(&self) -> usize {
        self.shared.left.load(Ordering::SeqCst)
    }

    /// Lets that many held requests go on, now or when they come.
    pub fn release(&self, count: usize) {
        self.shared.permits.fetch_add(count, Ordering::SeqCst);
    }

    /// Waits until it was sent that many requests.
    pub fn wait_requests(&self, count: usize) {
        let name = &self.shared.name;
        crate::wait_until(&format!("{count} requests at {name}"), || {
            self.requests() >= count
        });
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- {self:?} was sent {:?}", self.targets());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, connection: usize, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream, IDLE)?;
    while let Some(mut request) = wire.request_head()? {
        let at = Instant::now();
        let behaviour = Arc::clone(&lock(&shared.behaviour));
        let reply = behaviour(&request);
        let see = |request: &Request| {
            lock(&shared.seen).push(Seen {
                request: request.clone(),
                at,
                connection,
            });
        };
        if reply.act == Act::ResetAtHead {
            see(&request);
            crate::client::reset(wire.stream());
            return Ok(());
        }
        if request.headers.has_token("expect", "100-continue") {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        wire.request_body(&mut request)?;
        let busy = Busy::begin(shared);
        see(&request);
        let stays = answer(&mut wire, &request, &reply, shared, busy)?;
        if !stays || !request.keeps_alive() {
            break;
        }
    }
    wire.stream().shutdown(Shutdown::Both)
}

/// Counts who is at work.
struct Busy<'a>(&'a Shared);

impl<'a> Busy<'a> {
    fn begin(shared: &'a Shared) -> Self {
        let now = shared.now.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most.fetch_max(now, Ordering::SeqCst);
        Self(shared)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.now.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Does what the reply says; false when the connection is to end.
fn answer(
    wire: &mut Wire,
    request: &Request,
    reply: &Reply,
    shared: &Shared,
    busy: Busy<'_>,
) -> io::Result<bool> {
    let begin = Instant::now();
    if !waited(wire, shared, || begin.elapsed() >= reply.delay)? {
        return Ok(false);
    }
    let permit = || {
        let take = |permits: usize| permits.checked_sub(1);
        let order = Ordering::SeqCst;
        shared.permits.fetch_update(order, order, take).is_ok()
    };
    if reply.act == Act::Hold && !waited(wire, shared, permit)? {
        return Ok(false);
    }
    // Before the answer: whoever reads it may send the next request before this thread goes on.
    drop(busy);
    if reply.act == Act::Reset {
        crate::client::reset(wire.stream());
        return Ok(false);
    }
    let mut bytes = format!(
        "HTTP/1.1 {} Status\r\nX-Origin: {}\r\n",
        reply.status, shared.name
    );
    for (name, value) in &reply.fields {
        let _ = write!(bytes, "{name}: {value}\r\n");
    }
    let _ = write!(bytes, "Content-Length: {}\r\n\r\n", reply.body.len());
    let mut bytes = bytes.into_bytes();
    if request.method != "HEAD" {
        bytes.extend_from_slice(&reply.body);
    }
    if reply.act == Act::Break {
        wire.write(&bytes[..bytes.len() / 2])?;
        crate::client::reset(wire.stream());
        return Ok(false);
    }
    wire.write(&bytes)?;
    Ok(true)
}

/// Waits until `done`; false when the other side closes before, or the application stops.
fn waited(wire: &mut Wire, shared: &Shared, mut done: impl FnMut() -> bool) -> io::Result<bool> {
    if done() {
        return Ok(true);
    }
    wire.set_timeout(TICK)?;
    loop {
        match wire.fill() {
            Ok(count) if count > 0 => {} // the next request, which waits its turn
            Err(e) if e.kind() == ErrorKind::TimedOut => {}
            _ => {
                shared.left.fetch_add(1, Ordering::SeqCst);
                return Ok(false);
            }
        }
        if shared.stopped.load(Ordering::SeqCst) {
            return Ok(false);
        }
        if done() {
            wire.set_timeout(IDLE)?;
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawClient;

    #[test]
    fn it_answers_as_told_and_remembers() {
        let app = App::start("app", |request| match request.target.as_str() {
            "/late" => Reply::ok().after(Duration::from_millis(30)),
            "/reset" => Reply::reset(),
            "/half" => Reply::break_off(),
            _ => Reply::status(503).field("Retry-After", "7").body("later"),
        });
        let mut client = RawClient::connect(app.addr());
        let begin = Instant::now();
        assert_eq!(client.get("/late").status, 200);
        assert!(begin.elapsed() >= Duration::from_millis(30));
        let refused = client.get("/other");
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (503, Some("7"))
        );
        client.send("PUT /reset HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc");
        client.try_response().expect_err("a reset");
        client = RawClient::connect(app.addr());
        client.send("GET /half HTTP/1.1\r\nHost: x\r\n\r\n");
        client.try_response().expect_err("half an answer");
        assert_eq!(app.targets(), ["/late", "/other", "/reset", "/half"]);
        assert_eq!(app.seen()[2].request.body, b"abc");
        assert_eq!(app.connections(), 2);
    }

    #[test]
    fn it_holds_until_released_and_notices_who_leaves() {
        let app = App::start("app", |_| Reply::hold());
        let mut clients: Vec<RawClient> = (0..2).map(|_| RawClient::connect(app.addr())).collect();
        for client in &mut clients {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        }
        app.wait_requests(2);
        crate::wait_until("both at work", || app.busy() == 2);
        drop(clients.pop());
        crate::wait_until("one to be left", || app.left() == 1);
        app.release(1);
        assert_eq!(clients[0].response().status, 200);
        assert_eq!((app.busy(), app.most_at_once()), (0, 2));
        app.behave(|_| Reply::ok());
        assert_eq!(clients[0].get("/").status, 200);
    }
}
