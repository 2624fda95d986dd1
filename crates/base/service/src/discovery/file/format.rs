//! The content of a file of endpoints: YAML, or JSON if its name ends in `.json`.
//!
//! A list of endpoints in the forms of the configuration, alone or under the key `endpoints`; or the list of target groups
//! that Prometheus reads (`file_sd`), which many tools can write.

use std::path::Path;

use weir_config::{
    Cx, Decode, HostPort, Json, Map, Name, Node, Schemas, Spanned, Value, Within, object,
    process_environment,
};

use super::super::listing::{Listed, Listing, MAX_LISTED, SourceError, zone};

object! {
    /// One endpoint in a file. In short form, its address.
    pub(crate) struct ListedConfig {
        /// Where it is.
        pub(crate) address: Spanned<HostPort>,
        /// Its share of the requests, relative to the other endpoints of the file.
        pub(crate) weight: Within<1, 65_535> = Within::new(1),
        /// 0 comes first; others take over what those before cannot carry.
        pub(crate) priority: Within<0, 15> = Within::new(0),
        /// Where it runs.
        pub(crate) zone: Option<Name>,
    }
    short address;
}

object! {
    /// A group of targets, as Prometheus has them.
    pub(crate) struct TargetGroup {
        /// Addresses.
        pub(crate) targets: Vec<Spanned<HostPort>>,
        /// Labels; `weight`, `priority` and `zone` mean what they mean for an endpoint.
        pub(crate) labels: Map<String, String> = Map::default(),
    }
}

object! {
    /// Endpoints under their key.
    pub(crate) struct KeyedConfig {
        /// The endpoints.
        pub(crate) endpoints: Items,
    }
}

/// Endpoints and groups.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Items(Vec<Listed>);

impl Decode for Items {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let Value::List(items) = &node.value else {
            cx.mismatch(node, "a list of endpoints");
            return None;
        };
        let mut all = Vec::new();
        for item in items {
            match &item.value {
                Value::Map(entries) if entries.iter().any(|entry| *entry.key == *"targets") => {
                    all.extend(group(item, cx).into_iter().flatten());
                }
                _ => all.extend(ListedConfig::decode(item, cx).map(Listed::from)),
            }
        }
        if all.len() > MAX_LISTED {
            cx.error(node.span, format!("more than {MAX_LISTED} endpoints"));
        }
        Some(Self(all))
    }

    fn to_json(&self) -> Json {
        self.0
            .iter()
            .map(|listed| Json::from(listed.at.to_string()))
            .collect()
    }

    fn schema(_: &mut Schemas) -> Json {
        Json::Bool(true)
    }
}

impl From<ListedConfig> for Listed {
    fn from(config: ListedConfig) -> Self {
        Self {
            at: config.address.value,
            weight: config.weight.as_u32(),
            priority: config.priority.get() as u8,
            zone: config.zone.map(|name| name.as_str().into()),
        }
    }
}

/// The endpoints of a group. Prometheus knows neither weights nor zones, so what its labels say is taken where it fits.
fn group(node: &Node, cx: &mut Cx) -> Option<Vec<Listed>> {
    let group = TargetGroup::decode(node, cx)?;
    let label = |name: &str| group.labels.get(&name.to_owned()).map(String::as_str);
    let number = |name: &str| label(name).and_then(|text| text.parse().ok());
    let listed = Listed {
        at: HostPort::from(std::net::SocketAddr::from(([0, 0, 0, 0], 0))),
        weight: number("weight")
            .unwrap_or(1)
            .clamp(1, super::super::listing::MAX_WEIGHT),
        priority: number("priority").map_or(0, |number| number.min(255) as u8),
        zone: label("zone").and_then(zone),
    };
    let targets = group.targets.into_iter();
    let endpoint = |at: Spanned<HostPort>| Listed {
        at: at.value,
        ..listed.clone()
    };
    Some(targets.map(endpoint).collect())
}

/// Reads a file; `written` is what messages call it.
pub(in super::super) fn read(path: &Path, written: &str) -> Result<Listing, SourceError> {
    if !path.is_file() {
        let why = if path.exists() {
            "is not a file"
        } else {
            "does not exist"
        };
        return Err(SourceError::Unreachable(format!("{written} {why}")));
    }
    finish(Cx::load(path, &process_environment), written)
}

/// All of a file.
struct Content(Vec<Listed>);

