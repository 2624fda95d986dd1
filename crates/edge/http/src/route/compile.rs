//! From rules to a table: parse, order, refuse what cannot be told apart, build.

use std::collections::HashMap;
use std::sync::Arc;

use super::expression::{ExpressionSet, Expressions};
use super::host::HostPattern;
use super::index::Index;
use super::method::Methods;
use super::order::{compare, same_leaf};
use super::pattern::{PathPattern, Segment};
use super::problem::{Field, RouteProblem};
use super::rule::{Compiled, Limits, Rule, Shared};
use super::segments::{Leaf, Segments};
use super::table::{BELOW, Candidate, EXACT, HostRoutes, RegexGroup, RouteTable};

/// From how many regexes on a group is searched as one.
const SET_FROM: usize = 4;

impl RouteTable {
    /// Compiles `rules`, or says everything that is wrong with them, in the order of the rules.
    pub fn compile(rules: &[Rule], limits: &Limits) -> Result<Self, Vec<RouteProblem>> {
        if rules.len() > limits.rules {
            return Err(vec![RouteProblem {
                rule: limits.rules,
                other: None,
                field: Field::Route,
                message: format!("there are more than {} routes", limits.rules),
                help: "join routes with wildcards, prefixes or parameters".to_owned(),
            }]);
        }
        let mut shared = Shared {
            limits: *limits,
            expressions: Expressions::new(limits.regex_size),
            methods: Methods::default(),
        };
        let mut problems = Vec::new();
        let parsed: Vec<Option<Compiled>> = (rules.iter().enumerate())
            .map(|(index, rule)| Compiled::parse(index, rule, &mut shared, &mut problems))
            .collect();
        let mut order: Vec<(usize, &Compiled)> = (parsed.iter().enumerate())
            .filter_map(|(index, rule)| Some((index, rule.as_ref()?)))
            .collect();
        // Stable: equal rules stay in the order of the file, so that problems name the later one.
        order.sort_by(|(_, a), (_, b)| compare(a, b));
        for equal in order.chunk_by(|(_, a), (_, b)| compare(a, b).is_eq()) {
            find_conflicts(equal, &shared.methods, &mut problems);
        }
        if !problems.is_empty() {
            problems.sort_by_key(|problem| problem.rule);
            return Err(problems);
        }
        let order: Vec<usize> = order.into_iter().map(|(index, _)| index).collect();
        let rules: Box<[Compiled]> = parsed.into_iter().flatten().collect();
        Ok(Builder::new(limits).build(rules, &order, shared.methods))
    }
}

/// `equal` are rules of equal specificity: two that share a method and a listener are in conflict. Each rule is
/// reported once, with the first that it collides with.
fn find_conflicts(
    equal: &[(usize, &Compiled)],
    methods: &Methods,
    problems: &mut Vec<RouteProblem>,
) {
    for (at, (index, rule)) in equal.iter().enumerate() {
        let collides = |other: &Compiled| {
            let methods = rule.methods.is_empty() || rule.methods.overlaps(other.methods);
            methods && rule.listeners.overlaps(&other.listeners)
        };
        let Some((other, first)) = equal[..at].iter().find(|(_, other)| collides(other)) else {
            continue;
        };
        let shared: Vec<&str> = methods
            .names(rule.methods.intersection(first.methods))
            .collect();
        let taken = if shared.is_empty() {
            "any method".to_owned()
        } else {
            shared.join(", ")
        };
        problems.push(RouteProblem {
            rule: *index,
            other: Some(*other),
            field: Field::Route,
            message: format!(
                "two routes can never be told apart: same host, path and conditions, and both take {taken} on a shared listener"
            ),
            help: "remove one, or make one differ in host, path, methods, headers, query or listeners".to_owned(),
        });
    }
}

struct Builder {
    candidates: Vec<Candidate>,
    hosts: Vec<HostRoutes>,
    host_names: Index,
    wildcard_depths: u128,
    any_host: Option<u32>,
    literals: Index,
    segments: Segments,
    groups: Vec<RegexGroup>,
    group_ids: HashMap<(u32, Box<[u8]>), usize>,
    set_size: usize,
}

