//! What the user says about who may pass.

use weir_config::{
    Cx, Decode, Json, JsonMap, Key, Name, Node, OneOrMany, Schemas, Span, Spanned, Text, Value,
    object, one_of,
};

use crate::{
    api_key::ApiKeyConfig, basic::BasicConfig, introspection::IntrospectionConfig, jwt::JwtConfig,
    oidc::OidcConfig,
};

use crate::claims::ClaimPath;
use crate::identity::is_scope;

one_of! {
    /// A way to know who sends a request.
    pub enum MethodConfig {
        /// By API keys that Weir knows.
        api_key => ApiKey(ApiKeyConfig),
        /// By names and passwords that Weir knows (RFC 7617).
        basic => Basic(BasicConfig),
        /// By signed tokens (JSON Web Tokens).
        jwt => Jwt(JwtConfig),
        /// By tokens that another server knows about (RFC 7662).
        introspection => Introspection(IntrospectionConfig),
        /// By logins at an OpenID provider.
        oidc => Oidc(OidcConfig),
    }
}

/// One of the methods of a route: the name of a policy that has one, `anonymous`, or the method itself.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthItem {
    /// Requests without a credential pass.
    Anonymous,
    /// The methods of a policy.
    Policy(Spanned<Name>),
    /// This.
    Inline(Box<Spanned<MethodConfig>>),
}

impl AuthItem {
    const ANONYMOUS: &'static str = "anonymous";
}

impl Decode for AuthItem {
    const SECRET: bool = <MethodConfig as Decode>::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if matches!(node.value, Value::Map(_)) {
            let method = Spanned::<MethodConfig>::decode(node, cx)?;
            return Some(Self::Inline(Box::new(method)));
        }
        let name = Spanned::<Name>::decode(node, cx)?;
        Some(if name.value.as_str() == Self::ANONYMOUS {
            Self::Anonymous
        } else {
            Self::Policy(name)
        })
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Anonymous => Json::from(Self::ANONYMOUS),
            Self::Policy(name) => name.to_json(),
            Self::Inline(method) => method.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let forms = [
            <Name as Decode>::schema(schemas),
            MethodConfig::schema(schemas),
        ];
        let mut schema = JsonMap::new();
        schema.insert("anyOf".to_owned(), forms.into_iter().collect());
        Json::Object(schema)
    }
}

object! {
    /// What those who are known must have. Anonymous requests have nothing of it.
    pub struct RequireConfig {
        /// The scopes that they need, all of them.
        pub scopes: Vec<Scope> = Vec::new(),
        /// The claims that they need: each must be one of the values given, or a list with one of them.
        pub claims: weir_config::Map<OneOrMany<ClaimValue>, ClaimPath> = weir_config::Map::default(),
    }
}

/// A scope (RFC 6749, section 3.3).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope(Box<str>);

impl Scope {
    /// One that is known to be good.
    pub(crate) fn known(scope: &str) -> Self {
        Self(scope.into())
    }

    /// The scope as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Scope {
    const EXPECTED: &'static str = "a scope, such as `orders:read`";

    fn from_text(text: &str) -> Result<Self, String> {
        if is_scope(text) {
            return Ok(Self(text.into()));
        }
        Err("without spaces, quotes and backslashes".to_owned())
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

/// What a claim must be: a string, a number, `true` or `false`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimValue(Box<str>);

impl ClaimValue {
    /// The value as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Decode for ClaimValue {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::Scalar(scalar) if !scalar.text.is_empty() && !scalar.is_null() => {
                Some(Self(scalar.text.clone()))
            }
            _ => {
                cx.mismatch(
                    node,
                    "the value of a claim: a string, a number, `true` or `false`",
                );
                None
            }
        }
    }

    fn to_json(&self) -> Json {
        Json::from(self.as_str())
    }

    fn schema(_: &mut Schemas) -> Json {
        let types = ["string", "number", "boolean"].map(Json::from);
        let mut schema = JsonMap::new();
        schema.insert("type".to_owned(), types.into_iter().collect());
        Json::Object(schema)
    }
}

/// The name of a header field in which clients send a credential: a token (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeaderName(Box<str>);

impl HeaderName {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

impl Text for HeaderName {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err("such as `x-api-key`".to_owned());
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

/// The name of a header field that tells endpoints about an identity. Requests never bring it in from outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityField(Box<str>);

impl IdentityField {
    /// Fields that mean something to HTTP or to Weir: to strip them would break requests.
    const TAKEN: [&'static str; 24] = [
        "accept",
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "origin",
        "range",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-auth-method",
        "x-auth-scopes",
        "x-auth-subject",
        "x-forwarded-for",
        "x-request-id",
    ];

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for IdentityField {
    const EXPECTED: &'static str = "the name of a header field for endpoints";

    fn from_text(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        if !is_token(&name) {
            return Err("such as `x-user`".to_owned());
        }
        if Self::TAKEN.contains(&name.as_str()) {
            return Err("this one has a meaning of its own".to_owned());
        }
        Ok(Self(name.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

impl Key for IdentityField {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        match Self::from_text(key) {
            Ok(name) => Some(name),
            Err(hint) => {
                cx.error(span, format!("expected {}; {hint}", Self::EXPECTED));
                None
            }
        }
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

/// The name of a cookie: a token (RFC 6265, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CookieName(Box<str>);

impl CookieName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for CookieName {
    const EXPECTED: &'static str = "the name of a cookie";

    fn from_text(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err("at most 64 letters, digits, `-` and `_`".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

/// What people see when they are asked for a credential; also the scheme of `Authorization` in front of a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Realm(Box<str>);

impl Realm {
    /// A realm that is known to be good.
    pub(crate) fn known(realm: &str) -> Self {
        Self(realm.into())
    }

    /// The realm.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for Realm {
    const EXPECTED: &'static str = "a realm: printable ASCII without quotes and backslashes";

    fn from_text(text: &str) -> Result<Self, String> {
        let fits = |b: u8| (b == b' ' || b.is_ascii_graphic()) && !matches!(b, b'"' | b'\\');
        if text.is_empty() || text.len() > 128 || !text.bytes().all(fits) {
            return Err(String::new());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

/// A scheme of `Authorization` (RFC 9110, section 11.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthScheme(Box<str>);

impl AuthScheme {
    /// The scheme.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for AuthScheme {
    const EXPECTED: &'static str = "a scheme of the Authorization field, such as `Bearer`";

    fn from_text(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err(String::new());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

weir_config::text!(
    AuthScheme,
    CookieName,
    HeaderName,
    IdentityField,
    Realm,
    Scope
);

/// The fields and claims of a config as checks want them.
pub(crate) fn pairs(
    headers: &weir_config::Map<ClaimPath, IdentityField>,
) -> Vec<(IdentityField, ClaimPath)> {
    headers
        .iter()
        .map(|(name, path)| (name.value.clone(), path.clone()))
        .collect()
}

/// The claims that are needed and what they must be, as checks want them.
pub(crate) fn wanted(
    claims: &weir_config::Map<OneOrMany<ClaimValue>, ClaimPath>,
) -> Vec<(ClaimPath, Vec<Box<str>>)> {
    claims
        .iter()
        .map(|(path, values)| {
            let values = values.iter().map(|value| value.as_str().into()).collect();
            (path.value.clone(), values)
        })
        .collect()
}
