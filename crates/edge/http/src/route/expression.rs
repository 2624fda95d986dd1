//! Regular expressions over bytes, bounded in size, with the literal text that they begin with.
//!
//! Built on `regex-automata`, the engine under `regex`, because it can report group positions into a slice that
//! the caller keeps: matching allocates nothing. Matching is linear in the length of the input.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;

use regex_automata::meta::{Config, Regex};
use regex_automata::util::primitives::NonMaxUsize;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Dot, Hir, HirKind, Look, Repetition};

use super::captures::Span;
use super::problem::Complaint;

/// Memory that the lazy automaton of one expression may use per thread, in bytes.
const CACHE: usize = 256 * 1024;

/// One compiled pattern.
#[derive(Debug)]
pub(super) struct Expression {
    text: Box<str>,
    /// Literal bytes that every match begins with, at the start of the input.
    prefix: Box<[u8]>,
    /// The named groups, by index.
    groups: Box<[(Box<str>, usize)]>,
    regex: Regex,
}

impl Expression {
    pub(super) fn parse(text: &str, size: usize) -> Result<Self, Complaint> {
        let hir = parse_hir(text)?;
        let regex = build(&[&hir], size, CACHE).map_err(|reason| {
            Complaint::new(
                format!("the regex `{text}` does not compile: {reason}"),
                format!("keep it under {size} bytes when compiled: fewer or smaller repetitions"),
            )
        })?;
        let groups = regex
            .group_info()
            .pattern_names(regex_automata::PatternID::ZERO);
        let groups = groups
            .enumerate()
            .filter_map(|(index, name)| Some((name?.into(), index)))
            .collect();
        Ok(Self {
            text: text.into(),
            prefix: literal_prefix(&hir).into(),
            groups,
            regex,
        })
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(super) fn group_names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(name, _)| &**name)
    }

    pub(super) fn is_match(&self, input: &[u8]) -> bool {
        self.regex.is_match(input)
    }

    /// Appends the span of each named group; one that took no part in the match is empty.
    pub(super) fn capture(
        &self,
        input: &[u8],
        slots: &mut Vec<Option<NonMaxUsize>>,
        spans: &mut Vec<Span>,
    ) {
        if self.groups.is_empty() {
            return;
        }
        slots.clear();
        slots.resize(self.regex.group_info().slot_len(), None);
        self.regex.search_slots(&Input::new(input), slots);
        let position = |slot: usize| slots.get(slot).copied().flatten().map(NonMaxUsize::get);
        for (_, group) in &self.groups {
            let span = position(group * 2)
                .zip(position(group * 2 + 1))
                .unwrap_or((0, 0));
            // Inputs longer than u32 are refused before any match.
            spans.push((span.0 as u32, span.1 as u32));
        }
    }

    /// The most specific first.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let by_prefix = other.prefix.len().cmp(&self.prefix.len());
        let by_length = || other.text.len().cmp(&self.text.len());
        by_prefix
            .then_with(by_length)
            .then_with(|| self.text.cmp(&other.text))
    }
}

/// Many expressions searched at once, for the first in their order that matches.
#[derive(Debug)]
pub(super) struct ExpressionSet(Regex);

impl ExpressionSet {
    /// `None` when together they would be larger than `size`.
    pub(super) fn new<'a>(
        expressions: impl Iterator<Item = &'a Expression>,
        size: usize,
    ) -> Option<Self> {
        let anchored: Option<Vec<Hir>> = expressions
            .map(|expression| parse_hir(&expression.text).ok().map(anchor))
            .collect();
        let anchored = anchored?;
        build(&anchored.iter().collect::<Vec<_>>(), size, size)
            .ok()
            .map(Self)
    }

    /// The position of the first expression that matches. All of them start at the start of the input, so
    /// leftmost-first semantics is "the first of the list", in one pass.
    pub(super) fn first(&self, input: &[u8]) -> Option<usize> {
        let input = Input::new(input).anchored(Anchored::Yes);
        self.0
            .search_half(&input)
            .map(|found| found.pattern().as_usize())
    }
}

/// Expressions by their text: rules often repeat one.
#[derive(Debug)]
pub(super) struct Expressions {
    known: HashMap<Box<str>, Arc<Expression>>,
    size: usize,
}

impl Expressions {
    pub(super) fn new(size: usize) -> Self {
        Self {
            known: HashMap::new(),
            size,
        }
    }

    pub(super) fn parse(&mut self, text: &str) -> Result<Arc<Expression>, Complaint> {
        if let Some(known) = self.known.get(text) {
            return Ok(Arc::clone(known));
        }
        let expression = Arc::new(Expression::parse(text, self.size)?);
        self.known.insert(text.into(), Arc::clone(&expression));
        Ok(expression)
    }
}

fn parse_hir(text: &str) -> Result<Hir, Complaint> {
    let mut parser = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .nest_limit(64)
        .build();
    parser.parse(text).map_err(|error| {
        let reason = match &error {
            regex_syntax::Error::Parse(error) => format!("{} (at byte {})", error.kind(), error.span().start.offset),
            regex_syntax::Error::Translate(error) => {
                format!("{} (at byte {})", error.kind(), error.span().start.offset)
            }
            _ => error.to_string(),
        };
        Complaint::new(
            format!("the regex `{text}` does not parse: {reason}"),
            "use the syntax of Rust's regex crate: no look-around, no back-references, ASCII classes",
        )
    })
}

fn build(patterns: &[&Hir], size: usize, cache: usize) -> Result<Regex, String> {
    let config = Config::new()
        .utf8_empty(false)
        .nfa_size_limit(Some(size))
        .onepass_size_limit(Some(size))
        .hybrid_cache_capacity(cache);
    Regex::builder()
        .configure(config)
        .build_many_from_hir(patterns)
        .map_err(|error| match error.size_limit() {
            Some(_) => "it is too large".to_owned(),
            None => error.to_string(),
        })
}

fn is_anchored(hir: &Hir) -> bool {
    hir.properties().look_set_prefix().contains(Look::Start)
}

/// An equal expression whose matches all begin at the start of the input.
fn anchor(hir: Hir) -> Hir {
    if is_anchored(&hir) {
        return hir;
    }
    let anything = Hir::repetition(Repetition {
        min: 0,
        max: None,
        greedy: false,
        sub: Box::new(Hir::dot(Dot::AnyByte)),
    });
    Hir::concat(vec![Hir::look(Look::Start), anything, hir])
}

fn literal_prefix(hir: &Hir) -> Vec<u8> {
    let HirKind::Concat(parts) = hir.kind() else {
        return Vec::new();
    };
    let Some((HirKind::Look(Look::Start), rest)) = parts
        .split_first()
        .map(|(first, rest)| (first.kind(), rest))
    else {
        return Vec::new();
    };
    let literals = rest.iter().map_while(|part| match part.kind() {
        HirKind::Literal(literal) => Some(&*literal.0),
        _ => None,
    });
    literals.flatten().copied().collect()
}
