//! A Consul that speaks as much of its HTTP API as a client of service discovery needs: `GET /v1/health/service/NAME` with
//! blocking queries, tokens, tags and datacenters. Debian has no Consul.
//!
//! What it promises is what Consul's documentation says, down to what clients get wrong: the index is that of the service, or
//! of the whole catalog where there is no such service; a query that waits answers when the index moves, or after
//! `wait` and up to a 16th of it, with whatever is true then; a server that lost its data begins again at a low
//! index; a token that is unknown gets a 403, and one without rights an empty list and a header that says so.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::acceptor::Acceptor;
use crate::message::Request;
use crate::util::wait_until;
use crate::wire::Wire;

/// Longest that a query may wait, as in Consul.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// A running Consul; dropped, it stops and cuts its connections.
#[derive(Debug)]
pub struct Consul {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

/// An instance of a service.
#[derive(Clone, Debug)]
pub struct Instance {
    id: String,
    service: String,
    address: SocketAddr,
    weight: u32,
    tags: Vec<String>,
    meta: BTreeMap<String, String>,
    status: &'static str,
}

impl Instance {
    /// A passing instance of `service` at this address, with weight 1.
    pub fn new(service: &str, address: SocketAddr) -> Self {
        Self {
            id: format!("{service}-{address}"),
            service: service.to_owned(),
            address,
            weight: 1,
            tags: Vec::new(),
            meta: BTreeMap::new(),
            status: "passing",
        }
    }

    /// Its weight while it passes.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// One more tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tags.push(tag.to_owned());
        self
    }

    /// One more entry of its metadata.
    #[must_use]
    pub fn meta(mut self, key: &str, value: &str) -> Self {
        self.meta.insert(key.to_owned(), value.to_owned());
        self
    }

    /// What its check says: `passing`, `warning` or `critical`.
    #[must_use]
    pub fn status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }

    fn json(&self) -> Value {
        json!({
            "Node": { "ID": "40e4a748-2192-161a-0510-9bf59fe950b5", "Node": "node", "Address": "127.0.0.1",
                "Datacenter": "dc1", "TaggedAddresses": { "lan": "127.0.0.1" }, "Meta": {} },
            "Service": { "ID": self.id, "Service": self.service, "Tags": self.tags, "Meta": self.meta,
                "Address": self.address.ip().to_string(), "Port": self.address.port(),
                "Weights": { "Passing": self.weight, "Warning": 1 }, "EnableTagOverride": false },
            "Checks": [
                { "Node": "node", "CheckID": "serfHealth", "Status": "passing", "ServiceID": "" },
                { "Node": "node", "CheckID": format!("service:{}", self.id), "Status": self.status,
                    "ServiceID": self.id, "Output": "checked by a test" },
            ],
        })
    }
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stopped: Arc<AtomicBool>,
    queries: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    index: u64,
    instances: BTreeMap<String, Instance>,
    /// When each service last changed.
    services: BTreeMap<String, u64>,
    token: Option<String>,
    failing: bool,
    /// How often the data was lost.
    lost: u64,
    /// Queries that wait for news.
    waiting: usize,
}

impl State {
    fn touch(&mut self, service: &str) {
        self.index += 1;
        self.services.insert(service.to_owned(), self.index);
    }

    fn index_of(&self, service: &str) -> u64 {
        self.services.get(service).copied().unwrap_or(self.index)
    }
}

impl Consul {
    /// Starts one without services on a free address.
    pub fn start() -> Self {
        Self::start_at(crate::free_addr())
    }

    /// Starts one without services on this address: the same as another had before it, to play a restart.
    pub fn start_at(addr: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                index: 10,
                ..State::default()
            }),
            changed: Condvar::new(),
            stopped: Arc::default(),
            queries: AtomicUsize::new(0),
        });
        let acceptor = Acceptor::start(addr, Arc::clone(&shared.stopped), {
            let shared = Arc::clone(&shared);
            move |stream, _| serve(stream, &shared)
        });
        Self { acceptor, shared }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// Waits until a query waits for news. One that comes after the data are lost, and asks for what is newer than they were, is
    /// answered only when its time is over.
    pub fn wait_for_a_query(&self) {
        wait_until("a query to wait for news", || {
            self.shared.lock().waiting > 0
        });
    }

    /// How many queries it has read.
    pub fn queries(&self) -> usize {
        self.shared.queries.load(Ordering::Relaxed)
    }

    /// Registers instances, or registers them anew.
    pub fn register(&self, instances: impl IntoIterator<Item = Instance>) {
        self.change(|state| {
            for instance in instances {
                state.touch(&instance.service);
                state.instances.insert(instance.id.clone(), instance);
            }
        });
    }

    /// Takes the instance of a service at this address away.
    pub fn deregister(&self, service: &str, address: SocketAddr) {
        self.change(|state| {
            state.instances.remove(&format!("{service}-{address}"));
            state.touch(service);
        });
    }

    /// From now on, clients need this token.
    pub fn require_token(&self, token: &str) {
        self.change(|state| state.token = Some(token.to_owned()));
    }

    /// From now on, or no longer, every query is answered as by a cluster without a leader.
    pub fn fail(&self, failing: bool) {
        self.change(|state| state.failing = failing);
        if failing {
            self.acceptor.cut();
        }
    }

    /// Loses all data, as a server does that restarts without its disk: a lower index, no services.
    pub fn forget(&self) {
        self.change(|state| {
            state.instances.clear();
            state.services.clear();
            state.index = 2;
            state.lost += 1;
        });
        self.acceptor.cut();
    }

    /// Moves the index of a service although nothing changed.
    pub fn touch(&self, service: &str) {
        self.change(|state| state.touch(service));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        // Under the lock, so that nobody who waits misses it.
        let waiting = self.shared.lock();
        self.shared.stopped.store(true, Ordering::Relaxed);
        drop(waiting);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream, Duration::from_secs(60))?;
    while let Some(request) = wire.request()? {
        shared.queries.fetch_add(1, Ordering::Relaxed);
        let Answer {
            status,
            headers,
            body,
        } = answer(&request, shared);
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        wire.write(&[head.as_bytes(), body.as_bytes()].concat())?;
    }
    wire.stream().shutdown(Shutdown::Both)
}

