//! Why a request went where it went: every rule, in order, with its verdict.
//!
//! This is the total order as a plain scan over all rules, without the table that makes lookups fast.

use std::fmt;

use super::condition::HeaderSource;
use super::find::Lookup;
use super::host::Canonical;
use super::method::Fit;
use super::order::compare_for;
use super::rule::Compiled;
use super::table::RouteTable;

/// One rule that was considered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its index in the slice that was compiled.
    pub rule: u32,
    /// What became of it.
    pub verdict: Verdict,
}

/// What became of a rule. The order is from "took it" to "not even its host".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The most specific rule that matches.
    Chosen,
    /// It matches too, but is less specific.
    Outranked,
    /// Host and path match, the method is not listed.
    Method,
    /// Host, path and method match, it does not serve this listener.
    Listener,
    /// This header condition does not hold.
    Header(String),
    /// This query condition does not hold.
    Query(String),
    /// The host matches, the path does not.
    Path,
    /// The host does not match.
    Host,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chosen => out.write_str("chosen: the most specific route that matches"),
            Self::Outranked => out.write_str("matches, but is less specific"),
            Self::Method => out.write_str("does not list the method"),
            Self::Listener => out.write_str("does not serve this listener"),
            Self::Header(name) => write!(out, "header `{name}` does not match"),
            Self::Query(name) => write!(out, "query parameter `{name}` does not match"),
            Self::Path => out.write_str("path does not match"),
            Self::Host => out.write_str("host does not match"),
        }
    }
}

impl RouteTable {
    /// Every rule with its verdict: first those whose host and path match, the most specific first, then those
    /// whose path does not, then those whose host does not.
    pub fn explain<H: HeaderSource + ?Sized>(
        &self,
        request: &Lookup<'_>,
        headers: &H,
    ) -> Vec<Step> {
        let mut buffer = Canonical::new();
        let host = buffer.of(request.host);
        let method = self.methods.find(request.method).unwrap_or_default();
        let mut considered: Vec<(Fit, usize, &Compiled, Option<Verdict>)> =
            (self.rules.iter().enumerate())
                .map(|(index, rule)| {
                    let fit = rule.methods.fit(method);
                    (fit, index, rule, refusal(rule, host, fit, request, headers))
                })
                .collect();
        considered.sort_by(|(a_fit, _, a, a_verdict), (b_fit, _, b, b_verdict)| {
            let tier = |verdict: &Option<Verdict>| match verdict {
                Some(Verdict::Host) => 2,
                Some(Verdict::Path) => 1,
                _ => 0,
            };
            tier(a_verdict)
                .cmp(&tier(b_verdict))
                .then_with(|| compare_for(a, *a_fit, b, *b_fit))
        });
        let mut chosen = false;
        let steps = considered.into_iter().map(|(_, index, _, verdict)| Step {
            rule: index as u32,
            verdict: verdict.unwrap_or_else(|| {
                if std::mem::replace(&mut chosen, true) {
                    Verdict::Outranked
                } else {
                    Verdict::Chosen
                }
            }),
        });
        steps.collect()
    }
}

/// Why a rule does not match; `None` when it does.
fn refusal<H: HeaderSource + ?Sized>(
    rule: &Compiled,
    host: Option<&[u8]>,
    fit: Fit,
    request: &Lookup<'_>,
    headers: &H,
) -> Option<Verdict> {
    if !rule.host.matches(host) {
        return Some(Verdict::Host);
    }
    if !rule.path.matches(request.path) {
        return Some(Verdict::Path);
    }
    if fit == Fit::No {
        return Some(Verdict::Method);
    }
    if !rule.listeners.contains(request.listener) {
        return Some(Verdict::Listener);
    }
    let header = rule
        .headers
        .iter()
        .find(|condition| !condition.holds_for_headers(headers));
    if let Some(condition) = header {
        return Some(Verdict::Header(condition.name().to_owned()));
    }
    let mut scratch = Vec::new();
    let query = rule.query.iter().find(|condition| match request.query {
        Some(query) => !condition.holds_for_query(query, &mut scratch),
        None => true,
    });
    query.map(|condition| Verdict::Query(condition.name().to_owned()))
}
