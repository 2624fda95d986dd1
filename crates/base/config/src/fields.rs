//! The keys of a mapping, taken one by one; what [`object!`](crate::object) and [`one_of!`](crate::one_of) expand to.

use serde_json::{Map as JsonMap, Value as Json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::nearest::nearest;
use crate::node::{Entry, Node, Value, shorten};
use crate::planned::planned;
use crate::schema::Schemas;
use crate::span::Span;
use crate::tree::after;

/// A choice between keys: exactly one of them stands in the mapping. Made by [`one_of!`](crate::one_of).
pub trait OneOf: Sized + 'static {
    /// The keys to choose from.
    const KEYS: &'static [&'static str];

    /// Whether one of the values is a secret.
    const SECRET: bool;

    /// Reads the value of one of the keys.
    fn decode_key(key: &str, node: &Node, cx: &mut Cx) -> Option<Self>;

    /// The key with its value.
    fn entry_json(&self) -> (&'static str, Json);

    /// The schema of each key.
    fn properties(schemas: &mut Schemas) -> Vec<(&'static str, Json)>;
}

/// A mapping whose keys are being taken.
#[derive(Debug)]
pub struct Fields<'n> {
    span: Span,
    entries: &'n [Entry],
    taken: Vec<bool>,
    /// In short form, the one key that is meant and its value.
    short: Option<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Begins with a mapping or, if there is a short form, with the value of the key that it stands for.
    pub fn of(node: &'n Node, short: Option<&'static str>, cx: &mut Cx) -> Option<Self> {
        let (entries, short) = match (&node.value, short) {
            (Value::Map(entries), _) => (entries.as_slice(), None),
            (Value::Broken, _) => return None,
            _ if node.is_null() => ([].as_slice(), None),
            (_, Some(key)) => ([].as_slice(), Some((key, node))),
            (_, None) => {
                cx.mismatch(node, "a mapping");
                return None;
            }
        };
        Some(Self {
            span: node.span,
            entries,
            taken: vec![false; entries.len()],
            short,
        })
    }

    fn take(&mut self, key: &str) -> Option<&'n Node> {
        if let Some((short, node)) = self.short {
            return (short == key).then_some(node);
        }
        let at = self.entries.iter().position(|entry| *entry.key == *key)?;
        self.taken[at] = true;
        Some(&self.entries[at].node)
    }

    /// The value of a key, or what its type is when absent; an error if it must not be.
    pub fn value<T: Decode>(&mut self, key: &str, cx: &mut Cx) -> Option<T> {
        if let Some(node) = self.take(key) {
            return T::decode(node, cx);
        }
        let absent = T::absent();
        if absent.is_none() {
            cx.error(self.span, format!("the key `{key}` is missing"))
                .key(key);
        }
        absent
    }

    /// The value of a key, or a default; the default also in place of a value that could not be read, so that the rest is
    /// looked at, too.
    pub fn value_or<T: Decode>(
        &mut self,
        key: &str,
        cx: &mut Cx,
        default: impl FnOnce() -> T,
    ) -> Option<T> {
        let written = self.take(key).and_then(|node| T::decode(node, cx));
        written.or_else(|| Some(default()))
    }

    /// The value of the one key that is chosen.
    pub fn one_of<T: OneOf>(&mut self, cx: &mut Cx) -> Option<T> {
        if let Some((key, node)) = self.short
            && T::KEYS.contains(&key)
        {
            return T::decode_key(key, node, cx);
        }
        let mut chosen: Option<&Entry> = None;
        let mut value = None;
        for (entry, taken) in self.entries.iter().zip(&mut self.taken) {
            if !T::KEYS.contains(&&*entry.key) {
                continue;
            }
            *taken = true;
            match chosen {
                None => {
                    value = T::decode_key(&entry.key, &entry.node, cx);
                    chosen = Some(entry);
                }
                Some(first) => {
                    let message = format!("`{}` cannot stand beside `{}`", entry.key, first.key);
                    cx.error(entry.key_span, message)
                        .expected(format!("one of {}", list(T::KEYS)))
                        .also(first.key_span, "chosen here");
                    let _ = T::decode_key(&entry.key, &entry.node, cx);
                    value = None;
                }
            }
        }
        if chosen.is_none() {
            cx.error(self.span, "a key is missing")
                .expected(format!("one of {}", list(T::KEYS)));
        }
        value
    }

    /// Reports every key that was not taken. `secret` says that one of the known keys holds a secret.
    pub fn finish(self, known: &[&'static str], secret: bool, cx: &mut Cx) {
        for (entry, taken) in self.entries.iter().zip(self.taken) {
            if taken {
                continue;
            }
            // What is not understood may be a misspelt secret, or hold one.
            if secret || !matches!(entry.node.value, Value::Scalar(_)) {
                cx.hide(&entry.node, after(entry.key_span));
            }
            let nearest = nearest(&entry.key, known.iter().copied());
            let problem = cx.error(
                entry.key_span,
                format!("unknown key `{}`", shorten(&entry.key)),
            );
            problem.path_of(self.span).key(&*entry.key);
            if let Some(help) = planned(&entry.key) {
                problem.help(help);
                continue;
            }
            problem.nearest(nearest);
            if nearest.is_none() {
                problem.expected(format!("one of {}", list(known)));
            }
        }
    }
}

fn list(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

/// Adds a key to the JSON of an object, unless its value is one that nobody needs to write.
pub fn put(json: &mut JsonMap<String, Json>, key: &str, value: Json) {
    if !value.is_null() {
        json.insert(key.to_owned(), value);
    }
}
