//! A second look at problems, by somebody who knows the config as a whole.
//!
//! A type knows what it takes, and not why somebody wrote something else: that `true` was meant to turn on what needs an
//! address, or that a word names a kind of thing and not the thing. Whoever knows sees each problem with the keys that lead
//! there and what stands there, and says what to write instead.

use std::collections::HashMap;

use crate::cx::Cx;
use crate::fields::UNKNOWN;
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::span::{Span, Start};
use crate::tree::Region;

/// What an adviser says about a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    help: String,
    hidden: bool,
    message: Option<&'static str>,
}

impl Advice {
    /// What to write instead.
    pub fn new(help: impl Into<String>) -> Self {
        Self {
            help: help.into(),
            hidden: false,
            message: None,
        }
    }

    /// What stands there is probably a secret, so the line is shown without it.
    #[must_use]
    pub const fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// As [`hidden`](Self::hidden), where what is told repeats it: this is what is wrong with it.
    #[must_use]
    pub const fn secret(mut self, message: &'static str) -> Self {
        self.message = Some(message);
        self.hidden()
    }
}

/// A problem as an adviser sees it.
#[derive(Debug)]
pub struct Trouble<'a> {
    /// What is wrong, as it is told.
    pub message: &'a str,
    /// The keys that lead there, without positions in lists.
    keys: Vec<&'a str>,
    node: Option<&'a Node>,
    hidden: bool,
}

impl Trouble<'_> {
    /// Whether it is at these keys, written `routes.service`: `*` is any one key, and a dot at the beginning any number of
    /// keys.
    #[must_use]
    pub fn is_at(&self, pattern: &str) -> bool {
        let (anywhere, pattern) = match pattern.strip_prefix('.') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let wanted: Vec<&str> = pattern.split('.').collect();
        let Some(before) = self.keys.len().checked_sub(wanted.len()) else {
            return false;
        };
        let fits = |(key, wanted): (&&str, &&str)| *wanted == "*" || key == wanted;
        (anywhere || before == 0) && self.keys[before..].iter().zip(&wanted).all(fits)
    }

    /// The last of the keys.
    #[must_use]
    pub fn key(&self) -> &str {
        self.keys.last().copied().unwrap_or_default()
    }

    /// The text that stands there, if it is one and may be shown.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.node?.value {
            Value::Scalar(scalar) if !self.hidden => scalar.as_written(),
            _ => None,
        }
    }

    /// Whether a text, a number or a word stands there, one that may be shown or not.
    #[must_use]
    pub fn is_scalar(&self) -> bool {
        matches!(self.node, Some(node) if matches!(node.value, Value::Scalar(_)) && !node.is_null())
    }

    /// Whether a list stands there.
    #[must_use]
    pub fn is_list(&self) -> bool {
        matches!(self.node, Some(node) if matches!(node.value, Value::List(_)))
    }

    /// Whether a mapping stands there.
    #[must_use]
    pub fn is_mapping(&self) -> bool {
        matches!(self.node, Some(node) if matches!(node.value, Value::Map(_)))
    }

    /// The text under a key of the mapping that stands there, if it may be shown.
    #[must_use]
    pub fn text_of(&self, key: &str) -> Option<&str> {
        match &self.node?.entry(key)?.node.value {
            Value::Scalar(scalar) if !self.hidden => scalar.as_written(),
            _ => None,
        }
    }

    /// What people mean who write `true`, `yes` or `off` there.
    #[must_use]
    pub fn as_bool(&self) -> Option<bool> {
        match &self.node?.value {
            Value::Scalar(scalar) => scalar.as_bool(),
            _ => None,
        }
    }
}

