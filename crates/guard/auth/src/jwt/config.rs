//! What the user says about signed tokens.

use weir_client::Url;
use weir_config::{
    Cx, Decode, Duration, FilePath, Json, JsonMap, Map, Node, OneOrMany, OrOff, Schemas, Secret,
    Spanned, Text, object,
};

use super::algorithm::Algorithm;
use crate::claims::ClaimPath;
use crate::config::{ClaimValue, CookieName, HeaderName, IdentityField, Realm};

object! {
    /// Signed tokens: JSON Web Tokens (RFC 7519), with the rules of RFC 8725. They may have 16 KiB, as far as the listener's
    /// `max_field` and `max_head` let them in.
    pub struct JwtConfig {
        /// The keys of the issuer: the URL of a JWK set, or `file:jwks.json`. They are fetched again after as long as the
        /// server says (`max-age`, from a minute to a day), by default 5 minutes, and at once when a token names a key that is
        /// not known; for the next such token after 5 seconds at the earliest, and after up to a minute if that brings nothing
        /// new.
        pub jwks: Option<Spanned<JwksConfig>>,
        /// Authorities (PEM) that the certificate of that URL must come from, instead of those that the system trusts.
        pub ca: Option<Spanned<FilePath>>,
        /// In place of keys, a secret that the issuer knows as well, for HS256, HS384 and HS512; at least as long as the
        /// hash.
        pub secret: Option<Spanned<Secret>>,
        /// Who must have issued a token (`iss`), to the letter.
        pub issuer: Option<OneOrMany<String>>,
        /// Whom a token must be for (`aud`): one of these. Without it, tokens that are for somebody are refused.
        pub audience: Option<OneOrMany<String>>,
        /// How tokens may be signed; by default all ways that need no secret, or with a secret those it is long enough for.
        pub algorithms: Option<Spanned<OneOrMany<Algorithm>>>,
        /// What kind of token it must be (`typ`), such as `at+jwt` (RFC 9068).
        pub typ: Option<String>,
        /// Claims that every token needs: each must be one of the values given, or a list with one of them.
        pub claims: Map<OneOrMany<ClaimValue>, ClaimPath> = Map::default(),
        /// By how much the clocks of issuer and Weir may differ; `off` for not at all.
        pub leeway: Spanned<OrOff<Duration>> = OrOff::On(Duration::from_secs(60)).into(),
        /// Whether a token must say when it ends (`exp`).
        pub expires: bool = true,
        /// How long after it was issued (`iat`) a token is too old, whatever it says itself.
        pub max_age: Option<Duration>,
        /// The header field that holds the token. By default it is `Authorization`, behind `Bearer`.
        pub header: Option<HeaderName>,
        /// The cookie that holds the token. Think of requests that other sites make browsers send.
        pub cookie: Option<CookieName>,
        /// The claim that says who somebody is.
        pub subject: ClaimPath = ClaimPath::known("sub"),
        /// The claim that says what they may do, words in a text or a list; by default `scope`, or else `scp`.
        pub scopes: Option<ClaimPath>,
        /// The claim that names their plan of rate limits.
        pub plan: Option<ClaimPath>,
        /// Fields that tell endpoints more, with the claims that they hold: `x-email: email`. What cannot be told as it is
        /// or is longer than 8 KiB is not told, which is an event.
        pub headers: Map<ClaimPath, IdentityField> = Map::default(),
        /// Whether endpoints see no tokens. They may want to: a token is for them.
        pub hide: bool = false,
        /// What clients are told that the token is for.
        pub realm: Realm = Realm::known("weir"),
    }
    check JwtConfig::check;
}

impl JwtConfig {
    const MOST_LEEWAY: Duration = Duration::from_secs(300);

