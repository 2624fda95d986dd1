//! What etcd says: proto3 as JSON, in which 64-bit numbers are strings, bytes are base64, and whatever is zero is left out.

use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::Value;

use super::super::base64;
use super::super::listing::{Listed, MAX_WEIGHT, SourceError, zone};

/// One page of a listing.
pub(super) struct Page {
    pub(super) cluster: u64,
    pub(super) revision: i64,
    pub(super) more: bool,
    pub(super) entries: Vec<(Vec<u8>, Result<Listed, String>)>,
}

/// A message of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// The keys are as told up to this revision.
    Progress {
        revision: i64,
    },
    Changes(Vec<Change>),
    /// The history that was asked for is gone.
    Compacted,
    Canceled(String),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Put {
        key: Vec<u8>,
        revision: i64,
        value: Result<Listed, String>,
    },
    Delete {
        key: Vec<u8>,
        revision: i64,
    },
}

#[derive(Deserialize)]
struct RangeMessage {
    header: Header,
    #[serde(default)]
    kvs: Vec<KeyValue>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default, deserialize_with = "number")]
    cluster_id: u64,
    #[serde(default, deserialize_with = "number")]
    revision: i64,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default, deserialize_with = "bytes")]
    key: Vec<u8>,
    #[serde(default, deserialize_with = "bytes")]
    value: Vec<u8>,
    #[serde(default, deserialize_with = "number")]
    mod_revision: i64,
}

#[derive(Deserialize)]
struct WatchMessage {
    result: Option<WatchResult>,
    error: Option<WatchError>,
}

#[derive(Deserialize)]
struct WatchResult {
    header: Header,
    #[serde(default)]
    created: bool,
    #[serde(default)]
    canceled: bool,
    #[serde(default, deserialize_with = "number")]
    compact_revision: i64,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default)]
    events: Vec<WatchEvent>,
}

