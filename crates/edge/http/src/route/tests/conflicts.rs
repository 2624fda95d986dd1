//! Rules that do not compile, and what is said about them.

use super::super::{Field, Limits, RouteTable, Rule};
use super::{compile, on_listeners, problems, rule, with_headers, with_query};

/// The field and help of the only problem of the only rule.
fn problem(rule: Rule) -> (Field, String) {
    let mut found = problems(std::slice::from_ref(&rule));
    assert_eq!(found.len(), 1, "{rule:?}: {found:?}");
    let found = found.remove(0);
    assert_eq!((found.rule, found.other), (0, None));
    (found.field, format!("{}; {}", found.message, found.help))
}

#[test]
fn bad_fields() {
    let cases = [
        (
            "a*.example.com/",
            Field::Host,
            "`*` in a host stands for whole labels",
        ),
        ("*.*.example.com/", Field::Host, "whole labels"),
        (
            "example.com:80/",
            Field::Host,
            "ports belong to `listeners`",
        ),
        ("exa_mple..com/", Field::Host, "not a host name"),
        ("bücher.example/", Field::Host, "xn--"),
        ("[::g]/", Field::Host, "IPv6"),
        ("/a/{", Field::Path, "brace without its partner"),
        ("/a/id}", Field::Path, "brace without its partner"),
        ("/a/{id}.json", Field::Path, "not a whole segment"),
        ("/a/{}", Field::Path, "no name"),
        ("/a/{i d}", Field::Path, "not a parameter name"),
        ("/a/{id}/{id}", Field::Path, "`{id}` appears twice"),
        ("/a/{rest}/*", Field::Path, "choose another name"),
        ("/a/{host}", Field::Path, "`host_part`"),
        ("/a/*/b", Field::Path, "last segment"),
        ("/a*", Field::Path, "last segment"),
        ("/a//b", Field::Path, "empty segment"),
        ("/a/%zz", Field::Path, "`%25`"),
        ("/a/%2", Field::Path, "`%25`"),
        ("/a/%00", Field::Path, "NUL"),
        ("/a/../b", Field::Path, "dot segments are resolved"),
        ("/a/%2e%2E/b", Field::Path, "dot segments are resolved"),
        ("/a?b=c", Field::Path, "belong to `query`"),
        ("/a#b", Field::Path, "fragment"),
        ("/a\\b", Field::Path, "backslash"),
        ("~", Field::Path, "regex is empty"),
        ("~^/(a", Field::Path, "unclosed group"),
        ("~^/a(?=b)", Field::Path, "look-around"),
        ("~^/é", Field::Path, "outside ASCII"),
        ("~^/(?<query>a)", Field::Path, "`query_part`"),
        (
            "~(?:[a-z]{1,1000}){1,1000}",
            Field::Path,
            "does not compile",
        ),
        ("get /", Field::Method(0), "write `GET`"),
        ("GET,P(ST /", Field::Method(1), "not a method"),
    ];
    for (text, field, expected) in cases {
        let parsed = rule(text);
        // `rule` keeps method lists apart from places by a space.
        let parsed = if text == "/a/{i d}" {
            Rule {
                path: Some(text.to_owned()),
                ..Rule::default()
            }
        } else {
            parsed
        };
        let (found, message) = problem(parsed);
        assert_eq!(found, field, "{text}");
        assert!(message.contains(expected), "{text}: {message}");
    }
}

#[test]
fn a_path_without_a_slash_and_conditions_that_cannot_be() {
    let bare = Rule {
        path: Some("a/b".to_owned()),
        ..Rule::default()
    };
    assert_eq!(problem(bare).0, Field::Path);
    let header = |name: &str, value: &str| problem(with_headers("/", &[(name, value)]));
    assert_eq!(header("x y", "1").0, Field::Header("x y".to_owned()));
    assert_eq!(header("x", "a\nb").0, Field::Header("x".to_owned()));
    assert_eq!(header("x", " a").0, Field::Header("x".to_owned()));
    assert_eq!(header("x", "~(").0, Field::Header("x".to_owned()));
    assert_eq!(header("x", "~").0, Field::Header("x".to_owned()));
    let twice = problem(with_headers("/", &[("x", "1"), ("X", "2")]));
    assert_eq!(twice.0, Field::Header("X".to_owned()));
    assert_eq!(
        problem(with_query("/", &[("", "1")])).0,
        Field::Query(String::new())
    );
    assert_eq!(
        problem(with_query("/", &[("q", "~[")])).0,
        Field::Query("q".to_owned())
    );
}

