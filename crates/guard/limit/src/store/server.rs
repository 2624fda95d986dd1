//! One Redis server: its connection, and the questions on their way to it.
//!
//! A task owns the connection. Questions come to it over a bounded channel and go out at once, one behind the other on
//! the same connection: those that come while others are being written leave in the same packet. The task also finds
//! out when the server is back after it failed; nobody else waits for that.
//!
//! A connection that requests gave up on is closed and never used again: what was sent on it may still arrive at a
//! server that hung, and its answers with it.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, ServerErrorKind};
use tokio::sync::mpsc;

use super::alone::Alone;
use super::breaker::Breaker;
use super::call::{Call, Part};
use super::clock::StoreClock;
use super::connection::{CONNECT, Connection, SMALL_ANSWER, send, told, told_first};
use super::error::StoreError;
use super::hub::{Attended, Hub};
use super::question::{Question, ask};

/// The first wait before a server is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(25);
/// A connection that lasted so long was a good one: when it breaks, the next is tried at once.
const STEADY: Duration = Duration::from_secs(5);
/// How often a server is tried while all seems well: one that went away without a word is found before requests wait for it.
const LOOK_AFTER: Duration = Duration::from_secs(5);

/// What a server means that redirects although nobody expects it.
pub(crate) const NOT_SAID: &str =
    "it is a Redis Cluster, and the config does not say `cluster: true`";

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Address {
    /// A name or an IP address without brackets.
    pub(crate) host: Arc<str>,
    pub(crate) port: u16,
}

impl Address {
    /// The address in a redirection, which leaves the host out if it is that of the server which sent it.
    pub(crate) fn redirected(text: &str, from: &Server) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Self {
            host: if host.is_empty() || host == "?" {
                Arc::clone(&from.address.host)
            } else {
                host.into()
            },
            port: port.parse().ok()?,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What those who ask share with the task.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: Address,
    pub(crate) breaker: Breaker,
    pub(crate) clock: StoreClock,
    pub(crate) alone: Alone,
    questions: mpsc::Sender<Question>,
    pending: Arc<AtomicUsize>,
    most_pending: usize,
    /// Whom the task pretends to be to find out whether checks work: a client whose key lies on this server.
    probe: Mutex<Vec<u8>>,
    /// The hostname that it is announced with in a Cluster, for its certificate.
    announced: Mutex<Option<Arc<str>>>,
}

/// A place among the questions under way; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// A server, and the questions that its task is to take.
    pub(crate) fn new(address: Address, hub: &Hub) -> Attended {
        // There are never more questions in the channel than under way.
        let (questions, taken) = mpsc::channel(hub.most_pending);
        let server = Self {
            address,
            breaker: Breaker::new(hub.failures_to_open),
            clock: StoreClock::new(hub.started),
            alone: Alone::new(hub.started),
            questions,
            pending: Arc::default(),
            most_pending: hub.most_pending,
            probe: Mutex::new(b"0".to_vec()),
            announced: Mutex::default(),
        };
        (Arc::new(server), taken)
    }

