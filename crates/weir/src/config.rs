//! The whole config: what each crate says about its own part, put together.
//!
//! What concerns several parts is checked here: names that must exist, addresses that must not be taken twice. Whether
//! two routes can be told apart is known only to the router, which reports through the same [`Cx`].

use std::path::Path;

use weir_admin::AdminConfig;
use weir_config::{
    Cx, Diagnostics, Environment, Json, ListenAddress, Loaded, Map, Name, OrAuto, OrOff, Span,
    Spanned, Within, nearest, object,
};
use weir_firewall::{FirewallConfig, FirewallPolicyConfig};
use weir_http::{DefaultsConfig, HttpConfig, PolicyConfig, RouteConfig};
use weir_limit::store::EngineConfig;
use weir_net::{
    LimitsConfig, ListenerProtocol, ProxyProtocolConfig, ShutdownConfig, WorkersConfig,
};
use weir_service::ServiceConfig;
use weir_telemetry::{LogConfig, MetricsConfig};

object! {
    /// Weir's config: listeners take connections in, routes say where requests lead, services are where they end.
    pub struct Config {
        /// How many threads serve: `auto` for one per core. A change needs a restart.
        pub workers: WorkersConfig = OrAuto::Auto,
        /// The admin API and the metrics; `off` for none.
        pub admin: OrOff<AdminConfig> = OrOff::On(AdminConfig::default()),
        /// What is logged, and where to.
        pub log: LogConfig = LogConfig::default(),
        /// How much the metrics may tell apart.
        pub metrics: MetricsConfig = MetricsConfig::default(),
        /// Where Weir takes connections in, by name.
        pub listeners: Map<ListenerConfig> = default_listeners(),
        /// Where requests lead. The most specific route wins, whatever the order.
        pub routes: Vec<Spanned<RouteConfig>> = Vec::new(),
        /// Where requests end, by name.
        pub services: Map<ServiceConfig> = Map::default(),
        /// Who may pass, how much, and what changes on the way: named here, used by routes.
        pub policies: Map<PolicyConfig> = Map::default(),
        /// What holds for every route that does not say otherwise.
        pub defaults: DefaultsConfig = DefaultsConfig { policies: None },
        /// Systems that several Weirs share, by name.
        pub engines: Map<EngineConfig> = Map::default(),
        /// Bounds on what all listeners take on together.
        pub limits: LimitsConfig = LimitsConfig::default(),
        /// Who may connect.
        pub firewall: FirewallConfig = FirewallConfig::default(),
        /// How Weir stops.
        pub shutdown: ShutdownConfig = ShutdownConfig::default(),
    }
}

object! {
    /// Where connections are taken in. In short form, the address.
    pub struct ListenerConfig {
        /// `:8080` for every address of this machine, IPv4 and IPv6; `127.0.0.1:8080`; `[::1]:8080`.
        pub address: Spanned<ListenAddress>,
        /// What is spoken.
        pub protocol: ListenerProtocol = ListenerProtocol::Http,
        /// How many connections may wait to be accepted; the system may allow fewer.
        pub backlog: Within<1, 65_535> = Within::new(4096),
        /// How HTTP is spoken.
        pub http: HttpConfig = HttpConfig::default(),
        /// Proxies that say who the client is before anything else.
        pub proxy_protocol: Option<ProxyProtocolConfig>,
        /// Who may come in here, beside what the `firewall` of all listeners says.
        pub firewall: Option<FirewallPolicyConfig>,
    }
    short address;
}

/// Without `listeners`, there is one.
fn default_listeners() -> Map<ListenerConfig> {
    let web = ListenerConfig {
        address: ListenAddress::any(8080).into(),
        protocol: ListenerProtocol::Http,
        backlog: Within::new(4096),
        http: HttpConfig::default(),
        proxy_protocol: None,
        firewall: None,
    };
    Name::new("web")
        .map(|name| (name, web))
        .into_iter()
        .collect()
}