#[derive(Deserialize)]
struct WatchError {
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct WatchEvent {
    #[serde(default, rename = "type")]
    kind: String,
    kv: KeyValue,
}

/// An endpoint as JSON; what else it says does not matter here.
#[derive(Deserialize)]
struct EndpointValue {
    // "Addr" is what etcd's own naming for gRPC writes.
    #[serde(alias = "Addr")]
    address: Option<String>,
    weight: Option<u64>,
    zone: Option<String>,
    priority: Option<u8>,
}

/// Reads a page of a listing.
pub(super) fn page(body: &[u8]) -> Result<Page, SourceError> {
    let message: RangeMessage = read(body)?;
    let entry = |kv: KeyValue| (kv.key, endpoint(&kv.value));
    Ok(Page {
        cluster: message.header.cluster_id,
        revision: message.header.revision,
        more: message.more,
        entries: message.kvs.into_iter().map(entry).collect(),
    })
}

/// Reads the first message of a watch: the cluster and its revision.
pub(super) fn created(line: &[u8]) -> Result<(u64, i64), SourceError> {
    let result = result(line)?;
    if !result.created || result.canceled {
        let reason = printable(&result.cancel_reason);
        return Err(SourceError::Refused(format!(
            "the watch was refused: {reason}"
        )));
    }
    Ok((result.header.cluster_id, result.header.revision))
}

/// Reads a further message of a watch.
pub(super) fn watched(line: &[u8]) -> Result<Watched, SourceError> {
    let result = result(line)?;
    if result.compact_revision > 0 {
        return Ok(Watched::Compacted);
    }
    if result.canceled {
        let reason = printable(&result.cancel_reason);
        return Ok(Watched::Canceled(format!(
            "the watch was cancelled: {reason}"
        )));
    }
    if result.events.is_empty() {
        return Ok(Watched::Progress {
            revision: result.header.revision,
        });
    }
    let change = |event: WatchEvent| {
        let (key, revision) = (event.kv.key, event.kv.mod_revision);
        match event.kind.as_str() {
            "DELETE" => Change::Delete { key, revision },
            _ => Change::Put {
                key,
                revision,
                value: endpoint(&event.kv.value),
            },
        }
    };
    Ok(Watched::Changes(
        result.events.into_iter().map(change).collect(),
    ))
}

fn result(line: &[u8]) -> Result<WatchResult, SourceError> {
    let message: WatchMessage = read(line)?;
    if let Some(error) = message.error {
        let text = printable(&error.message);
        return Err(SourceError::Refused(format!("the watch failed: {text}")));
    }
    message
        .result
        .ok_or_else(|| SourceError::Invalid("a message of the watch without `result`".to_owned()))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, SourceError> {
    serde_json::from_slice(body).map_err(|error| {
        SourceError::Invalid(format!("the answer is not what etcd sends: {error}"))
    })
}

fn printable(text: &str) -> String {
    text.chars()
        .take(200)
        .collect::<String>()
        .escape_debug()
        .to_string()
}

/// Reads the value of a key: `10.0.0.1:80`, or `{"address": "10.0.0.1:80", "weight": 2, "zone": "eu-1"}`.
fn endpoint(value: &[u8]) -> Result<Listed, String> {
    let text = str::from_utf8(value).map_err(|_| "not UTF-8")?.trim();
    if !text.starts_with('{') {
        return Listed::parse(text);
    }
    let value: EndpointValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let address = value.address.ok_or("`address` is missing")?;
    let weight = match value.weight {
        None => 1,
        Some(weight) => u32::try_from(weight)
            .ok()
            .filter(|weight| (1..=MAX_WEIGHT).contains(weight))
            .ok_or_else(|| format!("the weight {weight} is not in 1..={MAX_WEIGHT}"))?,
    };
    Ok(Listed {
        weight,
        priority: value.priority.unwrap_or(0),
        zone: value.zone.as_deref().and_then(zone),
        ..Listed::parse(&address)?
    })
}

/// A number that may be a string.
fn number<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<T, D::Error> {
    let text = match Value::deserialize(from)? {
        Value::String(text) => text,
        Value::Number(number) => number.to_string(),
        _ => return Err(D::Error::custom("expected a number")),
    };
    text.parse()
        .map_err(|_| D::Error::custom("this number does not fit"))
}

fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = std::borrow::Cow::<str>::deserialize(from)?;
    base64::decode(&text).ok_or_else(|| D::Error::custom("this is not base64"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_by_table() {
        for (value, expected) in [
            ("10.0.0.1:80", "10.0.0.1:80 1 0 -"),
            (" App.internal:80\n", "app.internal:80 1 0 -"),
            (r#"{"address":"10.0.0.1:80"}"#, "10.0.0.1:80 1 0 -"),
            (
                r#"{"address":"[::1]:80","weight":2,"zone":"eu-1","priority":1,"more":[{}]}"#,
                "[::1]:80 2 1 eu-1",
            ),
            (
                r#"{"Op":0,"Addr":"10.0.0.1:80","Metadata":null}"#,
                "10.0.0.1:80 1 0 -",
            ),
        ] {
            let listed = endpoint(value.as_bytes()).unwrap();
            let (at, zone) = (&listed.at, listed.zone.as_deref().unwrap_or("-"));
            assert_eq!(
                format!("{at} {} {} {zone}", listed.weight, listed.priority),
                expected
            );
        }
        for value in [
            "",
            "10.0.0.1",
            "{}",
            "{",
            "[]",
            r#"{"address":5}"#,
            r#"{"address":"10.0.0.1:80","weight":0}"#,
            r#"{"address":"10.0.0.1:80","weight":-1}"#,
            r#"{"address":"10.0.0.1:80","weight":65536}"#,
            r#"{"address":"10.0.0.1:80","priority":256}"#,
            r#"{"address":"10.0.0.1:80","Addr":"10.0.0.2:80"}"#,
        ] {
            assert!(endpoint(value.as_bytes()).is_err(), "{value}");
        }
        assert!(endpoint(b"\xff\xfe").is_err());
    }

    #[test]
    fn pages_as_etcd_writes_them() {
        // An answer of etcd 3.4.23.
        let body = br#"{"header":{"cluster_id":"14841639068965178418","member_id":"10276657743932975437",
            "revision":"4","raft_term":"2"},"kvs":[{"key":"L3MvYQ==","create_revision":"2","mod_revision":"2",
            "version":"1","value":"MTAuMC4wLjE6ODA="},{"key":"L3MvYg=="}],"more":true,"count":"2"}"#;
        let page = page(body).unwrap();
        assert_eq!(
            (page.cluster, page.revision, page.more),
            (14_841_639_068_965_178_418, 4, true)
        );
        assert_eq!(page.entries[0].0, b"/s/a");
        assert_eq!(
            page.entries[0].1.as_ref().unwrap().at.to_string(),
            "10.0.0.1:80"
        );
        assert!(page.entries[1].1.is_err());
        let empty = super::page(br#"{"header":{"revision":"1"}}"#).unwrap();
        assert!(empty.entries.is_empty() && !empty.more);
    }

    #[test]
    fn watches_as_etcd_writes_them() {
        let begun = br#"{"result":{"header":{"cluster_id":"7","revision":"4"},"created":true}}"#;
        assert_eq!(created(begun), Ok((7, 4)));
        let put = br#"{"result":{"header":{"revision":"9"},"events":[
            {"kv":{"key":"YQ==","mod_revision":"5","value":"MTAuMC4wLjE6ODA="}},
            {"type":"DELETE","kv":{"key":"YQ==","mod_revision":"6"}}]}}"#;
        assert_eq!(
            watched(put).unwrap(),
            Watched::Changes(vec![
                Change::Put {
                    key: b"a".to_vec(),
                    revision: 5,
                    value: Listed::parse("10.0.0.1:80")
                },
                Change::Delete {
                    key: b"a".to_vec(),
                    revision: 6
                }
            ])
        );
        let progress = br#"{"result":{"header":{"revision":"9"}}}"#;
        assert_eq!(watched(progress), Ok(Watched::Progress { revision: 9 }));
        let gone =
            br#"{"result":{"header":{"revision":"9"},"canceled":true,"compact_revision":"8"}}"#;
        assert_eq!(watched(gone), Ok(Watched::Compacted));
        let over =
            br#"{"result":{"header":{"revision":"9"},"canceled":true,"cancel_reason":"no\nmore"}}"#;
        assert!(
            matches!(watched(over), Ok(Watched::Canceled(reason)) if reason.contains(r"no\nmore"))
        );
        let error = br#"{"error":{"grpc_code":14,"http_code":503,"message":"no leader"}}"#;
        assert!(matches!(watched(error), Err(SourceError::Refused(_))));
        assert!(created(error).is_err() && created(over).is_err());
    }

    #[test]
    fn hostile_messages_are_errors() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let deep = format!(r#"{{"header":{{}},"x":{deep}}}"#);
        for body in [
            "",
            "{}",
            "[]",
            "{\"header\":{\"revision\":\"x\"}}",
            "{\"header\":{\"revision\":[]}}",
            "{\"header\":{\"revision\":\"99999999999999999999\"}}",
            "{\"header\":{},\"kvs\":[{\"key\":\"!\"}]}",
        ] {
            assert!(page(body.as_bytes()).is_err(), "{body:.40}");
            assert!(watched(body.as_bytes()).is_err(), "{body:.40}");
        }
        // What is skipped takes no stack.
        assert!(page(deep.as_bytes()).is_ok());
        let number = deep.replace("{}", &"[".repeat(100_000));
        assert!(page(number.as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn nothing_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (page(&body), watched(&body), created(&body), endpoint(&body));
        }
    }
}
