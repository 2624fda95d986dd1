//! What the user says about names and passwords.

use argon2::password_hash::phc::PasswordHash as Phc;
use weir_config::{
    Cx, Decode, Duration, Json, Key, Map, Name, Node, OrOff, Schemas, Secret, Span, Spanned, object,
};

use super::password;
use crate::claims::ClaimPath;
use crate::config::{IdentityField, Realm, Scope};

object! {
    /// Names and passwords that Weir knows (RFC 7617).
    pub struct BasicConfig {
        /// Who may come, by name. `weir key password` makes the hashes.
        pub users: Map<UserConfig, UserName>,
        /// What people are told that the password is for.
        pub realm: Realm = Realm::known("weir"),
        /// How long a password counts without being looked at again; `off` for not at all.
        pub cache: OrOff<Duration> = OrOff::On(Duration::from_secs(300)),
        /// Fields that tell endpoints more, with the metadata that they hold: `x-team: team`.
        pub headers: Map<ClaimPath, IdentityField> = Map::default(),
        /// Whether endpoints see no passwords.
        pub hide: bool = true,
    }
    check |config, node, cx| {
        if config.users.is_empty() {
            cx.error(node.span, "there is no user, so nobody could come in").key("users");
        }
    };
}

object! {
    /// A user. In short form, the hash of the password.
    pub struct UserConfig {
        /// The hash of the password, as `weir key password` prints it.
        pub password: Spanned<PasswordHash>,
        /// What they may do.
        pub scopes: Vec<Scope> = Vec::new(),
        /// The plan of rate limits that they are on.
        pub plan: Option<Name>,
        /// What else is known about them, for `headers`, `require: { claims }` and keys of limits.
        pub metadata: Map<String> = Map::default(),
    }
    short password;
}

/// The name of a user: without colons (RFC 7617, section 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UserName(Box<str>);

impl UserName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key for UserName {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let edge = |c: Option<char>| c.is_none_or(char::is_whitespace);
        let broken = edge(key.chars().next()) || edge(key.chars().next_back());
        if broken || key.len() > 128 || key.contains(|c: char| c == ':' || c.is_control()) {
            cx.error(span, "this cannot be the name of a user")
                .expected("at most 128 bytes, without colons and control characters");
            return None;
        }
        Some(Self(key.into()))
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

/// The slow hash of a password: argon2 in PHC form, `$argon2id$v=19$m=19456,t=2,p=1$...`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Secret);

impl PasswordHash {
    #[cfg(test)]
    pub(super) fn new(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// The hash in PHC form.
    pub(super) fn phc(&self) -> &str {
        self.0.expose()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Decode for PasswordHash {
    const SECRET: bool = true;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let secret = Secret::decode(node, cx)?;
        let problem = match Phc::new(secret.expose()) {
            Err(_) => "this is not the hash of a password",
            Ok(phc) => match password::problem(&phc) {
                None => return Some(Self(secret)),
                Some(problem) => problem,
            },
        };
        cx.error(node.span, problem)
            .help("`weir key password` makes one: `$argon2id$v=19$...`");
        None
    }

    fn to_json(&self) -> Json {
        self.0.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        Secret::schema(schemas)
    }
}
