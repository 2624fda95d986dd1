//! What the user says about the systems that several Weirs share.

use std::fmt;
use std::net::SocketAddr;

use weir_config::{
    Cx, Decode, Duration, HostPort, Json, Name, Node, OneOrMany, Schemas, Secret, Spanned, Text,
    Value, Within, decode_text, described, object, one_of, text_schema,
};

/// Above this a check would no longer be a small part of a request.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);
const REDIS_PORT: u16 = 6379;

object! {
    /// A system that several Weirs share.
    pub struct EngineConfig {
        /// Whether it is a Redis Cluster.
        pub cluster: bool = false,
        /// Who Weir is there (an ACL user), if not `default`. It needs the keys `weir:*` and `+eval +evalsha +time +strlen
        /// +get +getrange +set +append +del +hmget +hset +pexpire`; for another `db` also `+select`, in a Cluster
        /// `+cluster|slots +asking`.
        pub user: Option<Spanned<String>>,
        /// Its password.
        pub password: Option<Spanned<Secret>>,
        /// The number of the database.
        pub db: Spanned<Within<0, 65_535>> = Spanned::from(Within::new(0)),
        /// What all of Weir's keys there begin with.
        pub prefix: Name = default_prefix(),
        /// How long a request waits for an answer, at the longest.
        pub timeout: Spanned<Duration> = Spanned::from(Duration::from_millis(5)),
        /// How many questions may be under way to each server; those beyond count as failed, at once.
        pub pending: Within<1, 1_000_000> = Within::new(1024),
        /// When a server that fails is not asked any more.
        pub breaker: EngineBreakerConfig = EngineBreakerConfig::default(),
    }
    one_of {
        /// What it is and where.
        pub system: EngineSystem
    }
    check EngineConfig::check;
}

one_of! {
    /// A system that several Weirs share.
    pub enum EngineSystem {
        /// Redis 5 or newer, or what speaks like it: its URL; of a Cluster, those of one or several nodes to begin with.
        redis => Redis(Spanned<OneOrMany<RedisUrl>>),
    }
}

object! {
    /// When a server that fails is not asked any more. No request waits for it then; Weir tries by itself until it
    /// answers again.
    pub struct EngineBreakerConfig {
        /// After so many failures in a row. A server that cannot be connected to is not asked at all.
        pub failures: Within<1, 1000> = Within::new(5),
        /// How long to wait between two tries, at the longest. The first come sooner.
        pub retry: Duration = Duration::from_millis(500),
    }
}

impl Default for EngineBreakerConfig {
    fn default() -> Self {
        Self {
            failures: Within::new(5),
            retry: Duration::from_millis(500),
        }
    }
}

fn default_prefix() -> Name {
    Name::new("weir").expect("it is one")
}

impl EngineConfig {
    /// A Redis, or the nodes of a Cluster, with all defaults: a beginning for tests and tools.
    pub fn redis(servers: &[SocketAddr], cluster: bool) -> Option<Self> {
        let written = servers
            .iter()
            .map(|server| format!("\"redis://{server}\""))
            .collect::<Vec<_>>()
            .join(", ");
        let text = format!("{{ redis: [{written}], cluster: {cluster} }}");
        let mut cx = Cx::from_text("engine", &text, &|_| None);
        let config = cx.decode();
        cx.finish(config).ok().map(|loaded| loaded.value)
    }

    /// Where to begin.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &HostPort> {
        let EngineSystem::Redis(urls) = &self.system;
        urls.iter().map(|url| &url.0)
    }

    fn check(&self, _: &Node, cx: &mut Cx) {
        let EngineSystem::Redis(urls) = &self.system;
        if urls.len() > 1 && !self.cluster {
            cx.error(urls.span, "several servers are the nodes of a Cluster")
                .help("say `cluster: true`, or leave one");
        }
        if self.cluster && self.db.get() > 0 {
            cx.error(self.db.span, "a Redis Cluster has only database 0");
        }
        if self.timeout.value > LONGEST_TIMEOUT {
            cx.error(self.timeout.span, "the longest timeout is 1s")
                .help("each request waits so long while the store hangs, until the breaker opens");
        }
        if let (Some(user), None) = (&self.user, &self.password) {
            cx.error(user.span, "a user needs a `password`");
        }
    }
}

/// Where a Redis is: `redis://10.0.0.5:6379`. Without a port, 6379.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl(HostPort);

impl Text for RedisUrl {
    const EXPECTED: &'static str = "the URL of a Redis, such as `redis://10.0.0.5:6379`";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("redis://") else {
            return Err(match text.strip_prefix("rediss://") {
                Some(_) => "TLS to Redis is not built yet: only `redis://`".to_owned(),
                None => String::new(),
            });
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((_, db)) = rest.split_once('/') {
            return Err(format!("write the database beside it: `db: {db}`"));
        }
        let bracket = rest.rfind(']').unwrap_or(0);
        if rest[bracket..].contains(':') {
            HostPort::from_text(rest).map(Self)
        } else {
            HostPort::from_text(&format!("{rest}:{REDIS_PORT}")).map(Self)
        }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^redis://([A-Za-z0-9._-]+|\\[[0-9a-fA-F:.]+\\])(:[0-9]{1,5})?/?$")
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
        write!(f, "redis://{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<EngineConfig, String> {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<EngineConfig>();
        cx.finish(config)
            .map(|loaded| loaded.value)
            .map_err(|problems| problems.to_string())
    }

    #[test]
    fn short_and_long_forms() {
        let config = read("redis: redis://10.0.0.5").expect("short");
        let servers: Vec<_> = config.servers().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.5:6379"]);
        assert!(!config.cluster);
        assert_eq!(config.timeout.value, Duration::from_millis(5));
        let config = read(
            "{ redis: ['redis://a:1', 'redis://[::1]:2/', 'redis://[::1]'], cluster: true, user: weir, password: x, timeout: 20ms }",
        )
        .expect("long");
        let servers: Vec<_> = config.servers().map(ToString::to_string).collect();
        assert_eq!(servers, ["a:1", "[::1]:2", "[::1]:6379"]);
    }

    #[test]
    fn what_is_wrong_is_said_and_passwords_are_not() {
        for (text, said) in [
            ("redis: [redis://a, redis://b]", "`cluster: true`"),
            ("{ redis: redis://a, cluster: true, db: 1 }", "database 0"),
            ("redis: redis://a/1", "`db: 1`"),
            ("redis: rediss://a", "TLS"),
            ("redis: http://a", "redis://10.0.0.5:6379"),
            ("{ redis: redis://a, timeout: 2s }", "1s"),
            ("{ redis: redis://a, user: me }", "`password`"),
            ("redis: redis://:hunter2@a", "`user: ...`"),
            ("cluster: true", "redis"),
        ] {
            let problems = read(text).expect_err(text);
            assert!(problems.contains(said), "{text}: {problems}");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }
}
