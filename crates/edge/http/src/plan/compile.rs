//! From the config to a plan.

use std::{collections::HashMap, sync::Arc};

use weir_config::{Cx, OrOff, Span, Spanned};
use weir_firewall::FirewallPolicyConfig;
use weir_net::{ProxyProtocol, ProxyProtocolConfig};
use weir_service::{IdleLimits, KeepaliveConfig, Service, StickyConfig};
use weir_telemetry::Registry;

use super::{
    DeadlineField, Mirror, Plan, PriorityPlan, Retries, ServicePlan, Split,
    listener::{ListenerPlan, micros},
    route::{Action, FixedResponse, MaxBody, RoutePlan, Timeouts},
};
use crate::{
    codec::encode,
    config::{self, FilesConfig, HttpConfig, Precompressed, RespondConfig, RouteConfig},
    files::{Encoding, FilesPlan, FilesSpec},
    guard::{self, FirewallStep, GlobalFirewall, GuardInput},
    proxy::NEVER,
    route::{self, Field, Limits, RouteProblem, RouteTable, Rule, Template, TemplateKind},
    sticky::Sticky,
};

/// What a plan is compiled from.
#[derive(Debug)]
pub struct Input<'a> {
    /// Listeners that speak HTTP.
    pub listeners: Vec<ListenerInput<'a>>,
    /// Routes in file order.
    pub routes: &'a [Spanned<RouteConfig>],
    /// Services by name.
    pub services: Vec<ServiceInput<'a>>,
    /// What policies are compiled from.
    pub guard: GuardInput<'a>,
}

/// A listener that speaks HTTP.
#[derive(Debug)]
pub struct ListenerInput<'a> {
    /// Its name in the config.
    pub name: &'a str,
    /// What its sockets are known by; see [`weir_net::Listening::key`].
    pub key: Arc<str>,
    /// How it speaks.
    pub http: &'a HttpConfig,
    /// Which proxies tell who their clients are, before anything else.
    pub proxy: Option<&'a ProxyProtocolConfig>,
    /// Who may come in there.
    pub firewall: Option<&'a FirewallPolicyConfig>,
}

/// A service and how connections to it are kept.
#[derive(Debug)]
pub struct ServiceInput<'a> {
    /// The service.
    pub service: Arc<Service>,
    /// Its connections.
    pub keepalive: &'a KeepaliveConfig,
    /// What keeps a user on one of its endpoints.
    pub sticky: Option<&'a StickyConfig>,
}

type RouteInput = Spanned<RouteConfig>;

impl Plan {
    /// Compiles a plan. Every problem goes to `cx`; `None` if there was any.
    #[must_use]
    pub fn compile(input: &mut Input<'_>, registry: &Registry, cx: &mut Cx) -> Option<Self> {
        let listener_names: HashMap<&str, u16> = (0..)
            .zip(&input.listeners)
            .map(|(index, listener)| (listener.name, index))
            .collect();
        let services: HashMap<&str, u32> = (0..)
            .zip(&input.services)
            .map(|(index, service)| (&**service.service.name(), index))
            .collect();

        let mut rules = Vec::with_capacity(input.routes.len());
        let mut rule_routes = Vec::with_capacity(input.routes.len());
        for (index, route) in (0u32..).zip(input.routes) {
            for rule in rules_of(route, &listener_names) {
                rules.push(rule);
                rule_routes.push(index);
            }
        }
        let table = RouteTable::compile(&rules, &Limits::default());
        let table = table.map_err(|problems| {
            for problem in problems {
                report(&problem, input.routes, &rule_routes, cx);
            }
        });

        let mut names = Names::default();
        let mut guards = guard::Compiler::new(&mut input.guard, registry, &services, input.routes);
        let routes: Vec<Option<RoutePlan>> = input
            .routes
            .iter()
            .map(|route| compile_route(route, &services, registry, &mut names, &mut guards, cx))
            .collect();
        let firewalls: Vec<Option<Arc<FirewallStep>>> = input
            .listeners
            .iter()
            .map(|listener| {
                let name = Arc::from(listener.name);
                let config = listener.firewall?;
                Some(guards.firewall(&name, config, cx))
            })
            .collect();
        guards.check_fields(cx);
        let logins = guards.logins();
        let hidden_parameters = guards.hidden_parameters();
        let identity_names = guards.identity_names;
        let global = input
            .guard
            .firewalls
            .global(input.guard.firewall, input.guard.geo, cx);
        let firewall = (!global.is_open()).then(|| GlobalFirewall {
            firewall: global,
            metrics: registry.policy("firewall", guard::GLOBAL),
        });
        let listeners = input
            .listeners
            .iter()
            .zip(firewalls)
            .map(|(listener, firewall)| {
                ListenerPlan::compile(
                    listener.name,
                    listener.http,
                    firewall,
                    listener.proxy.map(ProxyProtocol::new),
                    registry.listener(listener.name),
                )
            })
            .collect();
        let services = input
            .services
            .iter()
            .map(|service| ServicePlan {
                name: Arc::clone(service.service.name()),
                metrics: registry.service(service.service.name()),
                service: Arc::clone(&service.service),
                keepalive: IdleLimits {
                    per_endpoint: service.keepalive.max_idle.as_usize(),
                    total: super::MOST_IDLE,
                    idle_timeout: service.keepalive.idle_timeout.get(),
                },
                sticky: service
                    .sticky
                    .map(|sticky| Sticky::for_endpoints(sticky, service.service.name())),
            })
            .collect();
        Some(Self {
            table: table.ok()?,
            rule_routes,
            routes: routes.into_iter().collect::<Option<_>>()?,
            listeners,
            services,
            logins,
            hidden_parameters,
            identity_names: Arc::new(identity_names),
            firewall,
            geo: input.guard.geo.clone(),
            unrouted: registry.route(Registry::UNROUTED),
            listener_keys: (0..)
                .zip(&input.listeners)
                .map(|(index, listener)| (Arc::clone(&listener.key), index))
                .collect(),
        })
    }
}

