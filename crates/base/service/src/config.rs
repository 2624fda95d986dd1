//! What the user says about a service.

mod balance;
mod policy;
mod sticky;

use std::sync::Arc;

use weir_config::{
    Cx, Duration, FilePath, Host, HostPort, Map, Name, Node, OrOff, Percent, Spanned, Text, True,
    Within, object, one_of,
};

pub use self::balance::{Factor, HashBalance, HashConfig, HashMethodConfig};
pub use self::policy::{
    BreakerConfig, OutliersConfig, ScopeConfig, ServiceLimitsConfig, SuccessRate, ZonesConfig,
};
pub use self::sticky::{CookieName, CookiePath, StickyConfig};
use crate::balance::hash_bytes;
use crate::discovery::{ConsulConfig, EtcdConfig, SrvConfig, check_file, file_target};
use crate::policy::Policy;
use crate::{
    Balance, CheckKind, EndpointSpec, HealthSpec, HttpCheck, ServiceSpec, StatusRanges, Target,
};

object! {
    /// A named group of endpoints that serve the same thing. In short form, the list of its endpoints.
    pub struct ServiceConfig {
        /// Where it runs.
        pub endpoints: Vec<Spanned<EndpointConfig>>,
        /// How the endpoint of a request is chosen.
        pub balance: Balance = Balance::P2c,
        /// A cookie that keeps a user on one endpoint for as long as it can be used; in short form, its name.
        pub sticky: Option<StickyConfig>,
        /// How Weir finds out which endpoints are healthy; without it, all count as healthy.
        pub health: Option<HealthConfig>,
        /// When an endpoint whose requests fail is left alone for a while; `off` for never.
        pub outliers: OrOff<OutliersConfig> = policy::default_outliers(),
        /// When a service that fails is not asked any more; by default it always is.
        pub breaker: Option<BreakerConfig>,
        /// How much it is asked for at once.
        pub limits: ServiceLimitsConfig = ServiceLimitsConfig::default(),
        /// How long an endpoint that joins or recovers takes to get its full share; by default it gets it at once.
        pub slow_start: Option<Duration>,
        /// When fewer than this share of the endpoints can be used, all are: the few that are left would only be
        /// overrun. `0%` for never.
        pub panic_below: Percent = Percent::new(10),
        /// Which endpoints come first by where they run; in short form, the zone.
        pub zones: Option<ZonesConfig>,
        /// How many of the endpoints this Weir uses, each Weir others: with many of both, fewer connections. By default all.
        pub subset: Option<Within<1, 65_535>>,
        /// Connections that wait for their next request.
        pub keepalive: KeepaliveConfig = KeepaliveConfig::default(),
    }
    short endpoints;
    check ServiceConfig::check;
}

object! {
    /// One endpoint of a service, or where several are to be found. In short form, its address.
    pub struct EndpointConfig {
        /// Its share of the requests, relative to the other endpoints. Weights and priorities that a source has of its own
        /// count on top: weights multiply, priorities add up.
        pub weight: Within<1, 65_535> = Within::new(1),
        /// Those with 0 come first; those with 1 get what these cannot carry, and so on.
        pub priority: Within<0, 15> = Within::new(0),
        /// Where it runs, for `zones`.
        pub zone: Option<Name>,
    }
    one_of {
        /// Where it is.
        pub target: EndpointTarget
    }
    short address;
    check EndpointConfig::check;
}

one_of! {
    /// Where an endpoint is.
    pub enum EndpointTarget {
        /// An address and port; a name is looked up as with `dns`.
        address => Address(Spanned<HostPort>),
        /// A name and port; each address that the name has is an endpoint, and it is looked up again when its TTL is over.
        dns => Dns(Spanned<HostPort>),
        /// A name with SRV records: hosts, ports, weights and priorities, looked up again when their TTL is over.
        srv => Srv(SrvConfig),
        /// A file that lists endpoints as they are listed here, or as Prometheus reads them, as YAML or JSON. It is read
        /// again when it changes, without a reload; what cannot be read changes nothing.
        file => File(Spanned<FilePath>),
        /// A service in Consul: its instances, watched.
        consul => Consul(ConsulConfig),
        /// Keys in etcd: one for each endpoint, watched.
        etcd => Etcd(EtcdConfig),
    }
}