/// A config that was read, and what was found wrong with it.
pub(crate) struct Read {
    /// The problems so far.
    pub(crate) cx: Cx,
    /// What could be read of it.
    config: Option<Config>,
    faults: Faults,
}

/// Where something could not be read, by where it begins. What merely does not go together is no fault here.
struct Faults {
    routes: Vec<Span>,
    listeners: Vec<Span>,
    policies: Vec<Span>,
    engines: Vec<Span>,
    /// Whether there is one in what everything else stands on.
    everywhere: bool,
}

/// Reads a config from a file or a folder.
pub(crate) fn read(path: &Path, environment: Environment<'_>) -> Read {
    Read::new(Cx::load(path, environment))
}

/// Reads a config from text, as if it stood in a file of this name.
pub(crate) fn read_text(name: &str, text: &str, environment: Environment<'_>) -> Read {
    Read::new(Cx::from_text(name, text, environment))
}

/// Reads a config from text and checks it, without compiling it.
pub fn parse(
    name: &str,
    text: &str,
    environment: Environment<'_>,
) -> Result<Loaded<Config>, Diagnostics> {
    read_text(name, text, environment).checked()
}

/// The value if nothing was found wrong, or else all that was, with what to do about it.
pub(crate) fn finish<T>(mut cx: Cx, value: Option<T>) -> Result<Loaded<T>, Diagnostics> {
    cx.advise(slips::advice);
    cx.finish(value)
}

impl Read {
    fn new(mut cx: Cx) -> Self {
        let config: Option<Config> = cx.decode();
        let faults = Faults {
            routes: cx.faulty("routes"),
            listeners: cx.faulty("listeners"),
            policies: cx.faulty("policies"),
            engines: cx.faulty("engines"),
            everywhere: cx.is_full() || cx.is_faulty("defaults") || cx.is_faulty("firewall"),
        };
        if let Some(config) = &config {
            config.check(&mut cx);
        }
        Self { cx, config, faults }
    }

    /// The config, or what was found wrong so far.
    pub(crate) fn checked(self) -> Result<Loaded<Config>, Diagnostics> {
        finish(self.cx, self.config)
    }

    /// The config, if nothing was found wrong.
    pub(crate) fn whole(self) -> Result<(Config, Cx), Box<Self>> {
        match self.config {
            Some(config) if !self.cx.has_errors() => Ok((config, self.cx)),
            config => Err(Box::new(Self { config, ..self })),
        }
    }

    /// What could be read of it without a fault. Nothing can be served by that, but more can be found wrong with it. `None` if
    /// most of what would be found only followed from what is missing.
    pub(crate) fn sound(&mut self) -> Option<Config> {
        let mut config = self.config.take()?;
        let faults = &self.faults;
        if faults.everywhere {
            return None;
        }
        config
            .listeners
            .doubt(|name| faults.listeners.contains(&name.span));
        config
            .policies
            .doubt(|name| faults.policies.contains(&name.span));
        config
            .engines
            .doubt(|name| faults.engines.contains(&name.span));
        let listeners = &config.listeners;
        config.routes.retain(|route| {
            // Without a listener that it names it would belong to all, and seem to be in the way of others.
            let mut named = route.listeners.iter().flat_map(|names| names.iter());
            !faults.routes.contains(&route.span)
                && named.all(|name| listeners.get(&name.value).is_some())
        });
        Some(config)
    }
}

/// Where the admin API is, by a config that may be wrong everywhere else: whoever has just made a mistake in it still wants
/// to ask the Weir that runs with what it was before.
pub fn admin(path: &Path, environment: Environment<'_>) -> Result<OrOff<AdminConfig>, Diagnostics> {
    let mut cx = Cx::load(path, environment);
    let part = cx.part("admin", || OrOff::On(AdminConfig::default()));
    match part {
        Some(admin) => Ok(admin),
        None => cx.finish(part).map(|loaded| loaded.value),
    }
}

