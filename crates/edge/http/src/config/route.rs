//! Where requests lead.

use weir_config::{ByteSize, Cx, Map, Name, Node, OneOrMany, OrOff, Spanned, object, one_of};

use weir_auth::RequireConfig;
use weir_firewall::FirewallPolicyConfig;
use weir_limit::RateLimitConfig;
use weir_service::StickyConfig;

use super::{
    AuthConfig, CorsConfig, DeadlineConfig, FilesConfig, ForwardAuthConfig, MirrorConfig,
    PriorityConfig, RedirectConfig, RespondConfig, RetriesConfig, SecurityHeadersConfig,
    SplitConfig, TimeoutConfig, TransformConfig,
};

object! {
    /// Where requests lead. The most specific route that a request matches takes it, whatever the order of the file.
    pub struct RouteConfig {
        /// What logs and metrics call it; by default made of its host and path.
        pub name: Option<Spanned<Name>>,
        /// Hosts, exact or with a wildcard (`*.example.com`); by default any.
        pub host: Option<OneOrMany<Spanned<String>>>,
        /// The path: exact `/a/b`, prefix `/a/*`, parameters `/a/{id}`, or a regular expression `~^/a/\d+$`; by default any.
        pub path: Option<Spanned<String>>,
        /// Methods; by default any.
        pub methods: Option<OneOrMany<Spanned<String>>>,
        /// Header fields that must all be there: a value, `*` for any, or a regular expression after `~`.
        pub headers: Map<Spanned<String>, String> = Map::default(),
        /// Query parameters that must all be there, written like `headers`.
        pub query: Map<Spanned<String>, String> = Map::default(),
        /// The listeners that it belongs to; by default all.
        pub listeners: Option<OneOrMany<Spanned<Name>>>,
        /// The path, and query, that the service sees instead: `/users/{id}`, `/{rest}`.
        pub rewrite: Option<Spanned<String>>,
        /// How long the service may take; in short form, for the whole exchange.
        pub timeout: TimeoutConfig = TimeoutConfig::default(),
        /// When a request is tried again on another endpoint; in short form, how often.
        pub retries: RetriesConfig = RetriesConfig::default(),
        /// How large the body of a request may be; by default what the listener says.
        pub max_body: Option<OrOff<ByteSize>>,
        /// A cookie that keeps a user on one of the services of a `split`; in short form, its name.
        pub sticky: Option<Spanned<StickyConfig>>,
        /// Another service that gets copies of the requests; in short form, its name.
        pub mirror: Option<Spanned<MirrorConfig>>,
        /// Who goes first when the service is overloaded; by default `normal`.
        pub priority: Option<PriorityConfig>,
        /// Policies that hold here beside the defaults; a list that begins with `none` takes the defaults away.
        pub policies: Option<OneOrMany<Spanned<Name>>>,
        /// Ways to know who is asking, any one of which is enough: names of policies, or methods; with `anonymous`, those
        /// who say nothing may pass. In place of the methods of the policies.
        pub auth: Option<AuthConfig>,
        /// What those who are known must have, beside what policies say.
        pub require: Option<RequireConfig>,
        /// How many requests may pass, beside what policies say.
        pub rate_limit: Option<Spanned<RateLimitConfig>>,
        /// Which clients may send which requests, beside what policies say.
        pub firewall: Option<Spanned<FirewallPolicyConfig>>,
        /// A service that is asked about each request.
        pub forward_auth: Option<Spanned<ForwardAuthConfig>>,
        /// Which pages of other origins may use this route.
        pub cors: Option<Spanned<CorsConfig>>,
        /// Header fields that make browsers careful.
        pub security_headers: Option<Spanned<SecurityHeadersConfig>>,
        /// What is changed about header fields on the way, after what policies change.
        pub transform: Option<Spanned<TransformConfig>>,
        /// The header field that says how long the client still waits; in short form, its name. By default none is
        /// looked at.
        pub deadline: Option<DeadlineConfig>,
    }
    one_of {
        /// What becomes of the request.
        pub action: Action
    }
    check RouteConfig::check;
}

