//! What the user says about a service.

use weir_config::{
    Cx, Decode, Duration, Host, HostPort, Json, Map, Node, Schemas, Spanned, Text, True, Within,
    decode_word, object, one_of, words_schema,
};

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
        /// How Weir finds out which endpoints are healthy; without it, all count as healthy.
        pub health: Option<HealthConfig>,
        /// Connections that wait for their next request.
        pub keepalive: KeepaliveConfig = KeepaliveConfig::default(),
    }
    short endpoints;
    check ServiceConfig::check;
}

object! {
    /// One endpoint of a service, or a DNS name for several. In short form, its address.
    pub struct EndpointConfig {
        /// Its share of the requests, relative to the other endpoints.
        pub weight: Within<1, 65_535> = Within::new(1),
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
            balance: self.balance,
            health: self.health.as_ref().map(HealthConfig::spec),
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
        let (EndpointTarget::Address(at) | EndpointTarget::Dns(at)) = &self.target;
        let target = match (at.socket_addr(), &at.host) {
            (Some(address), _) => Target::Address(address),
            (None, host) => Target::Name {
                host: host.to_string(),
                port: at.port,
            },
        };
        EndpointSpec {
            target,
            weight: self.weight.as_u32(),
        }
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        if let EndpointTarget::Dns(name) = &self.target
            && let Host::Ip(_) = name.host
        {
            cx.error(name.span, format!("`{name}` is an address, not a name"))
                .help("put it under `address`");
        }
    }
}

impl HealthConfig {
    fn spec(&self) -> HealthSpec {
        HealthSpec {
            kind: match &self.probe {
                Probe::Http(http) => CheckKind::Http(http.check_spec()),
                Probe::Tcp(True) => CheckKind::Tcp,
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

const BALANCES: [(&str, Balance, &str); 4] = [
    (
        "p2c",
        Balance::P2c,
        "The better of two weighted chances: fewer requests in flight for its weight.",
    ),
    (
        "round_robin",
        Balance::RoundRobin,
        "In turn, by weight, evenly spread.",
    ),
    ("random", Balance::Random, "By weighted chance."),
    (
        "least_connections",
        Balance::LeastConnections,
        "The fewest requests in flight for its weight.",
    ),
];

impl Decode for Balance {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        decode_word(
            node,
            &BALANCES.map(|(word, balance, _)| (word, balance)),
            cx,
        )
    }

    fn to_json(&self) -> Json {
        self.as_str().into()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let words = BALANCES.map(|(word, _, docs)| (word, docs));
        words_schema(
            "How a service chooses the endpoint of a request.",
            &words,
            schemas,
        )
    }
}