object! {
    /// How the health of endpoints is checked. In short form, the path that is asked for.
    pub struct HealthConfig {
        /// How long to wait between two checks.
        pub interval: Duration = Duration::from_secs(5),
        /// A check that takes longer has failed.
        pub timeout: Duration = Duration::from_secs(1),
        /// Successes in a row until an unhealthy endpoint is healthy.
        pub healthy_after: Within<1, 1000> = Within::new(2),
        /// Failures in a row until a healthy endpoint is unhealthy.
        pub unhealthy_after: Within<1, 1000> = Within::new(3),
    }
    one_of {
        /// What is asked.
        pub probe: Probe
    }
    short http;
}

one_of! {
    /// What a health check asks.
    pub enum Probe {
        /// Whether a GET is answered as expected.
        http => Http(HttpProbe),
        /// Whether a connection can be opened.
        tcp => Tcp(True),
        /// What the health service of gRPC (`grpc.health.v1.Health`) says about the service of this name; `""` for the
        /// server as a whole. Over HTTP/2 without TLS.
        grpc => Grpc(String),
    }
}

object! {
    /// A GET and the answer that it should have. In short form, the path.
    pub struct HttpProbe {
        /// The path to ask for, with a query if need be.
        pub path: Spanned<String>,
        /// The statuses of a healthy endpoint.
        pub expect: StatusRanges = StatusRanges::default(),
        /// The Host field; by default the endpoint as it is written here.
        pub host: Option<String>,
        /// Further fields of the request.
        pub headers: Map<String, String> = Map::default(),
        /// Text that must stand in the first 64 KiB of the body.
        pub body: Option<String>,
    }
    short path;
    check HttpProbe::check;
}

object! {
    /// Connections to endpoints that wait for their next request.
    pub struct KeepaliveConfig {
        /// How many to each endpoint, for each worker; 0 closes every connection after its request.
        pub max_idle: Within<0, 65_535> = Within::new(64),
        /// How long one may wait. Choose less than the endpoints do.
        pub idle_timeout: Duration = Duration::from_secs(60),
    }
}

