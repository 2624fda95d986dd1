//! The lookup: which rule takes this request.

use std::ops::ControlFlow;

use regex_automata::util::primitives::NonMaxUsize;

use super::captures::{Captures, Span};
use super::condition::HeaderSource;
use super::host::Canonical;
use super::method::{Fit, MethodSet};
use super::segments::{Kind, Leaf};
use super::table::{BELOW, Candidate, EXACT, RegexGroup, RouteTable};

/// What a lookup looks at, besides the header fields.
#[derive(Clone, Copy, Debug)]
pub struct Lookup<'a> {
    /// Index of the listener that the request came in on.
    pub listener: u16,
    /// The host as sent: a port, a trailing dot and upper case do not matter. Empty when there is none.
    pub host: &'a [u8],
    /// The path after [`normalize()`](super::normalize()).
    pub path: &'a [u8],
    /// What follows the `?`, as sent.
    pub query: Option<&'a [u8]>,
    /// The method as sent; methods are case-sensitive.
    pub method: &'a [u8],
}

/// The answer to a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This rule, by its index in the slice that was compiled.
    Route {
        /// The index.
        index: u32,
    },
    /// Nothing matches: 404.
    NotFound,
    /// Rules match but for their methods: 405.
    MethodNotAllowed {
        /// What they would take; [`RouteTable::write_allow`] prints it.
        allow: MethodSet,
    },
}

/// What one leaf has to offer.
enum Choice {
    Rule(u32),
    /// Nothing, but some candidate did not take the method.
    Refused,
    Nothing,
}

