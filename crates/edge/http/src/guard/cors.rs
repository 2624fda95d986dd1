//! Which pages of other origins may use a route: CORS, as the Fetch standard has it.
//!
//! Weir decides, so the endpoint's own `Access-Control-*` fields are taken out of its answers. An origin is repeated only
//! if it is listed, and every answer that depends on it says so (`Vary: Origin`), refused ones too, so that no cache hands
//! one origin's answer to another. Questions that browsers ask first (preflights) are answered here and reach no endpoint;
//! they carry no credentials, so nobody can be asked for any.

use weir_config::Cx;

use crate::{
    codec::{FieldId, Fields, Method, RequestHead, encode},
    config::{CorsConfig, OriginConfig, PortConfig, Token, origin_regex},
    exchange::{Exchange, Next, forward, reply},
    local::Local,
    plan::ListenerPlan,
    server::Client,
};

/// The longest origin that is looked at: a scheme, a name of 253 bytes, a port.
const LONGEST: usize = 320;
/// Every field that a policy writes begins so.
const PREFIX: &[u8] = b"access-control-";

/// A route's policy.
#[derive(Debug)]
pub(crate) struct CorsPlan {
    origins: Origins,
    /// `None`: what the preflight asks for.
    methods: Option<Box<[Box<str>]>>,
    headers: Option<Box<[Box<str>]>>,
    private_network: bool,
    /// Lines of every answer to a listed origin.
    actual: Vec<u8>,
    /// Lines of every answer to a listed origin's preflight.
    preflight: Vec<u8>,
}

#[derive(Debug)]
enum Origins {
    Any,
    These {
        null: bool,
        exact: Vec<Box<[u8]>>,
        below: Vec<Below>,
        regexes: Vec<regex_automata::meta::Regex>,
    },
}

#[derive(Debug)]
struct Below {
    scheme: Box<[u8]>,
    /// With the dot before it.
    parent: Box<[u8]>,
    port: PortConfig,
}

/// What came of a preflight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preflight {
    /// The request may be made.
    Granted,
    /// It may not; the word says why.
    Refused(&'static str),
}

/// The method that a preflight is about; `None` if the request is none (Fetch, 3.2.2). The route that answers is the one
/// that would take a request with this method.
#[inline]
pub(crate) fn asked_method(request: &RequestHead) -> Option<&[u8]> {
    if request.method() != Method::Options {
        return None;
    }
    let fields = request.fields();
    fields.first(FieldId::Origin)?;
    let mut asked = fields.all_by_name(b"access-control-request-method");
    let method = asked.next()?;
    (asked.next().is_none() && is_token(method)).then_some(method)
}

impl CorsPlan {
    /// Compiles a policy. Every problem goes to `cx`; `None` if there was any.
    pub(crate) fn compile(config: &CorsConfig, cx: &mut Cx) -> Option<Self> {
        let mut good = true;
        let (mut null, mut any) = (false, false);
        let (mut exact, mut below, mut regexes) = (Vec::new(), Vec::new(), Vec::new());
        for origin in config.origins.iter() {
            match &origin.value {
                OriginConfig::Any => any = true,
                OriginConfig::Null => null = true,
                OriginConfig::Exact(origin) => exact.push(origin.as_bytes().into()),
                OriginConfig::Below {
                    scheme,
                    parent,
                    port,
                } => below.push(Below {
                    scheme: scheme.as_bytes().into(),
                    parent: format!(".{parent}").into_bytes().into(),
                    port: port.clone(),
                }),
                OriginConfig::Regex(text) => match origin_regex(text) {
                    Ok(regex) => regexes.push(regex),
                    Err(problem) => {
                        good = false;
                        cx.error(origin.span, problem);
                    }
                },
            }
        }
        let list = |list: &Option<weir_config::OneOrMany<weir_config::Spanned<Token>>>| {
            let tokens: Vec<Box<str>> = list
                .as_ref()?
                .iter()
                .map(|token| token.as_str().into())
                .collect();
            (!tokens.iter().any(|token| **token == *"*")).then(|| tokens.into_boxed_slice())
        };
        let (methods, headers) = (list(&config.methods), list(&config.headers));

        let (mut actual, mut preflight) = (Vec::new(), Vec::new());
        if config.credentials {
            for lines in [&mut actual, &mut preflight] {
                encode::field(lines, b"Access-Control-Allow-Credentials", b"true");
            }
        }
        if let Some(expose) = &config.expose {
            let names: Vec<&str> = expose.iter().map(|token| token.as_str()).collect();
            let names = names.join(", ");
            encode::field(
                &mut actual,
                b"Access-Control-Expose-Headers",
                names.as_bytes(),
            );
        }
        for (name, list) in [
            (&b"Access-Control-Allow-Methods"[..], &methods),
            (b"Access-Control-Allow-Headers", &headers),
        ] {
            if let Some(list) = list {
                encode::field(&mut preflight, name, list.join(", ").as_bytes());
            }
        }
        encode::number_field(
            &mut preflight,
            b"Access-Control-Max-Age",
            config.max_age.get().as_secs(),
        );
        good.then(|| Self {
            origins: if any {
                Origins::Any
            } else {
                Origins::These {
                    null,
                    exact,
                    below,
                    regexes,
                }
            },
            methods,
            headers,
            private_network: config.private_network,
            actual,
            preflight,
        })
    }

