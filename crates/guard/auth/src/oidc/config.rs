//! What the user says about logins.

use weir_client::Url;
use weir_config::{
    Cx, Duration, FilePath, Map, Node, OneOrMany, OrOff, Rate, Secret, Spanned, Text, object,
};

use crate::claims::ClaimPath;
use crate::config::{CookieName, IdentityField, Realm, Scope};
use crate::introspection::ClientAuth;
use crate::jwt::Algorithm;

object! {
    /// Logins of people at an OpenID provider; Weir keeps their session in a sealed cookie.
    pub struct OidcConfig {
        /// The provider, exactly as it calls itself. What else is to know about it is found there
        /// (`/.well-known/openid-configuration`).
        pub issuer: Spanned<Url>,
        /// What the provider calls this Weir.
        pub client_id: String,
        /// The secret that came with it. Public clients have none.
        pub client_secret: Option<Secret>,
        /// How Weir proves to the provider who it is.
        pub client_auth: ClientAuth = ClientAuth::Basic,
        /// What sessions are sealed with: at least 32 characters, random. The first one seals; the others still open, so
        /// that a secret can be replaced without ending sessions.
        pub session_secrets: Spanned<OneOrMany<Secret>>,
        /// How long a session lasts before people have to log in again.
        pub session: Duration = Duration::from_secs(12 * 3600),
        /// The cookie that holds it: by default `weir_` and the name of the policy. Where Weir speaks HTTPS, `__Host-` stands
        /// before it.
        pub cookie: Option<CookieName>,
        /// What the provider is asked for. With `offline_access`, most providers give a refresh token, and sessions hold as
        /// long as the provider thinks so.
        pub scopes: Spanned<Vec<Scope>> = Spanned::from(default_scopes()),
        /// How ID tokens may be signed.
        pub algorithms: Spanned<Vec<Algorithm>> = Spanned::from(vec![Algorithm::Rs256]),
        /// Further parameters of the question for a login, such as `prompt`.
        pub parameters: Map<String, String> = Map::default(),
        /// Where the provider sends people back to. It must know this address, with scheme and host.
        pub callback: LocalPath = LocalPath::known("/oauth2/callback"),
        /// Where people log out, here and at the provider.
        pub logout: LocalPath = LocalPath::known("/oauth2/logout"),
        /// Where the provider sends them then: a path here, such as `/bye`, or a whole URL. The provider must know the
        /// address, that of a path with scheme and host; without it, they stay there.
        pub after_logout: Option<AfterLogout>,
        /// Where browsers find this Weir (`https://app.example.com`), if it is not what their requests say: behind another
        /// proxy that ends TLS.
        pub external: Option<Spanned<Url>>,
        /// How many logins from one address may come to nothing; `off` for any number. Beyond that, codes from there are not
        /// taken to the provider, and their senders are told to wait (429). Logins that succeed do not count. Behind a proxy
        /// that is not among `trusted`, everybody comes from one address.
        pub attempts: OrOff<Rate> = OrOff::On(Rate::new(30, Duration::from_secs(60))),
        /// The claim with the name of whoever logged in.
        pub subject: ClaimPath = ClaimPath::known("sub"),
        /// The claim with the plan of rate limits that they are on.
        pub plan: Option<ClaimPath>,
        /// Fields that tell endpoints more, with the claims that they hold: `x-email: email`. What cannot be told as it is
        /// or is longer than 8 KiB is not told, which is an event.
        pub headers: Map<ClaimPath, IdentityField> = Map::default(),
        /// How long the provider may take for an answer.
        pub timeout: Duration = Duration::from_secs(5),
        /// Authorities (PEM) that the provider's certificate must come from, instead of those that the system trusts.
        pub ca: Option<Spanned<FilePath>>,
        /// What clients that are no browsers are told that the login is for.
        pub realm: Realm = Realm::known("weir"),
    }
    check OidcConfig::check;
}

/// Shorter secrets can be guessed.
const SHORTEST_SECRET: usize = 32;

