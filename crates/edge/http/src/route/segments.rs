//! Trees of path segments, all in one arena.
//!
//! A node has literal children (in an [`Index`] shared by all trees), at most one parameter child, and the
//! candidates of rules that end there. A walk tries the literal before the parameter before the node's own end,
//! so it meets rules in their order. It visits each node at most once.

use std::ops::ControlFlow;

use super::captures::Span;
use super::index::Index;
use super::pattern::Segment;

/// Where a run of candidates begins in the table.
pub(super) type Leaf = u32;

/// The root of one tree.
pub(super) type Root = u32;

#[derive(Debug, Default)]
pub(super) struct Segments {
    nodes: Vec<Node>,
    edges: Index,
}

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    leaf: Option<Leaf>,
    parameter: Option<Root>,
    has_literals: bool,
}

/// Whether rules end where the path ends, or anywhere before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Complete,
    Prefix,
}

/// One walk down a tree.
struct Walk<'a> {
    kind: Kind,
    path: &'a [u8],
}

impl Segments {
    pub(super) fn add_node(&mut self) -> Root {
        self.nodes.push(Node::default());
        self.nodes.len() as u32 - 1
    }

    pub(super) fn insert(&mut self, root: Root, pattern: &[Segment], leaf: Leaf) {
        let mut node = root;
        for segment in pattern {
            node = match segment {
                Segment::Literal(text) => match self.edges.find(node, text.as_bytes()) {
                    Some(child) => child,
                    None => {
                        let child = self.add_node();
                        self.edges.insert(node, text.as_bytes(), child);
                        self.nodes[node as usize].has_literals = true;
                        child
                    }
                },
                Segment::Parameter => match self.nodes[node as usize].parameter {
                    Some(child) => child,
                    None => {
                        let child = self.add_node();
                        self.nodes[node as usize].parameter = Some(child);
                        child
                    }
                },
            };
        }
        self.nodes[node as usize].leaf = Some(leaf);
    }

    /// Visits the leaves that match `path`, the most specific first, until a visit breaks. After a break `spans`
    /// holds the parameters of that leaf, otherwise it is as it was.
    pub(super) fn walk<B>(
        &self,
        root: Root,
        kind: Kind,
        path: &[u8],
        spans: &mut Vec<Span>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        self.step(&Walk { kind, path }, root, 0, spans, visit)
    }

    /// `at` is where the segments up to this node end: at a slash, or at the end of the path. The depth of the
    /// recursion is that of the deepest rule, which is limited.
    fn step<B>(
        &self,
        walk: &Walk<'_>,
        node: Root,
        at: usize,
        spans: &mut Vec<Span>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let Node {
            leaf,
            parameter,
            has_literals,
        } = self.nodes[node as usize];
        if at < walk.path.len() && (has_literals || parameter.is_some()) {
            let start = at + 1;
            let end = memchr::memchr(b'/', &walk.path[start..])
                .map_or(walk.path.len(), |length| start + length);
            if has_literals && let Some(child) = self.edges.find(node, &walk.path[start..end]) {
                self.step(walk, child, end, spans, visit)?;
            }
            if let Some(child) = parameter
                && start < end
            {
                spans.push((start as u32, end as u32));
                self.step(walk, child, end, spans, visit)?;
                spans.pop();
            }
        }
        let ends_here = walk.kind == Kind::Prefix || at == walk.path.len();
        let Some(leaf) = leaf.filter(|_| ends_here) else {
            return ControlFlow::Continue(());
        };
        let found = visit(leaf);
        if found.is_break() && walk.kind == Kind::Prefix {
            let rest = (at + 1).min(walk.path.len());
            spans.push((rest as u32, walk.path.len() as u32));
        }
        found
    }
}
