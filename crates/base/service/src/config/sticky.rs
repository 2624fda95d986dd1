//! What the user says about cookies that keep a user where they are.

use weir_config::{Cx, Duration, Node, Secret, Spanned, Text, object};

object! {
    /// A cookie that keeps a user where they are. In short form, its name.
    pub struct StickyConfig {
        /// Its name. It is between the browser and Weir: endpoints do not see it.
        pub cookie: Spanned<CookieName>,
        /// What its value is signed with, at least 16 bytes: the same for all Weirs that serve the same users. Without it
        /// each start of Weir has a key of its own, and no cookie outlives that.
        pub secret: Option<Spanned<Secret>>,
        /// How long the browser keeps it; without it, until the browser is closed.
        pub ttl: Option<Duration>,
        /// The paths that the browser sends it for.
        pub path: CookiePath = CookiePath("/".into()),
        /// Whether the browser sends it over TLS only. For a Weir behind something that terminates TLS.
        pub secure: bool = false,
    }
    short cookie;
    check StickyConfig::check;
}

impl StickyConfig {
    const SHORTEST_SECRET: usize = 16;

    fn check(&self, node: &Node, cx: &mut Cx) {
        if let Some(secret) = &self.secret
            && secret.value.expose().len() < Self::SHORTEST_SECRET
        {
            cx.error(secret.span, "this secret can be guessed: it is too short")
                .help("at least 16 bytes, such as `openssl rand -hex 32` prints");
        }
        // RFC 6265bis, 4.1.3: browsers drop cookies that break what their names promise.
        let name = self.cookie.as_str();
        let host = name.starts_with("__Host-");
        if (host || name.starts_with("__Secure-")) && !self.secure {
            cx.error(
                self.cookie.span,
                format!("browsers take `{name}` only over TLS"),
            )
            .help("write `secure: true`");
        }
        if host && self.path.as_str() != "/" {
            cx.error(node.span, format!("browsers take `{name}` only for `/`"))
                .key("path");
        }
    }
}

/// The name of a cookie: a token (RFC 6265, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for CookieName {
    const EXPECTED: &'static str = "the name of a cookie";

    fn from_text(text: &str) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
            return Err("at most 64 letters, digits, `-` and `_`".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
    }
}

/// The path of a cookie (RFC 6265, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CookiePath(Box<str>);

impl CookiePath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for CookiePath {
    const EXPECTED: &'static str = "a path that begins with `/`";

    fn from_text(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') || !text.bytes().all(|b| b.is_ascii_graphic() && b != b';') {
            return Err(String::new());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^/[!-:<-~]*$")
    }
}

weir_config::text!(CookieName, CookiePath);

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let sticky = cx.decode::<StickyConfig>();
        match cx.finish(sticky) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn the_short_form_is_the_name() {
        let mut cx = Cx::from_text("weir.yaml", "lb", &|_| None);
        let sticky = cx.decode::<StickyConfig>();
        let sticky = cx.finish(sticky).expect("good").value;
        assert_eq!(sticky.cookie.as_str(), "lb");
        assert_eq!(sticky.path.as_str(), "/");
        assert!(sticky.secret.is_none() && sticky.ttl.is_none() && !sticky.secure);
    }

    #[test]
    fn what_browsers_would_drop_is_an_error() {
        for (text, part) in [
            ("cookie: 'a b'", "the name of a cookie"),
            ("cookie: 'a;b'", "the name of a cookie"),
            ("{ cookie: lb, path: shop }", "begins with `/`"),
            ("{ cookie: lb, path: '/a;b' }", "begins with `/`"),
            ("{ cookie: __Host-lb }", "secure: true"),
            ("{ cookie: __Secure-lb }", "secure: true"),
            (
                "{ cookie: __Host-lb, secure: true, path: /a }",
                "only for `/`",
            ),
            ("{ cookie: lb, secret: short }", "too short"),
        ] {
            let seen = problems(text);
            assert!(seen.contains(part), "{text}: {seen}");
        }
        for text in [
            "{ cookie: __Host-lb, secure: true }",
            "{ cookie: lb, secret: 0123456789abcdef, ttl: 1h, path: /shop }",
        ] {
            assert_eq!(problems(text), "", "{text}");
        }
    }

    #[test]
    fn no_message_shows_the_secret() {
        let seen = problems("{ cookie: lb, secret: hunter2 }");
        assert!(
            seen.contains("too short") && !seen.contains("hunter2"),
            "{seen}"
        );
    }
}
