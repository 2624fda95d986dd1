//! Where a Redis is, as a config says it.

use std::fmt;

use weir_config::{
    Cx, Decode, HostPort, Json, Node, Schemas, Secret, Text, Value, decode_text, described,
    text_schema,
};

const PORT: u16 = 6379;

/// Where a Redis is: `redis://10.0.0.5:6379`, or `rediss://...` for TLS. Without a port, 6379.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl {
    at: HostPort,
    tls: bool,
}

impl RedisUrl {
    /// Its host and port.
    pub const fn at(&self) -> &HostPort {
        &self.at
    }

    /// Whether TLS is spoken there.
    pub const fn is_tls(&self) -> bool {
        self.tls
    }
}

impl Text for RedisUrl {
    const EXPECTED: &'static str =
        "the URL of a Redis, such as `redis://10.0.0.5:6379`, or `rediss://...` for TLS";

    fn from_text(text: &str) -> Result<Self, String> {
        let (rest, tls) = match text.strip_prefix("redis://") {
            Some(rest) => (rest, false),
            None => (
                text.strip_prefix("rediss://").ok_or_else(String::new)?,
                true,
            ),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((_, db)) = rest.split_once('/') {
            return Err(format!("write the database beside it: `db: {db}`"));
        }
        let bracket = rest.rfind(']').unwrap_or(0);
        let at = if rest[bracket..].contains(':') {
            HostPort::from_text(rest)
        } else {
            HostPort::from_text(&format!("{rest}:{PORT}"))
        };
        at.map(|at| Self { at, tls })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^rediss?://([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?/?$")
    }
}

impl Decode for RedisUrl {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if matches!(&node.value, Value::Scalar(scalar) if scalar.text.contains('@')) {
            // Read as one, it is hidden from every message.
            Secret::decode(node, cx)?;
            cx.error(
                node.span,
                "a password would be shown wherever this URL is shown",
            )
            .help("write them beside it: `user: ...` and `password: file:/run/secrets/redis`");
            return None;
        }
        decode_text(node, cx)
    }

    fn to_json(&self) -> Json {
        Json::from(self.to_string())
    }

    fn schema(schemas: &mut Schemas) -> Json {
        schemas.define::<Self>("RedisUrl", |_| {
            described(text_schema::<Self>(), Self::EXPECTED)
        })
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}", self.at)
    }
}
