//! docs/config.md tells the truth: its examples are taken, and its tables are made from the schema.
//!
//! `WEIR_WRITE_DOCS=1 cargo test -p weir docs` writes the tables anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use weir_config::Json;

use super::super::schema;
use super::good;

const BEGIN: &str = "<!-- made from the schema by a test: do not edit by hand -->\n";

fn page() -> (PathBuf, String) {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md"));
    let text = std::fs::read_to_string(&path).expect("docs/config.md");
    (path, text)
}

#[test]
fn the_tables_are_those_of_the_schema() {
    let (path, text) = page();
    let (written, _) = text
        .split_once(BEGIN)
        .expect("the mark where the tables begin");
    let made = format!("{written}{BEGIN}{}", Tables::new().make());
    if std::env::var_os("WEIR_WRITE_DOCS").is_some() {
        std::fs::write(path, &made).expect("written");
    } else {
        assert!(
            text == made,
            "docs/config.md is not up to date; run WEIR_WRITE_DOCS=1 cargo test -p weir docs"
        );
    }
}

#[test]
fn the_examples_are_taken() {
    let (_, text) = page();
    let mut examples = 0;
    for block in text.split("```yaml\n").skip(1) {
        let (example, _) = block.split_once("```").expect("an end");
        good(example);
        examples += 1;
    }
    assert!(examples >= 5);
}

#[test]
fn the_example_of_the_guard_compiles() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guard.yaml");
    let source = crate::process::ConfigSource::Path(path.into());
    let compiled = crate::process::compile(&source).expect("it compiles");
    assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
}

#[test]
fn the_examples_of_the_guard_are_taken() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guard.md");
    let text = std::fs::read_to_string(path).expect("docs/guard.md");
    let examples: Vec<&str> = text.split("```yaml\n").skip(1).collect();
    for block in &examples {
        let (example, _) = block.split_once("```").expect("an end");
        good(example);
    }
    assert!(examples.len() >= 3);
}

struct Tables {
    schema: Json,
    out: String,
    /// Where an object was described already.
    told: HashMap<String, String>,
}

impl Tables {
    fn new() -> Self {
        Self {
            schema: schema(),
            out: String::new(),
            told: HashMap::new(),
        }
    }

    fn make(mut self) -> String {
        let root = self.schema.clone();
        self.object("", &root);
        self.out
    }

    /// What a reference stands for.
    fn target<'a>(&'a self, schema: &'a Json) -> &'a Json {
        let name = schema["$ref"]
            .as_str()
            .and_then(|path| path.strip_prefix("#/$defs/"));
        name.map_or(schema, |name| self.target(&self.schema["$defs"][name]))
    }

    /// The object among the forms that a value may have: the long form rather than one within the short form.
    fn object_of(&self, schema: &Json) -> Option<Json> {
        let schema = self.target(schema);
        if is_object(schema) {
            return Some(schema.clone());
        }
        let forms = schema["anyOf"].as_array()?;
        let long = forms.iter().find(|form| is_object(form)).cloned();
        long.or_else(|| forms.iter().find_map(|form| self.object_of(form)))
    }

