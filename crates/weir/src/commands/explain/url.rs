//! The URL of a question, taken apart no further than a client would.

/// Where a request goes, and its target.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// `host[:port]`, unless only a path was given.
    pub(super) authority: Option<String>,
    /// The port, given or that of the scheme.
    pub(super) port: Option<u16>,
    /// What the request line says.
    pub(super) target: String,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('/') || text == "*" {
            return Ok(Self {
                authority: None,
                port: None,
                target: without_fragment(text).to_owned(),
            });
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let default = match scheme.to_ascii_lowercase().as_str() {
            "http" => 80,
            "https" => 443,
            _ => return Err(format!("`{scheme}` is not http or https")),
        };
        let rest = without_fragment(rest);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains('@') {
            return Err(format!(
                "`{text}` is not a URL: write http://host/path, or a path"
            ));
        }
        // The colons of an IPv6 address stand in brackets.
        let after_host = authority
            .rfind(']')
            .map_or(authority, |end| &authority[end..]);
        let port = match after_host.split_once(':') {
            Some((_, port)) => port
                .parse()
                .map_err(|_| format!("`{port}` is not a port"))?,
            None => default,
        };
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self {
            authority: Some(authority.to_owned()),
            port: Some(port),
            target: format!("{slash}{target}"),
        })
    }
}

/// Clients keep it to themselves (RFC 9110, section 7.1).
fn without_fragment(text: &str) -> &str {
    text.split_once('#').map_or(text, |(before, _)| before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_by_table() {
        for (text, authority, port, target) in [
            ("/users/7?a=b#c", None, None, "/users/7?a=b"),
            ("*", None, None, "*"),
            ("http://a.example", Some("a.example"), Some(80), "/"),
            ("https://a.example/x", Some("a.example"), Some(443), "/x"),
            (
                "HTTP://a.example:8080?q",
                Some("a.example:8080"),
                Some(8080),
                "/?q",
            ),
            (
                "http://[::1]:81/a/../b",
                Some("[::1]:81"),
                Some(81),
                "/a/../b",
            ),
            ("http://[::1]/", Some("[::1]"), Some(80), "/"),
            ("localhost:8080/x", Some("localhost:8080"), Some(8080), "/x"),
        ] {
            let expected = Url {
                authority: authority.map(str::to_owned),
                port,
                target: target.to_owned(),
            };
            assert_eq!(Url::parse(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a:b/",
            "http://a:99999/",
            "http://user@a/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