/// Parameters that the login itself sets.
const OWN_PARAMETERS: [&str; 9] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

fn default_scopes() -> Vec<Scope> {
    ["openid", "profile", "email"].map(Scope::known).to_vec()
}

impl OidcConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        let secrets = &self.session_secrets;
        if secrets
            .iter()
            .any(|secret| secret.expose().len() < SHORTEST_SECRET)
        {
            cx.error(secrets.span, "this secret is too short")
                .help("at least 32 characters: `openssl rand -base64 32` makes one");
        }
        if !self.scopes.iter().any(|scope| scope.as_str() == "openid") {
            cx.error(
                self.scopes.span,
                "without the scope `openid` there is no ID token",
            );
        }
        if self.algorithms.is_empty() {
            cx.error(self.algorithms.span, "there must be one at least");
        }
        if let Some(symmetric) = self
            .algorithms
            .iter()
            .find(|a| !Algorithm::PUBLIC.contains(a))
        {
            let message = format!("`{symmetric}` is signed with a secret that both sides know");
            cx.error(self.algorithms.span, message)
                .help("what providers sign with: RS256, PS256, ES256, EdDSA");
        }
        if self.callback == self.logout {
            cx.error(node.span, "`callback` and `logout` must differ")
                .key("logout");
        }
        if self.session.get().as_secs() == 0 {
            cx.error(node.span, "a session must last a second at least")
                .key("session");
        }
        self.check_urls(cx);
        for (name, _) in &self.parameters {
            if OWN_PARAMETERS.contains(&name.value.as_str()) {
                cx.error(name.span, "the login sets this parameter itself");
            }
        }
    }

    fn check_urls(&self, cx: &mut Cx) {
        if self.issuer.as_str().contains('?') {
            // OpenID Connect Discovery 1.0, section 3.
            cx.error(self.issuer.span, "an issuer has no query");
        }
        if self.issuer.is_exposed() {
            cx.warning(
                self.issuer.span,
                "tokens and secrets go there in plain text",
            )
            .help("an address with `https://`");
        }
        let Some(external) = &self.external else {
            return;
        };
        if external.path() != "/" || external.as_str().contains('?') {
            cx.error(external.span, "expected scheme and host only")
                .help("such as `https://app.example.com`");
        }
    }
}

/// A path on this Weir.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalPath(Box<str>);

impl LocalPath {
    fn known(path: &str) -> Self {
        Self(path.into())
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for LocalPath {
    const EXPECTED: &'static str = "a path, such as `/oauth2/callback`";

    fn from_text(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"?#\\\"<>%".contains(&byte);
        if !text.starts_with('/') || text.starts_with("//") || !text.bytes().all(fits) {
            return Err("it begins with one `/` and has no query".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^/([^/?#%\\\\ ][^?#%\\\\ ]*)?$")
    }
}

/// Where people are after they have logged out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AfterLogout {
    /// On this Weir.
    Path(LocalPath),
    /// Anywhere, as it is written: providers compare it letter by letter.
    Url(Box<str>),
}

impl AfterLogout {
    /// The address for a browser, if this Weir has that base.
    pub(super) fn address(&self, base: Option<String>) -> Option<String> {
        match self {
            Self::Path(path) => base.map(|base| base + path.as_str()),
            Self::Url(url) => Some(url.to_string()),
        }
    }
}

impl Text for AfterLogout {
    const EXPECTED: &'static str = "a path such as `/bye`, or a URL";

    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return LocalPath::from_text(text).map(Self::Path);
        }
        // It goes into a field of an answer as it is.
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("without blanks, and in ASCII".to_owned());
        }
        Url::parse(text).map_err(|error| error.to_string())?;
        Ok(Self::Url(text.into()))
    }

    fn to_text(&self) -> String {
        match self {
            Self::Path(path) => path.to_text(),
            Self::Url(url) => url.to_string(),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some("^(/([^/?#%\\\\ ][^?#%\\\\ ]*)?|https?://[^@#\\\\ ]+)$")
    }
}

weir_config::text!(AfterLogout, LocalPath);
