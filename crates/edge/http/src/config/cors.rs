//! Which pages of other origins may use a route.

use regex_automata::meta::{Config, Regex};
use regex_syntax::hir::{Hir, Look};
use weir_config::{Cx, Duration, Node, OneOrMany, Spanned, Text, object};

object! {
    /// Which pages of other origins may use a route from within a browser (CORS, the Fetch standard). Weir answers the
    /// questions that browsers ask before such requests. In short form, the origins.
    pub struct CorsConfig {
        /// The origins: `https://app.example.com`, everything below a domain as `https://*.example.com`, a regular
        /// expression for the whole of an origin after `~`, `"*"` for any, `"null"` for pages without one.
        pub origins: OneOrMany<Spanned<OriginConfig>>,
        /// Methods that pages may use; by default all that the route takes.
        pub methods: Option<OneOrMany<Spanned<Token>>>,
        /// Header fields that pages may send; by default any.
        pub headers: Option<OneOrMany<Spanned<Token>>>,
        /// Fields of an answer that pages may read, beside the few that they always may.
        pub expose: Option<OneOrMany<Spanned<Token>>>,
        /// Whether pages may send cookies and other credentials, and read what comes of it.
        pub credentials: bool = false,
        /// How long a browser may remember what it was told; browsers have bounds of their own.
        pub max_age: Duration = Duration::from_secs(600),
        /// Whether pages of public networks may use a service in a private one (Private Network Access).
        pub private_network: bool = false,
    }
    short origins;
    check CorsConfig::check;
}

impl CorsConfig {
    fn check(&self, _: &Node, cx: &mut Cx) {
        for origin in self.origins.iter() {
            match &origin.value {
                OriginConfig::Any if self.credentials => {
                    // Fetch, 3.2.5: browsers refuse `*` then, and to reflect every origin would let any page act as its user.
                    cx.error(
                        origin.span,
                        "with `credentials: true`, `*` would let every web site act as its visitors",
                    )
                    .help("list the origins that may");
                }
                OriginConfig::Null if self.credentials => {
                    cx.error(
                        origin.span,
                        "with `credentials: true`, `null` would let every web site act as its visitors",
                    )
                    .help("any page can give itself the origin `null`, by a sandboxed frame");
                }
                OriginConfig::Regex(text)
                    if self.credentials
                        && origin_regex(text)
                            .is_ok_and(|regex| regex.is_match("https://anyone.invalid")) =>
                {
                    cx.error(
                        origin.span,
                        "with `credentials: true`, this would let every web site act as its visitors",
                    )
                    .help("it matches any origin");
                }
                OriginConfig::Below { parent, .. } if !parent.contains('.') => {
                    cx.warning(
                        origin.span,
                        format!("these are all sites below `{parent}`, whoever they belong to"),
                    );
                }
                _ => {}
            }
        }
        let any = |list: &Option<OneOrMany<Spanned<Token>>>| {
            list.iter()
                .flat_map(|list| list.iter())
                .find(|token| token.value.is_any())
                .map(|token| token.span)
        };
        if self.credentials
            && let Some(span) = any(&self.expose)
        {
            // Fetch, 3.2.4: with credentials it is the name of a field.
            cx.error(
                span,
                "with `credentials: true`, browsers do not take `*` for any field",
            )
            .help("list the fields that pages may read");
        }
        for method in self.methods.iter().flat_map(|methods| methods.iter()) {
            let upper = method.as_str().to_ascii_uppercase();
            if *upper != *method.as_str() {
                // RFC 9110, 9.1.
                cx.error(method.span, "methods are case-sensitive")
                    .help(format!("write `{upper}`"));
            }
        }
    }
}

/// An origin, or a set of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginConfig {
    /// Any origin.
    Any,
    /// That of a page that has none, or hides it.
    Null,
    /// This, as browsers write it.
    Exact(Box<str>),
    /// All hosts below a domain.
    Below {
        /// With its `://`.
        scheme: Box<str>,
        /// The domain.
        parent: Box<str>,
        /// The port.
        port: PortConfig,
    },
    /// Those that this regular expression matches as a whole.
    Regex(Box<str>),
}

/// The port of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortConfig {
    /// That of the scheme, which is not written.
    Default,
    /// This, as text.
    Is(Box<str>),
    /// Any or none.
    Any,
}

