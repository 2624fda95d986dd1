//! What a request says about its urgency: its priority and its deadline.

use weir_config::{Cx, Decode, Json, Node, Schemas, Text, Value, choice, decode_word, object};

use crate::codec::FieldId;

choice! {
    /// Who goes first when a service is overloaded.
    pub enum PriorityLevel {
        /// Before all others.
        High = "high",
        /// As usual.
        Normal = "normal",
        /// After all others.
        Low = "low",
    }
}

/// The priority of a route's requests: always the same, or what a header field says.
#[derive(Clone, Debug, PartialEq)]
pub enum PriorityConfig {
    /// Always the same.
    Level(PriorityLevel),
    /// As the request says.
    Header(PriorityHeader),
}

object! {
    /// The header field that says the priority of a request: `high`, `normal` or `low`. Whoever may send it can go first:
    /// let something in front of Weir set it.
    pub struct PriorityHeader {
        /// Its name. Without it, or with another value, the priority is `normal`.
        pub header: HeaderName,
    }
}

impl Decode for PriorityConfig {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            return PriorityHeader::decode(node, cx).map(Self::Header);
        }
        let words = [
            PriorityLevel::High,
            PriorityLevel::Normal,
            PriorityLevel::Low,
        ];
        let words = words.map(|level| (level.as_str(), level));
        decode_word(node, &words, cx).map(Self::Level)
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Level(level) => level.to_json(),
            Self::Header(header) => header.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let forms = [
            PriorityLevel::schema(schemas),
            PriorityHeader::schema(schemas),
        ];
        let mut schema = weir_config::JsonMap::new();
        schema.insert("anyOf".to_owned(), forms.into_iter().collect());
        Json::Object(schema)
    }
}

object! {
    /// The header field that says how many milliseconds the client still waits. It shortens `timeout.total`; what is left
    /// of both is passed on to the endpoint, so that nobody works on what nobody waits for. In short form, its name.
    pub struct DeadlineConfig {
        /// Its name.
        pub header: HeaderName = HeaderName("x-request-timeout-ms".into()),
    }
    short header;
}

/// The name of a header field that only users give a meaning to: a token (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for HeaderName {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if text.is_empty() || text.len() > 64 || !text.bytes().all(token) {
            return Err("such as `x-priority`".to_owned());
        }
        if FieldId::of(text.as_bytes()) != FieldId::Other {
            return Err("this one has a meaning of its own".to_owned());
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$")
    }
}

weir_config::text!(HeaderName);
