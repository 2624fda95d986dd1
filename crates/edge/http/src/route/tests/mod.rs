//! Tables of examples, and properties against a naive reading of the rules.

mod arbitrary;
mod conflicts;
mod matching;
mod model;
mod normal_form;
mod ranking;
mod templates;

use super::{Captures, Limits, Lookup, Outcome, RouteProblem, RouteTable, Rule};

/// A rule from `"GET,POST host/path"`; the methods, and the host before the first `/` or `~`, may be missing.
fn rule(text: &str) -> Rule {
    let (methods, place) = text.split_once(' ').unwrap_or(("", text));
    let split = place.find(['/', '~']).unwrap_or(place.len());
    let (host, path) = place.split_at(split);
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    Rule {
        host: some(host),
        path: some(path),
        methods: methods.split(',').filter_map(some).collect(),
        ..Rule::default()
    }
}

fn with_headers(text: &str, headers: &[(&str, &str)]) -> Rule {
    Rule {
        headers: pairs(headers),
        ..rule(text)
    }
}

fn with_query(text: &str, query: &[(&str, &str)]) -> Rule {
    Rule {
        query: pairs(query),
        ..rule(text)
    }
}

fn on_listeners(text: &str, listeners: &[u16]) -> Rule {
    Rule {
        listeners: listeners.to_vec(),
        ..rule(text)
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn compile(rules: &[Rule]) -> RouteTable {
    RouteTable::compile(rules, &Limits::default()).expect("the rules compile")
}

fn problems(rules: &[Rule]) -> Vec<RouteProblem> {
    RouteTable::compile(rules, &Limits::default()).expect_err("the rules do not compile")
}

/// A request from `"GET host/path?query"`.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    text: &'a str,
    headers: &'a [(&'a str, &'a str)],
    listener: u16,
}

fn request(text: &str) -> Request<'_> {
    Request {
        text,
        headers: &[],
        listener: 0,
    }
}

impl Request<'_> {
    fn lookup(&self) -> Lookup<'_> {
        let (method, target) = self.text.split_once(' ').expect("a method and a target");
        let (target, query) = target
            .split_once('?')
            .map_or((target, None), |(target, query)| (target, Some(query)));
        let split = target.find('/').unwrap_or(target.len());
        Lookup {
            listener: self.listener,
            host: &target.as_bytes()[..split],
            path: &target.as_bytes()[split..],
            query: query.map(str::as_bytes),
            method: method.as_bytes(),
        }
    }

    /// `"2 id=7 rest=a/b"`, `"405 GET, HEAD"` or `"404"`.
    fn ask(&self, table: &RouteTable) -> String {
        let mut captures = Captures::new();
        let lookup = self.lookup();
        match table.find(&lookup, self.headers, &mut captures) {
            Outcome::NotFound => "404".to_owned(),
            Outcome::MethodNotAllowed { allow } => {
                let mut names = b"405 ".to_vec();
                table.write_allow(allow, &mut names);
                String::from_utf8(names).expect("methods are ASCII")
            }
            Outcome::Route { index } => {
                let names = table.parameters(index);
                assert_eq!(names.len(), captures.len());
                let values = names.iter().enumerate().map(|(at, name)| {
                    let value = captures
                        .value(at, lookup.path)
                        .expect("a value for each name");
                    format!(" {name}={}", String::from_utf8_lossy(value))
                });
                index.to_string() + &values.collect::<String>()
            }
        }
    }
}

/// Compiles `rules` and asks each request for its answer.
fn check(rules: &[Rule], cases: &[(&str, &str)]) {
    let table = compile(rules);
    for (text, expected) in cases {
        assert_eq!(request(text).ask(&table), *expected, "{text}");
    }
}
