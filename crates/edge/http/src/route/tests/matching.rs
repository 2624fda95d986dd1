//! What one rule matches, and what it captures.

use super::super::{Limits, RouteTable, Step, Verdict, parameters, without_port};
use super::{Request, check, compile, on_listeners, request, rule, with_headers, with_query};

#[test]
fn hosts() {
    let rules = [
        "API.Example.com./a",
        "*.example.com/b",
        "/c",
        "[::1]/d",
        "*.com/e",
    ]
    .map(rule);
    check(
        &rules,
        &[
            ("GET api.example.com/a", "0"),
            ("GET API.EXAMPLE.COM:8080/a", "0"),
            ("GET api.example.com./a", "0"),
            ("GET api.example.com.:80/a", "0"),
            ("GET api.example.com../a", "404"),
            ("GET xapi.example.com/a", "404"),
            ("GET example.com/b", "404"),
            ("GET .example.com/b", "404"),
            ("GET x.example.com/b", "1"),
            ("GET x.y.example.com:1/b", "1"),
            ("GET xexample.com/b", "404"),
            ("GET /c", "2"),
            ("GET whatever/c", "2"),
            ("GET [::1]:8080/d", "3"),
            ("GET [::1]/d", "3"),
            ("GET [::2]/d", "404"),
            ("GET a.com/e", "4"),
            ("GET a.example.com/e", "4"),
            ("GET com/e", "404"),
        ],
    );
}

#[test]
fn a_host_longer_than_any_name_meets_only_rules_for_any_host() {
    let table = compile(&["*.example.com/*", "/a"].map(rule));
    let long = "x.".repeat(200) + "example.com";
    assert_eq!(request(&format!("GET {long}/a")).ask(&table), "1");
    assert_eq!(request(&format!("GET {long}/b")).ask(&table), "404");
    let deepest = "x.".repeat(121) + "example.com";
    assert_eq!(request(&format!("GET {deepest}/b")).ask(&table), "0 rest=b");
}

#[test]
fn complete_paths() {
    let rules = [
        "/",
        "/a/b",
        "/a/b/",
        "/users/{id}",
        "/users/{id}/orders/{order}",
        "/caf%C3%A9",
    ]
    .map(rule);
    check(
        &rules,
        &[
            ("GET x/", "0"),
            ("GET x/a/b", "1"),
            ("GET x/a/b/", "2"),
            ("GET x/A/b", "404"),
            ("GET x/a", "404"),
            ("GET x/users/7", "3 id=7"),
            ("GET x/users/a%2Fb", "3 id=a%2Fb"),
            ("GET x/users/", "404"),
            ("GET x/users/7/", "404"),
            ("GET x/users/7/orders/9", "4 id=7 order=9"),
            ("GET x/users/7/orders/", "404"),
            ("GET x/caf%C3%A9", "5"),
        ],
    );
}

#[test]
fn rules_are_normalised_like_requests() {
    check(
        &[rule("/café"), rule("/%7euser/%2f")],
        &[("GET x/caf%C3%A9", "0"), ("GET x/~user/%2F", "1")],
    );
}

#[test]
fn prefixes() {
    let rules = ["/a/*", "/u/{id}/files/*"].map(rule);
    check(
        &rules,
        &[
            ("GET x/a", "0 rest="),
            ("GET x/a/", "0 rest="),
            ("GET x/a/b", "0 rest=b"),
            ("GET x/a/b/c/", "0 rest=b/c/"),
            ("GET x/ab", "404"),
            ("GET x/", "404"),
            ("GET x/u/7/files", "1 id=7 rest="),
            ("GET x/u/7/files/x/y", "1 id=7 rest=x/y"),
            ("GET x/u/7", "404"),
        ],
    );
    check(
        &[rule("/*")],
        &[
            ("GET x/", "0 rest="),
            ("GET x/a", "0 rest=a"),
            ("OPTIONS x*", "404"),
            ("OPTIONS x", "404"),
        ],
    );
    check(
        &[rule("x")],
        &[("GET x/a/b", "0 rest=a/b"), ("GET y/a", "404")],
    );
}

#[test]
fn regexes() {
    let rules = [
        "~^/a/(?<id>\\d+)$",
        "~\\.php$",
        "~^/(?:b|(?<c>c))/x",
        "~(?i)^/case$",
    ]
    .map(rule);
    check(
        &rules,
        &[
            ("GET x/a/7", "0 id=7"),
            ("GET x/a/7b", "404"),
            ("GET x/q/a/7", "404"),
            ("GET x/q/index.php", "1"),
            ("GET x/b/x", "2 c="),
            ("GET x/c/xyz", "2 c=c"),
            ("GET x/CaSe", "3"),
        ],
    );
}