const EXAMPLE: &str = "write `https://app.example.com`, without a path";

impl Text for OriginConfig {
    const EXPECTED: &'static str = "an origin such as `https://app.example.com` or `https://*.example.com`, `\"*\"` or `\"null\"`";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "*" => return Ok(Self::Any),
            "null" => return Ok(Self::Null),
            _ => {}
        }
        if let Some(regex) = text.strip_prefix('~') {
            origin_regex(regex)?;
            return Ok(Self::Regex(regex.into()));
        }
        let lower = text.to_ascii_lowercase();
        let (scheme, rest) = lower.split_once("://").ok_or(EXAMPLE)?;
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        if !is_scheme {
            return Err(EXAMPLE.to_owned());
        }
        if let Some(origin) = rest.strip_suffix('/')
            && !origin.contains('/')
        {
            return Err(format!(
                "an origin has no path: write `{scheme}://{origin}`"
            ));
        }
        let (host, port) = split_port(rest)?;
        let port = match (scheme, port) {
            ("https", Some("443")) | ("http", Some("80")) | (_, None) => PortConfig::Default,
            (_, Some("*")) => PortConfig::Any,
            (_, Some(port)) => PortConfig::Is(port.into()),
        };
        if let Some(parent) = host.strip_prefix("*.") {
            if !is_name(parent) {
                return Err("`*` stands for whole labels in front: `https://*.example.com`".into());
            }
            return Ok(Self::Below {
                scheme: format!("{scheme}://").into(),
                parent: parent.into(),
                port,
            });
        }
        let is_v6 = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
        if !is_name(host) && !is_v6 {
            return Err(EXAMPLE.to_owned());
        }
        Ok(match port {
            PortConfig::Default => Self::Exact(format!("{scheme}://{host}").into()),
            PortConfig::Is(port) => Self::Exact(format!("{scheme}://{host}:{port}").into()),
            PortConfig::Any => {
                let host = regex_syntax::escape(host);
                Self::Regex(format!("{scheme}://{host}(:[0-9]+)?").into())
            }
        })
    }

    fn to_text(&self) -> String {
        match self {
            Self::Any => "*".to_owned(),
            Self::Null => "null".to_owned(),
            Self::Exact(origin) => origin.as_ref().to_owned(),
            Self::Below {
                scheme,
                parent,
                port,
            } => match port {
                PortConfig::Default => format!("{scheme}*.{parent}"),
                PortConfig::Is(port) => format!("{scheme}*.{parent}:{port}"),
                PortConfig::Any => format!("{scheme}*.{parent}:*"),
            },
            Self::Regex(regex) => format!("~{regex}"),
        }
    }
}

weir_config::text!(OriginConfig);

/// Host and port, which may be `*`.
fn split_port(rest: &str) -> Result<(&str, Option<&str>), String> {
    let from = rest.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = rest[from..].find(':') else {
        return Ok((rest, None));
    };
    let (host, port) = (&rest[..from + colon], &rest[from + colon + 1..]);
    let is_port = port == "*"
        || port.parse::<u16>().is_ok_and(|port| port > 0)
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0');
    if is_port {
        Ok((host, Some(port)))
    } else {
        Err(EXAMPLE.to_owned())
    }
}

fn is_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    host.len() <= 253 && host.split('.').all(is_label)
}

/// Compiles an expression for whole origins. It is anchored on both sides, whatever it says: one that matched only a part
/// would let `https://example.com.evil.example` pass for `https://example.com`.
pub(crate) fn origin_regex(text: &str) -> Result<Regex, String> {
    const SIZE: usize = 256 * 1024;
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(64)
        .build();
    let hir = parser.parse(text).map_err(|error| match error {
        regex_syntax::Error::Parse(error) => format!("the regex does not parse: {}", error.kind()),
        regex_syntax::Error::Translate(error) => {
            format!("the regex does not parse: {}", error.kind())
        }
        error => error.to_string(),
    })?;
    let whole = Hir::concat(vec![Hir::look(Look::Start), hir, Hir::look(Look::End)]);
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(SIZE))
        .onepass_size_limit(Some(SIZE))
        .hybrid_cache_capacity(SIZE);
    Regex::builder()
        .configure(config)
        .build_from_hir(&whole)
        .map_err(|_| "the regex is too large: use fewer or smaller repetitions".to_owned())
}

