//! What the user says about who may come in.

use weir_config::{
    Cidr, Cx, Decode, Json, Map, Name, Node, OneOrMany, Rate, Schemas, Spanned, Text, Value,
    Within, object, one_of,
};

use crate::geo::Country;

object! {
    /// Who may connect to any listener, decided before a byte is read. An address in `deny` is denied whatever `allow`
    /// says; if there is an `allow`, everybody else is denied.
    pub struct FirewallConfig {
        /// Who may not connect: addresses and ranges, `country:CH`, `asn:64500`, `file:deny.txt`.
        pub deny: Several<Entry> = Several::default(),
        /// Who may; without it, everybody.
        pub allow: Several<Entry> = Several::default(),
        /// Open connections from one client, which is an IPv4 address or an IPv6 network of 64 bits. Raise it when
        /// clients come through a proxy.
        pub connections_per_ip: Within<1, 16_777_216> = Within::new(4096),
        /// New connections from one client: so many at once, and after that at this rate. By default any number. Behind
        /// a proxy that does not speak the PROXY protocol, the proxy is the one client.
        pub connection_rate_per_ip: Option<Spanned<Rate>>,
        /// Databases in MaxMind's format that tell the country or the network (ASN) of an address. They are read again
        /// when they change.
        pub geo: Several<GeoFile> = Several::default(),
        /// Count who would be denied by `deny` and `allow` here, but deny nobody.
        pub dry_run: bool = false,
    }
    check FirewallConfig::check;
}

object! {
    /// Who may come in at a listener or take a route, and with what requests. An address in `deny` is denied whatever
    /// `allow` says; if there is an `allow`, everybody else is denied; then the rules are asked.
    pub struct FirewallPolicyConfig {
        /// Who may not: addresses and ranges, `country:CH`, `asn:64500`, `file:deny.txt`.
        pub deny: Several<Entry> = Several::default(),
        /// Who may; without it, everybody.
        pub allow: Several<Entry> = Several::default(),
        /// What is asked of each request, in this order; the first that matches decides, and without one it may pass.
        pub rules: Vec<Spanned<RuleConfig>> = Vec::new(),
        /// Count what would be denied here, but deny nothing.
        pub dry_run: bool = false,
    }
}

object! {
    /// A rule on requests.
    pub struct RuleConfig {
        /// What logs and metrics call it; by default `rule-1` and so on.
        pub name: Option<Name>,
        /// Count what this rule would deny, but let it pass.
        pub dry_run: bool = false,
    }
    one_of {
        /// What becomes of requests that match.
        pub action: RuleAction
    }
}

one_of! {
    /// What becomes of requests that match a rule.
    pub enum RuleAction {
        /// They are denied.
        deny => Deny(MatchConfig),
        /// They pass this list of rules.
        allow => Allow(MatchConfig),
    }
}

object! {
    /// What requests a rule is about: those that match everything that is said here. In short form, the path. Patterns
    /// are complete values, beginnings with a `*` at the end (`*` alone is any value), or regular expressions after `~`.
    pub struct MatchConfig {
        /// Paths, any one of them: `/a/b`, `/a/*`, `~^/a/\d+$`. They are compared in normal form, and also decoded.
        pub path: Option<OneOrMany<Spanned<String>>>,
        /// Methods, any one of them.
        pub methods: Option<OneOrMany<Spanned<String>>>,
        /// Header fields that must all be there.
        pub headers: Map<Spanned<String>, String> = Map::default(),
        /// The query: a pattern for all of it, as it was sent or decoded, or patterns for some of its parameters.
        pub query: Option<QueryConfig>,
        /// Who sends it, written like `deny`.
        pub from: Several<Entry> = Several::default(),
    }
    short path;
}

/// What a rule says about the query of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryConfig {
    /// A pattern for all of it.
    Whole(Spanned<String>),
    /// Patterns for parameters, which must all be there.
    Parameters(Map<Spanned<String>, String>),
}

impl Decode for QueryConfig {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        match &node.value {
            Value::Map(_) => Map::decode(node, cx).map(Self::Parameters),
            _ => Spanned::decode(node, cx).map(Self::Whole),
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Self::Whole(pattern) => pattern.to_json(),
            Self::Parameters(patterns) => patterns.to_json(),
        }
    }

    fn schema(schemas: &mut Schemas) -> Json {
        any_of([
            String::schema(schemas),
            Map::<Spanned<String>, String>::schema(schemas),
        ])
    }
}

