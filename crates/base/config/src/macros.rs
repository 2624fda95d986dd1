//! Declarations that are struct, parser and schema in one.

/// Declares a mapping: a struct with public fields that reads itself, writes itself and describes itself.
///
/// A field with `= default` may be left out; so may one whose type has an absent value (`Option`, and objects that have
/// only such fields). Doc comments become descriptions in the schema. After the struct may follow, in this order:
/// `one_of { field: Type }` for a choice between keys made by [`one_of!`](crate::one_of); `short key;` if a value that is no
/// mapping stands for `{ key: value }`; `check function;` with a `fn(&Self, &Node, &mut Cx)` that looks at the whole.
///
/// ```
/// use weir_config::{ByteSize, Cx, Duration, object};
///
/// object! {
///     /// How long to wait.
///     pub struct Timeout {
///         /// For the whole exchange.
///         pub total: Option<Duration>,
///         /// For the connection to an endpoint.
///         pub connect: Duration = Duration::from_secs(5),
///     }
///     short total;
/// }
///
/// let mut cx = Cx::from_text("weir.yaml", "total: 250ms", &|_| None);
/// let timeout = cx.decode::<Timeout>();
/// let timeout = cx.finish(timeout)?.value;
/// assert_eq!(timeout.total, Some(Duration::from_millis(250)));
/// assert_eq!(timeout.connect, Duration::from_secs(5));
/// # Ok::<(), weir_config::Diagnostics>(())
/// ```
#[macro_export]
macro_rules! object {
    (
        $(#[doc = $doc:literal])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $field_doc:literal])*
                $field_vis:vis $field:ident : $type:ty $(= $default:expr)?
            ),* $(,)?
        }
        $(one_of {
            $(#[doc = $one_doc:literal])*
            $one_vis:vis $one:ident : $one_type:ty $(,)?
        })?
        $(short $short:ident;)?
        $(check $check:expr;)?
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis struct $name {
            $($(#[doc = $field_doc])* $field_vis $field: $type,)*
            $($(#[doc = $one_doc])* $one_vis $one: $one_type,)?
        }

        impl $crate::Decode for $name {
            const SECRET: bool = false
                $(|| <$type as $crate::Decode>::SECRET)*
                $(|| <$one_type as $crate::OneOf>::SECRET)?;

            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                let shape = $crate::Shape {
                    keys: &[$(stringify!($field)),*],
                    choice: $crate::object!(@keys $($one_type)?),
                    short: $crate::object!(@short $($short)?),
                    secret: <Self as $crate::Decode>::SECRET,
                    may_be_empty: || <Self as $crate::Decode>::absent().is_some(),
                };
                let mut fields = $crate::Fields::of(node, shape, cx)?;
                $(let $field: Option<$type> =
                    $crate::object!(@value fields, cx, $field $(, $default)?);)*
                $(let $one: Option<$one_type> = fields.one_of(cx);)?
                #[allow(unused_variables, reason = "only some objects check themselves")]
                let plain = fields.finish(cx);
                let value = Self { $($field: $field?,)* $($one: $one?,)? };
                $({
                    let check: fn(&Self, &$crate::Node, &mut $crate::Cx) = $check;
                    if plain {
                        check(&value, node, cx);
                    }
                })?
                Some(value)
            }

            fn absent() -> Option<Self> {
                $crate::object!(@choice [$($one)?] Some(Self {
                    $($field: $crate::object!(@absent $type $(, $default)?)?,)*
                }))
            }

            fn to_json(&self) -> $crate::Json {
                let mut json = $crate::JsonMap::new();
                $($crate::put(
                    &mut json,
                    stringify!($field),
                    <$type as $crate::Decode>::to_json(&self.$field),
                );)*
                $({
                    let (key, value) = $crate::OneOf::entry_json(&self.$one);
                    $crate::put(&mut json, key, value);
                })?
                $crate::Json::Object(json)
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.define::<Self>(stringify!($name), |schemas| {
                    let mut object = $crate::ObjectSchema::default();
                    $(object.property::<$type>(
                        stringify!($field),
                        concat!($($field_doc, "\n"),*),
                        $crate::object!(@default $($default)?),
                        schemas,
                    );)*
                    $(object.one_of::<$one_type>(schemas);)?
                    let short: Option<&str> = $crate::object!(@short $($short)?);
                    object.build(concat!($($doc, "\n"),*), short)
                })
            }
        }
    };
    (@keys) => { &[] };
    (@keys $one_type:ty) => { <$one_type as $crate::OneOf>::KEYS };
    (@short) => { None };
    (@short $short:ident) => { Some(stringify!($short)) };
    (@value $fields:ident, $cx:ident, $field:ident) => {
        $fields.value(stringify!($field), $cx)
    };
    (@value $fields:ident, $cx:ident, $field:ident, $default:expr) => {
        $fields.value_or(stringify!($field), $cx, || $default)
    };
    (@absent $type:ty) => { <$type as $crate::Decode>::absent() };
    (@absent $type:ty, $default:expr) => { Some($default) };
    // An object with a choice between keys is never absent.
    (@choice [] $absent:expr) => { $absent };
    (@choice [$one:ident] $absent:expr) => { None };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}

/// Declares a choice between words.
///
/// ```
/// weir_config::choice! {
///     /// How an endpoint is chosen.
///     pub enum Balance {
///         /// The less loaded of two at random.
///         P2c = "p2c",
///         /// In turn.
///         RoundRobin = "round_robin",
///     }
/// }
/// assert_eq!(Balance::RoundRobin.as_str(), "round_robin");
/// ```
#[macro_export]
macro_rules! choice {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $word_doc:literal])*
                $variant:ident = $word:literal
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $vis enum $name {
            $($(#[doc = $word_doc])* $variant,)*
        }

        impl $name {
            /// The word that stands in the config.
            $vis const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl $crate::Decode for $name {
            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                $crate::decode_word(node, &[$(($word, Self::$variant)),*], cx)
            }

            fn to_json(&self) -> $crate::Json {
                $crate::Json::from(self.as_str())
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.define::<Self>(stringify!($name), |schemas| {
                    let words = [$(($word, concat!($($word_doc, "\n"),*))),*];
                    $crate::words_schema(concat!($($doc, "\n"),*), &words, schemas)
                })
            }
        }
    };
}

/// Declares a choice between keys: `{ http: ... }` or `{ tcp: ... }`. It can be a value of its own, or the `one_of` of an
/// [`object!`](crate::object), whose keys then stand beside the chosen one.
///
/// ```
/// weir_config::one_of! {
///     /// How health is checked.
///     pub enum Probe {
///         /// By a request for this path.
///         http => Http(String),
///         /// By a connection to this port.
///         port => Port(u16),
///     }
/// }
/// ```
#[macro_export]
macro_rules! one_of {
    (
        $(#[doc = $doc:literal])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $key_doc:literal])*
                $key:ident => $variant:ident($type:ty)
            ),* $(,)?
        }
    ) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($(#[doc = $key_doc])* $variant($type),)*
        }

        impl $crate::OneOf for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];
            const SECRET: bool = false $(|| <$type as $crate::Decode>::SECRET)*;

            fn decode_key(key: &str, node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                match key {
                    $(stringify!($key) => {
                        <$type as $crate::Decode>::decode(node, cx).map(Self::$variant)
                    })*
                    _ => None,
                }
            }

            fn entry_json(&self) -> (&'static str, $crate::Json) {
                match self {
                    $(Self::$variant(value) => {
                        (stringify!($key), <$type as $crate::Decode>::to_json(value))
                    })*
                }
            }

            fn properties(schemas: &mut $crate::Schemas) -> Vec<(&'static str, $crate::Json)> {
                vec![$((
                    stringify!($key),
                    $crate::described(
                        <$type as $crate::Decode>::schema(schemas),
                        concat!($($key_doc, "\n"),*),
                    ),
                )),*]
            }
        }

        impl $crate::Decode for $name {
            const SECRET: bool = <Self as $crate::OneOf>::SECRET;

            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                let shape = $crate::Shape {
                    keys: &[],
                    choice: <Self as $crate::OneOf>::KEYS,
                    short: None,
                    secret: <Self as $crate::OneOf>::SECRET,
                    may_be_empty: || false,
                };
                let mut fields = $crate::Fields::of(node, shape, cx)?;
                let value = fields.one_of(cx);
                let _plain = fields.finish(cx);
                value
            }

            fn to_json(&self) -> $crate::Json {
                let mut json = $crate::JsonMap::new();
                let (key, value) = $crate::OneOf::entry_json(self);
                $crate::put(&mut json, key, value);
                $crate::Json::Object(json)
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.define::<Self>(stringify!($name), |schemas| {
                    let mut object = $crate::ObjectSchema::default();
                    object.one_of::<Self>(schemas);
                    object.build(concat!($($doc, "\n"),*), None)
                })
            }
        }
    };
}

/// Makes types that are written as one string ([`Text`](crate::Text)) values of a config.
#[macro_export]
macro_rules! text {
    ($($name:ty),* $(,)?) => {$(
        impl $crate::Decode for $name {
            fn decode(node: &$crate::Node, cx: &mut $crate::Cx) -> Option<Self> {
                $crate::decode_text(node, cx)
            }

            fn to_json(&self) -> $crate::Json {
                $crate::Json::from($crate::Text::to_text(self))
            }

            fn schema(schemas: &mut $crate::Schemas) -> $crate::Json {
                schemas.define::<Self>($crate::short_name::<Self>(), |_| {
                    $crate::described(
                        $crate::text_schema::<Self>(),
                        <Self as $crate::Text>::EXPECTED,
                    )
                })
            }
        }
    )*};
}
