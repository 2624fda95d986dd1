//! JSON Schema (draft 2020-12) from the same declarations that the parser is made of.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map as JsonMap, Value as Json, json};

use crate::decode::Decode;

/// The definitions of a schema while it is being put together.
#[derive(Default, Debug)]
pub struct Schemas {
    names: HashMap<TypeId, String>,
    definitions: BTreeMap<String, Json>,
}

impl Schemas {
    const VARIABLE: &'static str = "Variable";

    /// A reference to the schema of `T`, which `make` builds the first time.
    pub fn define<T: 'static>(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Json) -> Json {
        let id = TypeId::of::<T>();
        let name = match self.names.get(&id) {
            Some(name) => name.clone(),
            None => {
                let name = self.free_name(name);
                self.names.insert(id, name.clone());
                self.definitions.insert(name.clone(), Json::Null);
                let schema = make(self);
                self.definitions.insert(name.clone(), schema);
                name
            }
        };
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    fn free_name(&self, name: &str) -> String {
        let mut free = name.to_owned();
        let mut next = 2;
        while self.definitions.contains_key(&free) {
            free = format!("{name}{next}");
            next += 1;
        }
        free
    }

    /// The schema of something that is not a string, but may come from the environment.
    pub fn or_variable(&mut self, schema: Json) -> Json {
        self.definitions
            .entry(Self::VARIABLE.to_owned())
            .or_insert_with(|| {
                json!({
                    "description": "A value from the environment: `${NAME}` or `${NAME:-default}`.",
                    "type": "string",
                    "pattern": "\\$\\{",
                })
            });
        json!({ "anyOf": [schema, { "$ref": format!("#/$defs/{}", Self::VARIABLE) }] })
    }
}

/// The whole schema of a config.
pub fn schema<T: Decode>(title: &str) -> Json {
    let mut schemas = Schemas::default();
    let root = T::schema(&mut schemas);
    let mut out = JsonMap::new();
    out.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    out.insert("title".to_owned(), json!(title));
    if let Json::Object(root) = root {
        out.extend(root);
    }
    let definitions = schemas.definitions.into_iter().collect();
    out.insert("$defs".to_owned(), Json::Object(definitions));
    Json::Object(out)
}

/// A schema with the words of a doc comment.
pub fn described(mut schema: Json, docs: &str) -> Json {
    let docs = clean(docs);
    if let (Json::Object(object), false) = (&mut schema, docs.is_empty()) {
        object.insert("description".to_owned(), json!(docs));
    }
    schema
}

/// A schema with a default.
pub(crate) fn defaulted(mut schema: Json, default: Json) -> Json {
    if let (Json::Object(object), false) = (&mut schema, default.is_null()) {
        object.insert("default".to_owned(), default);
    }
    schema
}

/// A doc comment as one text: lines of a paragraph joined, links unwrapped.
pub(crate) fn clean(docs: &str) -> String {
    let paragraphs: Vec<String> = docs
        .split("\n\n")
        .map(|paragraph| {
            let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
            lines.join(" ").trim().to_owned()
        })
        .filter(|paragraph| !paragraph.is_empty())
        .collect();
    paragraphs.join("\n\n")
}

/// The schema of an object, put together by [`object!`](crate::object).
#[derive(Debug, Default)]
pub struct ObjectSchema {
    properties: JsonMap<String, Json>,
    required: Vec<&'static str>,
    one_of: Option<&'static [&'static str]>,
}

impl ObjectSchema {
    /// A key that may be left out if it has a default or an absent value.
    pub fn property<T: Decode>(
        &mut self,
        key: &'static str,
        docs: &str,
        default: Option<T>,
        schemas: &mut Schemas,
    ) {
        let mut schema = described(T::schema(schemas), docs);
        match default {
            Some(default) => schema = defaulted(schema, default.to_json()),
            None if T::absent().is_none() => self.required.push(key),
            None => {}
        }
        self.properties.insert(key.to_owned(), schema);
    }

    /// Keys of which exactly one stands there.
    pub fn one_of<T: crate::OneOf>(&mut self, schemas: &mut Schemas) {
        for (key, schema) in T::properties(schemas) {
            self.properties.insert(key.to_owned(), schema);
        }
        self.one_of = Some(T::KEYS);
    }

    /// The schema; with a short form, either that or the object.
    pub fn build(self, docs: &str, short: Option<&str>) -> Json {
        let short = short.and_then(|key| self.properties.get(key).cloned());
        let nullable = self.required.is_empty() && self.one_of.is_none();
        let short = short.map(|short| if nullable { short } else { not_null(short) });
        let kind = if nullable {
            json!(["object", "null"])
        } else {
            json!("object")
        };
        let mut object = json!({
            "type": kind,
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            object["required"] = json!(self.required);
        }
        if let Some(keys) = self.one_of {
            object["oneOf"] = keys
                .iter()
                .map(|key| json!({ "required": [key] }))
                .collect();
        }
        let schema = match short {
            Some(short) => json!({ "anyOf": [short, object] }),
            None => object,
        };
        described(schema, docs)
    }
}

/// A schema without `null` among its types: where nothing is written there is no short form.
fn not_null(mut schema: Json) -> Json {
    if let Some(Json::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
    }
    schema
}

/// The name of a type without its path.
pub fn short_name<T>() -> &'static str {
    let name = type_name::<T>();
    name.rsplit("::").next().unwrap_or(name)
}