one_of! {
    /// What becomes of a request.
    pub enum Action {
        /// It goes to an endpoint of this service.
        service => Service(Spanned<Name>),
        /// It goes to an endpoint of one of these services, chosen by weight: `{ stable: 95, canary: 5 }`.
        split => Split(SplitConfig),
        /// The client is sent elsewhere.
        redirect => Redirect(RedirectConfig),
        /// It gets a fixed answer.
        respond => Respond(RespondConfig),
        /// It gets a file.
        files => Files(FilesConfig),
    }
}

impl RouteConfig {
    /// The services that requests go to, that copies of them go to, and that are asked about them.
    pub fn services(&self) -> impl Iterator<Item = &Spanned<Name>> {
        let copies = self.mirror.iter().map(|mirror| &mirror.service);
        let asked = self.forward_auth.iter().map(|asked| &asked.value.service);
        self.targets().chain(copies).chain(asked)
    }

    /// The services that requests go to.
    fn targets(&self) -> impl Iterator<Item = &Spanned<Name>> {
        let (one, some) = match &self.action {
            Action::Service(name) => (Some(name), None),
            Action::Split(split) => (None, Some(split)),
            _ => (None, None),
        };
        let some = some.into_iter().flat_map(SplitConfig::shares);
        one.into_iter().chain(some.map(|(name, _)| name))
    }

    /// Warns of what other programs write, and which means something else here.
    fn check_borrowed(&self, cx: &mut Cx) {
        if let Some(path) = &self.path
            && !path.starts_with('~')
            && let Some(name) = path.split('/').find_map(|part| part.strip_prefix(':'))
            && name.starts_with(|c: char| c.is_ascii_alphabetic())
        {
            cx.warning(path.span, format!("`:{name}` stands for itself in a path"))
                .help(format!("a parameter is written `{{{name}}}`, in quotes"));
        }
        if let Some(rewrite) = &self.rewrite
            && let Some(at) = rewrite.find('$')
            && rewrite[at + 1..].starts_with(|c: char| c.is_ascii_digit())
        {
            cx.warning(rewrite.span, "`$` stands for itself in a rewrite")
                .help("what a path holds is named: `/a/*` and `/{rest}`, `/a/{id}` and `/b/{id}`, `~^/a/(?<id>.+)$` and `/{id}`");
        }
        for method in self.methods.iter().flat_map(|methods| methods.iter()) {
            if method.contains('|') {
                let each: Vec<&str> = method.split('|').collect();
                cx.warning(method.span, format!("`{}` is one method", method.value))
                    .help(format!("for several, write `[{}]`", each.join(", ")));
            }
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        self.check_borrowed(cx);
        if let Some(sticky) = &self.sticky
            && !matches!(self.action, Action::Split(_))
        {
            let problem = cx.error(
                sticky.span,
                "`sticky` of a route says something only about a `split`",
            );
            if let Action::Service(name) = &self.action {
                problem.help(format!(
                    "to keep a user on one endpoint, write it under the service `{name}`"
                ));
            }
        }
        if matches!(self.action, Action::Service(_) | Action::Split(_)) {
            if let Some(mirror) = &self.mirror {
                mirror.check_against(self.targets(), cx);
            }
            return;
        }
        let about_services = [
            ("rewrite", self.rewrite.is_some()),
            ("timeout", self.timeout != TimeoutConfig::default()),
            ("retries", self.retries != RetriesConfig::default()),
            ("mirror", self.mirror.is_some()),
            ("priority", self.priority.is_some()),
            ("deadline", self.deadline.is_some()),
        ];
        for (key, _) in about_services.into_iter().filter(|(_, written)| *written) {
            cx.error(
                node.span,
                format!("`{key}` says something only about a `service` or a `split`"),
            )
            .key(key);
        }
    }
}
