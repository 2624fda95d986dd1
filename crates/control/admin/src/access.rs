//! Who may ask what: pure decisions on the head of a request. The crate's docs say why.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Version};
use weir_config::Secret;

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// 400: the authority is missing, given twice, or not one.
    BadHost,
    /// 401: the token is missing or wrong.
    Token,
    /// 403: the authority is a name.
    NamedHost,
    /// 403: a page of another site asks for a change.
    ForeignPage,
}

/// Whether the sender of `head` may ask.
pub(crate) fn check(head: &Parts, token: Option<&Secret>) -> Result<(), Denied> {
    match token {
        Some(token) => check_token(&head.headers, token),
        None => check_local(head),
    }
}

/// RFC 6750, section 2.1.
fn check_token(headers: &HeaderMap, token: &Secret) -> Result<(), Denied> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return Err(Denied::Token);
    };
    let value = value.as_bytes();
    let shown = match value.split_at_checked(7) {
        // RFC 9110, section 11.1: the scheme is case-insensitive.
        Some((scheme, shown)) if scheme.eq_ignore_ascii_case(b"bearer ") => shown,
        _ => return Err(Denied::Token),
    };
    if token.matches(shown.trim_ascii()) {
        Ok(())
    } else {
        Err(Denied::Token)
    }
}

fn check_local(head: &Parts) -> Result<(), Denied> {
    let host = authority(head)?;
    if let Some(host) = host
        && !is_local(host)
    {
        return Err(Denied::NamedHost);
    }
    if matches!(head.method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    check_page(&head.headers, host)
}

/// What the client calls us. Both ways of saying it must agree (RFC 9112, section 3.2.2).
fn authority(head: &Parts) -> Result<Option<&str>, Denied> {
    let mut all = head.headers.get_all(header::HOST).iter();
    let field = match (all.next(), all.next()) {
        (Some(host), None) => Some(host.to_str().map_err(|_| Denied::BadHost)?),
        (None, None) if head.version == Version::HTTP_10 => None,
        _ => return Err(Denied::BadHost),
    };
    match (head.uri.authority(), field) {
        (Some(target), Some(host)) if !target.as_str().eq_ignore_ascii_case(host) => {
            Err(Denied::BadHost)
        }
        (Some(target), _) => Ok(Some(target.as_str())),
        (None, field) => Ok(field),
    }
}

/// Whether no name server was asked to get here with this authority.
fn is_local(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(host, _)| host),
        None => authority
            .split_once(':')
            .map_or(authority, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok()
}

/// Whether the page that sends this, if it is one, is ours.
fn check_page(headers: &HeaderMap, host: Option<&str>) -> Result<(), Denied> {
    for origin in headers.get_all(header::ORIGIN) {
        let own = origin
            .to_str()
            .ok()
            .and_then(|origin| {
                origin
                    .strip_prefix("http://")
                    .or_else(|| origin.strip_prefix("https://"))
            })
            .zip(host)
            .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
        if !own {
            return Err(Denied::ForeignPage);
        }
    }
    let foreign = headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    if foreign {
        Err(Denied::ForeignPage)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn names_are_not_local() {
        for host in [
            "127.0.0.1:9900",
            "127.0.0.1",
            "[::1]:9900",
            "[::1]",
            "localhost:9900",
            "LocalHost",
            "10.1.2.3:80",
        ] {
            assert_eq!(
                check(&head("GET", "/", &[("host", host)]), None),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example:9900",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "[evil]",
            "127.0.0.1x",
        ] {
            assert_eq!(
                check(&head("GET", "/", &[("host", host)]), None),
                Err(Denied::NamedHost),
                "{host}"
            );
        }
        let absolute = head("GET", "http://evil.example/", &[("host", "evil.example")]);
        assert_eq!(check(&absolute, None), Err(Denied::NamedHost));
    }

    #[test]
    fn the_authority_must_be_one() {
        let no_host = head("GET", "/", &[]);
        assert_eq!(check(&no_host, None), Err(Denied::BadHost));
        let two = head(
            "GET",
            "/",
            &[("host", "localhost"), ("host", "evil.example")],
        );
        assert_eq!(check(&two, None), Err(Denied::BadHost));
        let differ = head("GET", "http://localhost/", &[("host", "evil.example")]);
        assert_eq!(check(&differ, None), Err(Denied::BadHost));
    }

    #[test]
    fn pages_of_other_sites_change_nothing() {
        let host = ("host", "127.0.0.1:9900");
        for (fields, expected) in [
            (vec![], Ok(())),
            (vec![("origin", "http://127.0.0.1:9900")], Ok(())),
            (vec![("sec-fetch-site", "same-origin")], Ok(())),
            (vec![("sec-fetch-site", "none")], Ok(())),
            (
                vec![("origin", "http://127.0.0.1:8080")],
                Err(Denied::ForeignPage),
            ),
            (
                vec![("origin", "https://evil.example")],
                Err(Denied::ForeignPage),
            ),
            (vec![("origin", "null")], Err(Denied::ForeignPage)),
            (
                vec![("origin", "http://127.0.0.1:9900"), ("origin", "null")],
                Err(Denied::ForeignPage),
            ),
            (
                vec![("sec-fetch-site", "cross-site")],
                Err(Denied::ForeignPage),
            ),
            (
                vec![("sec-fetch-site", "same-site")],
                Err(Denied::ForeignPage),
            ),
        ] {
            let fields: Vec<_> = fields.into_iter().chain([host]).collect();
            assert_eq!(
                check(&head("POST", "/reload", &fields), None),
                expected,
                "{fields:?}"
            );
            assert_eq!(
                check(&head("GET", "/status", &fields), None),
                Ok(()),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn a_token_opens_and_nothing_else_does() {
        let token = Secret::new("s3cret");
        for (fields, expected) in [
            (vec![("authorization", "Bearer s3cret")], Ok(())),
            (vec![("authorization", "bearer s3cret")], Ok(())),
            // With a token, any name will do: no browser sends it on its own.
            (
                vec![("authorization", "Bearer s3cret"), ("host", "weir.example")],
                Ok(()),
            ),
            (vec![], Err(Denied::Token)),
            (vec![("authorization", "Bearer ")], Err(Denied::Token)),
            (vec![("authorization", "Bearer s3cre")], Err(Denied::Token)),
            (
                vec![("authorization", "Bearer s3cret2")],
                Err(Denied::Token),
            ),
            (vec![("authorization", "Basic s3cret")], Err(Denied::Token)),
            (vec![("authorization", "s3cret")], Err(Denied::Token)),
            (
                vec![
                    ("authorization", "Bearer no"),
                    ("authorization", "Bearer s3cret"),
                ],
                Err(Denied::Token),
            ),
            (vec![("host", "127.0.0.1")], Err(Denied::Token)),
        ] {
            assert_eq!(
                check(&head("POST", "/reload", &fields), Some(&token)),
                expected,
                "{fields:?}"
            );
        }
    }
}
