//! What browsers are told, by the rules of the Fetch standard.

use proptest::prelude::*;

use super::*;

fn plan(text: &str) -> CorsPlan {
    let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
    let config = cx.decode::<CorsConfig>();
    let config = cx.finish(config).expect(text).value;
    let mut cx = Cx::from_text("weir.yaml", "", &|_| None);
    CorsPlan::compile(&config, &mut cx).expect(text)
}

fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn answered(plan: &CorsPlan, request: &[(&str, &str)], answer: &[(&str, &str)]) -> String {
    let mut out = Vec::new();
    plan.write(&mut out, &fields(request), Some(&fields(answer)));
    String::from_utf8(out).expect("text")
}

fn asked(plan: &CorsPlan, request: &[(&str, &str)]) -> (String, Preflight) {
    let mut out = Vec::new();
    let granted = plan.write_preflight(&mut out, &fields(request));
    (String::from_utf8(out).expect("text"), granted)
}

const APP: &str = "https://app.example.com";

#[test]
fn listed_origins_may_read_and_others_may_not() {
    let listed = plan(
        "[ 'https://app.example.com', 'https://*.shop.example', 'https://*.dev.example:8443', 'http://*.test:*', '~https://pr-[0-9]+[.]example', 'http://localhost:*' ]",
    );
    for (origin, expected) in [
        (APP, true),
        ("https://app.example.com.evil.example", false),
        ("https://evil-app.example.com", false),
        ("http://app.example.com", false),
        ("https://app.example.com:8443", false),
        ("HTTPS://APP.EXAMPLE.COM", false),
        ("https://a.shop.example", true),
        ("https://a.b.shop.example", true),
        ("https://shop.example", false),
        ("https://.shop.example", false),
        ("https://a..shop.example", false),
        ("https://evilshop.example", false),
        ("https://evil.example/.shop.example", false),
        ("https://evil.example?.shop.example", false),
        ("https://evil@.shop.example", false),
        ("https://a.shop.example:8443", false),
        ("https://a.dev.example:8443", true),
        ("https://a.dev.example", false),
        ("https://a.dev.example:18443", false),
        ("http://a.test", true),
        ("http://a.test:1", true),
        ("http://a.test:1:2", false),
        ("http://a.test:x", false),
        ("https://pr-17.example", true),
        ("https://pr-17.example.evil", false),
        ("evil https://pr-17.example", false),
        ("http://localhost:3000", true),
        ("http://localhost", true),
        ("http://localhost:3000.evil", false),
        ("null", false),
        ("", false),
        ("*", false),
    ] {
        let answer = answered(&listed, &[("Origin", origin)], &[]);
        let expected = if expected {
            format!("Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\n")
        } else {
            "Vary: Origin\r\n".to_owned()
        };
        assert_eq!(answer, expected, "{origin}");
    }
    let long = format!("https://{}.shop.example", "a".repeat(400));
    assert_eq!(
        answered(&listed, &[("Origin", &long)], &[]),
        "Vary: Origin\r\n"
    );
}

#[test]
fn no_origin_and_two_origins_are_none() {
    let plan = plan(&format!("'{APP}'"));
    assert_eq!(answered(&plan, &[], &[]), "Vary: Origin\r\n");
    let two = [("Origin", APP), ("Origin", APP)];
    assert_eq!(answered(&plan, &two, &[]), "Vary: Origin\r\n");
}

#[test]
fn null_is_an_origin_only_if_it_is_listed() {
    let listed = plan("[ 'null' ]");
    assert!(answered(&listed, &[("Origin", "null")], &[]).contains("Allow-Origin: null"));
    let regex = plan("[ '~.*' ]");
    assert!(!answered(&regex, &[("Origin", "null")], &[]).contains("Allow"));
}

#[test]
fn any_origin_gets_the_same_answer() {
    let plan = plan("{ origins: '*', expose: [x-total, etag] }");
    let expected =
        "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: x-total, etag\r\n";
    for origin in [&[][..], &[("Origin", APP)], &[("Origin", "null")]] {
        assert_eq!(answered(&plan, origin, &[]), expected);
    }
}

#[test]
fn vary_is_said_once() {
    let plan = plan(&format!("'{APP}'"));
    for (vary, added) in [
        ("Accept-Encoding", true),
        ("accept, ORIGIN", false),
        ("*", false),
        ("Original", true),
        ("", true),
    ] {
        let answer = answered(&plan, &[], &[("Vary", vary)]);
        assert_eq!(!answer.is_empty(), added, "{vary}");
    }
}

#[test]
fn what_the_endpoint_says_is_taken_out() {
    let plan = plan("'*'");
    for (name, drops) in [
        ("Access-Control-Allow-Origin", true),
        ("access-control-expose-headers", true),
        ("ACCESS-CONTROL-ANYTHING", true),
        ("access-control", false),
        ("x-access-control-allow-origin", false),
    ] {
        assert_eq!(
            plan.drops(FieldId::of(name.as_bytes()), name.as_bytes()),
            drops,
            "{name}"
        );
    }
}

