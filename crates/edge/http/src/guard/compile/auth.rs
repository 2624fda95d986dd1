//! Who is asked who they are, by what.

use std::sync::Arc;

use weir_auth::{AuthItem, JwksConfig, MethodConfig, NamedMethod, RequireConfig};
use weir_config::Cx;

use super::{Compiler, Held, Subject};
use crate::{config::PolicyConfig, guard::auth::AuthStep};

impl<'i> Compiler<'_, 'i> {
    pub(super) fn auth(
        &mut self,
        route: &Subject<'_>,
        held: &[Held<'i>],
        cx: &mut Cx,
    ) -> Result<Option<AuthStep>, ()> {
        let (methods, anonymous) = self.methods(route, held, cx)?;
        let require = require(route, held);
        self.sought.credentials(&methods);
        if methods.is_empty() {
            if !require.is_empty() && !anonymous {
                cx.error(
                    route.config.span,
                    "`require` needs somebody who proves who they are",
                )
                .help("write `auth` beside it");
                return Err(());
            }
            return Ok(None);
        }
        let auth = self.input.auth;
        let authenticator = auth
            .authenticator(&methods, anonymous, &require, cx)
            .ok_or(())?;
        for name in authenticator.identity_fields() {
            self.identity_names.add(name.as_bytes());
        }
        self.authenticators.push(Arc::clone(&authenticator));
        let name = methods
            .iter()
            .map(|method| &method.policy)
            .find(|policy| !policy.is_empty())
            .unwrap_or(route.name);
        Ok(Some(AuthStep {
            name: Arc::clone(name),
            authenticator,
            asks: methods.iter().map(|method| asks(&method.config)).collect(),
            metrics: self.registry.policy("auth", name),
        }))
    }

    /// The methods of a route, and whether it can do without: its own, or else those of its policies.
    fn methods(
        &self,
        route: &Subject<'_>,
        held: &[Held<'i>],
        cx: &mut Cx,
    ) -> Result<(Vec<NamedMethod>, bool), ()> {
        let named = |name: &str, policy: &PolicyConfig| {
            let name: Arc<str> = Arc::from(name);
            let methods = policy.methods().into_iter();
            methods.map(move |method| NamedMethod {
                policy: Arc::clone(&name),
                config: method.value,
                span: method.span,
            })
        };
        let Some(items) = &route.config.auth else {
            let all = held.iter().flat_map(|held| named(held.name, held.config));
            return Ok((all.collect(), false));
        };
        let (mut methods, mut anonymous, mut good) = (Vec::new(), false, true);
        for item in items.iter() {
            match item {
                AuthItem::Anonymous => anonymous = true,
                AuthItem::Inline(method) => methods.push(NamedMethod {
                    policy: Arc::from(""),
                    config: method.value.clone(),
                    span: method.span,
                }),
                AuthItem::Policy(name) => match self.input.policies.get(&name.value) {
                    Some(policy)
                        if !policy.methods().is_empty()
                            && policy.says_more()
                            && !held.iter().any(|held| held.name == name.value.as_str()) =>
                    {
                        // To leave out what a policy says beside its method would let pass what it refuses.
                        good = false;
                        let problem = format!(
                            "`auth` takes only the method of `{0}`, and `{0}` says more",
                            name.value
                        );
                        cx.error(name.span, problem).help(format!(
                            "write `policies: {0}`, alone or beside this; or put its method into a policy of its own",
                            name.value
                        ));
                    }
                    Some(policy) if !policy.methods().is_empty() => {
                        methods.extend(named(name.value.as_str(), policy));
                    }
                    Some(_) => {
                        good = false;
                        cx.error(
                            name.span,
                            format!("the policy `{}` knows nobody", name.value),
                        )
                        .expected("one with `api_key`, `basic`, `jwt`, `introspection` or `oidc`");
                    }
                    // Reported where all names are checked.
                    None => good = false,
                },
            }
        }
        if good {
            Ok((methods, anonymous))
        } else {
            Err(())
        }
    }
}

/// What all policies and the route need: each of them, so that what one says never makes another say less.
fn require(route: &Subject<'_>, held: &[Held<'_>]) -> Vec<RequireConfig> {
    let policies = held.iter().filter_map(|held| held.config.require.as_ref());
    policies.chain(&route.config.require).cloned().collect()
}

/// Whom a method asks about a credential, if that is not here.
fn asks(method: &MethodConfig) -> Option<Box<str>> {
    let url = match method {
        MethodConfig::ApiKey(_) | MethodConfig::Basic(_) => return None,
        MethodConfig::Jwt(jwt) => match &jwt.jwks.as_ref()?.value {
            JwksConfig::Url(url) => url.as_str(),
            JwksConfig::File(_) => return None,
        },
        MethodConfig::Introspection(introspection) => introspection.url.as_str(),
        MethodConfig::Oidc(oidc) => oidc.issuer.as_str(),
    };
    Some(url.into())
}
