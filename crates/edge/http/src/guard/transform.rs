//! Header fields that are changed on their way.
//!
//! A change is a filter and an addition: while a head is forwarded, lines whose names the plan [drops](Changes::drops)
//! are left out, and behind them the plan [writes](Changes::write) its own. What several policies say about one field is
//! settled when the plan is compiled, the later policy before the earlier.

use std::borrow::Cow;

use weir_config::{Cx, Map, Span, Spanned};

use super::value::{Facts, ValueTemplate, Who};
use crate::{
    codec::{Field, FieldId, Fields, Names, encode},
    config::{ChangedField, FieldChanges, FieldValue, TransformConfig},
};

/// What a route changes about fields.
#[derive(Debug, Default)]
pub(crate) struct TransformPlan {
    pub(crate) request: Changes,
    pub(crate) response: Changes,
    /// The host that the endpoint is asked for instead.
    host: Option<ValueTemplate>,
}

/// The changes in one direction.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    drops: Names,
    /// Of names that Weir gives no meaning to, those that begin so are dropped.
    prefixes: Vec<Box<[u8]>>,
    renames: Vec<Rename>,
    lines: Vec<Line>,
}

/// A field that gets another name.
#[derive(Debug)]
struct Rename {
    from: Box<[u8]>,
    to: Box<[u8]>,
}

#[derive(Debug)]
enum Line {
    /// Whole lines.
    Fixed(Vec<u8>),
    /// A name with its `: `, and a value.
    Filled(Box<[u8]>, ValueTemplate),
}

/// A field that gets a value, before it is known whether another policy says otherwise.
struct Given {
    name: Box<str>,
    value: ValueTemplate,
    span: Span,
}

impl TransformPlan {
    /// Compiles what policies say, the most general first, for a route whose path has these parameters. `is_identity`
    /// tells the fields of requests that only authentication writes, `is_cors` those of answers that only `cors` does.
    /// Every problem goes to `cx`; `None` if there was any.
    pub(crate) fn compile(
        configs: &[&TransformConfig],
        parameters: &[Box<str>],
        is_identity: impl Fn(&str) -> bool,
        is_cors: impl Fn(&str) -> bool,
        cx: &mut Cx,
    ) -> Option<Self> {
        let mut good = true;
        let (mut request, mut response) = (Compiler::default(), Compiler::default());
        for config in configs {
            good &= request.add(&config.request, parameters, cx);
            good &= response.add(&config.response, parameters, cx);
        }
        for (name, span) in request.names.iter().filter(|(name, _)| is_identity(name)) {
            good = false;
            cx.error(*span, format!("`{name}` says who is asking"))
                .help("only authentication writes it; give this one another name");
        }
        for (name, span) in response.names.iter().filter(|(name, _)| is_cors(name)) {
            good = false;
            cx.error(
                *span,
                format!("`cors` of a route with this policy writes `{name}`"),
            )
            .help("say it in `cors`");
        }
        let mut host = None;
        request.given.retain(|given| {
            let is_host = FieldId::of(given.name.as_bytes()) == FieldId::Host;
            if is_host {
                host = Some((given.value.clone(), given.span));
            }
            !is_host
        });
        if let Some((value, span)) = &host {
            good &= check_host(value, *span, cx);
        }
        good.then(|| Self {
            request: request.finish(),
            response: response.finish(),
            host: host.map(|(value, _)| value),
        })
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.request.is_empty() && self.response.is_empty() && self.host.is_none()
    }

    /// Appends the host that the endpoint is asked for. False if it is the client's.
    #[inline]
    pub(crate) fn host<W: Who>(&self, facts: &Facts<'_, W>, out: &mut Vec<u8>) -> bool {
        match &self.host {
            Some(host) => {
                host.render(facts, out);
                true
            }
            None => false,
        }
    }
}

/// A host is made of text and of the client's host, never of what anyone could choose.
fn check_host(value: &ValueTemplate, span: Span, cx: &mut Cx) -> bool {
    if !value.is_about_host() {
        cx.error(span, "whoever fills this in could choose the host")
            .help("`host` may hold `{host}` and text, nothing else");
        return false;
    }
    if let Some(text) = value.literal() {
        let authority = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
        if !text.iter().all(|byte| authority(*byte)) {
            cx.error(span, "this is not a host")
                .expected("a name and a port, such as `app.internal:8080`");
            return false;
        }
    }
    true
}

#[derive(Default)]
struct Compiler {
    removed: Vec<Box<str>>,
    prefixes: Vec<Box<[u8]>>,
    renames: Vec<(Box<str>, Box<str>)>,
    /// Fields that replace what was there.
    given: Vec<Given>,
    /// Fields that stand beside what was there.
    added: Vec<Given>,
    /// Every name with its place.
    names: Vec<(Box<str>, Span)>,
}

