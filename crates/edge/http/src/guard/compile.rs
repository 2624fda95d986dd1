//! From policies to guards.

mod auth;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use weir_auth::{Auth, Authenticator, Hidden, Logins};
use weir_config::{Cx, Map, Name, OneOrMany, Span, Spanned};
use weir_firewall::{FirewallConfig, FirewallPolicyConfig, Firewalls, Geo};
use weir_limit::{
    KeyPart, LimitSpec, Prepared, RateLimitConfig,
    store::{SharedLimiter, Store},
};
use weir_telemetry::Registry;

use super::{
    ForwardAuthStep, Guard, Step,
    firewall::FirewallStep,
    forward_auth::ForwardAuthPlan,
    headers::{HeadPlan, HeadPolicies},
    identity_fields::Sought,
    limit::LimitStep,
};
use crate::codec::Names;
use crate::config::{NONE, PolicyConfig, RouteConfig};

/// What guards are compiled from.
#[derive(Debug)]
pub struct GuardInput<'a> {
    /// Policies by name.
    pub policies: &'a Map<PolicyConfig>,
    /// The policies of every route.
    pub defaults: Option<&'a OneOrMany<Spanned<Name>>>,
    /// Rate limits that go on counting.
    pub limits: &'a mut Prepared,
    /// Stores that rate limits share, by name. When nothing is to be served there are none.
    pub stores: &'a HashMap<String, Store>,
    /// Lists and databases that go on living.
    pub firewalls: &'a Firewalls,
    /// Who may come in at all.
    pub firewall: &'a FirewallConfig,
    /// What tells where an address belongs.
    pub geo: &'a Geo,
    /// Keys and logins that go on living.
    pub auth: &'a Auth,
}

/// Compiles guards, one route after another.
pub(crate) struct Compiler<'a, 'i> {
    input: &'a mut GuardInput<'i>,
    registry: &'a Registry,
    services: &'a HashMap<&'a str, u32>,
    /// Firewalls and limits of policies, which their routes share.
    firewalls: HashMap<&'i str, Arc<FirewallStep>>,
    limits: HashMap<&'i str, Arc<LimitStep>>,
    authenticators: Vec<Arc<Authenticator>>,
    /// Fields that say who is asking.
    pub(crate) identity_names: Names,
    sought: Sought,
}

/// A route as far as its guard is about it.
pub(crate) struct Subject<'r> {
    pub(crate) config: &'r Spanned<RouteConfig>,
    pub(crate) name: &'r Arc<str>,
    pub(crate) parameters: &'r [Box<str>],
}

/// One of the policies of a route.
struct Held<'i> {
    name: &'i str,
    config: &'i PolicyConfig,
}

impl<'a, 'i> Compiler<'a, 'i> {
    pub(crate) fn new(
        input: &'a mut GuardInput<'i>,
        registry: &'a Registry,
        services: &'a HashMap<&'a str, u32>,
        routes: &[Spanned<RouteConfig>],
    ) -> Self {
        let mut identity_names: Names = [
            &b"X-Auth-Subject"[..],
            b"X-Auth-Method",
            b"X-Auth-Scopes",
            // What proxies pass on of a client's certificate.
            b"X-Forwarded-Client-Cert",
        ]
        .into_iter()
        .collect();
        // Those of forward_auth, here because no route may take what another one writes.
        let policies = input
            .policies
            .iter()
            .filter_map(|(_, policy)| policy.forward_auth.as_ref());
        let asking = routes
            .iter()
            .filter_map(|route| route.forward_auth.as_ref());
        for config in policies.chain(asking) {
            for name in ForwardAuthPlan::compile(config, 0).identity_names() {
                identity_names.add(name);
            }
        }
        let mut sought = Sought::default();
        for route in routes {
            for (name, _) in route.headers.iter() {
                sought.condition(&name.value, name.span);
            }
        }
        Self {
            input,
            registry,
            services,
            firewalls: HashMap::new(),
            limits: HashMap::new(),
            authenticators: Vec::new(),
            identity_names,
            sought,
        }
    }

    /// Tells of fields that are looked for in requests and never there. To be called when all routes are compiled.
    pub(crate) fn check_fields(&self, cx: &mut Cx) {
        self.sought.check(&self.identity_names, cx);
    }

    /// The logins of all routes.
    pub(crate) fn logins(&self) -> Logins {
        self.input.auth.logins(&self.authenticators)
    }

    /// Parameters of queries in which credentials of any route come.
    pub(crate) fn hidden_parameters(&self) -> Vec<Hidden> {
        let all = self.authenticators.iter().flat_map(|auth| auth.hidden());
        let mut parameters: Vec<Hidden> = Vec::new();
        for hidden in all.filter(|hidden| matches!(hidden, Hidden::Parameter(_))) {
            if !parameters.contains(hidden) {
                parameters.push(hidden.clone());
            }
        }
        parameters
    }