    fn object(&mut self, path: &str, schema: &Json) {
        let schema = self.target(schema).clone();
        let Some(object) = self.object_of(&schema) else {
            return;
        };
        let title = if path.is_empty() {
            "The whole".to_owned()
        } else {
            format!("`{path}`")
        };
        if let Some(first) = self.told.get(&object.to_string()) {
            let anchor: String = first
                .chars()
                .filter(|c| c.is_alphanumeric() || "-_".contains(*c))
                .collect::<String>()
                .to_lowercase();
            let _ = writeln!(self.out, "\n### {title}\n\nAs [`{first}`](#{anchor}).");
            return;
        }
        self.told.insert(object.to_string(), path.to_owned());
        let docs = schema["description"].as_str().unwrap_or_default();
        let _ = write!(
            self.out,
            "\n### {title}\n\n{docs}\n\n| key | value | default | |\n|---|---|---|---|\n"
        );
        let properties = object["properties"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let required = |key: &str| {
            object["required"]
                .as_array()
                .is_some_and(|keys| keys.contains(&key.into()))
        };
        let choice = |key: &str| {
            let ways = object["oneOf"].as_array().into_iter().flatten();
            ways.flat_map(|way| way["required"].as_array())
                .flatten()
                .any(|one| one == key)
        };
        for (key, property) in &properties {
            let default = match property.get("default") {
                _ if required(key) => "required".to_owned(),
                _ if choice(key) => "one of these".to_owned(),
                Some(default) if !has_parts(default) => format!("`{}`", plain(default)),
                _ => String::new(),
            };
            let docs = property["description"].as_str().unwrap_or_default();
            let row = [&format!("`{key}`"), &self.kind(property), &default, docs];
            let _ = writeln!(
                self.out,
                "| {} |",
                row.map(|cell| cell.replace('|', "\\|")).join(" | ")
            );
        }
        for (key, property) in &properties {
            self.inner(&join(path, key), property);
        }
    }

    /// The objects within a value.
    fn inner(&mut self, path: &str, schema: &Json) {
        let target = self.target(schema).clone();
        if self.object_of(&target).is_some() {
            // `off` or an object: the object has the words.
            let forms = target["anyOf"].as_array().cloned().unwrap_or_default();
            let long = is_object(&target) || forms.iter().any(is_object);
            let form = forms.iter().find(|form| self.object_of(form).is_some());
            return match form {
                Some(form) if !long => self.object(path, form),
                _ => self.object(path, schema),
            };
        }
        if let Some(items) = target.get("items") {
            self.inner(&format!("{path}[]"), items);
        }
        if let Some(values) = target
            .get("additionalProperties")
            .filter(|values| values.is_object())
        {
            self.inner(&join(path, "NAME"), values);
        }
    }

    fn kind(&self, schema: &Json) -> String {
        let named = schema["$ref"]
            .as_str()
            .and_then(|path| path.strip_prefix("#/$defs/"));
        let schema = self.target(schema);
        if is_object(schema) {
            return "mapping".to_owned();
        }
        if let Some(word) = schema.get("const") {
            return format!("`{}`", plain(word));
        }
        for forms in [&schema["anyOf"], &schema["oneOf"], &schema["enum"]] {
            if let Some(forms) = forms.as_array() {
                let variable = |form: &&Json| form["$ref"] == "#/$defs/Variable";
                let kind = |form: &Json| {
                    if form.is_object() {
                        self.kind(form)
                    } else {
                        format!("`{form}`")
                    }
                };
                let kinds: Vec<String> = forms
                    .iter()
                    .filter(|form| !variable(form))
                    .map(kind)
                    .collect();
                let mut distinct: Vec<String> = Vec::new();
                for kind in kinds
                    .iter()
                    .flat_map(|kind| kind.split(" or "))
                    .map(str::to_owned)
                {
                    if !distinct.contains(&kind) {
                        distinct.push(kind);
                    }
                }
                return distinct.join(" or ");
            }
        }
        let kinds = match &schema["type"] {
            Json::Array(kinds) => kinds[0].as_str(),
            kind => kind.as_str(),
        };
        match kinds.unwrap_or_default() {
            "array" => format!("list of {}", self.kind(&schema["items"])),
            "object" => format!(
                "mapping of names to {}",
                self.kind(&schema["additionalProperties"])
            ),
            "integer" => match (&schema["minimum"], &schema["maximum"]) {
                (least, Json::Null) => format!("number from {least}"),
                (least, most) => format!("number from {least} to {most}"),
            },
            "boolean" => "`true` or `false`".to_owned(),
            _ => match named {
                Some("Duration") => "duration".to_owned(),
                Some("ByteSize") => "size".to_owned(),
                Some("ListenAddress" | "Cidr") => "address".to_owned(),
                Some("HostPort") => "host:port".to_owned(),
                Some("StatusRanges") => "statuses".to_owned(),
                _ => "text".to_owned(),
            },
        }
    }
}

fn is_object(schema: &Json) -> bool {
    schema.get("properties").is_some()
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Whether a default is better told key by key.
fn has_parts(default: &Json) -> bool {
    default.is_object() || default.as_str() == Some("")
}

fn plain(json: &Json) -> String {
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}
