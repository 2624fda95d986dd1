//! The table against a naive reading of the documented order: a scan over the rules as they were written.

use std::cmp::Reverse;

use proptest::prelude::*;
use regex::bytes::RegexBuilder;

use super::super::{Captures, Limits, Outcome, RouteTable, Rule, Verdict};
use super::arbitrary::{Asked, mix, some_request, some_rule};

/// What the model answers: a rule, or the methods that would be allowed (none of them: not found).
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Rule(usize),
    Allowed(Vec<String>),
}

fn regex(pattern: &str, text: &str) -> bool {
    let regex = RegexBuilder::new(pattern)
        .unicode(false)
        .build()
        .expect("the model knows good regexes only");
    regex.is_match(text.as_bytes())
}

fn host_matches(rule: &Rule, host: &str) -> bool {
    match rule.host.as_deref() {
        None => true,
        Some(pattern) => match pattern.strip_prefix('*') {
            Some(dotted) => host.ends_with(dotted) && host.len() > dotted.len(),
            None => host == pattern,
        },
    }
}

fn path_of(rule: &Rule) -> &str {
    rule.path.as_deref().unwrap_or("/*")
}

fn path_matches(rule: &Rule, path: &str) -> bool {
    let pattern = path_of(rule);
    if let Some(pattern) = pattern.strip_prefix('~') {
        return regex(pattern, path);
    }
    let expected: Vec<&str> = pattern.split('/').collect();
    let found: Vec<&str> = path.split('/').collect();
    let (expected, enough) = match expected.split_last() {
        Some((&"*", expected)) => (expected.to_vec(), found.len() >= expected.len()),
        _ => (expected.clone(), found.len() == expected.len()),
    };
    enough
        && expected.iter().zip(found).all(|(expected, found)| {
            if expected.starts_with('{') {
                !found.is_empty()
            } else {
                *expected == found
            }
        })
}

fn condition_holds(test: &str, values: &[&str]) -> bool {
    values.iter().any(|value| match test.strip_prefix('~') {
        Some(pattern) => regex(pattern, value),
        None => test == "*" || test == *value,
    })
}

fn conditions_hold(rule: &Rule, asked: &Asked) -> bool {
    let header = |name: &str| -> Vec<&str> {
        let same = asked.headers.iter().filter(|(known, _)| known == name);
        same.map(|(_, value)| value.as_str()).collect()
    };
    let query = |name: &str| -> Vec<&str> {
        let pairs = asked.query.iter().flat_map(|query| query.split('&'));
        let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value)
            .collect()
    };
    (rule.listeners.is_empty() || rule.listeners.contains(&asked.listener))
        && rule
            .headers
            .iter()
            .all(|(name, test)| condition_holds(test, &header(name)))
        && rule
            .query
            .iter()
            .all(|(name, test)| condition_holds(test, &query(name)))
}

fn method_rank(rule: &Rule, method: &str) -> Option<u8> {
    let lists = |method: &str| rule.methods.iter().any(|known| known == method);
    match method {
        _ if rule.methods.is_empty() => Some(2),
        _ if lists(method) => Some(0),
        "HEAD" if lists("GET") => Some(1),
        _ => None,
    }
}

/// A number for each step of the documented order, the smallest first.
type Rank = (
    (u8, Reverse<usize>),
    (u8, Vec<u8>, Reverse<usize>, Reverse<usize>, String),
    u8,
    [Reverse<usize>; 4],
    Vec<(String, u8, String)>,
    Vec<(String, u8, String)>,
    bool,
);

fn rank(rule: &Rule, method: u8) -> Rank {
    let host = match rule.host.as_deref() {
        None => (2, Reverse(0)),
        Some(host) if host.starts_with('*') => (1, Reverse(host.len())),
        Some(_) => (0, Reverse(0)),
    };
    let segments = |path: &str| -> Vec<u8> {
        let kinds = path.split('/').skip(1).map(|segment| match segment {
            "*" => 2,
            _ if segment.starts_with('{') => 1,
            _ => 0,
        });
        kinds.collect()
    };
    let path = match path_of(rule) {
        path if path.starts_with('~') => {
            // The regexes of the model mark where their literal text ends.
            let literal = path
                .strip_prefix("~^")
                .map_or(0, |rest| rest.find(['[', '(', '$']).unwrap_or(rest.len()));
            (
                1,
                Vec::new(),
                Reverse(literal),
                Reverse(path.len()),
                path.to_owned(),
            )
        }
        path => {
            let kind = if path.ends_with("/*") { 2 } else { 0 };
            (kind, segments(path), Reverse(0), Reverse(0), String::new())
        }
    };
    let texts = |conditions: &[(String, String)]| -> Vec<(String, u8, String)> {
        let mut texts: Vec<_> = (conditions.iter())
            .map(|(name, test)| match test.strip_prefix('~') {
                Some(pattern) => (name.clone(), 1, pattern.to_owned()),
                None if test == "*" => (name.clone(), 2, String::new()),
                None => (name.clone(), 0, test.clone()),
            })
            .collect();
        texts.sort();
        texts
    };
    let (headers, query) = (texts(&rule.headers), texts(&rule.query));
    let of_kind = |kind: u8| {
        Reverse(
            headers
                .iter()
                .chain(&query)
                .filter(|text| text.1 == kind)
                .count(),
        )
    };
    let counts = [
        Reverse(headers.len()),
        Reverse(query.len()),
        of_kind(0),
        of_kind(1),
    ];
    (
        host,
        path,
        method,
        counts,
        headers,
        query,
        rule.listeners.is_empty(),
    )
}