    /// The guard of a route; `None` inside if it has no policies, `None` after problems were reported.
    pub(crate) fn guard(&mut self, route: &Subject<'_>, cx: &mut Cx) -> Option<Option<Box<Guard>>> {
        let held = self.held(route, cx)?;
        let mut good = true;
        let mut steps = Vec::new();
        for policy in &held {
            if let Some(config) = &policy.config.firewall {
                steps.push(Step::Firewall(self.firewall_of(policy.name, config, cx)));
            }
        }
        let config = &route.config.value;
        if let Some(firewall) = &config.firewall {
            steps.push(Step::Firewall(self.firewall(route.name, firewall, cx)));
        }
        let auth = self.auth(route, &held, cx);
        good &= auth.is_ok();
        let auth = auth.ok().flatten();

        let mut limits = Vec::new();
        for policy in &held {
            if let Some(config) = &policy.config.rate_limit {
                limits.push((config.span, self.limit_of(policy.name, config, cx)));
            }
        }
        if let Some(config) = &config.rate_limit {
            let name = format!("route {}", route.name);
            limits.push((config.span, self.limit(route.name, &name, "", config, cx)));
        }
        if auth.is_none() {
            for (span, limit) in &limits {
                if limit.as_ref().is_some_and(|limit| needs_identity(limit)) {
                    cx.warning(*span, "nobody proves who they are on this route, so requests are counted by address")
                        .help("write `auth` beside it, or another `key`");
                }
            }
        }
        good &= limits.iter().all(|(_, limit)| limit.is_some());
        let mut limits: Vec<_> = limits.into_iter().filter_map(|(_, limit)| limit).collect();
        // A store is asked when nobody here refuses: a flood need not reach it.
        limits.sort_by_key(|limit| limit.shared.is_some());
        let limits = limits.into_iter();
        let (known, unknown): (Vec<_>, Vec<_>) = limits.partition(|limit| needs_identity(limit));
        let mut answers_drop = Names::default();
        for limit in known.iter().chain(&unknown) {
            for name in limit.answer_names() {
                answers_drop.add(name);
            }
        }
        if !unknown.is_empty() {
            steps.push(Step::Limits(unknown.into()));
        }
        if let Some(auth) = auth {
            steps.push(Step::Auth(Box::new(auth)));
        }
        if !known.is_empty() {
            steps.push(Step::Limits(known.into()));
        }
        match self.forward_auth(route, &held) {
            Ok(Some(step)) => steps.push(Step::ForwardAuth(Box::new(step))),
            Ok(None) => {}
            // An unknown service is reported when the config is checked.
            Err(()) => good = false,
        }

        let nearest =
            |of: fn(&PolicyConfig) -> bool| held.iter().rev().find(|held| of(held.config));
        let mut transforms: Vec<_> = held
            .iter()
            .filter_map(|held| held.config.transform.as_ref())
            .map(|transform| &transform.value)
            .collect();
        transforms.extend(config.transform.as_ref().map(|transform| &transform.value));
        let policies = HeadPolicies {
            cors: config
                .cors
                .as_ref()
                .or_else(|| {
                    nearest(|policy| policy.cors.is_some())?
                        .config
                        .cors
                        .as_ref()
                })
                .map(|cors| &cors.value),
            security: config
                .security_headers
                .as_ref()
                .or_else(|| {
                    let held = nearest(|policy| policy.security_headers.is_some())?;
                    held.config.security_headers.as_ref()
                })
                .map(|security| &security.value),
            transforms: &transforms,
        };
        let names = &self.identity_names;
        let head = HeadPlan::compile(
            policies,
            route.parameters,
            |name| names.has(name.as_bytes()),
            cx,
        )?;
        let guard = Guard {
            steps: steps.into(),
            head: (!head.is_empty()).then_some(head),
            answers_drop,
            geo: self.input.geo.clone(),
        };
        good.then(|| (!guard.is_idle()).then(|| Box::new(guard)))
    }