/// One value or a list, which may be empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Several<T>(Vec<Spanned<T>>);

impl<T> Default for Several<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> std::ops::Deref for Several<T> {
    type Target = [Spanned<T>];

    fn deref(&self) -> &[Spanned<T>] {
        &self.0
    }
}

impl<T: Decode> Decode for Several<T> {
    const SECRET: bool = T::SECRET;

    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let one = match &node.value {
            Value::Scalar(scalar) => !matches!(&*scalar.text, "" | "~" | "null"),
            _ => false,
        };
        if one {
            return Spanned::decode(node, cx).map(|value| Self(vec![value]));
        }
        Vec::decode(node, cx).map(Self)
    }

    fn to_json(&self) -> Json {
        self.0.to_json()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        any_of([T::schema(schemas), Vec::<Spanned<T>>::schema(schemas)])
    }
}

fn any_of(schemas: [Json; 2]) -> Json {
    let mut json = weir_config::JsonMap::new();
    json.insert("anyOf".to_owned(), schemas.into_iter().collect());
    Json::Object(json)
}

/// Some clients: by address, by country, by network, or by a list of addresses in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An address or a range.
    Address(Cidr),
    /// All addresses of a country.
    Country(Country),
    /// All addresses of a network, by its number.
    Asn(u32),
    /// The addresses and ranges in a file, one a line; the path as it is written.
    File(Box<str>),
}

impl Text for Entry {
    const EXPECTED: &'static str =
        "an address, a range such as `10.0.0.0/8`, `country:CH`, `asn:64500` or `file:deny.txt`";

    fn from_text(text: &str) -> Result<Self, String> {
        if let Some(country) = text.strip_prefix("country:") {
            return Country::parse(country).map(Self::Country).ok_or_else(|| {
                "a country is two letters of ISO 3166, such as `country:CH`".to_owned()
            });
        }
        if let Some(asn) = text.strip_prefix("asn:") {
            let number = asn.strip_prefix("AS").unwrap_or(asn);
            let digits = number.bytes().all(|b| b.is_ascii_digit());
            return match number.parse() {
                Ok(asn) if digits => Ok(Self::Asn(asn)),
                _ => Err("a network is written by its number, such as `asn:64500`".to_owned()),
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() {
                Err("the path of the file is missing".to_owned())
            } else {
                Ok(Self::File(path.into()))
            };
        }
        Cidr::from_text(text).map(Self::Address)
    }

    fn to_text(&self) -> String {
        match self {
            Self::Address(prefix) => prefix.to_text(),
            Self::Country(country) => format!("country:{country}"),
            Self::Asn(asn) => format!("asn:{asn}"),
            Self::File(path) => format!("file:{path}"),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some("^([0-9a-fA-F:.]+(/[0-9]{1,3})?|country:[A-Za-z]{2}|asn:(AS)?[0-9]{1,10}|file:.+)$")
    }
}

weir_config::text!(Entry);

/// The path of a database, with or without `file:` before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeoFile(Box<str>);

impl GeoFile {
    /// The path as it is written.
    #[must_use]
    pub fn written(&self) -> &str {
        &self.0
    }
}

impl Text for GeoFile {
    const EXPECTED: &'static str = "the path of a database, such as `file:country.mmdb`";

    fn from_text(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:").unwrap_or(text) {
            "" => Err(String::new()),
            path => Ok(Self(path.into())),
        }
    }

    fn to_text(&self) -> String {
        format!("file:{}", self.0)
    }
}

weir_config::text!(GeoFile);

impl Default for FirewallConfig {
    fn default() -> Self {
        Self {
            deny: Several::default(),
            allow: Several::default(),
            connections_per_ip: Within::new(4096),
            connection_rate_per_ip: None,
            geo: Several::default(),
            dry_run: false,
        }
    }
}

impl FirewallConfig {
    fn check(&self, _: &Node, cx: &mut Cx) {
        const MOST: u64 = 1_000_000;
        const LONGEST: u64 = 24 * 3600;
        if let Some(rate) = &self.connection_rate_per_ip {
            let per = rate.per();
            if rate.count() > MOST || per.as_secs() > LONGEST {
                cx.error(rate.span, format!("`{rate}` is out of bounds"))
                    .expected(format!("at most {MOST} in at most a day"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