struct Answer {
    status: u16,
    headers: String,
    body: String,
}

fn refuse(status: u16, why: &str) -> Answer {
    Answer {
        status,
        headers: String::new(),
        body: why.to_owned(),
    }
}

fn answer(request: &Request, shared: &Shared) -> Answer {
    let (path, query) = request
        .target
        .split_once('?')
        .unwrap_or((&request.target, ""));
    let Some(service) = path.strip_prefix("/v1/health/service/") else {
        return refuse(404, "404 page not found");
    };
    if request.method != "GET" {
        return refuse(405, "method not allowed");
    }
    let pairs: Vec<(&str, &str)> = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    };
    if value("dc").is_some_and(|dc| dc != "dc1") {
        return refuse(500, "No path to datacenter");
    }
    let Ok(index) = value("index").map_or(Ok(0), str::parse::<u64>) else {
        return refuse(400, "Invalid index");
    };
    let Some(wait) = value("wait").map_or(Some(Duration::from_secs(300)), duration) else {
        return refuse(400, "Invalid wait time");
    };
    let wait = wait.min(MAX_WAIT);
    // Consul adds a random part of a 16th, so that not all clients come back at once.
    let deadline = Instant::now() + wait + wait / 32;
    let mut state = shared.lock();
    let token = state.token.clone();
    let given = request.header("x-consul-token");
    let unknown = token.is_some() && given.is_some() && given != token.as_deref();
    if unknown {
        return refuse(403, "ACL not found");
    }
    let lost = state.lost;
    while index > 0 && state.index_of(service) <= index && state.lost == lost && !state.failing {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || shared.stopped.load(Ordering::Relaxed) {
            break;
        }
        state.waiting += 1;
        let waited = shared.changed.wait_timeout(state, left);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.waiting -= 1;
    }
    if state.failing {
        return refuse(500, "No cluster leader");
    }
    let filtered = token.is_some() && given.is_none();
    let passing = pairs.iter().any(|(key, _)| *key == "passing");
    let wanted = |instance: &&Instance| {
        let tagged = |tag: &str| instance.tags.iter().any(|own| own == tag);
        instance.service == service
            && !filtered
            && (!passing || instance.status == "passing")
            && pairs
                .iter()
                .all(|(key, value)| *key != "tag" || tagged(value))
    };
    let found: Vec<Value> = state
        .instances
        .values()
        .filter(wanted)
        .map(Instance::json)
        .collect();
    let mut headers = format!("X-Consul-Index: {}\r\n", state.index_of(service));
    headers.push_str("X-Consul-Knownleader: true\r\nX-Consul-Lastcontact: 0\r\n");
    if filtered {
        headers.push_str("X-Consul-Results-Filtered-By-ACLs: true\r\n");
    }
    drop(state);
    Answer {
        status: 200,
        headers,
        body: Value::from(found).to_string(),
    }
}

/// The lengths of time that Go writes, as far as clients use them.
fn duration(text: &str) -> Option<Duration> {
    let unit = text.find(|c: char| !c.is_ascii_digit())?;
    let number: u64 = text[..unit].parse().ok()?;
    match &text[unit..] {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_secs(number * 60)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::RawClient;

    fn ask(consul: &Consul, query: &str) -> (u16, u64, usize) {
        let request =
            format!("GET /v1/health/service/web?{query} HTTP/1.1\r\nHost: consul\r\n\r\n");
        let response = RawClient::exchange(consul.addr(), request);
        let index = response
            .header("x-consul-index")
            .map_or(0, |text| text.parse().expect("a number"));
        let count = if response.status == 200 {
            response.json().as_array().map_or(0, Vec::len)
        } else {
            0
        };
        (response.status, index, count)
    }

    #[test]
    fn blocking_queries_wait_for_their_service() {
        let consul = Consul::start();
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        consul.register([
            Instance::new("web", at(1)).tag("v1"),
            Instance::new("web", at(2)).status("critical"),
        ]);
        let (status, index, count) = ask(&consul, "");
        assert_eq!((status, count), (200, 2));
        assert_eq!(ask(&consul, "passing=1").2, 1);
        assert_eq!(ask(&consul, "tag=v1").2, 1);
        assert_eq!(ask(&consul, "tag=v2").2, 0);
        assert_eq!(ask(&consul, "dc=other").0, 500);
        let before = Instant::now();
        assert_eq!(
            ask(&consul, &format!("index={index}&wait=100ms")),
            (200, index, 2)
        );
        assert!(before.elapsed() >= Duration::from_millis(100));
        thread::scope(|scope| {
            let waiting = scope.spawn(|| ask(&consul, &format!("index={index}&wait=60s")));
            consul.register([Instance::new("other", at(3))]);
            consul.deregister("web", at(1));
            let (_, moved, count) = waiting.join().expect("an answer");
            assert!(moved > index && count == 1);
        });
        consul.forget();
        assert_eq!(ask(&consul, "").1, 2);
    }
}
