//! Lists, mappings and what is "one or several".

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::ops::Deref;

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::node::{Node, Value, shorten};
use crate::schema::Schemas;
use crate::span::{Span, Spanned};

impl<T: Decode> Decode for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::List(items) => readable(items.iter().map(|item| T::decode(item, cx))),
            // A key whose items are all commented out.
            _ if node.is_null() => Some(Self::new()),
            Value::Scalar(scalar) => {
                let message = format!("expected a list, found {}", scalar.describe());
                let problem = cx.error(node.span, message);
                match scalar.as_written().filter(|_| !T::SECRET) {
                    Some(text) => problem.help(format!("write `[{}]`", shorten(text))),
                    None => problem.help("put it in brackets, even if it is the only one"),
                };
                None
            }
            Value::Map(_) => {
                cx.error(node.span, "expected a list, found a mapping")
                    .help("each item begins with a dash, or all stand in brackets: `[...]`");
                None
            }
            Value::Broken => None,
        }
    }

    fn to_json(&self) -> Json {
        self.iter().map(T::to_json).collect()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        json!({ "type": ["array", "null"], "items": T::schema(schemas) })
    }
}

/// The values that could be read. What is wrong with the others was reported, so no plan will be made of the rest, but it is
/// worth looking through for further problems. `None` if nothing is left of something.
fn readable<T>(values: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let mut all = 0;
    let readable: Vec<T> = values.inspect(|_| all += 1).flatten().collect();
    (all == 0 || !readable.is_empty()).then_some(readable)
}

/// One value or a list of at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(Vec<T>);

impl<T> OneOrMany<T> {
    /// Exactly one.
    pub fn one(value: T) -> Self {
        Self(vec![value])
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Decode> Decode for OneOrMany<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::List(items) if items.is_empty() => {
                cx.error(node.span, "this list is empty")
                    .expected("at least one");
                None
            }
            Value::List(items) => readable(items.iter().map(|item| T::decode(item, cx))).map(Self),
            _ => T::decode(node, cx).map(Self::one),
        }
    }

    fn to_json(&self) -> Json {
        self.iter().map(T::to_json).collect()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let one = T::schema(schemas);
        json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

/// What can be the key of a [`Map`].
pub trait Key: Clone + Eq + Hash + 'static {
    /// Reads a key. `None` after the problem was reported.
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self>;

    /// The key as text.
    fn as_key(&self) -> &str;

    /// The schema of such keys, if not every text is one.
    fn schema() -> Option<Json> {
        None
    }
}

impl Key for String {
    fn from_key(key: &str, _: Span, _: &mut Cx) -> Option<Self> {
        Some(key.to_owned())
    }

    fn as_key(&self) -> &str {
        self
    }
}

/// A name that the user gives to a thing. It appears in logs and as a label of metrics, so it is short and plain.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    const LONGEST: usize = 64;
    const EXPECTED: &str = "a name of letters, digits, `_`, `-` and `.`, at most 64 long";
    const PATTERN: &str = "^[A-Za-z0-9_.-]{1,64}$";

    /// The name, if it is one.
    pub fn new(name: &str) -> Option<Self> {
        let fits = (1..=Self::LONGEST).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        fits.then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Key for Name {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let name = Self::new(key);
        if name.is_none() {
            cx.error(span, format!("`{}` cannot be a name", shorten(key)))
                .expected(Self::EXPECTED);
        }
        name
    }

    fn as_key(&self) -> &str {
        &self.0
    }

    fn schema() -> Option<Json> {
        Some(json!({ "pattern": Self::PATTERN }))
    }
}

impl Decode for Name {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let name = match &node.value {
            Value::Scalar(scalar) => scalar.as_text().and_then(Self::new),
            _ => None,
        };
        if name.is_none() {
            cx.mismatch(node, Self::EXPECTED);
        }
        name
    }

    fn to_json(&self) -> Json {
        json!(self.as_str())
    }

    fn schema(_: &mut Schemas) -> Json {
        let pattern = format!("{}|\\$\\{{", Self::PATTERN);
        json!({ "type": "string", "pattern": pattern })
    }
}

/// A mapping from names to values, in file order.
#[derive(Clone, Debug)]
pub struct Map<T, K = Name> {
    entries: Vec<(Spanned<K>, T)>,
    index: HashMap<K, usize>,
    broken: Broken<K>,
}

