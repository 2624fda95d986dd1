//! Secrets: read from a file or the environment, never shown.

use std::fmt;
use std::io::Read;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::cx::Cx;
use crate::decode::Decode;
use crate::node::{Node, Value};
use crate::schema::Schemas;
use crate::span::Span;

/// Text that must not be shown: `Debug`, `Display` and JSON give `***`, and no message quotes it or its line.
///
/// It stands in the config, comes from the environment (`${TOKEN}`), or from a file (`file:/run/secrets/token`, relative
/// to the config file; one line break at its end is dropped).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    const SHOWN: &'static str = "***";
    const MOST_BYTES: u64 = 64 << 10;

    /// Text as a secret.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `guess` is the secret, in a time that tells nothing but its length.
    pub fn matches(&self, guess: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differ = secret
            .iter()
            .zip(guess)
            .fold(0, |differ, (a, b)| differ | (a ^ b));
        secret.len() == guess.len() && std::hint::black_box(differ) == 0
    }

    fn from_file(path: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let path = cx.file(span, Path::new(path));
        let mut text = String::new();
        let read = crate::sources::open(&path)
            .and_then(|file| file.take(Self::MOST_BYTES + 1).read_to_string(&mut text));
        if let Err(error) = read {
            let message = format!("cannot read the secret file `{}`: {error}", path.display());
            cx.error(span, message);
            return None;
        }
        if text.len() as u64 > Self::MOST_BYTES {
            cx.error(span, "this secret file holds more than 64 KiB");
            return None;
        }
        let text = text.strip_suffix('\n').unwrap_or(&text);
        Some(Self::new(text.strip_suffix('\r').unwrap_or(text)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::SHOWN)
    }
}

impl Decode for Secret {
    const SECRET: bool = true;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        cx.hide(node, node.span);
        let text = match &node.value {
            Value::Scalar(scalar) => scalar.as_text(),
            Value::Broken => return None,
            Value::List(_) | Value::Map(_) => None,
        };
        let Some(text) = text else {
            cx.error(node.span, "expected a secret, a string")
                .help("such as `${TOKEN}` or `file:/run/secrets/token`");
            return None;
        };
        let secret = match text.strip_prefix("file:") {
            Some(path) => Self::from_file(path, node.span, cx)?,
            None => Self::new(text),
        };
        if secret.0.is_empty() {
            cx.error(node.span, "this secret is empty");
            return None;
        }
        Some(secret)
    }

    fn to_json(&self) -> Json {
        json!(Self::SHOWN)
    }

    fn schema(_: &mut Schemas) -> Json {
        json!({
            "type": "string",
            "minLength": 1,
            "writeOnly": true,
        })
    }
}