impl Decode for Content {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let items = match &node.value {
            Value::Map(entries) if entries.is_empty() => {
                // Likely one that somebody is writing.
                cx.error(node.span, "there is nothing in it")
                    .help("a list without endpoints is written `[]`");
                None
            }
            Value::Map(_) => KeyedConfig::decode(node, cx).map(|keyed| keyed.endpoints),
            _ => Items::decode(node, cx),
        };
        items.map(|Items(listed)| Self(listed))
    }

    fn to_json(&self) -> Json {
        Items(self.0.clone()).to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        Items::schema(schemas)
    }
}

/// What was read; `written` is what messages call it.
pub(super) fn finish(mut cx: Cx, written: &str) -> Result<Listing, SourceError> {
    let content = cx.decode::<Content>();
    let problems = match cx.finish(content) {
        Ok(loaded) => {
            return Ok(Listing {
                entries: loaded.value.0,
                ..Listing::default()
            });
        }
        Err(problems) => problems,
    };
    let first = problems.iter().next();
    let place = first
        .and_then(|first| first.place.as_ref())
        .filter(|at| at.line > 0);
    let place = place.map_or_else(String::new, |at| format!(":{}:{}", at.line, at.column));
    let message = first.map_or("it cannot be read", |first| &first.message);
    let more = match problems.len() {
        0 | 1 => String::new(),
        all => format!(" (and {} more problems)", all - 1),
    };
    Err(SourceError::Invalid(format!(
        "{written}{place}: {message}{more}"
    )))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(name: &str, text: &str) -> Result<Vec<String>, String> {
        let listing = finish(Cx::from_text(name, text, &|_| None), name);
        let entry = |entry: Listed| {
            let zone = entry.zone.as_deref().unwrap_or("-").to_owned();
            format!("{} {} {} {zone}", entry.at, entry.weight, entry.priority)
        };
        let listing = listing.map_err(|error| error.to_string())?;
        Ok(listing.entries.into_iter().map(entry).collect())
    }

    #[test]
    fn all_forms_are_read() {
        let long = "- 10.0.0.1:80\n- { address: 'app:81', weight: 2, zone: eu-1, priority: 1 }\n";
        let expected = ["10.0.0.1:80 1 0 -", "app:81 2 1 eu-1"];
        assert_eq!(parse("e.yaml", long).unwrap(), expected);
        let keyed = format!("endpoints:\n{long}");
        assert_eq!(parse("e.yaml", &keyed).unwrap(), expected);
        let json =
            r#"["10.0.0.1:80", {"address": "app:81", "weight": 2, "zone": "eu-1", "priority": 1}]"#;
        assert_eq!(parse("e.json", json).unwrap(), expected);
        let prometheus = r#"[{"targets": ["10.0.0.1:80", "app:81"], "labels": {"__meta_x": "1", "zone": "b", "weight": "3"}},
            {"targets": []}]"#;
        assert_eq!(
            parse("e.json", prometheus).unwrap(),
            ["10.0.0.1:80 3 0 b", "app:81 3 0 b"]
        );
        assert_eq!(parse("e.yaml", "[]").unwrap(), [] as [&str; 0]);
    }

    #[test]
    fn errors_tell_the_place() {
        for (name, text, error) in [
            ("e.yaml", "- 10.0.0.1:80\n- 10.0.0.2\n", "e.yaml:2:3: "),
            (
                "e.yaml",
                "- { address: 10.0.0.1:80, wieght: 2 }\n",
                "e.yaml:1:27: unknown key `wieght`",
            ),
            (
                "e.yaml",
                "- { address: 10.0.0.1:80, weight: 0 }\n- x\n",
                "(and 1 more problems)",
            ),
            ("e.json", "[\"10.0.0.1:80\",", "e.json:1:"),
            ("e.yaml", "", "there is nothing in it"),
            ("e.yaml", "endpoints:\n", "expected a list"),
            ("e.yaml", "app:80", "expected a list"),
            (
                "e.yaml",
                "[{ address: 'a:1', zone: \"a\\nb\" }]",
                "expected a name",
            ),
        ] {
            let found = parse(name, text).expect_err(text);
            assert!(found.contains(error) && !found.contains('\n'), "{found}");
        }
    }

    #[test]
    fn what_is_not_a_file_is_said_so() {
        let folder = std::env::temp_dir();
        let error = read(&folder, "folder").expect_err("a folder").to_string();
        assert!(error.ends_with("is not a file"), "{error}");
        let error = read(&folder.join("weir-nothing-here"), "x.yaml").expect_err("nothing");
        assert_eq!(error.to_string(), "x.yaml does not exist");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in ".{0,100}") {
            let _ = (parse("e.yaml", &text), parse("e.json", &text));
        }
    }
}
