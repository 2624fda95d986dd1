//! A `Services` with a fake resolver, the events it emits, and specs to feed it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use weir_service::{
    Answer, Balance, CheckKind, EndpointSpec, Event, HealthSpec, Options, Records, Resolve,
    ResolveError, ResolveFuture, Service, ServiceSpec, Services, Srv, SrvFuture, SrvRecords,
};

/// `None` fails; else addresses and TTL.
type Canned = Option<(Vec<String>, u64)>;

/// Canned answers: a list of IPv4 addresses with a TTL, or `None` for a server failure; nothing for no answer at all.
#[derive(Default)]
pub(crate) struct FakeDns {
    answers: Mutex<HashMap<String, Canned>>,
    srv: Mutex<HashMap<String, Result<SrvRecords, ResolveError>>>,
    queries: Mutex<Vec<(String, Instant)>>,
}

impl FakeDns {
    pub(crate) fn set(&self, host: &str, addresses: &[&str], ttl: u64) {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        self.answers
            .lock()
            .unwrap()
            .insert(host.into(), Some((addresses, ttl)));
    }

    pub(crate) fn fail(&self, host: &str) {
        self.answers.lock().unwrap().insert(host.into(), None);
    }

    /// SRV records: priority, weight, port and target; `None` fails.
    pub(crate) fn set_srv(&self, name: &str, records: Option<&[(u16, u16, u16, &str)]>, ttl: u64) {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| Srv {
            priority: *priority,
            weight: *weight,
            target: (*target).to_owned(),
            port: *port,
        };
        let answer = match records {
            Some(records) => Ok(SrvRecords {
                records: records.iter().map(record).collect(),
                ttl: Duration::from_secs(ttl),
            }),
            None => Err(ResolveError::Failed("SERVFAIL".into())),
        };
        self.srv.lock().unwrap().insert(name.into(), answer);
    }

    /// When `host` was asked for.
    pub(crate) fn queries(&self, host: &str) -> Vec<Instant> {
        let queries = self.queries.lock().unwrap();
        queries
            .iter()
            .filter(|(name, _)| name == host)
            .map(|(_, at)| *at)
            .collect()
    }
}

impl Resolve for FakeDns {
    fn resolve<'a>(&'a self, host: &'a str) -> ResolveFuture<'a> {
        Box::pin(async move {
            self.queries
                .lock()
                .unwrap()
                .push((host.to_owned(), Instant::now()));
            let answer = self.answers.lock().unwrap().get(host).cloned();
            let Some(answer) = answer else {
                std::future::pending().await
            };
            let fail = || ResolveError::Failed("SERVFAIL".into());
            let Some((addresses, ttl)) = answer else {
                return Answer {
                    v4: Err(fail()),
                    v6: Err(fail()),
                };
            };
            let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
            let v4 = Records {
                addresses,
                ttl: Duration::from_secs(ttl),
            };
            Answer {
                v4: Ok(v4),
                v6: Ok(Records::default()),
            }
        })
    }

    fn resolve_srv<'a>(&'a self, name: &'a str) -> SrvFuture<'a> {
        Box::pin(self.answer_srv(name))
    }
}

impl FakeDns {
    async fn answer_srv(&self, name: &str) -> Result<SrvRecords, ResolveError> {
        let now = Instant::now();
        self.queries.lock().unwrap().push((name.to_owned(), now));
        let answer = self.srv.lock().unwrap().get(name).cloned();
        answer.unwrap_or(Err(ResolveError::NoSuchName))
    }
}

/// `Services` under test.
pub(crate) struct House {
    pub(crate) services: Services,
    pub(crate) dns: Arc<FakeDns>,
    events: Arc<Mutex<Vec<Event>>>,
    news: Arc<Notify>,
}

impl House {
    pub(crate) fn new() -> Self {
        let dns = Arc::new(FakeDns::default());
        let resolver: Arc<dyn Resolve> = Arc::clone(&dns) as _;
        Self::with_resolver(dns, resolver)
    }

    pub(crate) fn with_resolver(dns: Arc<FakeDns>, resolver: Arc<dyn Resolve>) -> Self {
        let (events, news) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let sink = {
            let (events, news) = (Arc::clone(&events), Arc::clone(&news));
            move |event| {
                events.lock().unwrap().push(event);
                news.notify_one();
            }
        };
        let start = Instant::now();
        let clock = Arc::new(move || start.elapsed().as_millis() as u64 + 1);
        let services = Services::new(Options::new(clock, resolver, Arc::new(sink), 7));
        Self {
            services,
            dns,
            events,
            news,
        }
    }

    pub(crate) async fn apply(&self, specs: &[ServiceSpec]) -> HashMap<String, Arc<Service>> {
        self.services
            .apply(specs.to_vec(), Duration::from_millis(200))
            .await
            .unwrap()
    }

    /// Waits for an event that `wanted` accepts, and takes all events up to it.
    pub(crate) async fn event(&self, wanted: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                {
                    let mut events = self.events.lock().unwrap();
                    if let Some(index) = events.iter().position(&wanted) {
                        return events.drain(..=index).next_back().unwrap();
                    }
                }
                self.news.notified().await;
            }
        };
        timeout(Duration::from_secs(3600), found)
            .await
            .expect("the event never came")
    }

    /// Takes all events so far.
    pub(crate) fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.events.lock().unwrap())
    }
}

pub(crate) fn spec(name: &str, targets: &[&str]) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        endpoints: targets
            .iter()
            .map(|t| EndpointSpec::from(t.parse::<weir_service::Target>().unwrap()))
            .collect(),
        balance: Balance::RoundRobin,
        policy: weir_service::Policy::default(),
        health: None,
    }
}

pub(crate) fn checked(mut spec: ServiceSpec, kind: CheckKind) -> ServiceSpec {
    let mut health = HealthSpec::new(kind);
    health.interval = Duration::from_millis(20);
    health.timeout = Duration::from_secs(10);
    spec.health = Some(health);
    spec
}

/// Addresses of the service's endpoints, in order.
pub(crate) fn addresses(service: &Service) -> Vec<String> {
    service
        .endpoints()
        .all()
        .iter()
        .map(|m| m.endpoint.address().to_string())
        .collect()
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