#[test]
fn limits() {
    let limits = Limits {
        rules: 2,
        segments: 3,
        conditions: 1,
        regex_size: 1024,
    };
    let fails = |rules: &[Rule]| RouteTable::compile(rules, &limits).is_err();
    assert!(!fails(&["/a/b/*", "/a/b/c"].map(rule)));
    assert!(fails(&["/a", "/b", "/c"].map(rule)));
    assert!(fails(&[rule("/a/b/c/d")]));
    assert!(fails(&[rule("~^/a{1000}$")]));
    assert!(fails(&[with_headers("/", &[("a", "1"), ("b", "1")])]));
    let methods: Vec<_> = (0..60).map(|n| rule(&format!("M{n} /{n}"))).collect();
    let found = problems(&methods);
    assert_eq!(found[0].rule, 55);
    assert_eq!(found.len(), 5);
}

#[test]
fn every_problem_is_reported_at_once() {
    let mut broken = with_headers("get a b.test/{", &[("x y", "1")]);
    broken.host = Some("a b".to_owned());
    broken.query = vec![("q".to_owned(), "~(".to_owned())];
    let found = problems(&[rule("/a"), broken, rule("/a")]);
    let at: Vec<_> = found
        .iter()
        .map(|problem| (problem.rule, problem.other))
        .collect();
    assert_eq!(
        at,
        [
            (1, None),
            (1, None),
            (1, None),
            (1, None),
            (1, None),
            (2, Some(0))
        ]
    );
}

#[test]
fn rules_that_can_never_be_told_apart() {
    let cases = [
        (rule("/a"), rule("/a")),
        (rule("/a/{id}/*"), rule("/a/{name}/*")),
        (rule("A.test/a"), rule("a.test./a")),
        (rule("/caf%c3%a9"), rule("/café")),
        (rule("x"), rule("x/*")),
        (rule("GET,POST /a"), rule("PUT,POST /a")),
        (on_listeners("/a", &[1, 2]), on_listeners("/a", &[2, 3])),
        (
            with_headers("/a", &[("X", "1"), ("y", "*")]),
            with_headers("/a", &[("Y", "*"), ("x", "1")]),
        ),
        (
            with_query("~^/a", &[("q", "~1")]),
            with_query("~^/a", &[("q", "~1")]),
        ),
    ];
    for (a, b) in cases {
        for rules in [[a.clone(), b.clone()], [b, a]] {
            let found = problems(&rules);
            assert_eq!(found.len(), 1, "{rules:?}");
            assert_eq!(
                (found[0].rule, found[0].other, &found[0].field),
                (1, Some(0), &Field::Route)
            );
        }
    }
    let message = problems(&["GET,POST /a", "PUT,POST /a"].map(rule))[0].to_string();
    assert!(message.contains("both take POST"), "{message}");
}

#[test]
fn rules_that_can_be_told_apart() {
    let rules = [
        rule("/a"),
        rule("/a/"),
        rule("GET /a"),
        rule("HEAD /a"),
        rule("POST /a"),
        on_listeners("/a", &[1]),
        on_listeners("/a", &[2]),
        with_headers("/a", &[("x", "1")]),
        with_headers("/a", &[("x", "2")]),
        with_headers("/a", &[("x", "~1")]),
        with_query("/a", &[("x", "1")]),
        with_query("/a", &[("X", "1")]),
        rule("a.test/a"),
        rule("*.a.test/a"),
        rule("/a/*"),
        rule("/{a}"),
        rule("~^/a$"),
    ];
    assert_eq!(compile(&rules).len(), rules.len());
}

#[test]
fn many_equal_rules_are_reported_once_each() {
    let rules = vec![rule("/a"); 2_000];
    let found = problems(&rules);
    assert_eq!(found.len(), 1_999);
    assert!(found.iter().all(|problem| problem.other == Some(0)));
}
