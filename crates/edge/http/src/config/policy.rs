//! Policies: who may pass, how much, and what changes on the way. Named once, used by many routes.

use weir_auth::{
    ApiKeyConfig, AuthItem, BasicConfig, IntrospectionConfig, JwtConfig, MethodConfig, OidcConfig,
    RequireConfig,
};
use weir_config::{Cx, Name, Node, OneOrMany, Spanned, object};
use weir_firewall::FirewallPolicyConfig;
use weir_limit::RateLimitConfig;

use super::{CorsConfig, ForwardAuthConfig, SecurityHeadersConfig, TransformConfig};

object! {
    /// What routes can have in common, under a name. One policy may say several things.
    pub struct PolicyConfig {
        /// How many requests may pass: all routes with this policy count together.
        pub rate_limit: Option<Spanned<RateLimitConfig>>,
        /// Which clients may send which requests.
        pub firewall: Option<Spanned<FirewallPolicyConfig>>,
        /// API keys that Weir knows.
        pub api_key: Option<Spanned<ApiKeyConfig>>,
        /// Names and passwords that Weir knows.
        pub basic: Option<Spanned<BasicConfig>>,
        /// Signed tokens.
        pub jwt: Option<Spanned<JwtConfig>>,
        /// Tokens that another server knows about (RFC 7662).
        pub introspection: Option<Spanned<IntrospectionConfig>>,
        /// A login at an OpenID provider.
        pub oidc: Option<Spanned<OidcConfig>>,
        /// What those who are known must have.
        pub require: Option<RequireConfig>,
        /// A service that is asked about each request.
        pub forward_auth: Option<Spanned<ForwardAuthConfig>>,
        /// Which pages of other origins may use the routes.
        pub cors: Option<Spanned<CorsConfig>>,
        /// Header fields that make browsers careful.
        pub security_headers: Option<Spanned<SecurityHeadersConfig>>,
        /// What is changed about header fields on the way.
        pub transform: Option<Spanned<TransformConfig>>,
    }
    check PolicyConfig::check;
}

object! {
    /// What holds for every route that does not say otherwise.
    pub struct DefaultsConfig {
        /// Policies of every route, unless it begins its own `policies` with `none`.
        pub policies: Option<OneOrMany<Spanned<Name>>>,
    }
}

/// The word that takes the defaults away.
pub(crate) const NONE: &str = "none";

impl PolicyConfig {
    /// The methods that it names, any of which is enough.
    pub(crate) fn methods(&self) -> Vec<Spanned<MethodConfig>> {
        fn method<T: Clone>(
            config: Option<&Spanned<T>>,
            wrap: fn(T) -> MethodConfig,
        ) -> Option<Spanned<MethodConfig>> {
            config.map(|config| Spanned {
                value: wrap(config.value.clone()),
                span: config.span,
            })
        }
        [
            method(self.api_key.as_ref(), MethodConfig::ApiKey),
            method(self.basic.as_ref(), MethodConfig::Basic),
            method(self.jwt.as_ref(), MethodConfig::Jwt),
            method(self.introspection.as_ref(), MethodConfig::Introspection),
            method(self.oidc.as_ref(), MethodConfig::Oidc),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether it says anything beside its methods.
    pub(crate) fn says_more(&self) -> bool {
        self.rate_limit.is_some()
            || self.firewall.is_some()
            || self.require.is_some()
            || self.forward_auth.is_some()
            || self.cors.is_some()
            || self.security_headers.is_some()
            || self.transform.is_some()
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.methods().is_empty() && !self.says_more() {
            cx.error(node.span, "this policy says nothing")
                .expected("one of `rate_limit`, `firewall`, `api_key`, `basic`, `jwt`, `introspection`, `oidc`, `require`, `forward_auth`, `cors`, `security_headers`, `transform`");
        }
    }
}

/// The methods of a route in the order in which they are tried.
pub type AuthConfig = OneOrMany<AuthItem>;
