//! What the user says about token introspection.

use weir_client::Url;
use weir_config::{
    ByteSize, Cx, Duration, FilePath, Map, Node, OneOrMany, OrOff, Secret, Spanned, Within, choice,
    object,
};

use crate::claims::ClaimPath;
use crate::config::{IdentityField, Realm};

object! {
    /// Opaque tokens, about which the server that gave them out is asked (RFC 7662).
    pub struct IntrospectionConfig {
        /// Where to ask: the `introspection_endpoint` of the server.
        pub url: Spanned<Url>,
        /// As whom Weir asks.
        pub client_id: Option<String>,
        /// The secret of that client.
        pub client_secret: Option<Secret>,
        /// How the client proves who it is.
        pub client_auth: ClientAuth = ClientAuth::Basic,
        /// A token that Weir asks with, instead of a client and its secret.
        pub bearer: Option<Secret>,
        /// Whose tokens count (`iss`), if the server tells.
        pub issuer: Option<String>,
        /// For whom a token must be (`aud`): one of these.
        pub audience: Option<OneOrMany<String>>,
        /// The claim with the name of whoever sent the token; by default `sub`, or `client_id` where there is none.
        pub subject: Option<ClaimPath>,
        /// The claim with what they may do.
        pub scopes: ClaimPath = ClaimPath::known("scope"),
        /// The claim with the plan of rate limits that they are on.
        pub plan: Option<ClaimPath>,
        /// Fields that tell endpoints more, with the claims that they hold: `x-user: username`. What cannot be told as it is
        /// or is longer than 8 KiB is not told, which is an event.
        pub headers: Map<ClaimPath, IdentityField> = Map::default(),
        /// Whether endpoints see no tokens.
        pub hide: bool = false,
        /// How long an answer counts, if the token does not end before; `off` asks for each request. So long may a token
        /// be accepted after it was revoked. Without it, 30 s, or less where the server says so in `Cache-Control`. Many
        /// servers forbid it always (`no-store`), so that each request asks; what stands here counts instead.
        pub cache: Option<OrOff<Duration>>,
        /// How long it counts that a token is not good; without it, 10 s, or less where the server says so.
        pub cache_refused: Option<OrOff<Duration>>,
        /// How many answers are remembered.
        pub max_tokens: Within<1, 1_048_576> = Within::new(10_000),
        /// How long a request waits for an answer.
        pub timeout: Duration = Duration::from_secs(2),
        /// How large an answer may be.
        pub max_answer: ByteSize = ByteSize::kib(64),
        /// Authorities (PEM) that the server's certificate must come from, instead of those that the system trusts.
        pub ca: Option<Spanned<FilePath>>,
        /// What clients are told that the token is for.
        pub realm: Realm = Realm::known("weir"),
    }
    check IntrospectionConfig::check;
}

choice! {
    /// How a client proves who it is (RFC 6749, section 2.3.1).
    pub enum ClientAuth {
        /// By `Authorization: Basic`.
        Basic = "basic",
        /// By `client_id` and `client_secret` in the form.
        Post = "post",
    }
}

impl IntrospectionConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        match (&self.bearer, &self.client_id, &self.client_secret) {
            (Some(_), None, None) | (None, Some(_), Some(_)) => {}
            (Some(_), ..) => {
                cx.error(
                    node.span,
                    "`bearer` stands in place of a client and its secret",
                )
                .key("bearer");
            }
            // RFC 7662, 2.1: to prevent token scanning, the endpoint MUST require authorization.
            (None, ..) => {
                cx.error(node.span, "the server answers nobody it does not know")
                    .help("give `client_id` and `client_secret`, or `bearer`");
            }
        }
        if self.url.is_exposed() {
            cx.warning(self.url.span, "tokens and secrets go there in plain text")
                .help("an address with `https://`");
        }
    }
}