/// The JSON Schema of the config, which editors understand.
pub fn schema() -> Json {
    weir_config::schema::<Config>("Weir config")
}

impl Config {
    fn check(&self, cx: &mut Cx) {
        let top = cx.top();
        if self.listeners.is_empty() {
            cx.error(top, "there is no listener")
                .key("listeners")
                .help("leave `listeners` out for one on \":8080\"");
        }
        // A route that is wrong is not there, and yet it is.
        if self.routes.is_empty() && !cx.has_errors() {
            cx.warning(top, "there are no routes: every request gets 404");
        }
        self.check_addresses(cx);
        let mut used = vec![];
        for route in &self.routes {
            self.check_listeners(route, cx);
            for name in route.services() {
                self.check_service(name, cx);
                used.push(&name.value);
            }
        }
        self.check_policies(cx);
        if cx.has_errors() {
            // The route that would lead there may be one that is wrong.
            return;
        }
        used.extend(self.asked_services());
        used.sort_unstable();
        for (name, _) in &self.services {
            if used.binary_search(&&name.value).is_err() {
                cx.warning(name.span, format!("no route leads to the service `{name}`"));
            }
        }
    }

    /// No two sockets on one address.
    fn check_addresses(&self, cx: &mut Cx) {
        let admin = match &self.admin {
            OrOff::On(admin) => Some(("the admin API".to_owned(), admin.address)),
            OrOff::Off => None,
        };
        let listeners = self
            .listeners
            .iter()
            .map(|(name, listener)| (format!("the listener `{name}`"), listener.address));
        let mut taken: Vec<(String, Spanned<ListenAddress>)> = Vec::new();
        for (name, address) in listeners.chain(admin) {
            let other = taken.iter().find(|(_, other)| other.overlaps(*address));
            if let Some((owner, other)) = other {
                // A default has no place in the file: then the other one is where to look.
                let span = if address.span.is_none() {
                    other.span
                } else {
                    address.span
                };
                let message =
                    format!("{owner} takes `{other}` and {name} `{address}`: only one can");
                let problem = cx.error(span, message);
                if !address.span.is_none() && !other.span.is_none() {
                    problem.also(other.span, "taken here");
                }
            }
            taken.push((name, address));
        }
    }

    fn check_listeners(&self, route: &RouteConfig, cx: &mut Cx) {
        for name in route.listeners.iter().flat_map(|names| names.iter()) {
            if !self.listeners.contains(&name.value) {
                unknown("listener", name, &self.listeners, None, cx);
            }
        }
    }

    fn check_service(&self, name: &Spanned<Name>, cx: &mut Cx) {
        if !self.services.contains(&name.value) {
            unknown("service", name, &self.services, None, cx);
        }
    }
}

/// Says that there is no such thing. `help` is what to write instead, if this is a slip that is known.
fn unknown<T>(what: &str, name: &Spanned<Name>, all: &Map<T>, help: Option<String>, cx: &mut Cx) {
    const LISTED: usize = 10;
    // Looking for the nearest of thousands is not worth it for problems that nobody will be told.
    let known: Vec<&str> = if cx.is_full() {
        Vec::new()
    } else {
        all.keys().collect()
    };
    let nearest = nearest(name, known.iter().copied());
    let problem = cx.error(name.span, format!("there is no {what} `{name}`"));
    problem.nearest(nearest);
    if nearest.is_none() && (1..=LISTED).contains(&known.len()) {
        let listed: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        problem.expected(format!("one of {}", listed.join(", ")));
    }
    if let Some(help) = help {
        problem.help(help);
    } else if all.is_empty() {
        let (article, plural) = match what {
            "policy" => ("a", "policies".to_owned()),
            "engine" => ("an", "engines".to_owned()),
            what => ("a", format!("{what}s")),
        };
        problem.help(format!(
            "there is none at all: {article} {what} is an entry under `{plural}`"
        ));
    }
}

mod guard;
mod slips;
#[cfg(test)]
mod tests;