impl Cx {
    /// Shows all problems so far to an adviser, whose words take the place of the help that there was.
    pub fn advise(&mut self, adviser: impl Fn(&Trouble<'_>) -> Option<Advice>) {
        let mut secrets = Vec::new();
        let (sources, problems) = self.split();
        let Some(root) = &sources.root else { return };
        let mut found = HashMap::with_capacity(problems.len());
        for problem in problems.iter() {
            found.insert(problem.path_of.start(), None);
        }
        find(root, &mut Vec::new(), &mut found);
        for problem in problems {
            let Some(Some((keys, node))) = found.get(&problem.path_of.start()) else {
                continue;
            };
            let (mut keys, mut node) = (keys.clone(), Some(*node));
            let Problem {
                path_key, message, ..
            } = &*problem;
            if let Some(key) = path_key {
                node = node
                    .and_then(|node| node.entry(key))
                    .map(|entry| &entry.node);
                keys.push(key);
            }
            let hidden = node.is_some_and(|node| {
                let here = Region::of(node, node.span);
                sources.hidden.iter().any(|region| region.overlaps(&here))
            });
            let advice = adviser(&Trouble {
                message,
                keys,
                node,
                hidden,
            });
            let Some(advice) = advice else { continue };
            problem.help = vec![advice.help];
            if [UNKNOWN, "expected a mapping"]
                .iter()
                .any(|begin| problem.message.starts_with(begin))
            {
                problem.expected = None;
            }
            if let Some(message) = advice.message {
                problem.message = message.to_owned();
            }
            if let Some(node) = node.filter(|_| advice.hidden) {
                secrets.push(Region::of(node, node.span));
            }
        }
        self.hide_all(secrets);
    }

    /// The entries or items under a key of the top level in which something is wrong, by where they begin: an entry at its
    /// key.
    #[must_use]
    pub fn faulty(&self, key: &str) -> Vec<Span> {
        let Some(entry) = self
            .sources()
            .root
            .as_ref()
            .and_then(|root| root.entry(key))
        else {
            return Vec::new();
        };
        let children: Vec<(Span, &Node)> = match &entry.node.value {
            Value::Map(entries) => entries.iter().map(|e| (e.key_span, &e.node)).collect(),
            Value::List(items) => items.iter().map(|item| (item.span, item)).collect(),
            Value::Scalar(_) | Value::Broken => Vec::new(),
        };
        let faulty = |(start, node): &(Span, &Node)| self.is_wrong_in(&Region::of(node, *start));
        let faulty = children.into_iter().filter(faulty);
        faulty.map(|(start, _)| start).collect()
    }

    /// Whether something is wrong anywhere under a key of the top level.
    #[must_use]
    pub fn is_faulty(&self, key: &str) -> bool {
        let entry = self
            .sources()
            .root
            .as_ref()
            .and_then(|root| root.entry(key));
        entry.is_some_and(|entry| self.is_wrong_in(&Region::of(&entry.node, entry.key_span)))
    }
}

type Found<'a> = HashMap<Start, Option<(Vec<&'a str>, &'a Node)>>;

fn find<'a>(node: &'a Node, keys: &mut Vec<&'a str>, found: &mut Found<'a>) {
    note(node.span, keys, node, found);
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                keys.push(&entry.key);
                note(entry.key_span, keys, &entry.node, found);
                find(&entry.node, keys, found);
                keys.pop();
            }
        }
        Value::List(items) => {
            for item in items {
                find(item, keys, found);
            }
        }
        Value::Scalar(_) | Value::Broken => {}
    }
}

fn note<'a>(span: Span, keys: &[&'a str], node: &'a Node, found: &mut Found<'a>) {
    if let Some(slot @ None) = found.get_mut(&span.start()) {
        *slot = Some((keys.to_vec(), node));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collections::Map;

    fn told(text: &str, adviser: impl Fn(&Trouble<'_>) -> Option<Advice>) -> String {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let value = cx.decode::<Map<Map<bool>>>();
        cx.advise(adviser);
        match cx.finish(value) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn an_adviser_sees_where_it_is_and_what_stands_there() {
        let text = "a: { b: maybe }\nc: [1]\nd: { e: hunter2 }\n";
        let told = told(text, |trouble| {
            if trouble.is_at("a.b") {
                let help = format!("{} is {:?}", trouble.key(), trouble.text());
                return Some(Advice::new(help));
            }
            if trouble.is_at("d.e") {
                return Some(Advice::new("nothing").secret("this is a secret"));
            }
            (trouble.is_at(".c") && trouble.is_list()).then(|| Advice::new("a list"))
        });
        assert!(told.contains("= help: b is Some(\"maybe\")"), "{told}");
        assert!(told.contains("= help: a list"), "{told}");
        assert!(!told.contains("in place of a dash"), "replaced: {told}");
        assert!(told.contains("error: this is a secret"), "{told}");
        assert!(told.contains("d: { e: *** }"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn patterns_of_keys() {
        let trouble = Trouble {
            message: "",
            keys: vec!["routes", "rate_limit", "key"],
            node: None,
            hidden: false,
        };
        for pattern in [
            "routes.rate_limit.key",
            "routes.*.key",
            ".key",
            ".rate_limit.key",
            ".*.*.*",
        ] {
            assert!(trouble.is_at(pattern), "{pattern}");
        }
        for pattern in [
            "key",
            "routes.key",
            ".rate_limit",
            ".a.routes.rate_limit.key",
            "*.key",
        ] {
            assert!(!trouble.is_at(pattern), "{pattern}");
        }
    }

    #[test]
    fn what_is_faulty_is_told_by_where_it_begins() {
        let text = "a:\n  good: { b: true }\n  bad: { b: 7 }\nc: { d: { e: 7 }, f: {} }\ng: {}\n";
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        cx.decode::<Map<Map<Map<bool>>>>();
        let lines = |key: &str| -> Vec<(u32, u32)> {
            let spans = cx.faulty(key).into_iter();
            spans.map(|span| (span.line(), span.column())).collect()
        };
        assert_eq!(lines("a"), [(3, 3)]);
        assert_eq!(lines("c"), [(4, 6)]);
        assert!(lines("g").is_empty() && lines("h").is_empty());
        assert!(cx.is_faulty("a") && cx.is_faulty("c"));
        assert!(!cx.is_faulty("g") && !cx.is_faulty("h"));
    }
}
