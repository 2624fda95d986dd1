//! Schema and parser are made of the same declarations; here they are compared on thousands of configs that are a little wrong.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use regex::Regex;
use serde_json::json;
use weir_config::{Diagnostic, Json, Level};

use super::super::{parse, schema};
use super::environment;

/// The part of JSON Schema that ours uses.
struct Validator {
    root: Json,
    patterns: RefCell<HashMap<String, Regex>>,
}

impl Validator {
    fn accepts(&self, schema: &Json, value: &Json) -> bool {
        let Json::Object(rules) = schema else {
            return schema.as_bool().unwrap_or(false);
        };
        rules
            .iter()
            .all(|(rule, says)| self.obeys(rule, says, schema, value))
    }

    fn matches(&self, pattern: &Json, text: &str) -> bool {
        let pattern = pattern.as_str().expect("a pattern");
        let mut patterns = self.patterns.borrow_mut();
        patterns
            .entry(pattern.to_owned())
            .or_insert_with(|| Regex::new(pattern).expect("a regex"))
            .is_match(text)
    }

    fn obeys(&self, rule: &str, says: &Json, schema: &Json, value: &Json) -> bool {
        let any = |schemas: &Json| -> usize {
            let schemas = schemas.as_array().expect("a list");
            schemas
                .iter()
                .filter(|schema| self.accepts(schema, value))
                .count()
        };
        let number = |json: &Json| json.as_f64().expect("a number");
        match rule {
            "$ref" => {
                let name = says.as_str().and_then(|path| path.strip_prefix("#/$defs/"));
                self.accepts(&self.root["$defs"][name.expect("a definition")], value)
            }
            "anyOf" => any(says) > 0,
            "oneOf" => any(says) == 1,
            "const" => value == says,
            "enum" => says.as_array().expect("a list").contains(value),
            "type" => match says {
                Json::Array(types) => types.iter().any(|one| has_type(one, value)),
                one => has_type(one, value),
            },
            "pattern" => value.as_str().is_none_or(|text| self.matches(says, text)),
            "minLength" => value
                .as_str()
                .is_none_or(|text| text.len() as f64 >= number(says)),
            "minimum" => value.as_f64().is_none_or(|n| n >= number(says)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(says)),
            "minItems" => value
                .as_array()
                .is_none_or(|items| items.len() as f64 >= number(says)),
            "items" => value
                .as_array()
                .is_none_or(|items| items.iter().all(|item| self.accepts(says, item))),
            "required" => value.as_object().is_none_or(|object| {
                let keys = says.as_array().expect("a list");
                keys.iter()
                    .all(|key| object.contains_key(key.as_str().expect("a key")))
            }),
            "properties" => value.as_object().is_none_or(|object| {
                object.iter().all(|(key, value)| {
                    says.get(key)
                        .is_none_or(|schema| self.accepts(schema, value))
                })
            }),
            "additionalProperties" => value.as_object().is_none_or(|object| {
                let known = schema.get("properties").and_then(Json::as_object);
                let mut others = object
                    .iter()
                    .filter(|(key, _)| known.is_none_or(|known| !known.contains_key(*key)));
                others.all(|(_, value)| self.accepts(says, value))
            }),
            "propertyNames" => value.as_object().is_none_or(|object| {
                object
                    .keys()
                    .all(|key| self.accepts(says, &key.as_str().into()))
            }),
            "$schema" | "$defs" | "title" | "description" | "default" | "writeOnly" => true,
            rule => panic!("the schema has a rule that this test does not know: {rule}"),
        }
    }
}

fn has_type(name: &Json, value: &Json) -> bool {
    match name.as_str().expect("a type") {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        name => panic!("no type of ours: {name}"),
    }
}

/// Problems that only the parser can see: what a schema cannot say, or what it says more loosely.
const BEYOND: [&str; 32] = [
    "the value of `${NONE:-x}`",
    "there is no service",
    "there is no listener",
    "only one can",
    "this service has no endpoint",
    "this endpoint stands here twice",
    "is an address, not a name",
    "needs a token",
    "is out of bounds",
    "may not be larger than all of it",
    "says something only about a `service`",
    "has no body",
    "Weir sets",
    "this is not the name of a header field",
    "this header field holds",
    "expected the value of a header field",
    "this is not a path",
    "this is not a host",
    "it must be more than zero",
    "a number from 0 to 65535",
    "a number from 1 to 65535",
    "the number after `/`",
    "the range begins at another address",
    "a name only, without a folder",
    "cannot read the secret file",
    "expected the name of a header field",
    "weights and percentages cannot stand",
    "these shares are",
    "no service has a share",
    "this splits among no service",
    "this secret can be guessed",
    "browsers take",
];