impl Builder {
    fn new(limits: &Limits) -> Self {
        Self {
            candidates: Vec::new(),
            hosts: Vec::new(),
            host_names: Index::default(),
            wildcard_depths: 0,
            any_host: None,
            literals: Index::default(),
            segments: Segments::default(),
            groups: Vec::new(),
            group_ids: HashMap::new(),
            set_size: limits.regex_size.saturating_mul(8),
        }
    }

    fn build(mut self, rules: Box<[Compiled]>, order: &[usize], methods: Methods) -> RouteTable {
        for host in order.chunk_by(|&a, &b| rules[a].host == rules[b].host) {
            let id = self.add_host(&rules[host[0]].host);
            for leaf in host.chunk_by(|&a, &b| same_leaf(&rules[a], &rules[b]).is_eq()) {
                let start = self.add_candidates(&rules, leaf);
                self.add_path(id, &rules[leaf[0]].path, start);
            }
        }
        let mut group_prefixes = Index::default();
        for ((host, prefix), group) in self.group_ids {
            group_prefixes.insert(host, &prefix, group as u32);
        }
        for group in &mut self.groups {
            if group.members.len() >= SET_FROM {
                let expressions = group.members.iter().map(|(expression, _)| &**expression);
                group.set = ExpressionSet::new(expressions, self.set_size);
            }
        }
        RouteTable {
            rules,
            candidates: self.candidates.into(),
            hosts: self.hosts.into(),
            host_names: self.host_names,
            wildcard_depths: self.wildcard_depths,
            any_host: self.any_host,
            literals: self.literals,
            segments: self.segments,
            groups: self.groups.into(),
            group_prefixes,
            methods,
        }
    }

    fn add_host(&mut self, host: &HostPattern) -> u32 {
        let id = self.hosts.len() as u32;
        self.hosts.push(HostRoutes::default());
        match host {
            HostPattern::Exact(name) => self.host_names.insert(EXACT, name.as_bytes(), id),
            HostPattern::Below(parent) => {
                // A name has at most 127 labels, so the shift stays in range.
                self.wildcard_depths |= 1 << parent.split('.').count();
                self.host_names.insert(BELOW, parent.as_bytes(), id);
            }
            HostPattern::Any => self.any_host = Some(id),
        }
        id
    }

    fn add_candidates(&mut self, rules: &[Compiled], leaf: &[usize]) -> Leaf {
        let start = self.candidates.len() as Leaf;
        self.candidates.extend(leaf.iter().map(|&index| Candidate {
            methods: rules[index].methods,
            rule: index as u32,
            unconditional: rules[index].is_unconditional(),
            last: false,
        }));
        if let Some(last) = self.candidates.last_mut() {
            last.last = true;
        }
        start
    }

    fn add_path(&mut self, id: u32, path: &PathPattern, leaf: Leaf) {
        let host = &mut self.hosts[id as usize];
        match path {
            PathPattern::Complete(segments) => {
                if let Some(literal) = literal_path(segments) {
                    host.has_literals = true;
                    self.literals.insert(id, literal.as_bytes(), leaf);
                } else {
                    let root = *host
                        .complete
                        .get_or_insert_with(|| self.segments.add_node());
                    self.segments.insert(root, segments, leaf);
                }
            }
            PathPattern::Prefix(segments) => {
                let root = *host
                    .prefixes
                    .get_or_insert_with(|| self.segments.add_node());
                self.segments.insert(root, segments, leaf);
            }
            PathPattern::Regex(expression) => {
                let prefix = expression.prefix();
                if host.regex_prefixes.last() != Some(&prefix.len()) {
                    host.regex_prefixes.push(prefix.len());
                }
                let group = *self
                    .group_ids
                    .entry((id, prefix.into()))
                    .or_insert_with(|| {
                        self.groups.push(RegexGroup {
                            members: Vec::new(),
                            set: None,
                        });
                        self.groups.len() - 1
                    });
                self.groups[group]
                    .members
                    .push((Arc::clone(expression), leaf));
            }
        }
    }
}

/// The one path that segments without parameters stand for.
fn literal_path(segments: &[Segment]) -> Option<String> {
    let mut path = String::new();
    for segment in segments {
        let Segment::Literal(text) = segment else {
            return None;
        };
        path.push('/');
        path.push_str(text);
    }
    Some(path)
}
