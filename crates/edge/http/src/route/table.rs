//! The compiled table: what a lookup reads.

use std::sync::Arc;

use super::expression::{Expression, ExpressionSet};
use super::index::Index;
use super::method::{MethodSet, Methods};
use super::rule::Compiled;
use super::segments::{Leaf, Root, Segments};

/// Scope of exact hosts in `host_names`.
pub(super) const EXACT: u32 = 0;
/// Scope of wildcard parents in `host_names`.
pub(super) const BELOW: u32 = 1;

/// An immutable set of rules, ready to be asked. The module docs of `route` say what it answers.
#[derive(Debug)]
pub struct RouteTable {
    /// As given, by index.
    pub(super) rules: Box<[Compiled]>,
    /// Runs of candidates with one host and path, each in the order of specificity.
    pub(super) candidates: Box<[Candidate]>,
    pub(super) hosts: Box<[HostRoutes]>,
    /// (`EXACT` or `BELOW`, name) to host.
    pub(super) host_names: Index,
    /// Bit n: some wildcard has a parent of n labels.
    pub(super) wildcard_depths: u128,
    pub(super) any_host: Option<u32>,
    /// (host, literal path) to leaf.
    pub(super) literals: Index,
    pub(super) segments: Segments,
    pub(super) groups: Box<[RegexGroup]>,
    /// (host, literal prefix) to group.
    pub(super) group_prefixes: Index,
    pub(super) methods: Methods,
}

/// The part of a rule that every lookup reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) methods: MethodSet,
    pub(super) rule: u32,
    /// Nothing but the method is left to check.
    pub(super) unconditional: bool,
    /// The last of its run.
    pub(super) last: bool,
}

/// What is known about one host.
#[derive(Debug, Default)]
pub(super) struct HostRoutes {
    pub(super) has_literals: bool,
    /// Complete paths with parameters.
    pub(super) complete: Option<Root>,
    pub(super) prefixes: Option<Root>,
    /// Lengths of the literal prefixes of its regexes, the longest first.
    pub(super) regex_prefixes: Vec<usize>,
}

/// The regexes of one host that begin with the same literal text, the most specific first.
#[derive(Debug)]
pub(super) struct RegexGroup {
    pub(super) members: Vec<(Arc<Expression>, Leaf)>,
    /// All of them in one, when there are many.
    pub(super) set: Option<ExpressionSet>,
}

impl RouteTable {
    /// How many rules the table has.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether the table has no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The parameter names of the rule at `index`, in the order of its captures. A prefix ends with `rest`.
    pub fn parameters(&self, index: u32) -> &[Box<str>] {
        self.rules
            .get(index as usize)
            .map_or(&[], |rule| &rule.parameters)
    }

    /// The names in a set that this table returned.
    pub fn methods(&self, set: MethodSet) -> impl Iterator<Item = &str> {
        self.methods.names(set)
    }

    /// Appends the value of an Allow field (RFC 9110 section 10.2.1).
    pub fn write_allow(&self, set: MethodSet, out: &mut Vec<u8>) {
        for (at, name) in self.methods(set).enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(name.as_bytes());
        }
    }
}
