//! Addresses of what Weir asks: `http` and `https`, absolute, and nothing that one parser could read unlike another.

use std::fmt;
use std::net::IpAddr;

use hyper::Uri;
use hyper::http::uri::{Authority, PathAndQuery, Scheme};
use weir_config::Text;

/// Longer addresses are refused.
const MAX_BYTES: usize = 8 << 10;

/// An absolute `http` or `https` URL without user, password or fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: Box<str>,
    /// Where the host ends and the path begins.
    path_at: usize,
    uri: Uri,
}

/// Why a text is not such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not parse, or is relative.
    #[error("it is not an absolute URL")]
    Malformed,
    /// Neither http nor https.
    #[error("it begins neither with `https://` nor with `http://`")]
    Scheme,
    /// `user@` stands before the host.
    #[error("it names a user; credentials have settings of their own")]
    User,
    /// `#` stands in it.
    #[error("it has a fragment (`#`)")]
    Fragment,
    /// It is longer than 8 KiB.
    #[error("it is longer than 8 KiB")]
    Length,
}

impl Url {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_BYTES {
            return Err(UrlError::Length);
        }
        if text.contains('#') {
            return Err(UrlError::Fragment);
        }
        // Visible ASCII only: what lies beyond must be encoded (RFC 3986, section 2).
        if text
            .bytes()
            .any(|byte| !byte.is_ascii_graphic() || byte == b'\\')
        {
            return Err(UrlError::Malformed);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Malformed)?;
        if scheme != "http" && scheme != "https" {
            return Err(UrlError::Scheme);
        }
        let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let authority = &rest[..authority_end];
        if authority.contains('@') {
            return Err(UrlError::User);
        }
        let authority: Authority = authority.parse().map_err(|_| UrlError::Malformed)?;
        let host_ok = !authority.host().is_empty()
            && match authority.port() {
                Some(port) => port.as_u16() != 0,
                None => !authority.as_str().ends_with(':'),
            };
        // A port that does not fit is no port to the parser, but a colon stays.
        let colons_ok = authority.port().is_some() || {
            let after = authority.as_str().rsplit(']').next().unwrap_or("");
            !after.contains(':')
        };
        if !host_ok || !colons_ok {
            return Err(UrlError::Malformed);
        }
        let path = &rest[authority_end..];
        let path: PathAndQuery = match path.as_bytes().first() {
            None => PathAndQuery::from_static("/"),
            Some(b'?') => format!("/{path}")
                .parse()
                .map_err(|_| UrlError::Malformed)?,
            Some(_) => path.parse().map_err(|_| UrlError::Malformed)?,
        };
        let path_at = scheme.len() + 3 + authority_end;
        let mut parts = hyper::http::uri::Parts::default();
        parts.scheme = Some(if scheme == "https" {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        });
        parts.authority = Some(authority);
        parts.path_and_query = Some(path);
        let uri = Uri::from_parts(parts).map_err(|_| UrlError::Malformed)?;
        Ok(Self {
            text: text.into(),
            path_at,
            uri,
        })
    }

    /// The URL as it was written: issuers are compared to the letter.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.text[..self.path_at]
    }

    /// Whether the host must prove who it is.
    pub fn is_https(&self) -> bool {
        self.uri.scheme() == Some(&Scheme::HTTPS)
    }

    /// The host without the brackets of IPv6.
    pub fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or("");
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host)
    }

    /// The port, written or implied.
    pub fn port(&self) -> u16 {
        let implied = if self.is_https() { 443 } else { 80 };
        self.uri.port_u16().unwrap_or(implied)
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Whether what is sent there stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether others on the way can read what is sent there: plain HTTP to another machine.
    pub fn is_exposed(&self) -> bool {
        !self.is_https() && !self.is_loopback()
    }

    /// This URL with a query, added to the one that it may have.
    pub fn with_query(&self, query: &str) -> String {
        let text = self.as_str();
        match (query, text.contains('?')) {
            ("", _) => text.to_owned(),
            (_, true) => format!("{text}&{query}"),
            (_, false) => format!("{text}?{query}"),
        }
    }

    /// What follows the method in a request (RFC 9112, section 3.2.1), and what goes into its Host field.
    pub(crate) fn target(&self) -> (&str, &str) {
        let target = self.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let host = self.uri.authority().map_or("", Authority::as_str);
        (target, host)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Text for Url {
    const EXPECTED: &'static str = "a URL, such as `https://id.example.com`";

    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|error| error.to_string())
    }

    fn to_text(&self) -> String {
        self.text.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^https?://[^@#\\\\ ]+$")
    }
}

weir_config::text!(Url);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn parts_of_a_url() {
        let url = Url::parse("https://id.example.com/a/b?c=d").expect("a URL");
        assert_eq!(url.origin(), "https://id.example.com");
        assert_eq!(
            (url.host(), url.port(), url.path()),
            ("id.example.com", 443, "/a/b")
        );
        assert_eq!(url.target(), ("/a/b?c=d", "id.example.com"));
        assert_eq!(url.with_query("e=f"), "https://id.example.com/a/b?c=d&e=f");
        assert!(url.is_https() && !url.is_exposed());

        let url = Url::parse("http://[::1]:8080").expect("a URL");
        assert_eq!(url.origin(), "http://[::1]:8080");
        assert_eq!((url.host(), url.port(), url.path()), ("::1", 8080, "/"));
        assert_eq!(url.target(), ("/", "[::1]:8080"));
        assert!(url.is_loopback() && !url.is_exposed());

        let url = Url::parse("http://id.example.com?x").expect("a URL");
        assert_eq!(url.target(), ("/?x", "id.example.com"));
        assert_eq!(url.with_query("y=1"), "http://id.example.com?x&y=1");
        assert!(url.is_exposed());
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (text, why) in [
            ("", UrlError::Malformed),
            ("/path", UrlError::Malformed),
            ("id.example.com", UrlError::Malformed),
            ("ftp://id.example.com/", UrlError::Scheme),
            ("HTTPS://id.example.com/", UrlError::Scheme),
            ("https://", UrlError::Malformed),
            ("https:///path", UrlError::Malformed),
            ("https://:443/", UrlError::Malformed),
            ("https://host:", UrlError::Malformed),
            ("https://host:0/", UrlError::Malformed),
            ("https://host:65536/", UrlError::Malformed),
            ("https://host:44 3/", UrlError::Malformed),
            ("https://user@host/", UrlError::User),
            ("https://user:secret@host/", UrlError::User),
            ("https://good.example\\@evil.example/", UrlError::Malformed),
            ("https://host/\r\nx: y", UrlError::Malformed),
            ("https://host/#part", UrlError::Fragment),
            ("https://höst/", UrlError::Malformed),
        ] {
            assert_eq!(Url::parse(text), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_parts_belong_to_the_text(text in "https?://[ -~]{0,40}") {
            if let Ok(url) = Url::parse(&text) {
                prop_assert!(text.starts_with(url.origin()));
                prop_assert!(!url.host().is_empty());
                prop_assert_eq!(Url::parse(url.as_str()), Ok(url.clone()));
            }
        }
    }
}