/// One rule per host of the route.
fn rules_of<'a>(
    route: &'a RouteConfig,
    listeners: &'a HashMap<&'a str, u16>,
) -> impl Iterator<Item = Rule> + 'a {
    let hosts: Vec<Option<String>> = match &route.host {
        Some(hosts) => hosts.iter().map(|host| Some(host.value.clone())).collect(),
        None => vec![None],
    };
    let pairs = |map: &weir_config::Map<Spanned<String>, String>| {
        map.iter()
            .map(|(name, value)| (name.value.clone(), value.value.clone()))
            .collect::<Vec<_>>()
    };
    hosts.into_iter().map(move |host| Rule {
        host,
        path: route.path.as_ref().map(|path| path.value.clone()),
        methods: route
            .methods
            .iter()
            .flat_map(|methods| methods.iter())
            .map(|method| method.value.clone())
            .collect(),
        headers: pairs(&route.headers),
        query: pairs(&route.query),
        listeners: route
            .listeners
            .iter()
            .flat_map(|names| names.iter())
            .filter_map(|name| listeners.get(name.value.as_str()).copied())
            .collect(),
    })
}

/// Says what is wrong with a rule at the place where the route says it.
fn report(problem: &RouteProblem, routes: &[RouteInput], rule_routes: &[u32], cx: &mut Cx) {
    let place = |rule: usize| {
        let index = *rule_routes.get(rule)? as usize;
        Some((index, routes.get(index)?))
    };
    let Some((index, route)) = place(problem.rule) else {
        return;
    };
    let first = rule_routes.partition_point(|of| (*of as usize) < index);
    let span = span_of(route, &problem.field, problem.rule - first).unwrap_or(route.span);
    let reported = cx.error(span, problem.message.clone());
    if !problem.help.is_empty() {
        reported.help(problem.help.clone());
    }
    if let Some((_, other)) = problem.other.and_then(place) {
        reported.also(other.span, "the other route");
    }
}

fn span_of(route: &RouteConfig, field: &Field, host: usize) -> Option<Span> {
    let pair = |map: &weir_config::Map<Spanned<String>, String>, name: &str| {
        map.iter()
            .find(|(key, _)| key.value.as_str() == name)
            .map(|(_, value)| value.span)
    };
    match field {
        Field::Route => None,
        Field::Host => Some(route.host.as_ref()?.get(host)?.span),
        Field::Path => Some(route.path.as_ref()?.span),
        Field::Method(at) => Some(route.methods.as_ref()?.get(*at)?.span),
        Field::Header(name) => pair(&route.headers, name),
        Field::Query(name) => pair(&route.query, name),
        Field::Listeners => Some(route.listeners.as_ref()?.first()?.span),
    }
}

