//! Which of two rules wins, both ways round.

use super::super::{RouteTable, Rule};
use super::{Request, compile, on_listeners, pairs, request, rule, with_headers, with_query};

/// `winner` takes the request although `loser` matches too, whatever their order.
fn wins(winner: &Rule, loser: &Rule, request: Request<'_>) {
    let answer = |table: &RouteTable| {
        let answer = request.ask(table);
        answer.split(' ').next().map(str::to_owned)
    };
    let alone = compile(std::slice::from_ref(loser));
    assert_eq!(
        answer(&alone).as_deref(),
        Some("0"),
        "the loser does not match: {loser:?}"
    );
    let first = compile(&[winner.clone(), loser.clone()]);
    assert_eq!(
        answer(&first).as_deref(),
        Some("0"),
        "{winner:?} before {loser:?}"
    );
    let second = compile(&[loser.clone(), winner.clone()]);
    assert_eq!(
        answer(&second).as_deref(),
        Some("1"),
        "{loser:?} before {winner:?}"
    );
}

#[test]
fn hosts_and_paths() {
    let cases = [
        ("a.b.test/*", "*.b.test/x", "GET a.b.test/x"),
        ("*.b.test/*", "*.test/x", "GET a.b.test/x"),
        ("*.test/*", "/x", "GET a.b.test/x"),
        ("/a/b", "/a/{x}", "GET h/a/b"),
        ("/a/b", "/{x}/b", "GET h/a/b"),
        ("/a/{x}", "/{x}/b", "GET h/a/b"),
        ("/{x}/{y}/c", "/{x}/{y}/{z}", "GET h/a/b/c"),
        ("/{x}/{y}", "~^/a/b$", "GET h/a/b"),
        ("/{x}/{y}", "/a/b/*", "GET h/a/b"),
        ("~b$", "/a/b/*", "GET h/a/b"),
        ("~^/a/.*", "~^/(?:a|aaaaaaaaaaaaaaaaaa)/b", "GET h/a/b"),
        ("~^/[a]/[b]", "~^/[a]/b", "GET h/a/b"),
        ("~^/[a]/b", "~^/[ab]/", "GET h/a/b"),
        ("~^/[ab]/", "~^/[ac]/", "GET h/a/b"),
        ("/a/b/*", "/a/*", "GET h/a/b/c"),
        ("/a/b/*", "/a/b/*", "GET h/a/b/c"),
        ("/a/*", "/{x}/b/*", "GET h/a/b/c"),
        ("/{x}/b/*", "/{x}/{y}/*", "GET h/a/b/c"),
        ("/{x}/*", "/*", "GET h/a/b/c"),
        ("GET /a", "/a", "GET h/a"),
        ("HEAD /a", "GET /a", "HEAD h/a"),
        ("GET /a", "/a", "HEAD h/a"),
    ];
    for (winner, loser, text) in cases {
        if winner != loser {
            wins(&rule(winner), &rule(loser), request(text));
        }
    }
}

#[test]
fn conditions() {
    let full = Request {
        headers: &[("a", "1"), ("b", "1")],
        ..request("GET h/x?q=1&r=1")
    };
    let cases = [
        (
            rule("GET /x"),
            with_headers("/x", &[("a", "1"), ("b", "1")]),
        ),
        (
            with_headers("/x", &[("a", "*"), ("b", "*")]),
            with_headers("/x", &[("a", "1")]),
        ),
        (
            with_headers("/x", &[("a", "*")]),
            with_query("/x", &[("q", "1"), ("r", "1")]),
        ),
        (
            with_query("/x", &[("q", "*"), ("r", "*")]),
            with_query("/x", &[("q", "1")]),
        ),
        (
            with_headers("/x", &[("a", "1")]),
            with_headers("/x", &[("a", "~1")]),
        ),
        (
            with_headers("/x", &[("b", "~1")]),
            with_headers("/x", &[("a", "*")]),
        ),
        (
            with_query("/x", &[("r", "1")]),
            with_query("/x", &[("q", "~1")]),
        ),
        // Nothing else tells these two apart: the name in the alphabet does.
        (
            with_headers("/x", &[("a", "1")]),
            with_headers("/x", &[("b", "1")]),
        ),
        (
            with_headers("/x", &[("a", "~1")]),
            with_headers("/x", &[("a", "~^1")]),
        ),
        (
            with_query("/x", &[("q", "1")]),
            with_query("/x", &[("r", "1")]),
        ),
        (on_listeners("/x", &[0]), rule("/x")),
        (with_headers("/x", &[("a", "*")]), on_listeners("/x", &[0])),
        (
            Rule {
                query: pairs(&[("q", "*")]),
                ..with_headers("/x", &[("a", "1")])
            },
            with_headers("/x", &[("a", "1")]),
        ),
    ];
    for (winner, loser) in cases {
        wins(&winner, &loser, full);
    }
}

#[test]
fn a_rule_whose_conditions_fail_gives_way_to_the_next() {
    let rules = [
        with_headers("a.test/x/y", &[("k", "1")]),
        with_headers("a.test/x/{id}", &[("k", "1")]),
        with_headers("a.test~^/x/", &[("k", "1")]),
        with_headers("a.test/x/*", &[("k", "1")]),
        with_headers("*.test/x/*", &[("k", "1")]),
        rule("/{any}/*"),
    ];
    let table = compile(&rules);
    assert_eq!(request("GET a.test/x/y").ask(&table), "5 any=x rest=y");
}
