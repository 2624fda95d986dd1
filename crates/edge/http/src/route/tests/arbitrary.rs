//! Small rules and requests that often meet.

use proptest::prelude::*;

use super::super::{Lookup, Rule};
use super::pairs;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) listener: u16,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) method: &'static str,
    pub(super) headers: Vec<(String, String)>,
}

impl Asked {
    pub(super) fn lookup(&self) -> Lookup<'_> {
        Lookup {
            listener: self.listener,
            host: self.host.as_bytes(),
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            method: self.method.as_bytes(),
        }
    }
}

pub(super) fn some_rule() -> impl Strategy<Value = Rule> {
    let host = prop::option::weighted(
        0.6,
        prop::sample::select(vec!["x", "a.x", "b.a.x", "*.x", "*.a.x", "*.b.a.x"]),
    );
    let segment = || prop::sample::select(vec!["a", "b", "a", "{p}"]);
    let plain = (
        prop::collection::vec(segment(), 0..4),
        prop::sample::select(vec!["", "/", "/*", "/*"]),
    )
        .prop_map(|(segments, end)| {
            // Each parameter needs a name of its own.
            let named = segments.iter().enumerate().map(|(at, segment)| {
                if *segment == "{p}" {
                    format!("/{{p{at}}}")
                } else {
                    format!("/{segment}")
                }
            });
            let path = named.collect::<String>() + end;
            if path.is_empty() {
                "/".to_owned()
            } else {
                path
            }
        });
    let expressions = [
        "~^/a",
        "~^/a/[ab]",
        "~^/a/(?<g>.*)$",
        "~^/[ab]+$",
        "~b$",
        "~(?<g>[a-c])/?$",
        "~^/a/b$",
        "~a/b",
        "~^/a/[ac]",
        "~^/[^/]*/b",
        "~[a]",
        "~^(?<g>/a|/b)",
        "~^/a/b/[a-z]*",
    ];
    let path = prop_oneof![
        1 => Just(None),
        12 => plain.prop_map(Some),
        5 => prop::sample::select(expressions.to_vec()).prop_map(|path| Some(path.to_owned())),
    ];
    let methods = prop::sample::subsequence(vec!["GET", "HEAD", "POST", "PURGE"], 0..3);
    let methods = prop_oneof![1 => Just(Vec::new()), 1 => methods];
    let test = || prop::sample::select(vec!["1", "2", "*", "~1", "~^[12]$"]);
    let conditions = move |names: [&'static str; 2]| {
        let test = (
            prop::sample::subsequence(names.to_vec(), 0..=2),
            test(),
            test(),
        );
        let some = test.prop_map(|(names, a, b)| names.into_iter().zip([a, b]).collect::<Vec<_>>());
        prop_oneof![3 => Just(Vec::new()), 1 => some]
    };
    let listeners = prop_oneof![3 => Just(Vec::new()), 1 => prop::sample::subsequence(vec![0_u16, 1, 65], 1..=2)];
    (
        host,
        path,
        methods,
        conditions(["k", "l"]),
        conditions(["q", "r"]),
        listeners,
    )
        .prop_map(|(host, path, methods, headers, query, listeners)| Rule {
            host: host.map(str::to_owned),
            path,
            methods: methods.into_iter().map(str::to_owned).collect(),
            headers: pairs(&headers),
            query: pairs(&query),
            listeners,
        })
}

pub(super) fn some_request() -> impl Strategy<Value = Asked> {
    let host = prop::sample::select(vec![
        "x", "a.x", "b.a.x", "c.b.a.x", "y.x", "zx", "", "a.x.x",
    ]);
    let path = prop::collection::vec(
        prop::sample::select(vec!["/a", "/b", "/c", "/a", "/ab"]),
        0..5,
    );
    let path = (path, any::<bool>()).prop_map(|(segments, slash)| {
        let path = segments.concat();
        if slash || path.is_empty() {
            path + "/"
        } else {
            path
        }
    });
    let query = prop::option::of(prop::sample::select(vec![
        "", "q=1", "r=2&q=12", "q&r=1", "q=2&q=1", "z=1",
    ]));
    let method = prop::sample::select(vec!["GET", "GET", "HEAD", "POST", "PURGE", "PUT", "OTHER"]);
    let headers = prop::collection::vec(
        (
            prop::sample::select(vec!["k", "l"]),
            prop::sample::select(vec!["1", "2", "12", ""]),
        ),
        0..3,
    );
    let listener = prop::sample::select(vec![0_u16, 1, 65, 200]);
    (listener, host, path, query, method, headers).prop_map(
        |(listener, host, path, query, method, headers)| Asked {
            listener,
            host: host.to_owned(),
            path,
            query: query.map(str::to_owned),
            method,
            headers: pairs(&headers),
        },
    )
}

/// `a`, with the fields of `b` that the mask names.
pub(super) fn mix(a: &Rule, b: &Rule, mask: u8) -> Rule {
    let from = |bit: u8| if mask >> bit & 1 == 1 { b } else { a };
    Rule {
        host: from(0).host.clone(),
        path: from(1).path.clone(),
        methods: from(2).methods.clone(),
        headers: from(3).headers.clone(),
        query: from(4).query.clone(),
        listeners: from(5).listeners.clone(),
    }
}
