//! The keys of a mapping, taken one by one; what [`object!`](crate::object) and [`one_of!`](crate::one_of) expand to.

use serde_json::{Map as JsonMap, Value as Json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::nearest::meant;
use crate::node::{Entry, Node, Scalar, Value, shorten};
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

/// How problems with keys begin that are not known.
pub(crate) const UNKNOWN: &str = "unknown key";

/// What a mapping may hold, for reading it and for saying what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Its keys.
    pub keys: &'static [&'static str],
    /// Further keys, of which exactly one stands there.
    pub choice: &'static [&'static str],
    /// The key that a value stands for which is no mapping.
    pub short: Option<&'static str>,
    /// Whether one of its values is a secret.
    pub secret: bool,
    /// Whether `{}` would do.
    pub may_be_empty: fn() -> bool,
}

impl Shape {
    fn known(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().chain(self.choice).copied()
    }

    fn has(&self, key: &str) -> bool {
        self.known().any(|known| known == key)
    }
}

/// A mapping whose keys are being taken.
///
/// A key that is not known, but can only be another one misspelt, is read as that one after the problem was reported. Then
/// what it holds is looked at as well, and nobody is told that the key is missing, or what was named under it.
#[derive(Debug)]
pub struct Fields<'n> {
    shape: Shape,
    span: Span,
    entries: &'n [Entry],
    /// What each key was probably meant to be, if it is not known.
    meant: Vec<Option<&'static str>>,
    taken: Vec<bool>,
    /// In short form, the one key that is meant and its value.
    short: Option<(&'static str, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// Begins with a mapping or, if there is a short form, with the value of the key that it stands for.
    pub fn of(node: &'n Node, shape: Shape, cx: &mut Cx) -> Option<Self> {
        let (entries, short) = match (&node.value, shape.short) {
            (Value::Map(entries), _) => (entries.as_slice(), None),
            (Value::Broken, _) => return None,
            _ if node.is_null() => ([].as_slice(), None),
            (_, Some(key)) => ([].as_slice(), Some((key, node))),
            (_, None) => {
                no_mapping(node, &shape, cx);
                return None;
            }
        };
        let mut fields = Self {
            shape,
            span: node.span,
            entries,
            meant: Vec::new(),
            taken: vec![false; entries.len()],
            short,
        };
        if entries.iter().any(|entry| !shape.has(&entry.key)) {
            fields.find_meant();
        }
        Some(fields)
    }

    /// Finds out what keys that are not known may stand for: each for another one that is not there.
    fn find_meant(&mut self) {
        for entry in self.entries {
            let meant = (!self.shape.has(&entry.key) && planned(&entry.key).is_none())
                .then(|| meant(&entry.key, self.shape.known()))
                .flatten()
                .filter(|meant| self.entries.iter().all(|other| *other.key != **meant))
                .filter(|meant| !self.meant.contains(&Some(meant)));
            self.meant.push(meant);
        }
    }

    /// The key that an entry is read as.
    fn key_of(&self, at: usize) -> &'n str {
        match self.meant.get(at) {
            Some(Some(meant)) => meant,
            _ => &self.entries[at].key,
        }
    }

    fn take(&mut self, key: &str) -> Option<(usize, &'n Node)> {
        if let Some((short, node)) = self.short {
            return (short == key).then_some((0, node));
        }
        let at = (0..self.entries.len()).find(|at| self.key_of(*at) == key)?;
        self.taken[at] = true;
        Some((at, &self.entries[at].node))
    }

    /// Reads the value of an entry.
    fn read<T>(
        &self,
        at: usize,
        node: &Node,
        cx: &mut Cx,
        decode: impl FnOnce(&Node, &mut Cx) -> Option<T>,
    ) -> Option<T> {
        if self.meant.get(at).is_none_or(Option::is_none) {
            return decode(node, cx);
        }
        // It may have been meant to be something else after all, a secret for example. Then nothing is said about it.
        let scalar = matches!(node.value, Value::Scalar(_));
        let value = if self.shape.secret && scalar {
            decode(node, &mut Cx::new(cx.sources().clone()))
        } else {
            decode(node, cx)
        };
        if value.is_none() && (self.shape.secret || !scalar) {
            cx.hide(node, after(self.entries[at].key_span));
        }
        value
    }

    /// The value of a key, or what its type is when absent; an error if it must not be.
    pub fn value<T: Decode>(&mut self, key: &str, cx: &mut Cx) -> Option<T> {
        if let Some((at, node)) = self.take(key) {
            return self.read(at, node, cx, T::decode);
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
        let taken = self.take(key);
        let written = taken.and_then(|(at, node)| self.read(at, node, cx, T::decode));
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
        for (at, entry) in self.entries.iter().enumerate() {
            let key = self.key_of(at);
            if !T::KEYS.contains(&key) {
                continue;
            }
            self.taken[at] = true;
            match chosen {
                None => {
                    let decode = |node: &Node, cx: &mut Cx| T::decode_key(key, node, cx);
                    value = self.read(at, &entry.node, cx, decode);
                    chosen = Some(entry);
                }
                Some(first) => {
                    let message = format!("`{}` cannot stand beside `{}`", entry.key, first.key);
                    cx.error(entry.key_span, message)
                        .expected(format!("one of {}", list(T::KEYS.iter().copied())))
                        .also(first.key_span, "chosen here");
                    let _ = T::decode_key(key, &entry.node, cx);
                    value = None;
                }
            }
        }
        if chosen.is_none() {
            cx.error(self.span, "a key is missing")
                .expected(format!("one of {}", list(T::KEYS.iter().copied())));
        }
        value
    }

    /// Reports every key that is not known. Whether it is plain what each of them was meant to be: if not, what is missing may
    /// be what stands there.
    pub fn finish(self, cx: &mut Cx) -> bool {
        let mut plain = true;
        for (at, entry) in self.entries.iter().enumerate() {
            let read_as = self.meant.get(at).copied().flatten();
            if self.taken[at] && read_as.is_none() {
                continue;
            }
            plain &= read_as.is_some();
            // What is not understood may be a misspelt secret, or hold one.
            let scalar = matches!(entry.node.value, Value::Scalar(_));
            let hidden = match read_as {
                Some(_) => self.shape.secret && scalar,
                None => self.shape.secret || !scalar,
            };
            if hidden {
                cx.hide(&entry.node, after(entry.key_span));
            }
            let nearest = read_as.or_else(|| meant(&entry.key, self.shape.known()));
            let problem = cx.error(
                entry.key_span,
                format!("{UNKNOWN} `{}`", shorten(&entry.key)),
            );
            problem.path_of(self.span).key(&*entry.key);
            if let Some(help) = planned(&entry.key) {
                problem.help(help);
                continue;
            }
            problem.nearest(nearest);
            if nearest.is_none() {
                problem.expected(format!("one of {}", list(self.shape.known())));
            }
        }
        plain
    }
}

/// Reports that a value is no mapping, and says what would stand in one. The value may be the secret that belongs there.
fn no_mapping(node: &Node, shape: &Shape, cx: &mut Cx) {
    let scalar = match &node.value {
        Value::Scalar(scalar) => Some(scalar),
        _ => None,
    };
    let word = scalar.and_then(Scalar::as_bool);
    let told = match scalar {
        Some(scalar) if shape.secret && scalar.as_text().is_some() => {
            cx.hide(node, node.span);
            "a text".to_owned()
        }
        _ => node.describe(),
    };
    let problem = cx.error(node.span, format!("expected a mapping, found {told}"));
    let keys = format!("some of the keys {}", list(shape.known()));
    match word {
        Some(true) if (shape.may_be_empty)() => problem
            .expected(keys)
            .help("if the defaults will do, write `{}`"),
        Some(false) => problem.help("for none, leave the key out"),
        _ => problem.expected(keys),
    };
}

fn list<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

/// Adds a key to the JSON of an object, unless its value is one that nobody needs to write.
pub fn put(json: &mut JsonMap<String, Json>, key: &str, value: Json) {
    if !value.is_null() {
        json.insert(key.to_owned(), value);
    }
}