    /// Whether an answer's line of this name is left out.
    #[inline]
    pub(crate) fn drops(&self, id: FieldId, name: &[u8]) -> bool {
        id == FieldId::Other
            && name
                .get(..PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
    }

    /// Writes the lines of an answer to `request`. `answer` are the fields of the endpoint's that pass, if it is one.
    pub(crate) fn write(&self, out: &mut Vec<u8>, request: &Fields, answer: Option<&Fields>) {
        if !self.is_for_all() && !answer.is_some_and(varies_by_origin) {
            encode::field(out, b"Vary", b"Origin");
        }
        if self.write_origin(out, request) {
            out.extend_from_slice(&self.actual);
        }
    }

    /// Writes the lines of an answer to a preflight.
    pub(crate) fn write_preflight(&self, out: &mut Vec<u8>, request: &Fields) -> Preflight {
        out.extend_from_slice(
            b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
        );
        if self.private_network {
            out.extend_from_slice(b", Access-Control-Request-Private-Network");
        }
        out.extend_from_slice(b"\r\n");
        if !self.write_origin(out, request) {
            return Preflight::Refused("cors_origin");
        }
        out.extend_from_slice(&self.preflight);
        // From here on the browser refuses what is not listed, and tells its user what that was.
        let mut refused = None;
        let method = request
            .by_name(b"access-control-request-method")
            .unwrap_or_default();
        match &self.methods {
            None => encode::field(out, b"Access-Control-Allow-Methods", method),
            Some(list) => {
                let simple = [&b"GET"[..], b"HEAD", b"POST"].contains(&method);
                if !simple && !list.iter().any(|known| known.as_bytes() == method) {
                    refused = Some("cors_method");
                }
            }
        }
        let asked = request.all_by_name(b"access-control-request-headers");
        match &self.headers {
            None => {
                for names in asked {
                    // What is repeated must be what it says it is.
                    if names_of(names).all(is_token) && names_of(names).next().is_some() {
                        encode::field(out, b"Access-Control-Allow-Headers", names);
                    }
                }
            }
            Some(list) => {
                let is_listed = |name: &[u8]| {
                    list.iter()
                        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
                };
                let mut asked = asked.flat_map(names_of);
                if !asked.all(is_listed) {
                    refused = refused.or(Some("cors_header"));
                }
            }
        }
        let private = request.by_name(b"access-control-request-private-network");
        if self.private_network && private == Some(b"true") {
            encode::field(out, b"Access-Control-Allow-Private-Network", b"true");
        }
        refused.map_or(Preflight::Granted, Preflight::Refused)
    }

    /// Whether every origin gets the same answer.
    fn is_for_all(&self) -> bool {
        matches!(self.origins, Origins::Any)
    }

    /// Writes who may read the answer. False if the one who asks may not.
    fn write_origin(&self, out: &mut Vec<u8>, request: &Fields) -> bool {
        let Origins::These { .. } = self.origins else {
            encode::field(out, b"Access-Control-Allow-Origin", b"*");
            return true;
        };
        let mut origins = request.all(FieldId::Origin);
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        let listed = self.lists(origin);
        if listed {
            encode::field(out, b"Access-Control-Allow-Origin", origin);
        }
        listed
    }

    /// Whether this origin may read answers.
    fn lists(&self, origin: &[u8]) -> bool {
        let Origins::These {
            null,
            exact,
            below,
            regexes,
        } = &self.origins
        else {
            return true;
        };
        if origin.len() > LONGEST {
            return false;
        }
        if origin == b"null" {
            return *null;
        }
        exact.iter().any(|known| **known == *origin)
            || below.iter().any(|below| below.matches(origin))
            || regexes.iter().any(|regex| regex.is_match(origin))
    }
}

impl Below {
    fn matches(&self, origin: &[u8]) -> bool {
        let Some(rest) = origin.strip_prefix(&*self.scheme) else {
            return false;
        };
        let host = match &self.port {
            PortConfig::Default => Some(rest),
            PortConfig::Is(port) => rest
                .strip_suffix(port.as_bytes())
                .and_then(|rest| rest.strip_suffix(b":")),
            PortConfig::Any => Some(match rest.iter().position(|byte| *byte == b':') {
                Some(colon) if rest[colon + 1..].iter().all(u8::is_ascii_digit) => &rest[..colon],
                _ => rest,
            }),
        };
        host.and_then(|host| host.strip_suffix(&*self.parent))
            .is_some_and(|labels| labels.split(|byte| *byte == b'.').all(is_label))
    }
}

/// Whether nothing but a label of a host name could be meant.
fn is_label(label: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.iter().all(fits)
}

/// Whether an answer says that it depends on the origin.
fn varies_by_origin(answer: &Fields) -> bool {
    let mut names = answer.all(FieldId::Vary).flat_map(names_of);
    names.any(|name| name == b"*" || name.eq_ignore_ascii_case(b"origin"))
}

/// The names in a list (RFC 9110, 5.6.1).
fn names_of(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

fn is_token(name: &[u8]) -> bool {
    let token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !name.is_empty() && name.iter().all(token)
}

/// Answers a preflight.
pub(crate) async fn preflight(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    plan: &CorsPlan,
) -> Next {
    let keep = reply::may_keep(local, client, exchange, listener);
    exchange.status = 204;
    let version = client.version;
    let stage = client.wire.stage();
    encode::status_line(stage, 204, encode::reason_phrase(204).as_bytes());
    if let Preflight::Refused(rule) = plan.write_preflight(stage, exchange.request.fields()) {
        exchange.rule = rule;
    }
    local.write_date(stage);
    forward::connection_field(stage, version, keep);
    encode::end_of_head(stage);
    reply::send(local, client, exchange, listener, keep).await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(text: &str) -> CorsPlan {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<CorsConfig>();
        let config = cx.finish(config).expect(text).value;
        let mut cx = Cx::from_text("weir.yaml", "", &|_| None);
        CorsPlan::compile(&config, &mut cx).expect(text)
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn answered(plan: &CorsPlan, request: &[(&str, &str)], answer: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        plan.write(&mut out, &fields(request), Some(&fields(answer)));
        String::from_utf8(out).expect("text")
    }

    fn asked(plan: &CorsPlan, request: &[(&str, &str)]) -> (String, Preflight) {
        let mut out = Vec::new();
        let granted = plan.write_preflight(&mut out, &fields(request));
        (String::from_utf8(out).expect("text"), granted)
    }

    const APP: &str = "https://app.example.com";

    #[test]
    fn listed_origins_may_read_and_others_may_not() {
        let listed = plan(
            "[ 'https://app.example.com', 'https://*.shop.example', 'https://*.dev.example:8443', 'http://*.test:*', '~https://pr-[0-9]+[.]example', 'http://localhost:*' ]",
        );
        for (origin, expected) in [
            (APP, true),
            ("https://app.example.com.evil.example", false),
            ("https://evil-app.example.com", false),
            ("http://app.example.com", false),
            ("https://app.example.com:8443", false),
            ("HTTPS://APP.EXAMPLE.COM", false),
            ("https://a.shop.example", true),
            ("https://a.b.shop.example", true),
            ("https://shop.example", false),
            ("https://.shop.example", false),
            ("https://a..shop.example", false),
            ("https://evilshop.example", false),
            ("https://evil.example/.shop.example", false),
            ("https://evil.example?.shop.example", false),
            ("https://evil@.shop.example", false),
            ("https://a.shop.example:8443", false),
            ("https://a.dev.example:8443", true),
            ("https://a.dev.example", false),
            ("https://a.dev.example:18443", false),
            ("http://a.test", true),
            ("http://a.test:1", true),
            ("http://a.test:1:2", false),
            ("http://a.test:x", false),
            ("https://pr-17.example", true),
            ("https://pr-17.example.evil", false),
            ("evil https://pr-17.example", false),
            ("http://localhost:3000", true),
            ("http://localhost", true),
            ("http://localhost:3000.evil", false),
            ("null", false),
            ("", false),
            ("*", false),
        ] {
            let answer = answered(&listed, &[("Origin", origin)], &[]);
            let expected = if expected {
                format!("Vary: Origin\r\nAccess-Control-Allow-Origin: {origin}\r\n")
            } else {
                "Vary: Origin\r\n".to_owned()
            };
            assert_eq!(answer, expected, "{origin}");
        }
        let long = format!("https://{}.shop.example", "a".repeat(400));
        assert_eq!(
            answered(&listed, &[("Origin", &long)], &[]),
            "Vary: Origin\r\n"
        );
    }

    #[test]
    fn no_origin_and_two_origins_are_none() {
        let plan = plan(&format!("'{APP}'"));
        assert_eq!(answered(&plan, &[], &[]), "Vary: Origin\r\n");
        let two = [("Origin", APP), ("Origin", APP)];
        assert_eq!(answered(&plan, &two, &[]), "Vary: Origin\r\n");
    }

    #[test]
    fn null_is_an_origin_only_if_it_is_listed() {
        let listed = plan("[ 'null' ]");
        assert!(answered(&listed, &[("Origin", "null")], &[]).contains("Allow-Origin: null"));
        let regex = plan("[ '~.*' ]");
        assert!(!answered(&regex, &[("Origin", "null")], &[]).contains("Allow"));
    }

    #[test]
    fn any_origin_gets_the_same_answer() {
        let plan = plan("{ origins: '*', expose: [x-total, etag] }");
        let expected =
            "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: x-total, etag\r\n";
        for origin in [&[][..], &[("Origin", APP)], &[("Origin", "null")]] {
            assert_eq!(answered(&plan, origin, &[]), expected);
        }
    }

    #[test]
    fn vary_is_said_once() {
        let plan = plan(&format!("'{APP}'"));
        for (vary, added) in [
            ("Accept-Encoding", true),
            ("accept, ORIGIN", false),
            ("*", false),
            ("Original", true),
            ("", true),
        ] {
            let answer = answered(&plan, &[], &[("Vary", vary)]);
            assert_eq!(!answer.is_empty(), added, "{vary}");
        }
    }

    #[test]
    fn what_the_endpoint_says_is_taken_out() {
        let plan = plan("'*'");
        for (name, drops) in [
            ("Access-Control-Allow-Origin", true),
            ("access-control-expose-headers", true),
            ("ACCESS-CONTROL-ANYTHING", true),
            ("access-control", false),
            ("x-access-control-allow-origin", false),
        ] {
            assert_eq!(
                plan.drops(FieldId::of(name.as_bytes()), name.as_bytes()),
                drops,
                "{name}"
            );
        }
    }

    #[test]
    fn credentials_are_allowed_to_listed_origins_alone() {
        let plan = plan(&format!("{{ origins: '{APP}', credentials: true }}"));
        assert_eq!(
            answered(&plan, &[("Origin", APP)], &[]),
            format!(
                "Vary: Origin\r\nAccess-Control-Allow-Origin: {APP}\r\nAccess-Control-Allow-Credentials: true\r\n"
            )
        );
        assert_eq!(
            answered(&plan, &[("Origin", "https://evil.example")], &[]),
            "Vary: Origin\r\n"
        );
    }

    #[test]
    fn a_preflight_learns_what_is_allowed() {
        let listed = plan(&format!(
            "{{ origins: '{APP}', methods: [GET, PUT], headers: [Content-Type, X-A], credentials: true, max_age: 1h, expose: x-b }}"
        ));
        let (lines, granted) = asked(
            &listed,
            &[
                ("Origin", APP),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Headers", "content-type,x-a"),
            ],
        );
        assert_eq!(granted, Preflight::Granted);
        assert_eq!(
            lines,
            format!(
                "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\nAccess-Control-Allow-Origin: {APP}\r\n\
                 Access-Control-Allow-Credentials: true\r\nAccess-Control-Allow-Methods: GET, PUT\r\n\
                 Access-Control-Allow-Headers: Content-Type, X-A\r\nAccess-Control-Max-Age: 3600\r\n"
            )
        );
        for (method, headers, word) in [
            ("DELETE", "x-a", "cors_method"),
            ("put", "x-a", "cors_method"),
            ("PUT", "x-a, x-c", "cors_header"),
        ] {
            let (lines, granted) = asked(
                &listed,
                &[
                    ("Origin", APP),
                    ("Access-Control-Request-Method", method),
                    ("Access-Control-Request-Headers", headers),
                ],
            );
            assert_eq!(granted, Preflight::Refused(word), "{method} {headers}");
            assert!(!lines.contains("DELETE") && !lines.contains("x-c"));
        }
    }

    #[test]
    fn without_a_list_what_is_asked_for_is_allowed() {
        let open = plan(&format!("{{ origins: '{APP}', headers: '*' }}"));
        let (lines, granted) = asked(
            &open,
            &[
                ("Origin", APP),
                ("Access-Control-Request-Method", "PATCH"),
                ("Access-Control-Request-Headers", "x-a, x-b"),
            ],
        );
        assert_eq!(granted, Preflight::Granted);
        assert!(lines.contains("Access-Control-Allow-Methods: PATCH\r\n"));
        assert!(lines.contains("Access-Control-Allow-Headers: x-a, x-b\r\n"));
        let (lines, _) = asked(
            &open,
            &[
                ("Origin", APP),
                ("Access-Control-Request-Method", "PATCH"),
                ("Access-Control-Request-Headers", "x-a, <script>"),
            ],
        );
        assert!(!lines.contains("script"));
    }

    #[test]
    fn a_stranger_learns_nothing() {
        let plan = plan(&format!(
            "{{ origins: '{APP}', methods: [PUT], private_network: true }}"
        ));
        let (lines, granted) = asked(
            &plan,
            &[
                ("Origin", "https://evil.example"),
                ("Access-Control-Request-Method", "PUT"),
                ("Access-Control-Request-Private-Network", "true"),
            ],
        );
        assert_eq!(granted, Preflight::Refused("cors_origin"));
        assert_eq!(lines.lines().count(), 1);
        assert!(lines.starts_with("Vary: Origin, "));
    }

    #[test]
    fn private_networks_are_opened_only_on_purpose() {
        let ask = [
            ("Origin", APP),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Private-Network", "true"),
        ];
        let line = "Access-Control-Allow-Private-Network: true\r\n";
        let (closed, _) = asked(&plan(&format!("'{APP}'")), &ask);
        assert!(!closed.contains(line));
        let (open, _) = asked(
            &plan(&format!("{{ origins: '{APP}', private_network: true }}")),
            &ask,
        );
        assert!(open.contains(line));
        let (unasked, _) = asked(
            &plan(&format!("{{ origins: '{APP}', private_network: true }}")),
            &ask[..2],
        );
        assert!(!unasked.contains(line));
    }

    #[test]
    fn a_preflight_is_recognised() {
        let head = |text: &str| {
            let mut request = RequestHead::new();
            let parsed = request.parse(text.as_bytes(), &mut 0, &Default::default());
            assert!(parsed.is_ok(), "{text}");
            asked_method(&request).map(<[u8]>::to_vec)
        };
        let rest = "Host: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: PUT\r\n\r\n";
        assert_eq!(
            head(&format!("OPTIONS / HTTP/1.1\r\n{rest}")).as_deref(),
            Some(&b"PUT"[..])
        );
        for text in [
            format!("GET / HTTP/1.1\r\n{rest}"),
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\n\r\n".to_owned(),
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nAccess-Control-Request-Method: PUT\r\n\r\n".to_owned(),
            format!("OPTIONS / HTTP/1.1\r\nAccess-Control-Request-Method: GET\r\n{rest}"),
            "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nAccess-Control-Request-Method: P UT\r\n\r\n".to_owned(),
        ] {
            assert_eq!(head(&text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_that_is_not_listed_is_never_repeated(origin in "[!-~]{0,60}") {
            let plan = plan(&format!("{{ origins: ['{APP}', 'https://*.shop.example'], credentials: true }}"));
            let answer = answered(&plan, &[("Origin", &origin)], &[]);
            let ours = origin == APP
                || origin.strip_prefix("https://").and_then(|rest| rest.strip_suffix(".shop.example")).is_some();
            prop_assert!(ours || answer == "Vary: Origin\r\n", "{}", answer);
        }

        #[test]
        fn a_host_below_a_domain_is_a_host(label in "[!-~]{0,12}") {
            let plan = plan("'https://*.shop.example'");
            let listed = plan.lists(format!("https://{label}.shop.example").as_bytes());
            let is_host = !label.is_empty() && label.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            });
            prop_assert_eq!(listed, is_host);
        }
    }
}