fn model(rules: &[Rule], asked: &Asked) -> Answer {
    let matching = || {
        let all = rules.iter().enumerate();
        all.filter(|(_, rule)| {
            host_matches(rule, &asked.host)
                && path_matches(rule, &asked.path)
                && conditions_hold(rule, asked)
        })
    };
    let best = matching()
        .filter_map(|(index, rule)| Some((rank(rule, method_rank(rule, asked.method)?), index)))
        .min();
    if let Some((_, index)) = best {
        return Answer::Rule(index);
    }
    let mut allowed: Vec<String> = matching()
        .flat_map(|(_, rule)| rule.methods.clone())
        .collect();
    if allowed.iter().any(|method| method == "GET") {
        allowed.push("HEAD".to_owned());
    }
    allowed.sort();
    allowed.dedup();
    Answer::Allowed(allowed)
}

fn ask(table: &RouteTable, asked: &Asked, captures: &mut Captures) -> (Answer, Vec<u8>) {
    let lookup = asked.lookup();
    let answer = match table.find(&lookup, &asked.headers[..], captures) {
        Outcome::Route { index } => {
            let values = (0..captures.len()).filter_map(|at| captures.value(at, lookup.path));
            return (
                Answer::Rule(index as usize),
                values.collect::<Vec<_>>().join(&b'|'),
            );
        }
        Outcome::NotFound => Vec::new(),
        Outcome::MethodNotAllowed { allow } => {
            let mut names: Vec<String> = table.methods(allow).map(str::to_owned).collect();
            names.sort();
            names
        }
    };
    (Answer::Allowed(answer), Vec::new())
}

/// The rules that remain when each one in conflict with an earlier one is left out.
fn without_conflicts(mut rules: Vec<Rule>) -> (Vec<Rule>, RouteTable) {
    loop {
        match RouteTable::compile(&rules, &Limits::default()) {
            Ok(table) => return (rules, table),
            Err(problems) => {
                for problem in problems.iter().rev() {
                    assert!(problem.other.is_some(), "{problem:?}");
                    rules.remove(problem.rule);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_table_agrees_with_the_model(
        rules in prop::collection::vec(some_rule(), 1..50),
        requests in prop::collection::vec(some_request(), 1..40),
        seed in any::<u64>(),
    ) {
        let (rules, table) = without_conflicts(rules);
        // The same rules in another order: new position of each.
        let mut order: Vec<usize> = (0..rules.len()).collect();
        order.sort_by_key(|index| (*index as u64 ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let shuffled: Vec<Rule> = order.iter().map(|&index| rules[index].clone()).collect();
        let shuffled = compile_again(&shuffled);
        let mut captures = Captures::new();
        for asked in &requests {
            let expected = model(&rules, asked);
            let (found, values) = ask(&table, asked, &mut captures);
            prop_assert_eq!(&found, &expected, "{:?}", asked);
            let steps = table.explain(&asked.lookup(), &asked.headers[..]);
            prop_assert_eq!(steps.len(), rules.len());
            let chosen = steps.iter().find(|step| step.verdict == Verdict::Chosen);
            let index = match expected {
                Answer::Rule(index) => Some(index),
                Answer::Allowed(_) => None,
            };
            prop_assert_eq!(chosen.map(|step| step.rule as usize), index, "{:?}", asked);
            let (again, values_again) = ask(&shuffled, asked, &mut captures);
            let again = match again {
                Answer::Rule(index) => Answer::Rule(order[index]),
                other => other,
            };
            prop_assert_eq!((again, values_again), (found, values), "{:?}", asked);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]

    /// Rules conflict exactly when the model ranks them equal and they share a method and a listener.
    #[test]
    fn conflicts_agree_with_the_model(a in some_rule(), c in some_rule(), mask in 0_u8..64, rare in 0_u8..64) {
        let b = mix(&a, &c, mask & rare);
        let shared = |a: &[String], b: &[String]| a.is_empty() || a.iter().any(|method| b.contains(method));
        let listeners = a.listeners.is_empty() || a.listeners.iter().any(|listener| b.listeners.contains(listener));
        let shape = |rule: &Rule| {
            let path = path_of(rule);
            let segments = path.split('/').map(|segment| if path.starts_with('/') && segment.starts_with('{') { "{}" } else { segment });
            (rule.host.clone(), segments.collect::<Vec<_>>().join("/"), rank(rule, u8::from(rule.methods.is_empty())))
        };
        let expected = shape(&a) == shape(&b) && shared(&a.methods, &b.methods) && listeners;
        let found = RouteTable::compile(&[a, b], &Limits::default()).is_err();
        prop_assert_eq!(found, expected);
    }
}

fn compile_again(rules: &[Rule]) -> RouteTable {
    RouteTable::compile(rules, &Limits::default())
        .expect("the order of rules does not decide whether they compile")
}