/// The names whose values could not be read. They exist all the same: it would be no help to say that they do not.
#[derive(Clone, Debug)]
enum Broken<K> {
    These(HashSet<K>),
    /// The mapping was no mapping.
    Any,
}

impl<T, K: Key> Map<T, K> {
    /// The value of a name.
    pub fn get(&self, key: &K) -> Option<&T> {
        self.index.get(key).map(|&at| &self.entries[at].1)
    }

    /// Whether there is such a name, even one whose value could not be read.
    pub fn contains(&self, key: &K) -> bool {
        self.index.contains_key(key)
            || match &self.broken {
                Broken::These(names) => names.contains(key),
                Broken::Any => true,
            }
    }

    /// Names, the places where they stand, and values, in file order.
    pub fn iter(&self) -> std::slice::Iter<'_, (Spanned<K>, T)> {
        self.entries.iter()
    }

    /// The names.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.as_key())
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none, not even any whose values could not be read.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && match &self.broken {
                Broken::These(names) => names.is_empty(),
                Broken::Any => false,
            }
    }

    /// Takes out the values that are not to be used; their names exist all the same.
    pub fn doubt(&mut self, mut doubtful: impl FnMut(&Spanned<K>) -> bool) {
        let entries = std::mem::take(&mut self.entries);
        self.index.clear();
        for (key, value) in entries {
            if doubtful(&key) {
                if let Broken::These(names) = &mut self.broken {
                    names.insert(key.value);
                }
            } else {
                self.insert(key, value);
            }
        }
    }

    /// Adds a name, unless it is there already.
    pub fn insert(&mut self, key: Spanned<K>, value: T) {
        if !self.index.contains_key(&key.value) {
            self.index.insert(key.value.clone(), self.entries.len());
            self.entries.push((key, value));
        }
    }
}

impl<T, K> Default for Map<T, K> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            index: HashMap::new(),
            broken: Broken::These(HashSet::new()),
        }
    }
}

/// Order is for people: two mappings of the same names are equal.
impl<T: PartialEq, K: Key> PartialEq for Map<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && self
                .entries
                .iter()
                .all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<T, K: Key> FromIterator<(K, T)> for Map<T, K> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (key, value) in entries {
            map.insert(key.into(), value);
        }
        map
    }
}

impl<'a, T, K> IntoIterator for &'a Map<T, K> {
    type Item = &'a (Spanned<K>, T);
    type IntoIter = std::slice::Iter<'a, (Spanned<K>, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

/// Reports that a value does not say what is called how.
fn no_names(node: &Node, secret: bool, cx: &mut Cx) {
    let found = match &node.value {
        Value::Broken => return,
        Value::Scalar(scalar) if secret && scalar.as_text().is_some() => {
            cx.hide(node, node.span);
            "a text".to_owned()
        }
        _ => node.describe(),
    };
    let problem = cx.error(node.span, format!("expected a mapping, found {found}"));
    match &node.value {
        Value::List(_) => {
            problem.help("each entry has a name in place of a dash: `name: ...`");
        }
        Value::Scalar(scalar) if scalar.as_unquoted().is_some_and(|text| text.contains(':')) => {
            problem.help("if this is a name with its value, a space follows the colon");
        }
        _ => {
            problem.help("each entry has a name: `name: ...`");
        }
    }
}

impl<T: Decode, K: Key> Decode for Map<T, K> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let mut map = Self::default();
        let entries = match &node.value {
            Value::Map(entries) => entries,
            _ if node.is_null() => return Some(map),
            _ => {
                no_names(node, T::SECRET, cx);
                map.broken = Broken::Any;
                return Some(map);
            }
        };
        let mut broken = HashSet::new();
        for entry in entries {
            let key = K::from_key(&entry.key, entry.key_span, cx);
            let value = T::decode(&entry.node, cx);
            match (key, value) {
                (Some(key), Some(value)) => map.insert(Spanned::new(key, entry.key_span), value),
                (Some(key), None) => _ = broken.insert(key),
                (None, _) => {}
            }
        }
        map.broken = Broken::These(broken);
        Some(map)
    }

    fn to_json(&self) -> Json {
        let entry = |(key, value): &(Spanned<K>, T)| (key.as_key().to_owned(), value.to_json());
        Json::Object(self.entries.iter().map(entry).collect())
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let mut schema = json!({
            "type": ["object", "null"],
            "additionalProperties": T::schema(schemas),
        });
        if let Some(keys) = K::schema() {
            schema["propertyNames"] = keys;
        }
        schema
    }
}
