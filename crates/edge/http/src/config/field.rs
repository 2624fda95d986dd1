//! Header fields that the config spells out.

use weir_config::{Cx, Key, Span, Text};

/// The name of a header field that an answer may be given: a token (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// What Weir writes itself, since it decides about connections and framing.
    const OWN: [&'static str; 9] = [
        "connection",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key for FieldName {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let name = key.to_ascii_lowercase();
        if !name.bytes().all(token) {
            cx.error(span, "this is not the name of a header field");
            return None;
        }
        if Self::OWN.contains(&name.as_str()) {
            let problem = cx.error(span, format!("Weir sets `{name}` itself"));
            if name == "content-type" {
                problem.help("say it in `content_type`, beside `headers`");
            }
            return None;
        }
        Some(Self(name.into()))
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

/// The value of a header field: without control characters (RFC 9110, section 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue(pub(super) Box<str>);

impl FieldValue {
    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for FieldValue {
    const EXPECTED: &'static str = "the value of a header field, without control characters";

    fn from_text(text: &str) -> Result<Self, String> {
        let control = |b: u8| b.is_ascii_control() && b != b'\t';
        if text.bytes().any(control) {
            return Err(String::new());
        }
        Ok(Self(text.trim_matches([' ', '\t']).into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

weir_config::text!(FieldValue);