/// Texts that match a pattern without being right, such as an address that has too many parts.
const LOOSE: [&str; 6] = [
    "expected an address to listen on",
    "expected an address or a range",
    "expected a host and port",
    "expected statuses",
    "expected a weight from 0 to 1000",
    "or a status such as `503`",
];

#[test]
fn schema_and_parser_agree() {
    let validator = Validator {
        root: schema(),
        patterns: RefCell::default(),
    };
    let example = include_str!("../../../../../examples/weir.json");
    let example: Json = serde_json::from_str(example).expect("the example");
    let mut variants = vec![example.clone()];
    for (noun, value) in example.as_object().expect("a config") {
        match value {
            Json::Array(items) => {
                for item in items {
                    // Small configs with what a route refers to, so that thousands are read in a moment.
                    let services = json!({ "users": ["a:1"], "shop": ["a:1"], "canary": ["a:1"], "shadow": ["a:1"] });
                    let listeners = json!({ "web": ":1", "internal": ":2" });
                    wrongs(item, &mut |wrong| {
                        variants.push(
                            json!({ noun: [wrong], "services": services, "listeners": listeners }),
                        );
                    });
                }
            }
            value => wrongs(value, &mut |wrong| variants.push(json!({ noun: wrong }))),
        }
    }
    agree(&validator, variants, true);
}

/// Policies have many texts of their own forms, which the schema only describes; keys and kinds of values it must know.
#[test]
fn schema_and_parser_agree_on_policies() {
    let validator = Validator {
        root: schema(),
        patterns: RefCell::default(),
    };
    let hash = format!("sha256:{}", "0".repeat(64));
    let secret = "0".repeat(64);
    let each = [
        json!({ "rate_limit": "5/10s" }),
        json!({ "rate_limit": ["5/10s", "10/min"] }),
        json!({ "rate_limit": {
            "limits": ["1/s", "10/min"], "key": ["ip", "header x-a"], "algorithm": "token_bucket", "burst": 1, "cost": 1,
            "concurrency": 3, "plans": { "gold": "5/s", "free": { "limits": "5/min", "concurrency": "off" } },
            "on_store_error": "open", "headers": "both", "reset": "epoch", "max_keys": 10, "dry_run": true
        } }),
        json!({ "firewall": {
            "deny": ["10.0.0.0/8"], "allow": "::1", "dry_run": false,
            "rules": [ { "name": "a", "deny": { "path": "/a/*", "methods": "GET", "headers": { "x-a": "*" }, "query": { "a": "b" }, "from": "10.0.0.1" } }, { "allow": "/b" } ]
        } }),
        json!({ "api_key": { "header": "x-key", "keys": [ { "id": "a", "hash": hash, "plan": "gold", "scopes": ["a"] } ], "headers": { "x-team": "team" }, "hide": true } }),
        json!({ "jwt": { "secret": secret, "issuer": "a", "audience": ["b"], "algorithms": "HS256", "claims": { "role": ["admin"] }, "leeway": "off" } }),
        json!({ "introspection": { "url": "https://id.example/i", "client_id": "a", "client_secret": "b", "cache": "30s" } }),
        json!({ "oidc": { "issuer": "https://id.example", "client_id": "a", "session_secrets": [secret], "scopes": ["openid"], "callback": "/cb" } }),
        json!({ "require": { "scopes": ["a"], "claims": { "role": "admin" } } }),
        json!({ "cors": { "origins": ["https://a.example"], "methods": ["GET"], "headers": "x-a", "expose": "x-b", "credentials": true, "max_age": "5s" } }),
        json!({ "security_headers": { "hsts": { "max_age": "1d" }, "frames": "sameorigin", "referrer": "no-referrer" } }),
        json!({ "transform": { "request": { "set": { "x-a": "b" }, "remove": "x-b" }, "response": { "add": { "x-c": "d" } } } }),
    ];
    let mut variants = Vec::new();
    for policy in each {
        let whole = |policy: Json| json!({ "policies": { "p": policy } });
        variants.push(whole(policy.clone()));
        wrongs(&policy, &mut |wrong| variants.push(whole(wrong)));
    }
    let engine = json!({ "redis": "redis://a:1", "cluster": false, "user": "a", "password": "b", "db": 1, "timeout": "5ms", "pending": 1, "breaker": { "failures": 1, "retry": "1s" } });
    wrongs(&engine, &mut |wrong| {
        variants.push(json!({ "engines": { "e": wrong } }))
    });
    let firewall = json!({ "deny": "10.0.0.1", "allow": [], "connections_per_ip": 5, "connection_rate_per_ip": "5/s", "dry_run": true });
    wrongs(&firewall, &mut |wrong| {
        variants.push(json!({ "firewall": wrong }))
    });
    let listener = json!({ "address": ":1", "proxy_protocol": { "from": ["10.0.0.0/8"], "others": "serve", "timeout": "1s" }, "firewall": { "deny": "10.0.0.1" } });
    wrongs(&listener, &mut |wrong| {
        variants.push(json!({ "listeners": { "a": wrong } }))
    });
    agree(&validator, variants, false);
}

