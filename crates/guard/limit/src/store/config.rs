//! What the user says about the systems that several Weirs share.

use std::net::SocketAddr;

use weir_config::{
    Cx, Duration, FilePath, HostPort, Name, Node, OneOrMany, Secret, Spanned, Within, object,
    one_of,
};

use super::tls::{self, Tls, TlsFiles};
use super::url::RedisUrl;

/// Above this a check would no longer be a small part of a request.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(1);

object! {
    /// A system that several Weirs share. In short form, the URL of a Redis.
    pub struct EngineConfig {
        /// Whether it is a Redis Cluster.
        pub cluster: bool = false,
        /// Who Weir is there (an ACL user), if not `default`. It needs the keys `weir:*` and `+eval +evalsha +time +strlen
        /// +get +getrange +set +append +del +hmget +hset +pexpire`; for another `db` also `+select`, in a Cluster
        /// `+cluster|slots +asking`.
        pub user: Option<Spanned<String>>,
        /// Its password.
        pub password: Option<Spanned<Secret>>,
        /// With `rediss://`: authorities (PEM) that the server's certificate must come from, instead of those that the system trusts.
        pub ca: Option<Spanned<FilePath>>,
        /// With `rediss://`: the name that the server's certificate must be for, if not the host of the URL. In a Cluster it holds
        /// for all nodes, except for those that announce a hostname: theirs must be for that one.
        pub server_name: Option<Spanned<String>>,
        /// With `rediss://`, for a server that wants to know who Weir is: Weir's certificate (PEM), followed by those above it.
        /// It and its key are read again for a new connection if they have changed.
        pub cert: Option<Spanned<FilePath>>,
        /// The key of `cert` (PEM, without a passphrase).
        pub key: Option<Spanned<FilePath>>,
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
    short redis;
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
        urls.iter().map(RedisUrl::at)
    }

    /// What makes TLS of its connections, if they are to be that.
    pub(crate) fn tls(&self) -> Option<Tls> {
        let EngineSystem::Redis(urls) = &self.system;
        if !urls.iter().any(RedisUrl::is_tls) {
            return None;
        }
        let path = |file: &Option<Spanned<FilePath>>| {
            file.as_ref().map(|file| file.value.path().to_owned())
        };
        let files = TlsFiles {
            ca: path(&self.ca),
            identity: path(&self.cert).zip(path(&self.key)),
        };
        let server_name = self.server_name.as_ref().map(|name| &*name.value);
        Some(Tls::new(files, server_name))
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
        self.check_tls(urls, cx);
    }

    fn check_tls(&self, urls: &Spanned<OneOrMany<RedisUrl>>, cx: &mut Cx) {
        let encrypted = urls.iter().filter(|url| url.is_tls()).count();
        if encrypted > 0 && encrypted < urls.len() {
            cx.error(urls.span, "the nodes of a Cluster speak TLS all or none")
                .help("write `rediss://` or `redis://` for all");
        }
        if encrypted == 0 {
            let spans = [
                ("ca", self.ca.as_ref().map(|file| file.span)),
                (
                    "server_name",
                    self.server_name.as_ref().map(|name| name.span),
                ),
                ("cert", self.cert.as_ref().map(|file| file.span)),
                ("key", self.key.as_ref().map(|file| file.span)),
            ];
            for (word, span) in spans {
                if let Some(span) = span {
                    cx.error(span, format!("`{word}` is for TLS"))
                        .help("write `rediss://` in the URL, or leave this out");
                }
            }
            return;
        }
        if let Some(name) = &self.server_name
            && let Err(why) = tls::server_name(&name.value)
        {
            cx.error(name.span, why);
        }
        if let Some(ca) = &self.ca
            && let Err(why) = tls::authorities(ca.value.path())
        {
            cx.error(ca.span, why);
        }
        self.check_identity(cx);
    }

    fn check_identity(&self, cx: &mut Cx) {
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert, key),
            (Some(alone), None) => {
                cx.error(alone.span, "a certificate needs its `key`");
                return;
            }
            (None, Some(alone)) => {
                cx.error(alone.span, "a key needs its `cert`");
                return;
            }
            (None, None) => return,
        };
        let chain = tls::certificates(cert.value.path());
        let private = tls::private_key(key.value.path());
        match (chain, private) {
            (Ok(chain), Ok(private)) => {
                if let Err(why) = tls::pair(chain, private) {
                    cx.error(key.span, why).also(cert.span, "the certificate");
                }
            }
            (chain, private) => {
                if let Err(why) = chain {
                    cx.error(cert.span, why);
                }
                if let Err(why) = private {
                    cx.error(key.span, why);
                }
            }
        }
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
        assert!(config.tls().is_none());
        let config = read("{ redis: rediss://a, server_name: b.example }").expect("TLS");
        assert!(config.tls().is_some());
        let EngineSystem::Redis(urls) = &config.system;
        assert_eq!(urls[0].to_string(), "rediss://a:6379");
    }

    #[test]
    fn what_is_wrong_is_said_and_passwords_are_not() {
        for (text, said) in [
            ("redis: [redis://a, redis://b]", "`cluster: true`"),
            ("{ redis: redis://a, cluster: true, db: 1 }", "database 0"),
            ("redis: redis://a/1", "`db: 1`"),
            ("redis: redisss://a", "`rediss://...` for TLS"),
            ("redis: rediss://a/1", "`db: 1`"),
            (
                "{ redis: [rediss://a, redis://b], cluster: true }",
                "all or none",
            ),
            ("{ redis: redis://a, ca: a.pem }", "`rediss://`"),
            ("{ redis: redis://a, server_name: b }", "`rediss://`"),
            ("{ redis: redis://a, cert: a, key: b }", "`rediss://`"),
            ("{ redis: rediss://a, server_name: 'b c' }", "`b c`"),
            ("{ redis: rediss://a, cert: a.pem }", "`key`"),
            ("{ redis: rediss://a, key: a.pem }", "`cert`"),
            ("{ redis: rediss://a, ca: none.pem }", "cannot read"),
            ("{ redis: rediss://a, cert: no.pem, key: b }", "no.pem"),
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