/// A method or the name of a header field: a token (RFC 9110, section 5.6.2); `*` for any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all.
    pub fn is_any(&self) -> bool {
        &*self.0 == "*"
    }
}

impl Text for Token {
    const EXPECTED: &'static str = "a name such as `GET` or `x-request-id`, or `\"*\"`";

    fn from_text(text: &str) -> Result<Self, String> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > 128 || !text.bytes().all(token) {
            return Err(String::new());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$")
    }
}

weir_config::text!(Token);

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(text: &str) -> Result<CorsConfig, String> {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<CorsConfig>();
        cx.finish(config)
            .map(|loaded| loaded.value)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn origins_are_brought_to_the_form_that_browsers_send() {
        for (written, kept) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://*.example.com", "https://*.example.com"),
            ("https://*.example.com:8443", "https://*.example.com:8443"),
            ("https://*.example.com:*", "https://*.example.com:*"),
            ("http://localhost:*", "~http://localhost(:[0-9]+)?"),
            ("capacitor://localhost", "capacitor://localhost"),
            (
                "~https://[a-z]+[.]example[.]com",
                "~https://[a-z]+[.]example[.]com",
            ),
            ("*", "*"),
            ("null", "null"),
        ] {
            let origin = OriginConfig::from_text(written).expect(written);
            assert_eq!(origin.to_text(), kept, "{written}");
            let again = OriginConfig::from_text(&origin.to_text());
            assert_eq!(again.as_ref(), Ok(&origin), "{written}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "example.com",
            "https://",
            "https://example.com/",
            "https://example.com/app",
            "https://user@example.com",
            "https://*",
            "https://*example.com",
            "https://a.*.example.com",
            "https://example.com:",
            "https://example.com:0",
            "https://example.com:65536",
            "https://example.com:+1",
            "https://exa mple.com",
            "1https://example.com",
            "~https://[",
        ] {
            assert!(OriginConfig::from_text(text).is_err(), "{text}");
        }
        let slash = OriginConfig::from_text("https://example.com/");
        assert!(slash.is_err_and(|hint| hint.contains("write `https://example.com`")));
    }

    #[test]
    fn an_expression_is_for_the_whole_origin() {
        for (regex, origin, matches) in [
            ("https://a[.]example", "https://a.example", true),
            ("https://a[.]example", "https://a.example.evil", false),
            ("https://a[.]example", "xhttps://a.example", false),
            ("https://a|https://b", "https://b", true),
            ("https://a|https://b", "https://a.evil", false),
            ("https://a|https://b", "evil.https://b", false),
            ("(?m)https://a$", "https://a\nhttps://b", false),
            ("(?x)https://a # a comment", "https://a", true),
            ("", "", true),
            ("", "https://a", false),
        ] {
            let compiled = origin_regex(regex).expect(regex);
            assert_eq!(compiled.is_match(origin), matches, "{regex} {origin}");
        }
        assert!(origin_regex("a)|(b").is_err());
        assert!(origin_regex("((a{1000}){1000}){1000}").is_err());
    }

    #[test]
    fn what_would_open_everything_is_refused() {
        for (text, part) in [
            ("{ origins: '*', credentials: true }", "act as its visitors"),
            (
                "{ origins: ['https://a.example', 'null'], credentials: true }",
                "sandboxed frame",
            ),
            (
                "{ origins: '~https?://.*', credentials: true }",
                "matches any origin",
            ),
            (
                "{ origins: 'https://a.example', credentials: true, expose: '*' }",
                "do not take `*`",
            ),
            (
                "{ origins: 'https://a.example', methods: patch }",
                "write `PATCH`",
            ),
            ("{ origins: [] }", ""),
            ("{ methods: [GET] }", "`origins` is missing"),
        ] {
            let problems = decode(text).expect_err(text);
            assert!(problems.contains(part), "{text}: {problems}");
        }
        let short = decode("[ 'https://a.example', 'https://*.b.example' ]").expect("good");
        assert_eq!(short.origins.len(), 2);
        assert!(!short.credentials && short.methods.is_none());
    }
}