/// That the schema takes what the parser takes, and nothing else; with `exact`, texts of other forms neither.
fn agree(validator: &Validator, variants: Vec<Json>, exact: bool) {
    let mut quarrels = BTreeSet::new();
    for variant in variants {
        let in_schema = validator.accepts(&validator.root, &variant);
        match parse("weir.json", &variant.to_string(), &environment) {
            Ok(_) if !in_schema => {
                quarrels.insert(format!("only the parser takes {variant}"));
            }
            Err(problems) if in_schema => {
                let matters = |problem: &&Diagnostic| {
                    !beyond(problem) && (exact || problem.message.contains("unknown key"))
                };
                for problem in problems.iter().filter(matters) {
                    quarrels.insert(format!(
                        "only the schema takes this: {}: {}",
                        problem.path, problem.message
                    ));
                }
            }
            _ => {}
        }
    }
    let quarrels: Vec<String> = quarrels.into_iter().collect();
    assert!(quarrels.is_empty(), "{}", quarrels.join("\n"));
}

fn beyond(problem: &Diagnostic) -> bool {
    let told = problem.to_string();
    let mut messages = BEYOND.iter().chain(&LOOSE);
    problem.level == Level::Warning || messages.any(|message| told.contains(message))
}

/// Every copy of `json` in which one value is another, or missing, or one key is unknown.
fn wrongs(json: &Json, found: &mut dyn FnMut(Json)) {
    let others = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "5",
        "-1",
        "1.5",
        "70000",
        "[]",
        "{}",
        "[{}]",
        "[\"\"]",
        "[1]",
        "\"\"",
        "\"zzz\"",
        "\"off\"",
        "\"auto\"",
        "\"5s\"",
        "\"0s\"",
        "\"5\"",
        "\"1m30s\"",
        "\"s5\"",
        "\"64KiB\"",
        "\"1 KiB\"",
        "\"127.0.0.1:80\"",
        "\":81\"",
        "\":x\"",
        "\"a:80\"",
        "\"10.0.0.0/8\"",
        "\"/a\"",
        "\"a b\"",
        "\"200-299\"",
        "\"p2c\"",
        "\"http\"",
        "\"${NONE:-x}\"",
        "{\"address\":\":1\"}",
        "{\"zzz\":1}",
    ];
    for other in others {
        found(serde_json::from_str(other).expect(other));
    }
    match json {
        Json::Object(object) => {
            for (key, value) in object {
                let mut without = object.clone();
                without.remove(key);
                found(without.clone().into());
                without.insert(format!("{key}z"), value.clone());
                found(without.into());
                wrongs(value, &mut |wrong| {
                    let mut with = object.clone();
                    with.insert(key.clone(), wrong);
                    found(with.into());
                });
            }
            let mut more = object.clone();
            more.insert("zzz".to_owned(), 1.into());
            found(more.into());
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                wrongs(value, &mut |wrong| {
                    let mut with = items.clone();
                    with[at] = wrong;
                    found(with.into());
                });
            }
        }
        _ => {}
    }
}

#[test]
fn every_key_is_described() {
    fn look(schema: &Json, path: &str) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let described = property["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty());
            assert!(described, "{path}.{key}");
        }
        for inner in schema["anyOf"].as_array().into_iter().flatten() {
            look(inner, path);
        }
    }
    let schema = schema();
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        look(definition, name);
    }
}
