//! Header fields that a route changes on their way.

use std::collections::HashSet;

use weir_config::{Cx, Key, Map, Node, OneOrMany, Span, Spanned, Text, object};

use super::field::FieldValue;
use crate::codec::FieldId;

object! {
    /// Header fields that are changed on their way: of requests before the service sees them, of answers before the client
    /// does. Fields that belong to the connection or to the body, and those by which Weir tells services about the client,
    /// are Weir's own.
    pub struct TransformConfig {
        /// Those of requests.
        pub request: FieldChanges,
        /// Those of answers, Weir's own too.
        pub response: FieldChanges,
    }
    check TransformConfig::check;
}

object! {
    /// What is changed about fields. Values may hold `{client_ip}`, `{host}`, `{method}`, `{path}`, `{query}`,
    /// `{request_id}`, `{route}`, `{scheme}`, parameters of the route's path, and what authentication found out: `{user}`,
    /// `{plan}`, `{key}`, `{claim.NAME}`. A brace is written twice. A field whose value comes out empty is not sent.
    pub struct FieldChanges {
        /// Fields that are taken out; a name that ends in `*` stands for all that begin so.
        pub remove: Option<OneOrMany<Spanned<RemovedField>>>,
        /// Fields that get another name.
        pub rename: Map<Spanned<ChangedField>, ChangedField> = Map::default(),
        /// Fields that get this value, whatever they had.
        pub set: Map<Spanned<FieldValue>, ChangedField> = Map::default(),
        /// Fields that are added to those that are there.
        pub add: Map<Spanned<FieldValue>, ChangedField> = Map::default(),
    }
}

/// Why a field is not to be changed, and what to do instead.
struct Taboo {
    why: &'static str,
    help: &'static str,
}

impl Taboo {
    const fn new(why: &'static str, help: &'static str) -> Self {
        Self { why, help }
    }

    /// Whether a field of any message is left alone.
    fn anywhere(name: &str) -> Option<Self> {
        use FieldId::{ContentLength, Trailer, TransferEncoding};
        let id = FieldId::of(name.as_bytes());
        if matches!(id, ContentLength | TransferEncoding | Trailer) {
            return Some(Self::new(
                "says where the message ends; a wrong one would let messages be smuggled in",
                "Weir writes it by what it sends",
            ));
        }
        id.is_hop_by_hop().then_some(Self::new(
            "is about one connection, and is never passed on",
            "Weir writes it by what it does",
        ))
    }

    /// Whether this field of requests is left alone.
    fn of_request(name: &str) -> Option<Self> {
        use FieldId::{
            Expect, Forwarded, Host, MaxForwards, Traceparent, Tracestate, Via, XForwardedFor,
            XForwardedHost, XForwardedPort, XForwardedProto, XRequestId,
        };
        Self::anywhere(name).or_else(|| match FieldId::of(name.as_bytes()) {
            Host => Some(Self::new(
                "says which host is meant, so every request has one",
                "`set` it",
            )),
            Expect | MaxForwards => Some(Self::new(
                "is acted upon by Weir",
                "services get it as HTTP wants it",
            )),
            Forwarded | XForwardedFor | XForwardedHost | XForwardedPort | XForwardedProto => {
                Some(Self::new(
                    "tells who the client is, and Weir writes it",
                    "`http.forwarded` of the listener says what services are told",
                ))
            }
            Via => Some(Self::new(
                "is written by Weir",
                "`http.via` of the listener says whether",
            )),
            XRequestId => Some(Self::new(
                "is written by Weir",
                "`http.request_id` of the listener says whether",
            )),
            Traceparent | Tracestate => Some(Self::new(
                "is written by Weir",
                "`http.traceparent` of the listener says whether",
            )),
            _ => None,
        })
    }

    /// Whether this field of answers is left alone.
    fn of_response(name: &str) -> Option<Self> {
        Self::anywhere(name).or_else(|| match FieldId::of(name.as_bytes()) {
            FieldId::Date => Some(Self::new(
                "is in every answer",
                "Weir adds it where the endpoint did not",
            )),
            _ => None,
        })
    }

    fn report(&self, name: &str, span: Span, cx: &mut Cx) {
        cx.error(span, format!("`{name}` {}", self.why))
            .help(self.help);
    }
}

impl TransformConfig {
    fn check(&self, _: &Node, cx: &mut Cx) {
        self.request.check(Taboo::of_request, true, cx);
        self.response.check(Taboo::of_response, false, cx);
    }
}

impl FieldChanges {
    fn check(&self, taboo: fn(&str) -> Option<Taboo>, host_may_be_set: bool, cx: &mut Cx) {
        let mut removed = HashSet::new();
        for field in self.remove.iter().flat_map(|fields| fields.iter()) {
            match taboo(field.as_str()) {
                Some(taboo) if !field.is_prefix() => taboo.report(field.as_str(), field.span, cx),
                _ => _ = removed.insert(field.as_str()),
            }
        }
        let taken = |field: &Spanned<ChangedField>, cx: &mut Cx| {
            if removed.contains(field.as_str()) {
                cx.error(field.span, format!("`{}` is also removed", field.as_str()))
                    .help("`set` alone replaces what was there");
            }
        };
        for (field, value) in &self.set {
            let is_host = FieldId::of(field.as_str().as_bytes()) == FieldId::Host;
            match taboo(field.as_str()) {
                Some(taboo) if !(is_host && host_may_be_set) => {
                    taboo.report(field.as_str(), field.span, cx);
                }
                _ => taken(field, cx),
            }
            check_value(value, cx);
        }
        for (field, value) in &self.add {
            if let Some(taboo) = taboo(field.as_str()) {
                taboo.report(field.as_str(), field.span, cx);
            }
            check_value(value, cx);
        }
        for (from, to) in &self.rename {
            for field in [from, to] {
                match taboo(field.as_str()) {
                    Some(taboo) => taboo.report(field.as_str(), field.span, cx),
                    None => taken(field, cx),
                }
            }
            if self.set.contains(&to.value) || self.set.contains(&from.value) {
                cx.error(to.span, "one of these is also `set`")
                    .help("a field is renamed or set, not both");
            }
        }
    }
}