#[test]
fn credentials_are_allowed_to_listed_origins_alone() {
    let plan = plan(&format!("{{ origins: '{APP}', credentials: true }}"));
    assert_eq!(
        answered(&plan, &[("Origin", APP)], &[]),
        format!(
            "Vary: Origin\r\nAccess-Control-Allow-Origin: {APP}\r\nAccess-Control-Allow-Credentials: true\r\n"
        )
    );
    assert_eq!(
        answered(&plan, &[("Origin", "https://evil.example")], &[]),
        "Vary: Origin\r\n"
    );
}

#[test]
fn a_preflight_learns_what_is_allowed() {
    let listed = plan(&format!(
        "{{ origins: '{APP}', methods: [GET, PUT], headers: [Content-Type, X-A], credentials: true, max_age: 1h, expose: x-b }}"
    ));
    let (lines, granted) = asked(
        &listed,
        &[
            ("Origin", APP),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Headers", "content-type,x-a"),
        ],
    );
    assert_eq!(granted, Preflight::Granted);
    assert_eq!(
        lines,
        format!(
            "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\nAccess-Control-Allow-Origin: {APP}\r\n\
             Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Methods: GET, PUT\r\n\
             Access-Control-Allow-Headers: Content-Type, X-A\r\nAccess-Control-Max-Age: 3600\r\n"
        )
    );
    for (method, headers, word) in [
        ("DELETE", "x-a", "cors_method"),
        ("put", "x-a", "cors_method"),
        ("PUT", "x-a, x-c", "cors_header"),
    ] {
        let (lines, granted) = asked(
            &listed,
            &[
                ("Origin", APP),
                ("Access-Control-Request-Method", method),
                ("Access-Control-Request-Headers", headers),
            ],
        );
        assert_eq!(granted, Preflight::Refused(word), "{method} {headers}");
        assert!(!lines.contains("DELETE") && !lines.contains("x-c"));
    }
}

#[test]
fn without_a_list_what_is_asked_for_is_allowed() {
    let open = plan(&format!("{{ origins: '{APP}', headers: '*' }}"));
    let (lines, granted) = asked(
        &open,
        &[
            ("Origin", APP),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "x-a, x-b"),
        ],
    );
    assert_eq!(granted, Preflight::Granted);
    assert!(lines.contains("Access-Control-Allow-Methods: PATCH\r\n"));
    assert!(lines.contains("Access-Control-Allow-Headers: x-a, x-b\r\n"));
    let (lines, _) = asked(
        &open,
        &[
            ("Origin", APP),
            ("Access-Control-Request-Method", "PATCH"),
            ("Access-Control-Request-Headers", "x-a, <script>"),
        ],
    );
    assert!(!lines.contains("script"));
}

#[test]
fn a_stranger_learns_nothing() {
    let plan = plan(&format!(
        "{{ origins: '{APP}', methods: [PUT], private_network: true }}"
    ));
    let (lines, granted) = asked(
        &plan,
        &[
            ("Origin", "https://evil.example"),
            ("Access-Control-Request-Method", "PUT"),
            ("Access-Control-Request-Private-Network", "true"),
        ],
    );
    assert_eq!(granted, Preflight::Refused("cors_origin"));
    assert_eq!(lines.lines().count(), 1);
    assert!(lines.starts_with("Vary: Origin, "));
}

#[test]
fn private_networks_are_opened_only_on_purpose() {
    let ask = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    let line = "Access-Control-Allow-Private-Network: true\r\n";
    let (closed, _) = asked(&plan(&format!("'{APP}'")), &ask);
    assert!(!closed.contains(line));
    let (open, _) = asked(
        &plan(&format!("{{ origins: '{APP}', private_network: true }}")),
        &ask,
    );
    assert!(open.contains(line));
    let (unasked, _) = asked(
        &plan(&format!("{{ origins: '{APP}', private_network: true }}")),
        &ask[..2],
    );
    assert!(!unasked.contains(line));
}

#[test]
fn a_preflight_is_recognised() {
    let head = |text: &str| {
        let mut request = RequestHead::new();
        let parsed = request.parse(text.as_bytes(), &mut 0, &Default::default());
        assert!(parsed.is_ok(), "{text}");
        asked_method(&request).map(<[u8]>::to_vec)
    };
    let rest = "Host: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
    assert_eq!(
        head(&format!("OPTIONS / HTTP/1.1\r\n{rest}")).as_deref(),
        Some(&b"PUT"[..])
    );
    for text in [
        format!("GET / HTTP/1.1\r\n{rest}"),
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n".to_owned(),
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n\r\n".to_owned(),
        format!("OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Method: GET\r\n{rest}"),
        "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: P UT\r\n\r\n".to_owned(),
    ] {
        assert_eq!(head(&text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn an_origin_that_is_not_listed_is_never_repeated(origin in "[!-~]{0,60}") {
        let plan = plan(&format!("{{ origins: ['{APP}', 'https://*.shop.example'], credentials: true }}"));
        let answer = answered(&plan, &[("Origin", &origin)], &[]);
        let ours = origin == APP
            || origin.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".shop.example")).is_some();
        prop_assert!(ours || answer == "Vary: Origin\r\n", "{}", answer);
    }

    #[test]
    fn a_host_below_a_domain_is_a_host(label in "[!-~]{0,12}") {
        let plan = plan("'https://*.shop.example'");
        let listed = plan.origins.list(format!("https://{label}.shop.example").as_bytes());
        let is_host = !label.is_empty() && label.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
        prop_assert_eq!(listed, is_host);
    }
}