fn compile_route(
    route: &RouteInput,
    services: &HashMap<&str, u32>,
    registry: &Registry,
    names: &mut Names,
    guards: &mut guard::Compiler<'_, '_>,
    cx: &mut Cx,
) -> Option<RoutePlan> {
    let path = route.path.as_ref().map(|path| path.value.as_str());
    // A path that does not parse is reported with the table.
    let parameters = route::parameters(path, &Limits::default())?;
    // An unknown service is reported when the config is checked.
    let service = |name: &str| services.get(name).copied();
    let mut rewrite = || match &route.rewrite {
        Some(text) => template(text, &parameters, TemplateKind::Rewrite, cx).map(Some),
        None => Some(None),
    };
    let action = match &route.action {
        config::Action::Service(name) => Action::Service {
            service: service(&name.value)?,
            rewrite: rewrite()?,
        },
        config::Action::Split(split) => {
            let lanes: Option<Vec<_>> = split
                .shares()
                .map(|(name, share)| Some((Box::from(&*name.value), service(&name.value)?, share)))
                .collect();
            let sticky = route.sticky.as_ref();
            Action::Split {
                split: Box::new(Split::new(
                    lanes?.into_iter(),
                    sticky.map(|sticky| Sticky::for_lanes(sticky)),
                )),
                rewrite: rewrite()?,
            }
        }
        config::Action::Redirect(redirect) => Action::Redirect {
            status: redirect.status.get(),
            to: template(&redirect.to, &parameters, TemplateKind::Redirect, cx)?,
        },
        config::Action::Respond(respond) => Action::Respond(fixed(respond)),
        config::Action::Files(files) => Action::Files {
            plan: files_plan(files, cx)?,
            below: parameters.iter().position(|name| &**name == "rest"),
        },
    };
    let mirror = match &route.mirror {
        Some(mirror) => Some(Mirror::compile(mirror, service(&mirror.service.value)?)),
        None => None,
    };
    let name = names.of(route);
    let guard = guards.guard(
        &guard::Subject {
            config: route,
            name: &name,
            parameters: &parameters,
        },
        cx,
    )?;
    Some(RoutePlan {
        guard,
        metrics: registry.route(&name),
        name,
        max_body: match route.max_body {
            None => MaxBody::Listener,
            Some(OrOff::Off) => MaxBody::Bytes(u64::MAX),
            Some(OrOff::On(size)) => MaxBody::Bytes(size.get()),
        },
        timeouts: Timeouts {
            total: route.timeout.total.map_or(NEVER, micros),
            connect: micros(route.timeout.connect),
            first_byte: micros(route.timeout.first_byte),
            idle: micros(route.timeout.idle),
        },
        retries: Retries::compile(&route.retries),
        priority: PriorityPlan::compile(route.priority.as_ref()),
        deadline: route.deadline.as_ref().map(DeadlineField::compile),
        mirror,
        action,
    })
}

fn files_plan(config: &FilesConfig, cx: &mut Cx) -> Option<FilesPlan> {
    let spec = FilesSpec {
        root: config.root.value.path().to_owned(),
        index: Some(config.index.as_str().to_owned()),
        precompressed: config
            .precompressed
            .iter()
            .map(|coding| match coding {
                Precompressed::Brotli => Encoding::Brotli,
                Precompressed::Zstd => Encoding::Zstd,
                Precompressed::Gzip => Encoding::Gzip,
            })
            .collect(),
        dotfiles: false,
    };
    match FilesPlan::compile(spec) {
        Ok(plan) => Some(plan),
        Err(error) => {
            cx.error(config.root.span, error.to_string());
            None
        }
    }
}

fn template(
    text: &Spanned<String>,
    parameters: &[Box<str>],
    kind: TemplateKind,
    cx: &mut Cx,
) -> Option<Template> {
    match Template::compile(&text.value, parameters, kind) {
        Ok(template) => Some(template),
        Err(problem) => {
            cx.error(text.span, problem.message).help(problem.help);
            None
        }
    }
}

fn fixed(config: &RespondConfig) -> FixedResponse {
    let mut fields = Vec::new();
    if !config.body.is_empty() {
        encode::field(
            &mut fields,
            b"Content-Type",
            config.content_type.as_str().as_bytes(),
        );
    }
    for (name, value) in config.headers.iter() {
        encode::field(
            &mut fields,
            name.value.as_str().as_bytes(),
            value.as_str().as_bytes(),
        );
    }
    FixedResponse {
        status: config.status.get() as u16,
        fields,
        body: config.body.clone().into_bytes(),
    }
}

/// Gives every route a name of its own, for logs and metrics.
#[derive(Default)]
struct Names(HashMap<Arc<str>, u32>);

impl Names {
    fn of(&mut self, route: &RouteConfig) -> Arc<str> {
        let base = match &route.name {
            Some(name) => name.value.as_str().to_owned(),
            None => {
                let mut text = String::new();
                for (at, method) in route.methods.iter().flat_map(|all| all.iter()).enumerate() {
                    text.push_str(if at > 0 { "," } else { "" });
                    text.push_str(&method.value);
                }
                if !text.is_empty() {
                    text.push(' ');
                }
                if let Some(host) = route.host.as_ref().and_then(|hosts| hosts.iter().next()) {
                    text.push_str(&host.value);
                }
                text.push_str(route.path.as_ref().map_or("/*", |path| path.value.as_str()));
                text
            }
        };
        let count = self.0.entry(Arc::from(base.as_str())).or_insert(0);
        *count += 1;
        if *count == 1 {
            return Arc::from(base);
        }
        // Routes that differ only in headers or query.
        let numbered = format!("{base} #{count}");
        Arc::from(numbered)
    }
}