impl Default for KeepaliveConfig {
    fn default() -> Self {
        Self {
            max_idle: Within::new(64),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

impl ServiceConfig {
    /// What [`Services`](crate::Services) needs to know of it.
    pub fn spec(&self, name: &str) -> ServiceSpec {
        ServiceSpec {
            name: name.to_owned(),
            endpoints: self
                .endpoints
                .iter()
                .map(|endpoint| endpoint.spec())
                .collect(),
            balance: self.balance.clone(),
            health: self.health.as_ref().map(HealthConfig::spec),
            policy: self.policy(),
        }
    }

    fn policy(&self) -> Policy {
        Policy {
            outliers: match &self.outliers {
                OrOff::On(outliers) => Some(outliers.spec()),
                OrOff::Off => None,
            },
            breaker: self.breaker.as_ref().map(BreakerConfig::policy),
            limits: self.limits.limits(),
            slow_start_ms: self.slow_start.map_or(0, |window| {
                u64::try_from(window.get().as_millis()).unwrap_or(u64::MAX)
            }),
            panic_below: policy::percent(self.panic_below),
            zone: self.zones.as_ref().map(ZonesConfig::zone),
            spill_below: self
                .zones
                .as_ref()
                .map_or(0, |zones| policy::percent(zones.spill_below)),
            subset: self.subset.map(|most| most.as_u32()),
            instance: instance(),
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.endpoints.is_empty() {
            cx.error(node.span, "this service has no endpoint")
                .expected("at least one, such as `127.0.0.1:3000`");
        }
        let mut seen = std::collections::HashMap::new();
        for endpoint in &self.endpoints {
            if let Some(first) = seen.insert(endpoint.spec().target, endpoint.span) {
                cx.error(endpoint.span, "this endpoint stands here twice")
                    .also(first, "first here")
                    .help("for a greater share of the requests, give it a `weight`");
            }
        }
    }
}

impl EndpointConfig {
    fn spec(&self) -> EndpointSpec {
        EndpointSpec {
            target: self.target.target(),
            weight: self.weight.as_u32(),
            priority: self.priority.as_u32() as u8,
            zone: self.zone.as_ref().map(|zone| Arc::from(zone.as_str())),
        }
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        match &self.target {
            EndpointTarget::Dns(name) if matches!(name.host, Host::Ip(_)) => {
                cx.error(name.span, format!("`{name}` is an address, not a name"))
                    .help("put it under `address`");
            }
            EndpointTarget::File(path) => check_file(path, cx),
            _ => {}
        }
    }
}

impl EndpointTarget {
    fn target(&self) -> Target {
        match self {
            Self::Address(at) | Self::Dns(at) => match (at.socket_addr(), &at.host) {
                (Some(address), _) => Target::Address(address),
                (None, host) => Target::Name {
                    host: host.to_string(),
                    port: at.port,
                },
            },
            Self::Srv(srv) => srv.target(),
            Self::File(path) => file_target(path),
            Self::Consul(consul) => consul.target(),
            Self::Etcd(etcd) => etcd.target(),
        }
    }
}

/// What logs and status pages call it.
impl std::fmt::Display for EndpointTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.target().fmt(f)
    }
}

impl HealthConfig {
    fn spec(&self) -> HealthSpec {
        HealthSpec {
            kind: match &self.probe {
                Probe::Http(http) => CheckKind::Http(http.check_spec()),
                Probe::Tcp(True) => CheckKind::Tcp,
                Probe::Grpc(service) => CheckKind::Grpc {
                    service: service.clone(),
                },
            },
            interval: self.interval.get(),
            timeout: self.timeout.get(),
            healthy_after: self.healthy_after.as_u32(),
            unhealthy_after: self.unhealthy_after.as_u32(),
        }
    }
}

impl HttpProbe {
    fn check_spec(&self) -> HttpCheck {
        let header =
            |(name, value): &(Spanned<String>, String)| (name.value.clone(), value.clone());
        HttpCheck {
            path: self.path.value.clone(),
            host: self.host.clone(),
            headers: self.headers.iter().map(header).collect(),
            expect: self.expect.clone(),
            body: self.body.clone(),
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        let visible = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
        if !self.path.starts_with('/') || !visible(&self.path) || self.path.contains('#') {
            cx.error(self.path.span, "this is not a path")
                .expected("one that begins with `/`, such as `/healthz`");
        }
        if let Some(host) = &self.host
            && (host.is_empty() || !visible(host))
        {
            cx.error(node.span, "this is not a host").key("host");
        }
        // RFC 9110, 5.1 and 5.5: a name is a token, a value has no control characters.
        for (name, value) in &self.headers {
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            if !name.bytes().all(token) {
                cx.error(name.span, "this is not the name of a header field");
            }
            if value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                cx.error(name.span, "this header field holds a control character");
            }
        }
    }
}

impl Text for StatusRanges {
    const EXPECTED: &'static str = "statuses such as `200`, `200-399` or `200, 204`";
    const NUMBERS: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_| String::new())
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^ *[0-9]{3}( *- *[0-9]{3})? *(, *[0-9]{3}( *- *[0-9]{3})? *)*$")
    }
}

weir_config::text!(StatusRanges);

/// What tells this Weir from the others of a fleet: the name of the machine. Stays the same over restarts.
fn instance() -> u64 {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    hash_bytes(&name)
}