#[test]
fn a_large_group_of_regexes_answers_like_its_members() {
    let mut rules: Vec<_> = (10..30)
        .map(|n| rule(&format!("~^/[a-z]+/r{n}/(?<id>\\d+)$")))
        .collect();
    rules.push(with_headers(
        "~^/[a-z]+/r1[0-9]/(?<name>[0-9]*)$",
        &[("x-any", "*")],
    ));
    rules.push(rule("~^/[a-z]+/r[0-9]+/.*"));
    let table = compile(&rules);
    assert_eq!(request("GET x/foo/r17/123").ask(&table), "7 id=123");
    assert_eq!(request("GET x/foo/r17/abc").ask(&table), "21");
    assert_eq!(request("GET x/foo/q17/abc").ask(&table), "404");
    // The longest pattern matches first, but only with its header.
    let special = Request {
        headers: &[("X-Any", "")],
        ..request("GET x/foo/r17/123")
    };
    assert_eq!(special.ask(&table), "20 name=123");

    let unanchored: Vec<_> = (0..20)
        .map(|n| rule(&format!("~/r{n}/\\d+\\.php")))
        .collect();
    let table = compile(&unanchored);
    assert_eq!(request("GET x/foo/r7/1.php/r8/2.php").ask(&table), "7");
    // The longer pattern is more specific, wherever it matches.
    assert_eq!(request("GET x/foo/r7/1.php/r18/2.php").ask(&table), "18");
}

#[test]
fn methods() {
    let rules = [
        "GET,PURGE /a",
        "POST /a",
        "HEAD /b",
        "GET /b",
        "DELETE /c/d",
        "/c/*",
    ]
    .map(rule);
    check(
        &rules,
        &[
            ("GET x/a", "0"),
            ("HEAD x/a", "0"),
            ("PURGE x/a", "0"),
            ("POST x/a", "1"),
            ("PUT x/a", "405 GET, HEAD, POST, PURGE"),
            ("get x/a", "405 GET, HEAD, POST, PURGE"),
            ("UNHEARD x/a", "405 GET, HEAD, POST, PURGE"),
            ("HEAD x/b", "2"),
            ("GET x/b", "3"),
            ("DELETE x/c/d", "4"),
            // A less specific rule that takes the method wins over a 405.
            ("GET x/c/d", "5 rest=d"),
            ("GET x/d", "404"),
        ],
    );
}

#[test]
fn method_not_allowed_counts_only_rules_that_match_in_all_else() {
    let rules = [
        with_headers("GET /a", &[("x-k", "1")]),
        rule("POST h/a"),
        on_listeners("PUT /a", &[1]),
        rule("DELETE /*"),
    ];
    let table = compile(&rules);
    assert_eq!(request("PATCH x/a").ask(&table), "405 DELETE");
    assert_eq!(request("PATCH h/a").ask(&table), "405 POST, DELETE");
    let all = Request {
        headers: &[("x-k", "1")],
        listener: 1,
        ..request("PATCH h/a")
    };
    assert_eq!(all.ask(&table), "405 GET, HEAD, POST, PUT, DELETE");
    check(&rules[..1], &[("PATCH x/a", "404")]);
}

#[test]
fn headers() {
    let rules = [
        with_headers("/a", &[("X-Version", "2"), ("x-env", "~^prod-\\d+$")]),
        with_headers("/a", &[("x-version", "*")]),
    ];
    let table = compile(&rules);
    let ask = |headers: &[(&str, &str)]| {
        let request = Request {
            headers,
            ..request("GET x/a")
        };
        request.ask(&table)
    };
    assert_eq!(ask(&[("x-VERSION", "2"), ("X-Env", "prod-1")]), "0");
    assert_eq!(
        ask(&[("x-version", "1"), ("x-version", "2"), ("x-env", "prod-1")]),
        "0"
    );
    assert_eq!(ask(&[("x-version", "2"), ("x-env", "prod-")]), "1");
    assert_eq!(ask(&[("x-version", "")]), "1");
    assert_eq!(ask(&[("x-env", "prod-1")]), "404");
}

#[test]
fn queries() {
    let rules = [
        with_query("/a", &[("beta", "1"), ("näme", "~^a b$")]),
        with_query("/a", &[("beta", "*")]),
        with_query("/a", &[("beta", "x&y")]),
    ];
    check(
        &rules,
        &[
            ("GET x/a?beta=1&n%C3%A4me=a+b", "0"),
            ("GET x/a?n%c3%a4me=a%20b&beta=%31", "0"),
            ("GET x/a?beta=0&beta=1&n%C3%A4me=a+b", "0"),
            ("GET x/a?beta=1&n%C3%A4me=a+c", "1"),
            ("GET x/a?beta", "1"),
            ("GET x/a?q=1&beta=&z", "1"),
            ("GET x/a?beta=x%26y", "2"),
            ("GET x/a?beta=%", "1"),
            ("GET x/a?alphabeta=1", "404"),
            ("GET x/a?", "404"),
            ("GET x/a", "404"),
        ],
    );
}

