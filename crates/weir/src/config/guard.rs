//! Whether the names that policies go by exist.

use weir_config::{Cx, Name, Spanned};
use weir_http::{AuthItem, PolicyConfig, RouteConfig};
use weir_limit::RateLimitConfig;

use super::{Config, slips, unknown};

/// The word that takes the defaults away.
const NONE: &str = "none";
/// The word for those who say nothing.
const ANONYMOUS: &str = "anonymous";

impl Config {
    /// Checks policies, and which of them routes name.
    pub(super) fn check_policies(&self, cx: &mut Cx) {
        for (name, policy) in &self.policies {
            if [NONE, ANONYMOUS].contains(&name.value.as_str()) {
                let problem = format!(
                    "`{}` means something else where policies are named",
                    name.value
                );
                cx.error(name.span, problem)
                    .help("give this policy another name");
            }
            self.check_policy(policy, cx);
        }
        let mut used: Vec<&str> = Vec::new();
        let defaults = self.defaults.policies.iter().flat_map(|names| names.iter());
        for name in defaults {
            self.check_policy_name(name, cx);
            used.push(name.value.as_str());
        }
        for route in &self.routes {
            used.extend(self.check_route_policies(route, cx));
        }
        if cx.has_errors() {
            return;
        }
        used.sort_unstable();
        for (name, _) in &self.policies {
            if used.binary_search(&name.value.as_str()).is_err() {
                cx.warning(
                    name.span,
                    format!("nothing uses the policy `{}`", name.value),
                );
            }
        }
        for (name, _) in &self.engines {
            let uses = |limit: &Spanned<RateLimitConfig>| {
                let store = limit.value.store.as_ref();
                store.is_some_and(|store| store.value == name.value)
            };
            let policies = self
                .policies
                .iter()
                .filter_map(|(_, policy)| policy.rate_limit.as_ref());
            let routes = self
                .routes
                .iter()
                .filter_map(|route| route.rate_limit.as_ref());
            if !policies.chain(routes).any(uses) {
                cx.warning(
                    name.span,
                    format!("nothing uses the engine `{}`", name.value),
                );
            }
        }
    }

    fn check_policy(&self, policy: &PolicyConfig, cx: &mut Cx) {
        if let Some(limit) = &policy.rate_limit {
            self.check_store(limit, cx);
        }
        if let Some(asked) = &policy.forward_auth {
            self.check_service(&asked.value.service, cx);
        }
    }

    fn check_store(&self, limit: &RateLimitConfig, cx: &mut Cx) {
        if let Some(store) = &limit.store
            && !self.engines.contains(&store.value)
        {
            let help = slips::store_word(store);
            unknown("engine", store, &self.engines, help, cx);
        }
    }

    fn check_policy_name(&self, name: &Spanned<Name>, cx: &mut Cx) {
        if !self.policies.contains(&name.value) {
            let help = slips::policy_word(name);
            unknown("policy", name, &self.policies, help, cx);
        }
    }

    fn check_auth_name(&self, name: &Spanned<Name>, cx: &mut Cx) {
        if !self.policies.contains(&name.value) {
            let help = slips::auth_word(name);
            unknown("policy", name, &self.policies, help, cx);
        }
    }

    /// The policies that a route names.
    fn check_route_policies<'a>(&self, route: &'a RouteConfig, cx: &mut Cx) -> Vec<&'a str> {
        let mut used = Vec::new();
        let names = route.policies.iter().flat_map(|names| names.iter());
        for (at, name) in names.enumerate() {
            if name.value.as_str() != NONE {
                self.check_policy_name(name, cx);
                used.push(name.value.as_str());
            } else if at > 0 {
                cx.error(name.span, "`none` takes the defaults away")
                    .help("write it first");
            }
        }
        for item in route.auth.iter().flat_map(|items| items.iter()) {
            if let AuthItem::Policy(name) = item {
                self.check_auth_name(name, cx);
                used.push(name.value.as_str());
            }
        }
        if let Some(limit) = &route.rate_limit {
            self.check_store(limit, cx);
        }
        used
    }

    /// The services that policies ask.
    pub(super) fn asked_services(&self) -> impl Iterator<Item = &Name> {
        let policies = self.policies.iter();
        policies.filter_map(|(_, policy)| Some(&policy.forward_auth.as_ref()?.value.service.value))
    }
}
