//! How the endpoint of a request is chosen, as users write it.

use std::sync::Arc;

use weir_config::{
    Cx, Decode, Json, JsonMap, Node, Schemas, Text, choice, decode_word, object, words_schema,
};

use crate::balance::HashMethod;
use crate::spec::{Balance, HashBy, HashOn};

object! {
    /// A consistent hash: the same key, the same endpoint, however others come and go.
    pub struct HashConfig {
        /// What the key is made of: `header x-user`, `cookie session`, `path`, or `ip` (IPv6 by its first 64 bits). Requests
        /// without it go anywhere.
        pub on: HashOn,
        /// How keys are spread over endpoints.
        pub method: HashMethodConfig = HashMethodConfig::Maglev,
        /// How far above its share of the requests in flight an endpoint may be before its keys go to the next one: `1.25`
        /// is a quarter above. By default as far as it comes.
        pub bounded: Option<Factor>,
    }
    short on;
}

choice! {
    /// How keys are spread over endpoints.
    pub enum HashMethodConfig {
        /// The most even, and the fastest; when an endpoint goes, about as many other keys move as it had.
        Maglev = "maglev",
        /// Only the keys of an endpoint that goes are moved; less even.
        Ring = "ring",
        /// Even, and only the keys of an endpoint that goes are moved; the work for a request grows with the endpoints.
        Rendezvous = "rendezvous",
    }
}

impl HashMethodConfig {
    fn method(&self) -> HashMethod {
        match self {
            Self::Maglev => HashMethod::Maglev,
            Self::Ring => HashMethod::Ring,
            Self::Rendezvous => HashMethod::Rendezvous,
        }
    }

    fn of(method: HashMethod) -> Self {
        match method {
            HashMethod::Maglev => Self::Maglev,
            HashMethod::Ring => Self::Ring,
            HashMethod::Rendezvous => Self::Rendezvous,
        }
    }
}

/// A number from 1 to 10, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor(u32);

impl Text for Factor {
    const EXPECTED: &'static str = "a number from 1 to 10, such as `1.25`";
    const NUMBERS: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        let number: f64 = text.parse().map_err(|_| String::new())?;
        if !(1.0..=10.0).contains(&number) {
            return Err(String::new());
        }
        Ok(Self((number * 100.0).round() as u32))
    }

    fn to_text(&self) -> String {
        format!("{}", f64::from(self.0) / 100.0)
    }

    fn pattern() -> Option<&'static str> {
        Some("^([1-9]([.][0-9]+)?|10([.]0+)?)$")
    }
}

weir_config::text!(Factor);

impl Text for HashOn {
    const EXPECTED: &'static str = "`header NAME`, `cookie NAME`, `path` or `ip`";

    fn from_text(text: &str) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let (kind, name) = text.split_once(' ').unwrap_or((text, ""));
        let name = name.trim();
        let named = !name.is_empty() && name.bytes().all(token);
        match kind {
            "header" if named => Ok(Self::Header(Arc::from(name.to_ascii_lowercase()))),
            "cookie" if named => Ok(Self::Cookie(Arc::from(name))),
            "header" | "cookie" => Err(format!("which one: `{kind} NAME`")),
            "path" if name.is_empty() => Ok(Self::Path),
            "ip" if name.is_empty() => Ok(Self::Ip),
            _ => Err(String::new()),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Header(name) => format!("header {name}"),
            Self::Cookie(name) => format!("cookie {name}"),
            Self::Path => "path".to_owned(),
            Self::Ip => "ip".to_owned(),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some("^((header|cookie) +[^ ]+|path|ip)$")
    }
}

weir_config::text!(HashOn);

object! {
    /// The long form of a consistent hash.
    pub struct HashBalance {
        /// A consistent hash; in short form, what it is made of.
        pub hash: HashConfig,
    }
}

/// The words, in the order in which they are told about.
const WORDS: [(&str, &str); 6] = [
    (
        "p2c",
        "The better of two weighted chances: fewer requests in flight for its weight.",
    ),
    ("round_robin", "In turn, by weight, evenly spread."),
    ("random", "By weighted chance."),
    (
        "least_connections",
        "The fewest requests in flight for its weight.",
    ),
    (
        "least_response_time",
        "The better of two weighted chances: the shorter time to answer, times the requests in flight.",
    ),
    (
        "ip_hash",
        "The same endpoint for the same client address (IPv6 by its first 64 bits).",
    ),
];

fn word(index: usize) -> Balance {
    [
        Balance::P2c,
        Balance::RoundRobin,
        Balance::Random,
        Balance::LeastConnections,
        Balance::LeastResponseTime,
        Balance::IpHash,
    ][index]
        .clone()
}

impl Decode for Balance {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if matches!(node.value, weir_config::Value::Map(_)) {
            let HashBalance { hash } = HashBalance::decode(node, cx)?;
            return Some(Self::Hash(HashBy {
                on: hash.on,
                method: hash.method.method(),
                bounded: hash.bounded.map(|factor| factor.0),
            }));
        }
        let mut index = 0;
        let words = WORDS.map(|(word, _)| {
            index += 1;
            (word, index - 1)
        });
        decode_word(node, &words, cx).map(word)
    }

    fn to_json(&self) -> Json {
        let Self::Hash(by) = self else {
            return self.as_str().into();
        };
        let hash = HashConfig {
            on: by.on.clone(),
            method: HashMethodConfig::of(by.method),
            bounded: by.bounded.map(Factor),
        };
        HashBalance { hash }.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        const DOCS: &str = "How a service chooses the endpoint of a request.";
        let words = words_schema(DOCS, &WORDS, schemas);
        let mut either = JsonMap::new();
        let all = vec![words, HashBalance::schema(schemas)];
        either.insert("anyOf".to_owned(), all.into());
        weir_config::described(either.into(), DOCS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hash_is_made_of() {
        for (text, expected) in [
            ("header X-User", Some(HashOn::Header("x-user".into()))),
            ("cookie  s", Some(HashOn::Cookie("s".into()))),
            ("path", Some(HashOn::Path)),
            ("ip", Some(HashOn::Ip)),
            ("header", None),
            ("cookie a b", None),
            ("ip 1", None),
            ("user", None),
        ] {
            assert_eq!(HashOn::from_text(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn both_forms_are_read_and_written() {
        for text in [
            "p2c",
            "ip_hash",
            "least_response_time",
            "{ hash: path }",
            "{ hash: { on: header x-user, method: ring, bounded: 1.25 } }",
        ] {
            let mut cx = Cx::from_text("a.yaml", text, &|_| None);
            let balance = cx.decode::<Balance>();
            let balance = cx.finish(balance).expect(text).value;
            let json = balance.to_json().to_string();
            let mut cx = Cx::from_text("a.yaml", &json, &|_| None);
            let again = cx.decode::<Balance>();
            assert_eq!(cx.finish(again).expect(&json).value, balance);
        }
        for text in [
            "fastest",
            "{ hash: user }",
            "{ hash: { on: ip, bounded: 0.5 } }",
            "{ ring: ip }",
        ] {
            let mut cx = Cx::from_text("a.yaml", text, &|_| None);
            let balance = cx.decode::<Balance>();
            assert!(cx.finish(balance).is_err(), "{text}");
        }
    }
}