    /// A place among the questions under way, if one is free.
    pub(crate) fn enter(&self) -> Result<Place, StoreError> {
        let before = self.pending.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(&self.pending));
        if before < self.most_pending {
            Ok(place)
        } else {
            Err(StoreError::Full)
        }
    }

    /// Passes a question on to the task.
    pub(crate) fn put(&self, question: Question) -> Result<(), StoreError> {
        self.questions
            .try_send(question)
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => StoreError::Full,
                mpsc::error::TrySendError::Closed(_) => StoreError::Lost,
            })
    }

    /// Passes on what another server was asked first; nobody waits here to hear of a failure.
    pub(crate) fn pass(&self, question: Question) {
        if let Err(refused) = self.questions.try_send(question) {
            refused.into_inner().answer(Err(StoreError::Lost));
        }
    }

    /// Takes the time that it told in an answer that came now. Where that jumps, counts may be lost.
    pub(crate) fn learn(&self, sent: Instant, told: i64) {
        let now = Instant::now();
        if self.clock.learn(sent, now, told) {
            self.alone.now(now);
        }
    }

    /// Whether it answered a check and is asked now.
    pub(crate) fn is_connected(&self) -> bool {
        self.clock.is_known() && !self.breaker.is_open()
    }

    /// How many questions are under way.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    /// Changes whose key is used to try the server.
    pub(crate) fn set_probe(&self, client: Vec<u8>) {
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Changes the hostname that its certificate is to be for.
    pub(crate) fn set_announced(&self, hostname: Option<Arc<str>>) {
        *self
            .announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = hostname;
    }

    /// The hostname that its certificate is to be for, if it is known.
    pub(crate) fn announced(&self) -> Option<Arc<str>> {
        self.announced
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn probe(&self) -> Vec<u8> {
        self.probe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Why a connection was left.
enum End {
    /// It broke, or the server closed it.
    Broken,
    /// Requests opened the breaker.
    Tripped,
    /// It does not answer as it should, for this reason.
    Silent(String),
}

/// The task of a server; it ends when it is aborted.
pub(crate) async fn attend(
    server: Arc<Server>,
    mut questions: mpsc::Receiver<Question>,
    hub: Arc<Hub>,
) {
    let mut waits = Waits::new(hub.longest_retry);
    let mut was_connected = false;
    loop {
        match connect(&server, &hub).await {
            Ok(mut connection) => {
                if was_connected {
                    // It may have lost counts, also if nobody asked for any meanwhile.
                    server.alone.now(Instant::now());
                }
                was_connected = true;
                server.breaker.close();
                hub.changed.notify_waiters();
                let since = Instant::now();
                let end = serve(&server, &mut questions, &hub, &mut connection).await;
                if since.elapsed() >= STEADY {
                    waits.begin_anew();
                    if matches!(end, End::Broken) {
                        // Perhaps it was only closed for being idle; questions wait for the next one meanwhile.
                        continue;
                    }
                }
                match end {
                    End::Broken => server.breaker.open(&"the connection broke"),
                    End::Silent(why) => server.breaker.open(&why),
                    End::Tripped => true,
                };
            }
            Err(why) => {
                if !server.breaker.open(&why) {
                    server.breaker.explain(&why);
                }
                hub.changed.notify_waiters();
            }
        }
        hub.look_again.notify_one();
        refuse(&mut questions, waits.next()).await;
    }
}

/// Connects, and tries whole checks: one that the server may take its time for, since it makes the script known there,
/// and one that it must answer as fast as every other. A server that answers late would else be asked again and again,
/// each time until some had waited for nothing.
async fn connect(server: &Server, hub: &Hub) -> Result<Connection, String> {
    let announced = server.announced();
    let connection =
        Connection::open(&server.address, announced.as_deref(), hub, SMALL_ANSWER).await?;
    let mut line = connection.line.clone();
    try_check(&mut line, server, hub, true, CONNECT).await?;
    try_check(&mut line, server, hub, false, hub.timeout).await?;
    Ok(connection)
}

/// Tries a server from time to time; ends with the reason when it does not answer as it should.
async fn look_after(mut line: MultiplexedConnection, server: &Server, hub: &Hub) -> String {
    loop {
        tokio::time::sleep(LOOK_AFTER).await;
        if let Err(why) = try_check(&mut line, server, hub, true, CONNECT).await {
            return why;
        }
    }
}

async fn try_check(
    line: &mut MultiplexedConnection,
    server: &Server,
    hub: &Hub,
    whole: bool,
    within: Duration,
) -> Result<(), String> {
    let probe = Call::Check {
        parts: Arc::new([Part {
            key: hub.probe.key(&server.probe()).into(),
            quota: Arc::clone(&hub.probe),
            cost: 1,
            binding: true,
        }]),
        count: true,
    };
    let trial = probe.command(i64::MAX >> 11, whole);
    let sent = Instant::now();
    let answer = match tokio::time::timeout(within, send(line, &trial)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(why)) => match why.kind() {
            ErrorKind::Server(ServerErrorKind::Moved | ServerErrorKind::Ask) if hub.cluster => {
                // It answers; only the slot that it is tried with has moved.
                hub.look_again.notify_one();
                return Ok(());
            }
            ErrorKind::Server(ServerErrorKind::Moved) => return Err(NOT_SAID.to_owned()),
            _ if !server.clock.is_known() => return Err(told_first(&why, hub)),
            _ => return Err(told(&why)),
        },
        Err(_) => return Err(format!("no answer within {within:?}")),
    };
    let Some(told) = probe.read(&answer) else {
        return Err("not an answer of the script".to_owned());
    };
    server.learn(sent, told.at);
    Ok(())
}

async fn serve(
    server: &Arc<Server>,
    questions: &mut mpsc::Receiver<Question>,
    hub: &Arc<Hub>,
    connection: &mut Connection,
) -> End {
    let Connection { line, driver } = connection;
    let mut looked_after = pin!(look_after(line.clone(), server, hub));
    let mut tripped = pin!(server.breaker.tripped());
    loop {
        tokio::select! {
            biased;
            () = &mut tripped => return End::Tripped,
            _ = &mut *driver => return End::Broken,
            why = &mut looked_after => return End::Silent(why),
            Some(question) = questions.recv() => {
                tokio::spawn(ask(
                    line.clone(),
                    question,
                    Arc::clone(server),
                    Arc::clone(hub),
                ));
            }
        }
    }
}

/// Answers whatever is asked for as long as the server is left alone.
async fn refuse(questions: &mut mpsc::Receiver<Question>, wait: Duration) {
    let _over = tokio::time::timeout(wait, async {
        // The channel stays open as long as there is a server.
        while let Some(question) = questions.recv().await {
            question.answer(Err(StoreError::Lost));
        }
    })
    .await;
}

/// How long to leave a server alone: each time twice as long, up to a bound, and never quite as long as others do.
#[derive(Debug)]
struct Waits {
    next: Duration,
    longest: Duration,
}

impl Waits {
    fn new(longest: Duration) -> Self {
        Self {
            next: FIRST_RETRY.min(longest),
            longest,
        }
    }

    fn begin_anew(&mut self) {
        *self = Self::new(self.longest);
    }

    fn next(&mut self) -> Duration {
        let ceiling = self.next;
        self.next = (ceiling * 2).min(self.longest);
        let random = RandomState::new().hash_one(0) as u32;
        ceiling / 2 + (ceiling / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound() {
        let ms = Duration::from_millis;
        let mut waits = Waits::new(ms(150));
        for ceiling in [25, 50, 100, 150, 150].map(ms) {
            let wait = waits.next();
            assert!(
                ceiling / 2 <= wait && wait <= ceiling,
                "{wait:?} of {ceiling:?}"
            );
        }
        waits.begin_anew();
        assert!(waits.next() <= ms(25));
    }
}