impl Compiler {
    /// Adds what a policy says. False if there was a problem.
    fn add(&mut self, changes: &FieldChanges, parameters: &[Box<str>], cx: &mut Cx) -> bool {
        for field in changes.remove.iter().flat_map(|fields| fields.iter()) {
            let name = field.as_str();
            if field.is_prefix() {
                self.prefixes.push(name.as_bytes().into());
                continue;
            }
            self.forget(name);
            self.removed.push(name.into());
            self.names.push((name.into(), field.span));
        }
        for (from, to) in &changes.rename {
            self.forget(to.as_str());
            self.renames.retain(|(known, _)| **known != *from.as_str());
            self.renames
                .push((from.as_str().into(), to.as_str().into()));
            self.names.push((from.as_str().into(), from.span));
            self.names.push((to.as_str().into(), to.span));
        }
        let (set, set_well) = self.given(&changes.set, parameters, cx);
        for given in set {
            self.forget(&given.name);
            self.given.push(given);
        }
        let (added, added_well) = self.given(&changes.add, parameters, cx);
        self.added.extend(added);
        set_well && added_well
    }

    /// What earlier policies said of this field no longer counts.
    fn forget(&mut self, name: &str) {
        self.removed.retain(|known| **known != *name);
        self.given.retain(|given| *given.name != *name);
        self.added.retain(|given| *given.name != *name);
        self.renames.retain(|(_, to)| **to != *name);
    }

    fn given(
        &mut self,
        fields: &Map<Spanned<FieldValue>, ChangedField>,
        parameters: &[Box<str>],
        cx: &mut Cx,
    ) -> (Vec<Given>, bool) {
        let mut good = true;
        let mut all = Vec::new();
        for (name, value) in fields {
            self.names.push((name.as_str().into(), name.span));
            match ValueTemplate::compile(value.as_str(), parameters) {
                Ok(template) => all.push(Given {
                    name: name.as_str().into(),
                    value: template,
                    span: value.span,
                }),
                Err(problem) => {
                    good = false;
                    cx.error(value.span, problem.message).help(problem.help);
                }
            }
        }
        (all, good)
    }

    fn finish(self) -> Changes {
        let mut changes = Changes {
            prefixes: self.prefixes,
            ..Changes::default()
        };
        for name in &self.removed {
            changes.drops.add(name.as_bytes());
        }
        for (from, to) in &self.renames {
            changes.drops.add(from.as_bytes());
            changes.drops.add(to.as_bytes());
            changes.renames.push(Rename {
                from: from.as_bytes().into(),
                to: to.as_bytes().into(),
            });
        }
        for given in &self.given {
            changes.drops.add(given.name.as_bytes());
        }
        for given in self.given.into_iter().chain(self.added) {
            changes.push(given);
        }
        changes
    }
}

impl Changes {
    /// Adds a line; lines that are always the same are joined.
    fn push(&mut self, given: Given) {
        match given.value.literal() {
            Some(value) => {
                let mut line = Vec::new();
                encode::field(&mut line, given.name.as_bytes(), value);
                match self.lines.last_mut() {
                    Some(Line::Fixed(lines)) => lines.extend_from_slice(&line),
                    _ => self.lines.push(Line::Fixed(line)),
                }
            }
            None => {
                let name = format!("{}: ", given.name).into_bytes();
                self.lines.push(Line::Filled(name.into(), given.value));
            }
        }
    }

    /// Whether nothing is changed.
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && self.drops.is_empty() && self.prefixes.is_empty()
    }

    /// Whether a line of this name is left out.
    #[inline]
    pub(crate) fn drops(&self, id: FieldId, name: &[u8]) -> bool {
        self.drops.has(name)
            || id == FieldId::Other
                && self.prefixes.iter().any(|prefix| {
                    name.get(..prefix.len())
                        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                })
    }

    /// Whether it says what a field of this name is, or that there is none.
    pub(super) fn settles(&self, name: &[u8]) -> bool {
        self.drops(FieldId::of(name), name)
    }

    /// Whether a line of this name gets another one.
    pub(super) fn renames(&self, name: &[u8]) -> bool {
        self.renames
            .iter()
            .any(|rename| name.eq_ignore_ascii_case(&rename.from))
    }

    /// Writes those of `fields` that get another name, with what is `shown` of them.
    #[inline]
    pub(super) fn write_renamed<'f>(
        &self,
        out: &mut Vec<u8>,
        fields: &'f Fields,
        shown: impl Fn(&Field) -> Option<Cow<'f, [u8]>>,
    ) {
        for rename in &self.renames {
            for (field, name, _) in fields.iter() {
                if !field.hop()
                    && name.eq_ignore_ascii_case(&rename.from)
                    && let Some(value) = shown(field)
                {
                    encode::field(out, &rename.to, &value);
                }
            }
        }
    }

    /// Writes the lines that are added.
    #[inline]
    pub(crate) fn write<W: Who>(&self, out: &mut Vec<u8>, facts: &Facts<'_, W>) {
        for line in &self.lines {
            match line {
                Line::Fixed(lines) => out.extend_from_slice(lines),
                Line::Filled(name, value) => {
                    let start = out.len();
                    out.extend_from_slice(name);
                    let before = out.len();
                    value.render(facts, out);
                    if out.len() == before {
                        out.truncate(start);
                    } else {
                        out.extend_from_slice(b"\r\n");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