/// Refuses a value that would not be sent, and warns of one that is probably another program's.
fn check_value(value: &Spanned<FieldValue>, cx: &mut Cx) {
    if value.as_str().is_empty() {
        cx.error(
            value.span,
            "this value is empty, so the field would never be sent",
        )
        .help("to take a field out, list it under `remove`");
    }
    let borrowed = value.as_str().strip_prefix('$');
    if let Some(name) = borrowed.filter(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    }) {
        cx.warning(value.span, format!("`${name}` is sent as it is"))
            .help("what differs from request to request stands in braces, such as '{user}'");
    }
}

/// The name of a field that may be changed: a token (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangedField(Box<str>);

impl ChangedField {
    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_field_name(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-.^_`|~".contains(&byte);
    (1..=256).contains(&text.len()) && text.bytes().all(token)
}

impl Key for ChangedField {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        if !is_field_name(key) {
            cx.error(span, "this is not the name of a header field");
            return None;
        }
        Some(Self(key.to_ascii_lowercase().into()))
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

impl Text for ChangedField {
    const EXPECTED: &'static str = "the name of a header field";

    fn from_text(text: &str) -> Result<Self, String> {
        if !is_field_name(text) {
            return Err(String::new());
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9!#$%&'+.^_`|~-]{1,256}$")
    }
}

/// A field that is taken out, or all whose names begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedField {
    /// In lower case.
    name: Box<str>,
    prefix: bool,
}

impl RemovedField {
    /// The name, or what it begins with, in lower case.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// Whether it stands for all that begin so.
    pub const fn is_prefix(&self) -> bool {
        self.prefix
    }
}

impl Text for RemovedField {
    const EXPECTED: &'static str =
        "the name of a header field, or `x-internal-*` for all that begin so";

    fn from_text(text: &str) -> Result<Self, String> {
        let (name, prefix) = match text.strip_suffix('*') {
            Some(name) => (name, true),
            None => (text, false),
        };
        if !is_field_name(name) {
            return Err(String::new());
        }
        Ok(Self {
            name: name.to_ascii_lowercase().into(),
            prefix,
        })
    }

    fn to_text(&self) -> String {
        format!("{}{}", self.name, if self.prefix { "*" } else { "" })
    }

    fn pattern() -> Option<&'static str> {
        Some("^[A-Za-z0-9!#$%&'+.^_`|~-]{1,256}[*]?$")
    }
}

weir_config::text!(ChangedField, RemovedField);

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<TransformConfig>();
        match cx.finish(config) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    }

    #[test]
    fn what_is_weirs_own_is_refused_with_the_reason() {
        for (text, part) in [
            ("request: { set: { Content-Length: '0' } }", "smuggled"),
            ("response: { remove: transfer-encoding }", "smuggled"),
            ("response: { add: { Connection: close } }", "one connection"),
            ("request: { set: { TE: trailers } }", "one connection"),
            ("request: { remove: Host }", "`set` it"),
            ("request: { add: { Host: a } }", "`set` it"),
            ("request: { rename: { x-host: host } }", "`set` it"),
            (
                "request: { set: { X-Forwarded-For: '{client_ip}' } }",
                "http.forwarded",
            ),
            ("request: { remove: via }", "http.via"),
            ("request: { set: { X-Request-Id: a } }", "http.request_id"),
            (
                "request: { rename: { traceparent: x } }",
                "http.traceparent",
            ),
            ("response: { set: { Date: now } }", "every answer"),
            ("request: { set: { x: 'a' }, remove: [X] }", "also removed"),
            (
                "request: { set: { x: a }, rename: { y: x } }",
                "renamed or set",
            ),
            ("request: { set: { x: '' } }", "under `remove`"),
            ("request: { set: { 'x y': a } }", "not the name"),
            (
                "request: { set: { x: \"a\\nb\" } }",
                "without control characters",
            ),
            ("request: { remove: '*' }", "begin so"),
            ("request: { sett: { x: a } }", "did you mean `set`"),
        ] {
            let problems = problems(text);
            assert!(problems.contains(part), "{text}: {problems}");
        }
    }

    #[test]
    fn what_is_not_weirs_own_may_be_changed() {
        for text in [
            "request: { set: { Host: app.internal, X-Env: prod }, remove: [x-debug, x-internal-*] }",
            "request: { set: { X-Real-Ip: '{client_ip}', X-Forwarded-Prefix: /api } }",
            "request: { remove: [x-forwarded-*, authorization, cookie] }",
            "response: { set: { X-Request-Id: '{request_id}' }, add: { Vary: Cookie }, rename: { X-A: X-B } }",
            "response: { remove: [server, x-powered-by], set: { host: a } }",
            "{}",
        ] {
            assert_eq!(problems(text), "", "{text}");
        }
    }
}