#[test]
fn listeners() {
    let table = compile(&[
        on_listeners("/a", &[0, 70]),
        on_listeners("/a", &[1]),
        rule("/a"),
    ]);
    let ask = |listener| {
        let request = Request {
            listener,
            ..request("GET x/a")
        };
        request.ask(&table)
    };
    assert_eq!([0, 70, 1, 2, 134].map(ask), ["0", "0", "1", "2", "2"]);
}

#[test]
fn captures_are_those_of_the_last_match() {
    let table = compile(
        &[
            "/{a}/{b}/{c}/x",
            "/{a}/b/*",
            "~^/(?<one>r)(?<two>s)$",
            "/plain",
        ]
        .map(rule),
    );
    let mut captures = super::Captures::new();
    let mut ask = |text: &str| {
        let lookup = request(text);
        table.find(&lookup.lookup(), lookup.headers, &mut captures);
        (0..captures.len())
            .map(|at| captures.range(at).expect("in range"))
            .collect::<Vec<_>>()
    };
    assert_eq!(ask("GET h/1/2/3/x"), [1..2, 3..4, 5..6]);
    assert_eq!(ask("GET h/1/b/3/y"), [1..2, 5..8]);
    assert_eq!(ask("GET h/rs"), [1..2, 2..3]);
    assert!(ask("GET h/plain").is_empty());
    assert!(ask("GET h/1/2/3/y").is_empty());
}

#[test]
fn an_empty_table_finds_nothing() {
    let table = compile(&[]);
    assert!(table.is_empty());
    assert_eq!(request("GET x/").ask(&table), "404");
    assert_eq!(table.parameters(7).len(), 0);
}

#[test]
fn explanations() {
    let rules = [
        rule("/*"),
        rule("POST /a/{id}"),
        with_headers("/a/{id}", &[("x-k", "1")]),
        on_listeners("/a/*", &[3]),
        with_query("/a/*", &[("q", "*")]),
        rule("/b"),
        rule("h/a/1"),
        rule("/a/*"),
    ];
    let table = compile(&rules);
    let steps = table.explain(&request("GET x/a/1").lookup(), request("").headers);
    let steps: Vec<(u32, String)> = steps
        .into_iter()
        .map(|Step { rule, verdict }| (rule, verdict.to_string()))
        .collect();
    let expected = [
        (2, Verdict::Header("x-k".to_owned())),
        (1, Verdict::Method),
        (4, Verdict::Query("q".to_owned())),
        (3, Verdict::Listener),
        (7, Verdict::Chosen),
        (0, Verdict::Outranked),
        (5, Verdict::Path),
        (6, Verdict::Host),
    ];
    assert_eq!(
        steps,
        expected.map(|(rule, verdict)| (rule, verdict.to_string()))
    );
}

#[test]
fn parameter_names_are_known_before_the_table() {
    let names = |path| parameters(path, &Limits::default()).map(|names| names.join(","));
    assert_eq!(names(Some("/a/{id}/*")).as_deref(), Some("id,rest"));
    assert_eq!(names(Some("~^/(?<x>a)(b)(?<y>c)")).as_deref(), Some("x,y"));
    assert_eq!(names(None).as_deref(), Some("rest"));
    assert_eq!(names(Some("/a/{")), None);
}

#[test]
fn a_table_is_shared_between_workers() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&compile(&[rule("~^/a")]));
}

#[test]
fn ports() {
    let cases = [
        ("a:80", "a"),
        ("a", "a"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("", ""),
        ("[::1", "["),
    ];
    for (host, expected) in cases {
        assert_eq!(without_port(host.as_bytes()), expected.as_bytes(), "{host}");
    }
}

#[test]
fn ten_thousand_rules() {
    let mut rules: Vec<_> = (0..5_000)
        .map(|n| rule(&format!("t{n}.example.com/a/*")))
        .collect();
    rules.extend((0..5_000).map(|n| rule(&format!("GET /svc{n}/{{id}}"))));
    let table = RouteTable::compile(&rules, &Limits::default()).expect("the rules compile");
    assert_eq!(table.len(), 10_000);
    for n in (0..5_000).step_by(7) {
        assert_eq!(
            request(&format!("GET t{n}.example.com/a/x")).ask(&table),
            format!("{n} rest=x")
        );
        assert_eq!(
            request(&format!("GET t{n}.example.com/svc{n}/9")).ask(&table),
            format!("{} id=9", 5_000 + n)
        );
    }
}
