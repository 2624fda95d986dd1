//! Rewrites and redirects.

use proptest::prelude::*;

use super::super::{Captures, Normalized, Outcome, Template, TemplateKind, Values, normalize};
use super::{compile, request, rule};
use crate::config::EscapedSlashes;

/// Renders a template for a request that `path` matches.
fn render(path: &str, template: &str, kind: TemplateKind, text: &str) -> String {
    let table = compile(&[rule(path)]);
    let request = request(text);
    let lookup = request.lookup();
    let mut captures = Captures::new();
    let found = table.find(&lookup, request.headers, &mut captures);
    assert_eq!(found, Outcome::Route { index: 0 }, "{path} {text}");
    let template =
        Template::compile(template, table.parameters(0), kind).expect("the template compiles");
    let values = Values {
        host: lookup.host,
        path: lookup.path,
        query: lookup.query,
        captures: &captures,
    };
    let mut out = Vec::new();
    match template.render(&values, &mut out) {
        Ok(()) => String::from_utf8(out).expect("rendered targets are ASCII"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn rewrites() {
    let cases = [
        (
            "/api/users/*",
            "/users/{rest}",
            "GET h/api/users/7/a?x=1",
            "/users/7/a?x=1",
        ),
        (
            "/api/users/*",
            "/users/{rest}",
            "GET h/api/users",
            "/users/",
        ),
        ("/api/*", "/{rest}", "GET h/api/", "/"),
        ("/a/{id}", "/new/{id}?x={id}", "GET h/a/7?y=1", "/new/7?x=7"),
        (
            "/a/{id}",
            "/new/{id}?x={id}&{query}",
            "GET h/a/7?y=1",
            "/new/7?x=7&y=1",
        ),
        ("/a/{id}", "/new?", "GET h/a/7?y=1", "/new"),
        ("/a/{id}", "/new?{query}", "GET h/a/7", "/new"),
        ("/a/{id}", "/new", "GET h/a/7?", "/new"),
        ("/a/*", "{path}/x", "GET h/a/b", "/a/b/x"),
        ("/a/*", "{path}/x", "GET h/a/b/", "/a/b/x"),
        ("/a/*", "/pre{path}", "GET h/a/b", "/pre/a/b"),
        ("/a/*", "/pre/{path}", "GET h/a/b", "/pre/a/b"),
        ("/a/*", "/{host}/{rest}", "GET h.test:80/a/b", "/h.test/b"),
        ("/a/*", "/x?from={path}", "GET h/a/b+c", "/x?from=/a/b%2Bc"),
        (
            "/a/{id}",
            "/x?id={id}",
            "GET h/a/1&admin=1;b+c",
            "/x?id=1%26admin%3D1%3Bb%2Bc",
        ),
        ("/a/{id}", "/x/{id}", "GET h/a/%0D%0A%2F", "/x/%0D%0A%2F"),
        (
            "/a/{id}",
            "/café {id}".trim_end_matches(" {id}"),
            "GET h/a/7",
            "/caf%C3%A9",
        ),
        (
            "~^/go(?<to>.*)$",
            "/{to}",
            "GET h/go/evil.test",
            "/evil.test",
        ),
        ("~^/(?:a|(?<b>b))/x", "/n/{b}/y", "GET h/a/x", "/n/y"),
        // A group that cuts a percent triple in two.
        ("~^/(?<cut>..)", "/{cut}F", "GET h/%2E", "/%252F"),
    ];
    for (path, template, text, expected) in cases {
        assert_eq!(
            render(path, template, TemplateKind::Rewrite, text),
            expected,
            "{template} {text}"
        );
    }
}

#[test]
fn redirects() {
    let cases = [
        ("/old/*", "/new/{rest}", "GET h/old/a?x=1", "/new/a?x=1"),
        (
            "/*",
            "https://{host}{path}",
            "GET h.test:8080/a/b?x=1",
            "https://h.test/a/b?x=1",
        ),
        (
            "/*",
            "https://{host}:8443{path}",
            "GET h.test:8080/a",
            "https://h.test:8443/a",
        ),
        (
            "/*",
            "https://{host}/new/{rest}",
            "GET h.test/a",
            "https://h.test/new/a",
        ),
        (
            "/*",
            "https://{host}",
            "GET [::1]:80/a?q",
            "https://[::1]?q",
        ),
        (
            "/*",
            "https://www.example.com{path}",
            "GET h/a",
            "https://www.example.com/a",
        ),
        (
            "/{t}/*",
            "https://{t}.example.com/{rest}",
            "GET h/evil.test%2F/a",
            "https://evil.test%252F.example.com/a",
        ),
        (
            "/*",
            "https://{host}{path}",
            "GET evil@x/a",
            "https://evil%40x/a",
        ),
        ("/a/*", "/b/{rest}#top", "GET h/a/1?q=2", "/b/1?q=2#top"),
        ("/a/*", "/b?#{rest}", "GET h/a/1?q=2", "/b#1"),
        ("/a/*", "/b?x=1#{rest}", "GET h/a/1?q=2", "/b?x=1#1"),
        ("/a/*", "app+x://open/{rest}", "GET h/a/1", "app+x://open/1"),
    ];
    for (path, template, text, expected) in cases {
        assert_eq!(
            render(path, template, TemplateKind::Redirect, text),
            expected,
            "{template} {text}"
        );
    }
}

#[test]
fn values_cannot_join_to_a_dot_segment() {
    let refused = render(
        "~^/x(?<dots>\\.\\.)/(?<tail>.*)$",
        "/files/{dots}/{tail}",
        TemplateKind::Rewrite,
        "GET h/x../etc",
    );
    assert!(refused.contains("dot segment"), "{refused}");
    let refused = render("/a/*", "/{query}/x", TemplateKind::Rewrite, "GET h/a/b?..");
    assert!(refused.contains("dot segment"), "{refused}");
    let refused = render(
        "/a/*",
        "/{query}/x",
        TemplateKind::Rewrite,
        "GET h/a/b?../..",
    );
    assert!(!refused.contains("/.."), "{refused}");
}

#[test]
fn problems() {
    use TemplateKind::{Redirect, Rewrite};
    let cases = [
        ("/a/{idd}", Rewrite, "did you mean `{id}`?"),
        ("/a/{resr}", Rewrite, "did you mean `{rest}`?"),
        (
            "/a/{hots}",
            Rewrite,
            "this route has `{id}`, `{rest}`, `{host}`, `{path}`, `{query}`",
        ),
        ("/a/{", Rewrite, "brace without its partner"),
        ("/a/}", Rewrite, "brace without its partner"),
        ("/a/{}", Rewrite, "no parameter ``"),
        ("a", Rewrite, "does not begin with `/`"),
        ("https://x/", Rewrite, "does not begin with `/`"),
        ("/a#b", Rewrite, "fragment"),
        ("/a b", Rewrite, "`%20`"),
        ("/a\r\nx: y", Redirect, "percent-encode"),
        ("/a\\b", Redirect, "percent-encode"),
        ("/a%zz", Rewrite, "`%25`"),
        ("/a/../{rest}", Rewrite, "dot segment"),
        ("/a//{rest}", Rewrite, "run of slashes"),
        ("//evil.test/", Redirect, "two slashes"),
        ("a", Redirect, "neither a path nor an absolute URL"),
        ("https:///a", Redirect, "neither a path nor an absolute URL"),
        (
            "https://{path}",
            Redirect,
            "neither a path nor an absolute URL",
        ),
        ("https://{rest}", Redirect, "could choose the host"),
        (
            "https://example.com{rest}",
            Redirect,
            "could choose the host",
        ),
        ("https://{host}{rest}", Redirect, "could choose the host"),
        ("https://{id}/", Redirect, "could choose the host"),
        (
            "https://user@example.com/",
            Redirect,
            "cannot stand in a host",
        ),
    ];
    let names: [Box<str>; 2] = ["id".into(), "rest".into()];
    for (template, kind, expected) in cases {
        let found = Template::compile(template, &names, kind).expect_err(template);
        let text = format!("{}; {}", found.message, found.help);
        assert!(text.contains(expected), "{template}: {text}");
    }
    assert!(Template::compile(&"/{id}".repeat(65), &names, Rewrite).is_err());
}

#[test]
fn some_locations_stay_where_they_are() {
    let (host, captures) = (&b"App.example"[..], Captures::new());
    let values = Values {
        host,
        path: b"/a",
        query: None,
        captures: &captures,
    };
    for (template, stays) in [
        ("/new", [true, true]),
        ("{path}/x", [true, true]),
        ("https://{host}{path}", [true, true]),
        ("HTTPS://{host}:8443/", [true, true]),
        ("https://app.example?a", [true, true]),
        ("http://app.EXAMPLE:80/", [true, false]),
        ("https://www.{host}/", [false, false]),
        ("https://app.example.com/", [false, false]),
        ("https://app.example./", [false, false]),
        ("ws://{host}/", [false, false]),
    ] {
        let compiled = Template::compile(template, &[], TemplateKind::Redirect).expect(template);
        let found = [false, true].map(|https| compiled.stays(&values, https));
        assert_eq!(found, stays, "{template}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_can_be_injected(
        path in prop::collection::vec(any::<u8>(), 0..24),
        host in prop::collection::vec(any::<u8>(), 0..12),
        query in prop::option::of(prop::collection::vec(any::<u8>(), 0..16)),
        regex in any::<bool>(),
    ) {
        let mut raw = b"/".to_vec();
        raw.extend(path);
        let mut buffer = Vec::new();
        let path = match normalize(&raw, EscapedSlashes::Keep, &mut buffer) {
            Err(_) => return Ok(()),
            Ok(Normalized::AsSent) => &raw,
            Ok(Normalized::Rewritten) => &buffer,
        };
        let table = compile(&[rule(if regex { "~^/(?<id>.*?)(?<rest>..)?$" } else { "/*" })]);
        let lookup = super::super::Lookup { listener: 0, host: &host, path, query: query.as_deref(), method: b"GET" };
        let mut captures = Captures::new();
        prop_assert_eq!(table.find(&lookup, request("").headers, &mut captures), Outcome::Route { index: 0 });
        let values = Values { host: &host, path, query: query.as_deref(), captures: &captures };
        let templates = [
            ("/n/{rest}", true),
            ("{path}/x", true),
            ("/x?a={rest}&b={path}&c={host}", false),
            ("/{host}/{query}/{rest}#{query}", true),
            ("https://{host}{path}?{query}", false),
        ];
        for (text, keeps_query) in templates {
            let template = Template::compile(text, table.parameters(0), TemplateKind::Redirect).expect("compiles");
            let mut out = b"before ".to_vec();
            if template.render(&values, &mut out).is_err() {
                continue;
            }
            let out = &out["before ".len()..];
            prop_assert!(out.iter().all(u8::is_ascii_graphic), "{}", out.escape_ascii());
            prop_assert_eq!(out.iter().filter(|&&byte| byte == b'#').count(), text.matches('#').count());
            let end = out.iter().position(|&byte| matches!(byte, b'?' | b'#')).unwrap_or(out.len());
            let start = if text.starts_with("https") { "https://".len() } else { 0 };
            prop_assert!(!out[start..end].windows(2).any(|pair| pair == b"//"), "{}", out.escape_ascii());
            if !keeps_query && text.contains("a=") {
                prop_assert_eq!(out.iter().filter(|&&byte| byte == b'&').count(), 2);
            }
            if let Some(authority) = out.strip_prefix(b"https://") {
                let slash = authority.iter().position(|&byte| byte == b'/');
                prop_assert!(slash.is_some_and(|slash| authority[..slash].iter().all(|byte| *byte != b'@' && *byte != b'?')));
            }
        }
    }
}
