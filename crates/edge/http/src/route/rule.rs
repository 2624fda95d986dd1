//! A rule as written, and as compiled.

use super::condition::{Condition, HeaderSource};
use super::expression::Expressions;
use super::host::HostPattern;
use super::listeners::ListenerSet;
use super::method::{MethodSet, Methods};
use super::pattern::{Names, PathPattern};
use super::problem::{Complaint, Field, RouteProblem};

/// What one route asks of a request, as its author wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `api.example.com`, `*.example.com`, or any host.
    pub host: Option<String>,
    /// `/a/b`, `/a/*`, `/a/{id}`, `~^/a/\d+$`, or any path.
    pub path: Option<String>,
    /// Methods, or any when empty.
    pub methods: Vec<String>,
    /// Header names with `value`, `~regex` or `*`.
    pub headers: Vec<(String, String)>,
    /// Query parameter names with `value`, `~regex` or `*`.
    pub query: Vec<(String, String)>,
    /// Indices of listeners, or every listener when empty.
    pub listeners: Vec<u16>,
}

/// Bounds on what a table may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rules in one table.
    pub rules: usize,
    /// Segments in one path.
    pub segments: usize,
    /// Headers, and queries, in one rule.
    pub conditions: usize,
    /// Compiled size of one regex, in bytes.
    pub regex_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rules: 1_000_000,
            segments: 64,
            conditions: 64,
            regex_size: 256 * 1024,
        }
    }
}

/// The parameter names of a path, for compiling templates before the table; `None` when it does not parse.
pub fn parameters(path: Option<&str>, limits: &Limits) -> Option<Box<[Box<str>]>> {
    let mut expressions = Expressions::new(limits.regex_size);
    let (_, names) = PathPattern::parse(path, limits.segments, &mut expressions).ok()?;
    Some(names)
}

/// A rule that can be matched and compared.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) host: HostPattern,
    pub(super) path: PathPattern,
    pub(super) parameters: Names,
    pub(super) methods: MethodSet,
    /// Sorted by name.
    pub(super) headers: Box<[Condition]>,
    /// Sorted by name.
    pub(super) query: Box<[Condition]>,
    pub(super) listeners: ListenerSet,
}

/// What the rules of one table share while they are parsed.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) expressions: Expressions,
    pub(super) methods: Methods,
}

impl Compiled {
    /// Parses rule number `index`; every problem goes to `problems`.
    pub(super) fn parse(
        index: usize,
        rule: &Rule,
        shared: &mut Shared,
        problems: &mut Vec<RouteProblem>,
    ) -> Option<Self> {
        let before = problems.len();
        let host = HostPattern::parse(rule.host.as_deref());
        let host = host.map_err(|complaint| problems.push(complaint.on(index, Field::Host)));
        let path = PathPattern::parse(
            rule.path.as_deref(),
            shared.limits.segments,
            &mut shared.expressions,
        );
        let path = path.map_err(|complaint| problems.push(complaint.on(index, Field::Path)));
        let mut methods = MethodSet::EMPTY;
        for (at, name) in rule.methods.iter().enumerate() {
            match shared.methods.intern(name) {
                Ok(method) => methods = methods.union(method),
                Err(complaint) => problems.push(complaint.on(index, Field::Method(at))),
            }
        }
        let headers = conditions(
            index,
            &rule.headers,
            Condition::header,
            Field::Header,
            shared,
            problems,
        );
        let query = conditions(
            index,
            &rule.query,
            Condition::query,
            Field::Query,
            shared,
            problems,
        );
        let (Ok(host), Ok((path, parameters))) = (host, path) else {
            return None;
        };
        (problems.len() == before).then(|| Self {
            host,
            path,
            parameters,
            methods,
            headers,
            query,
            listeners: ListenerSet::new(&rule.listeners),
        })
    }

    /// Whether nothing is left to check once host, path and method match.
    pub(super) fn is_unconditional(&self) -> bool {
        self.headers.is_empty() && self.query.is_empty() && self.listeners.is_every()
    }

    /// Whether everything but host, path and method matches.
    pub(super) fn conditions_hold<H: HeaderSource + ?Sized>(
        &self,
        listener: u16,
        query: Option<&[u8]>,
        headers: &H,
        scratch: &mut Vec<u8>,
    ) -> bool {
        let query_holds = |condition: &Condition| {
            query.is_some_and(|query| condition.holds_for_query(query, scratch))
        };
        self.listeners.contains(listener)
            && self
                .headers
                .iter()
                .all(|condition| condition.holds_for_headers(headers))
            && self.query.iter().all(query_holds)
    }
}

type ParseCondition = fn(&str, &str, &mut Expressions) -> Result<Condition, Complaint>;

fn conditions(
    index: usize,
    pairs: &[(String, String)],
    parse: ParseCondition,
    field: fn(String) -> Field,
    shared: &mut Shared,
    problems: &mut Vec<RouteProblem>,
) -> Box<[Condition]> {
    let mut found: Vec<Condition> = Vec::with_capacity(pairs.len().min(shared.limits.conditions));
    for (name, value) in pairs {
        let problem = if found.len() == shared.limits.conditions {
            Complaint::new(
                format!("more than {} conditions of one kind", found.len()),
                "split the route, or match with one regex",
            )
        } else {
            match parse(name, value, &mut shared.expressions) {
                Ok(condition) if found.iter().all(|known| known.name() != condition.name()) => {
                    found.push(condition);
                    continue;
                }
                Ok(condition) => Complaint::new(
                    format!("`{}` is listed twice", condition.name()),
                    "join the two into one regex after `~`",
                ),
                Err(complaint) => complaint,
            }
        };
        problems.push(problem.on(index, field(name.clone())));
    }
    found.sort_by(Condition::compare);
    found.into()
}