    /// The policies of a route: the defaults, and those that it names.
    fn held(&self, route: &Subject<'_>, cx: &mut Cx) -> Option<Vec<Held<'i>>> {
        let own: &[Spanned<Name>] = route.config.policies.as_deref().unwrap_or_default();
        let (none, own) = match own.split_first() {
            Some((first, rest)) if first.value.as_str() == NONE => (true, rest),
            _ => (false, own),
        };
        let defaults: &[Spanned<Name>] = match self.input.defaults {
            Some(defaults) if !none => defaults,
            _ => &[],
        };
        let policies = self.input.policies;
        let mut seen = HashSet::new();
        let mut held = Vec::new();
        let mut good = true;
        for name in defaults.iter().chain(own) {
            if !seen.insert(name.value.as_str()) {
                continue;
            }
            match policies.iter().find(|(known, _)| known.value == name.value) {
                Some((name, config)) => held.push(Held {
                    name: name.value.as_str(),
                    config,
                }),
                None => good = false,
            }
        }
        if !good {
            // Reported where all names are checked, once for each place.
            debug_assert!(cx.has_errors(), "unknown policies are reported before");
        }
        good.then_some(held)
    }

    fn firewall_of(
        &mut self,
        name: &'i str,
        config: &Spanned<FirewallPolicyConfig>,
        cx: &mut Cx,
    ) -> Arc<FirewallStep> {
        if let Some(known) = self.firewalls.get(name) {
            return Arc::clone(known);
        }
        let made = self.firewall(&Arc::from(name), config, cx);
        self.firewalls.insert(name, Arc::clone(&made));
        made
    }

    pub(crate) fn firewall(
        &self,
        name: &Arc<str>,
        config: &FirewallPolicyConfig,
        cx: &mut Cx,
    ) -> Arc<FirewallStep> {
        Arc::new(FirewallStep {
            name: Arc::clone(name),
            policy: self.input.firewalls.policy(config, self.input.geo, cx),
            metrics: self.registry.policy("firewall", name),
        })
    }

    fn limit_of(
        &mut self,
        name: &'i str,
        config: &Spanned<RateLimitConfig>,
        cx: &mut Cx,
    ) -> Option<Arc<LimitStep>> {
        if let Some(known) = self.limits.get(name) {
            return Some(Arc::clone(known));
        }
        let made = self.limit(&Arc::from(name), name, name, config, cx)?;
        self.limits.insert(name, Arc::clone(&made));
        Some(made)
    }

    /// `name` is for logs and metrics, `key` for what goes on counting, `label` for clients.
    fn limit(
        &mut self,
        name: &Arc<str>,
        key: &str,
        label: &str,
        config: &Spanned<RateLimitConfig>,
        cx: &mut Cx,
    ) -> Option<Arc<LimitStep>> {
        let spec = config.spec(label);
        if !self.is_known(&spec, config.span, cx) {
            return None;
        }
        for part in spec.key.parts() {
            if let KeyPart::Header(name) = part {
                self.sought.condition(name, config.span);
            }
        }
        let limiter = self.input.limits.limiter(key, spec);
        let spec = limiter.spec();
        let shared = spec.store.as_ref().and_then(|shared| {
            let store = self.input.stores.get(&*shared.engine)?;
            Some(SharedLimiter::new(
                Arc::clone(&limiter),
                store.clone(),
                shared.on_error,
            ))
        });
        Some(Arc::new(LimitStep {
            name: Arc::clone(name),
            metrics: self.registry.policy("rate_limit", name),
            shared,
            limiter,
        }))
    }

    /// Whether what a limit counts by can be known.
    fn is_known(&self, spec: &LimitSpec, span: Span, cx: &mut Cx) -> bool {
        let geo = self.input.geo;
        let mut good = true;
        for part in spec.key.parts() {
            let (word, known) = match part {
                KeyPart::Country => ("country", geo.tells_countries()),
                KeyPart::Asn => ("asn", geo.tells_asns()),
                _ => continue,
            };
            if !known {
                good = false;
                cx.error(
                    span,
                    format!("no database tells the `{word}` of an address"),
                )
                .help("name one under `firewall: { geo: ... }`");
            }
        }
        good
    }

    fn forward_auth(
        &self,
        route: &Subject<'_>,
        held: &[Held<'i>],
    ) -> Result<Option<ForwardAuthStep>, ()> {
        let policy = held.iter().rev().find_map(|held| {
            let config = held.config.forward_auth.as_ref()?;
            Some((Arc::from(held.name), config))
        });
        let own = route.config.forward_auth.as_ref();
        let own = own.map(|config| (Arc::clone(route.name), config));
        let Some((name, config)) = own.or(policy) else {
            return Ok(None);
        };
        let service = self.services.get(config.service.value.as_str()).ok_or(())?;
        Ok(Some(ForwardAuthStep {
            plan: Arc::new(ForwardAuthPlan::compile(config, *service)),
            metrics: self.registry.policy("forward_auth", &name),
            name,
        }))
    }
}

/// Whether a limit counts by what authentication finds out.
fn needs_identity(limit: &LimitStep) -> bool {
    let spec = limit.limiter.spec();
    let by_identity =
        |part: &KeyPart| matches!(part, KeyPart::User | KeyPart::ApiKey | KeyPart::Claim(_));
    !spec.plans.is_empty() || spec.key.parts().iter().any(by_identity)
}