    /// How tokens may be signed, in the end.
    pub(crate) fn algorithms(&self) -> Vec<Algorithm> {
        if let Some(algorithms) = &self.algorithms {
            return algorithms.value.to_vec();
        }
        match &self.secret {
            None => Algorithm::PUBLIC.to_vec(),
            Some(secret) => [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]
                .into_iter()
                .filter(|algorithm| secret.value.expose().len() >= algorithm.shortest_secret())
                .collect(),
        }
    }

    fn check(&self, node: &Node, cx: &mut Cx) {
        match (&self.jwks, &self.secret) {
            (None, None) => {
                cx.error(node.span, "there is nothing to verify tokens with")
                    .expected("`jwks` or `secret`");
            }
            (Some(_), Some(secret)) => {
                cx.error(secret.span, "`secret` cannot stand beside `jwks`")
                    .help("write two methods: tokens say themselves how they are signed, and must not be believed");
            }
            (Some(jwks), None) => jwks.value.check(jwks, cx),
            (None, Some(secret)) => self.check_secret(secret, cx),
        }
        if let (Some(algorithms), Some(_)) = (&self.algorithms, &self.jwks)
            && algorithms.iter().any(|algorithm| algorithm.is_symmetric())
        {
            cx.error(algorithms.span, "a public key is not a secret")
                .help("HS256, HS384 and HS512 go with `secret`");
        }
        if self.audience.is_none() {
            cx.warning(node.span, "without `audience`, a token for another service passes here")
                .help("tokens that say for whom they are will be refused; name who this is: `audience: api`");
        }
        let leeway = self.leeway.value.on();
        if leeway.is_some_and(|leeway| leeway > Self::MOST_LEEWAY) {
            let message = "clocks that differ that much should be set";
            cx.error(self.leeway.span, message)
                .expected(format!("at most {}", Self::MOST_LEEWAY.to_text()));
        }
    }

    fn check_secret(&self, secret: &Spanned<Secret>, cx: &mut Cx) {
        let length = secret.value.expose().len();
        let Some(algorithms) = &self.algorithms else {
            if length < Algorithm::Hs256.shortest_secret() {
                cx.error(secret.span, "this secret can be guessed: it is too short")
                    .help("at least 32 bytes, such as `openssl rand -hex 32` prints");
            }
            return;
        };
        for algorithm in algorithms.value.iter() {
            if !algorithm.is_symmetric() {
                let message = format!("{algorithm} needs a public key, not a secret");
                cx.error(algorithms.span, message);
            } else if length < algorithm.shortest_secret() {
                let least = algorithm.shortest_secret();
                cx.error(secret.span, "this secret can be guessed: it is too short")
                    .help(format!("{algorithm} needs at least {least} bytes"));
            }
        }
    }
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksConfig {
    /// Somebody gives them out.
    Url(Url),
    /// They stand in a file, which may change at any time.
    File(FilePath),
}

impl JwksConfig {
    const FILE: &str = "file:";

    fn check(&self, at: &Spanned<Self>, cx: &mut Cx) {
        if let Self::Url(url) = self
            && url.is_exposed()
        {
            cx.warning(
                at.span,
                "whoever sits between Weir and this host can make keys of their own",
            )
            .help("use https");
        }
    }
}

impl Decode for JwksConfig {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let text = String::decode(node, cx)?;
        match text.strip_prefix(Self::FILE) {
            None => Url::decode(node, cx).map(Self::Url),
            Some("") => {
                cx.error(node.span, "this path is empty");
                None
            }
            Some(path) => {
                let path = cx.sources().resolve(node.span, std::path::Path::new(path));
                Some(Self::File(FilePath::from(path)))
            }
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Url(url) => Json::from(url.as_str()),
            Self::File(path) => Json::from(format!("{}{}", Self::FILE, path.written())),
        }
    }

    fn schema(_: &mut Schemas) -> Json {
        let mut schema = JsonMap::new();
        schema.insert("type".to_owned(), Json::from("string"));
        schema.insert(
            "pattern".to_owned(),
            Json::from("^https?://[^@#\\\\ ]+$|^file:.+|\\$\\{"),
        );
        Json::Object(schema)
    }
}
