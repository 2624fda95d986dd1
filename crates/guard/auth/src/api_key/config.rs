//! What the user says about API keys.

use weir_config::{
    Cx, Decode, FilePath, Json, JsonMap, Map, Node, Schemas, Spanned, Text, Value, object,
};

use super::entry::KeyEntry;
use crate::claims::ClaimPath;
use crate::config::{AuthScheme, HeaderName, IdentityField, Realm};

object! {
    /// API keys that Weir knows. `weir key new` makes them.
    pub struct ApiKeyConfig {
        /// The header field that holds a key; `x-api-key`, unless keys come in another way.
        pub header: Option<HeaderName>,
        /// Keys may come in `Authorization`, behind this scheme, such as `Bearer`.
        pub scheme: Option<AuthScheme>,
        /// Keys may come in this parameter of the query. What stands there gets into logs and histories: for clients that
        /// can do nothing else.
        pub query: Option<ParameterName>,
        /// The keys: `file:keys.yaml`, which may change at any time, or a list.
        pub keys: Spanned<KeysConfig>,
        /// Fields that tell endpoints more, with the metadata that they hold: `x-team: team`. What cannot be told as it is
        /// or is longer than 8 KiB is not told, which is an event.
        pub headers: Map<ClaimPath, IdentityField> = Map::default(),
        /// Whether endpoints see no keys.
        pub hide: bool = true,
        /// What clients are told that the key is for.
        pub realm: Realm = Realm::known("weir"),
    }
}

impl ApiKeyConfig {
    /// Where keys are looked for unless the config says otherwise.
    pub(super) const HEADER: &str = "x-api-key";
}

/// Keys in a file or in the config itself.
#[derive(Clone, Debug, PartialEq)]
pub enum KeysConfig {
    /// `file:keys.yaml`
    File(FilePath),
    /// A list.
    List(Vec<Spanned<KeyEntry>>),
}

impl KeysConfig {
    const FILE: &str = "file:";
}

impl Decode for KeysConfig {
    const SECRET: bool = <KeyEntry as Decode>::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        if let Value::Scalar(scalar) = &node.value {
            let Some(path) = scalar
                .text
                .strip_prefix(Self::FILE)
                .filter(|path| !path.is_empty())
            else {
                cx.mismatch(
                    node,
                    "`file:` with the path of a file of keys, or a list of keys",
                );
                return None;
            };
            let written = FilePath::from(path);
            let path = cx.sources().resolve(node.span, written.path());
            return Some(Self::File(FilePath::from(path)));
        }
        Vec::decode(node, cx).map(Self::List)
    }

    fn to_json(&self) -> Json {
        match self {
            Self::File(path) => Json::from(format!("{}{}", Self::FILE, path.written())),
            Self::List(keys) => keys.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let mut file = JsonMap::new();
        file.insert("type".to_owned(), Json::from("string"));
        file.insert("pattern".to_owned(), Json::from("^file:.+|\\$\\{"));
        let forms = [Json::Object(file), Vec::<KeyEntry>::schema(schemas)];
        let mut schema = JsonMap::new();
        schema.insert("anyOf".to_owned(), forms.into_iter().collect());
        Json::Object(schema)
    }
}

/// The name of a parameter of the query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParameterName(Box<str>);

impl ParameterName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for ParameterName {
    const EXPECTED: &'static str = "the name of a parameter of the query, such as `api_key`";

    fn from_text(text: &str) -> Result<Self, String> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'~');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            return Err("letters, digits, `_`, `-`, `.` and `~`".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9_.~-]{1,64}$")
    }
}

weir_config::text!(ParameterName);