impl RouteTable {
    /// Finds the most specific rule for a request. With [`Outcome::Route`], `captures` holds its parameters.
    pub fn find<H: HeaderSource + ?Sized>(
        &self,
        request: &Lookup<'_>,
        headers: &H,
        captures: &mut Captures,
    ) -> Outcome {
        let Captures {
            spans,
            slots,
            scratch,
        } = captures;
        spans.clear();
        let method = self.methods.find(request.method).unwrap_or_default();
        let mut refused = false;
        let found = self.visit(request, spans, slots, &mut |leaf| {
            match self.choose(leaf, method, request, headers, scratch) {
                Choice::Rule(index) => return ControlFlow::Break(index),
                Choice::Refused => refused = true,
                Choice::Nothing => {}
            }
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(index) = found {
            return Outcome::Route { index };
        }
        if refused {
            let allow = self.allowed(request, headers, captures);
            if !allow.is_empty() {
                return Outcome::MethodNotAllowed { allow };
            }
        }
        Outcome::NotFound
    }

    fn choose<H: HeaderSource + ?Sized>(
        &self,
        leaf: Leaf,
        method: MethodSet,
        request: &Lookup<'_>,
        headers: &H,
        scratch: &mut Vec<u8>,
    ) -> Choice {
        let mut implied = None;
        let mut refused = false;
        for candidate in self.run(leaf) {
            let fit = candidate.methods.fit(method);
            match fit {
                Fit::No => {
                    // Whether its conditions hold only matters if nothing else is found.
                    refused = true;
                    continue;
                }
                Fit::Implied if implied.is_some() => continue,
                // Rules for any method come last, behind one that takes HEAD because it lists GET.
                Fit::Any if implied.is_some() => break,
                Fit::Listed | Fit::Implied | Fit::Any => {}
            }
            if self.holds(candidate, request, headers, scratch) {
                match fit {
                    Fit::Implied => implied = Some(candidate.rule),
                    _ => return Choice::Rule(candidate.rule),
                }
            }
        }
        match implied {
            Some(rule) => Choice::Rule(rule),
            None if refused => Choice::Refused,
            None => Choice::Nothing,
        }
    }

    fn holds<H: HeaderSource + ?Sized>(
        &self,
        candidate: &Candidate,
        request: &Lookup<'_>,
        headers: &H,
        scratch: &mut Vec<u8>,
    ) -> bool {
        candidate.unconditional
            || self.rules[candidate.rule as usize].conditions_hold(
                request.listener,
                request.query,
                headers,
                scratch,
            )
    }

    /// The methods of every rule that matches in all else. Only asked when no rule matches.
    fn allowed<H: HeaderSource + ?Sized>(
        &self,
        request: &Lookup<'_>,
        headers: &H,
        captures: &mut Captures,
    ) -> MethodSet {
        let Captures {
            spans,
            slots,
            scratch,
        } = captures;
        let mut allow = MethodSet::EMPTY;
        let _: ControlFlow<()> = self.visit(request, spans, slots, &mut |leaf| {
            for candidate in self.run(leaf) {
                if self.holds(candidate, request, headers, scratch) {
                    allow = allow.union(candidate.methods.allowed());
                }
            }
            ControlFlow::Continue(())
        });
        allow
    }

    /// The candidates of one leaf.
    fn run(&self, leaf: Leaf) -> impl Iterator<Item = &Candidate> {
        let mut ended = false;
        self.candidates[leaf as usize..]
            .iter()
            .take_while(move |candidate| !std::mem::replace(&mut ended, candidate.last))
    }

    /// Visits the leaves whose host and path match, the most specific first, until a visit breaks.
    fn visit<B>(
        &self,
        request: &Lookup<'_>,
        spans: &mut Vec<Span>,
        slots: &mut Vec<Option<NonMaxUsize>>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        // `*` has no route, and spans are u32.
        if request.path.first() != Some(&b'/') || u32::try_from(request.path.len()).is_err() {
            return ControlFlow::Continue(());
        }
        if !self.host_names.is_empty() {
            let mut buffer = Canonical::new();
            if let Some(host) = buffer.of(request.host) {
                if let Some(id) = self.host_names.find(EXACT, host) {
                    self.visit_host(id, request.path, spans, slots, visit)?;
                }
                if self.wildcard_depths != 0 {
                    self.visit_wildcards(host, request.path, spans, slots, visit)?;
                }
            }
        }
        match self.any_host {
            Some(id) => self.visit_host(id, request.path, spans, slots, visit),
            None => ControlFlow::Continue(()),
        }
    }

    /// The parents of `host`, the longest first; only those with as many labels as some wildcard are looked up.
    fn visit_wildcards<B>(
        &self,
        host: &[u8],
        path: &[u8],
        spans: &mut Vec<Span>,
        slots: &mut Vec<Option<NonMaxUsize>>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let mut labels = memchr::memchr_iter(b'.', host).count();
        for dot in memchr::memchr_iter(b'.', host) {
            let wanted = labels < 128 && self.wildcard_depths >> labels & 1 == 1;
            labels -= 1;
            // A label stands before the dot.
            if wanted
                && dot > 0
                && let Some(id) = self.host_names.find(BELOW, &host[dot + 1..])
            {
                self.visit_host(id, path, spans, slots, visit)?;
            }
        }
        ControlFlow::Continue(())
    }

    fn visit_host<B>(
        &self,
        id: u32,
        path: &[u8],
        spans: &mut Vec<Span>,
        slots: &mut Vec<Option<NonMaxUsize>>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let host = &self.hosts[id as usize];
        if host.has_literals
            && let Some(leaf) = self.literals.find(id, path)
        {
            visit(leaf)?;
        }
        if let Some(root) = host.complete {
            self.segments
                .walk(root, Kind::Complete, path, spans, visit)?;
        }
        for &length in &host.regex_prefixes {
            let prefix = path.get(..length);
            if let Some(group) = prefix.and_then(|prefix| self.group_prefixes.find(id, prefix)) {
                self.groups[group as usize].visit(path, spans, slots, visit)?;
            }
        }
        match host.prefixes {
            Some(root) => self.segments.walk(root, Kind::Prefix, path, spans, visit),
            None => ControlFlow::Continue(()),
        }
    }
}

impl RegexGroup {
    fn visit<B>(
        &self,
        path: &[u8],
        spans: &mut Vec<Span>,
        slots: &mut Vec<Option<NonMaxUsize>>,
        visit: &mut impl FnMut(Leaf) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        let first = match &self.set {
            None => 0,
            Some(set) => match set.first(path) {
                None => return ControlFlow::Continue(()),
                Some(first) => first,
            },
        };
        for (at, (expression, leaf)) in self.members.iter().enumerate().skip(first) {
            let known = self.set.is_some() && at == first;
            if known || expression.is_match(path) {
                let found = visit(*leaf);
                if found.is_break() {
                    expression.capture(path, slots, spans);
                    return found;
                }
            }
        }
        ControlFlow::Continue(())
    }
}
