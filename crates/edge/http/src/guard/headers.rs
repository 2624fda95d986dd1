//! What a route changes about heads, in the order in which policies have a say.
//!
//! For a request: `transform`. For an answer: `transform` about what the endpoint sent, then `security_headers` for what
//! neither of them settled, then `cors`, which alone says who may read it. Answers that Weir gives itself are changed in
//! the same way, after they were written ([`HeadPlan::amend`]): a page cannot read a 429 that does not name its origin.

use std::borrow::Cow;

use memchr::memchr;
use weir_config::Cx;

use super::{
    cors::CorsPlan,
    security_headers::{SecurityPlan, Sent},
    transform::TransformPlan,
    value::{Facts, Who},
};
use crate::{
    codec::{Field, FieldId, Fields},
    config::{CorsConfig, SecurityHeadersConfig, TransformConfig},
};

/// What the policies of a route say about heads.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HeadPolicies<'a> {
    pub(crate) cors: Option<&'a CorsConfig>,
    pub(crate) security: Option<&'a SecurityHeadersConfig>,
    /// The most general first.
    pub(crate) transforms: &'a [&'a TransformConfig],
}

/// What a route changes about heads.
#[derive(Debug)]
pub(crate) struct HeadPlan {
    transform: TransformPlan,
    security: Option<SecurityPlan>,
    pub(crate) cors: Option<CorsPlan>,
}

impl HeadPlan {
    /// Compiles policies for a route whose path has these parameters. `is_identity` tells the fields that say who is
    /// asking. Every problem goes to `cx`; `None` if there was any.
    pub(crate) fn compile(
        policies: HeadPolicies<'_>,
        parameters: &[Box<str>],
        is_identity: impl Fn(&str) -> bool,
        cx: &mut Cx,
    ) -> Option<Self> {
        let has_cors = policies.cors.is_some();
        let transform = TransformPlan::compile(
            policies.transforms,
            parameters,
            is_identity,
            |name| has_cors && name.starts_with("access-control-"),
            cx,
        );
        let cors = match policies.cors {
            Some(cors) => CorsPlan::compile(cors, cx).map(Some),
            None => Some(None),
        };
        let transform = transform?;
        let settled = |name: &[u8]| transform.response.settles(name);
        let security = policies
            .security
            .map(|config| SecurityPlan::compile(config, settled));
        Some(Self {
            security,
            cors: cors?,
            transform,
        })
    }

    /// Whether nothing is changed.
    pub(crate) fn is_empty(&self) -> bool {
        self.security.is_none() && self.cors.is_none() && self.transform.is_empty()
    }

    /// The policies that it is made of, with what they do.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let cors = self.cors.is_some();
        let security = self.security.is_some();
        [
            (
                cors,
                ("cors", "tells browsers which pages may read the answer"),
            ),
            (
                security,
                ("security_headers", "adds header fields to the answer"),
            ),
            (
                !self.transform.is_empty(),
                ("transform", "changes header fields"),
            ),
        ]
        .into_iter()
        .filter_map(|(is, kind)| is.then_some(kind))
    }

    /// Appends the host that the endpoint is asked for. False if it is the client's.
    #[inline]
    pub(crate) fn host<W: Who>(&self, facts: &Facts<'_, W>, out: &mut Vec<u8>) -> bool {
        self.transform.host(facts, out)
    }

    /// Whether a request's line of this name is left out.
    #[inline]
    pub(crate) fn drops_of_request(&self, id: FieldId, name: &[u8]) -> bool {
        self.transform.request.drops(id, name)
    }

    /// Writes what a request gets. `shown` tells what may be seen of a field of the client's.
    #[inline]
    pub(crate) fn write_request<'f, W: Who>(
        &self,
        out: &mut Vec<u8>,
        facts: &Facts<'f, W>,
        shown: impl Fn(&Field) -> Option<Cow<'f, [u8]>>,
    ) {
        let changes = &self.transform.request;
        changes.write_renamed(out, facts.request.fields(), shown);
        changes.write(out, facts);
    }

    /// Whether an answer's line of this name is left out.
    #[inline]
    pub(crate) fn drops_of_answer(&self, id: FieldId, name: &[u8]) -> bool {
        self.transform.response.drops(id, name)
            || self.cors.as_ref().is_some_and(|cors| cors.drops(id, name))
            || self
                .security
                .as_ref()
                .is_some_and(|security| security.drops(name))
    }

    /// Writes what an endpoint's answer gets.
    #[inline]
    pub(crate) fn write_answer<W: Who>(
        &self,
        out: &mut Vec<u8>,
        answer: &Fields,
        facts: &Facts<'_, W>,
    ) {
        let changes = &self.transform.response;
        changes.write_renamed(out, answer, |field| {
            Some(Cow::Borrowed(answer.value(field)))
        });
        changes.write(out, facts);
        if let Some(security) = &self.security {
            security.write(out, security.sent(answer), facts.scheme == b"https");
        }
        if let Some(cors) = &self.cors {
            let vary_passes = !self.transform.response.drops(FieldId::Vary, b"vary");
            let answer = vary_passes.then_some(answer);
            cors.write(out, facts.request.fields(), answer);
        }
    }

    /// Changes an answer that Weir gives itself. `head` is where it begins in `out`, which holds its status line and
    /// fields, and not yet those that delimit it.
    pub(crate) fn amend<W: Who>(&self, out: &mut Vec<u8>, head: usize, facts: &Facts<'_, W>) {
        let mut renamed = Fields::new();
        let mut sent = Sent::default();
        let mut kept = line_end(out, head);
        let mut next = kept;
        while next < out.len() {
            let line = next..line_end(out, next);
            next = line.end;
            let text = &out[line.clone()];
            let (name, value) = match memchr(b':', text) {
                Some(colon) => (&text[..colon], text[colon + 1..].trim_ascii()),
                None => (text, &b""[..]),
            };
            let id = FieldId::of(name);
            if self.transform.response.renames(name) {
                renamed.push(name, value);
            }
            if self.drops_of_answer(id, name) {
                continue;
            }
            if let Some(security) = &self.security {
                security.note(&mut sent, id, name);
            }
            let length = line.len();
            out.copy_within(line, kept);
            kept += length;
        }
        out.truncate(kept);
        let changes = &self.transform.response;
        changes.write_renamed(out, &renamed, |field| {
            Some(Cow::Borrowed(renamed.value(field)))
        });
        changes.write(out, facts);
        if let Some(security) = &self.security {
            security.write(out, sent, facts.scheme == b"https");
        }
        if let Some(cors) = &self.cors {
            cors.write(out, facts.request.fields(), None);
        }
    }
}

/// Where the line that begins at `start` ends, past its line feed.
fn line_end(out: &[u8], start: usize) -> usize {
    out.get(start..)
        .and_then(|rest| memchr(b'\n', rest))
        .map_or(out.len(), |at| start + at + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_config::Decode;

    use super::super::value::tests::{Somebody, parameters, request, with_facts};
    use super::*;

    fn decode<T: Decode>(text: &str) -> T {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode();
        cx.finish(config).expect(text).value
    }

    fn compile(cors: &str, security: &str, transform: &str) -> Result<HeadPlan, String> {
        let cors: Option<CorsConfig> = (!cors.is_empty()).then(|| decode(cors));
        let security: Option<SecurityHeadersConfig> =
            (!security.is_empty()).then(|| decode(security));
        let transform: TransformConfig = decode(transform);
        let policies = HeadPolicies {
            cors: cors.as_ref(),
            security: security.as_ref(),
            transforms: &[&transform],
        };
        let mut cx = Cx::from_text("weir.yaml", "", &|_| None);
        let plan = HeadPlan::compile(policies, &parameters(), |_| false, &mut cx);
        cx.finish(plan)
            .map(|loaded| loaded.value)
            .map_err(|problems| problems.to_string())
    }

    const ORIGIN: &str = "Origin: https://a.example\r\n";

    /// An endpoint's answer as the client gets it.
    fn passed(plan: &HeadPlan, fields: &str, answer: &[(&str, &str)]) -> String {
        let request = request(fields);
        let mut all = Fields::new();
        for (name, value) in answer {
            all.push(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        with_facts(&request, None, |facts: &Facts<'_, Somebody>| {
            all.write_forwarded(&mut out, |field| {
                !plan.drops_of_answer(field.id(), all.name(field))
            });
            plan.write_answer(&mut out, &all, facts);
        });
        String::from_utf8(out).expect("text")
    }

    /// Weir's own answer as the client gets it.
    fn amended(plan: &HeadPlan, fields: &str, before: &str, own: &str) -> String {
        let request = request(fields);
        let mut out = format!("{before}{own}").into_bytes();
        with_facts(&request, None, |facts: &Facts<'_, Somebody>| {
            plan.amend(&mut out, before.len(), facts);
        });
        let out = String::from_utf8(out).expect("text");
        out.strip_prefix(before).expect("kept").to_owned()
    }

    #[test]
    fn transform_settles_before_security_headers() {
        let plan = compile(
            "",
            "{ hsts: off, no_sniff: false }",
            "response: { set: { x-frame-options: SAMEORIGIN }, remove: referrer-policy }",
        )
        .expect("good");
        let own = [
            ("X-Frame-Options", "ALLOWALL"),
            ("Referrer-Policy", "origin"),
        ];
        assert_eq!(passed(&plan, "", &own), "x-frame-options: SAMEORIGIN\r\n");
        assert_eq!(passed(&plan, "", &[]), "x-frame-options: SAMEORIGIN\r\n");
    }

    #[test]
    fn cors_alone_says_who_may_read() {
        let plan = compile(
            "'https://a.example'",
            "",
            "response: { set: { vary: Cookie } }",
        );
        let own = [("Access-Control-Allow-Origin", "*"), ("Vary", "Origin")];
        assert_eq!(
            passed(&plan.expect("good"), ORIGIN, &own),
            "vary: Cookie\r\nVary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n"
        );
        let both = compile(
            "'https://a.example'",
            "",
            "response: { set: { Access-Control-Allow-Origin: '*' } }",
        );
        assert!(both.is_err_and(|problems| problems.contains("`cors`")));
        let alone = compile(
            "",
            "",
            "response: { set: { Access-Control-Allow-Origin: '*' } }",
        );
        assert!(alone.is_ok());
    }

    #[test]
    fn our_own_answers_are_changed_alike() {
        let plan = compile(
            "'https://a.example'",
            "{ hide_software: true, referrer: off }",
            "response: { set: { x-route: '{route}', allow: none }, remove: x-gone, rename: { x-a: x-b }, add: { x-c: d } }",
        )
        .expect("good");
        let own = "HTTP/1.1 429 Too Many Requests\r\nServer: weir\r\nContent-Type: text/plain\r\nAllow: GET\r\nX-Gone: 1\r\nX-A: 2\r\nX-Frame-Options: SAMEORIGIN\r\n";
        assert_eq!(
            amended(&plan, ORIGIN, "", own),
            "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nX-Frame-Options: SAMEORIGIN\r\nx-b: 2\r\nx-route: shops\r\nallow: none\r\nx-c: d\r\n\
             strict-transport-security: max-age=31536000\r\nx-content-type-options: nosniff\r\nVary: Origin\r\nAccess-Control-Allow-Origin: https://a.example\r\n"
        );
        let before = "HTTP/1.1 103 Early Hints\r\nServer: weir\r\n\r\n";
        let same = amended(&plan, ORIGIN, before, own);
        assert_eq!(same, amended(&plan, ORIGIN, "", own));
    }

    #[test]
    fn without_policies_nothing_changes() {
        let plan = compile("", "", "{}").expect("good");
        assert!(plan.is_empty());
        let own = "HTTP/1.1 200 OK\r\nServer: weir\r\n";
        assert_eq!(amended(&plan, "", "", own), own);
        assert_eq!(passed(&plan, "", &[("A", "b")]), "A: b\r\n");
    }

    proptest! {
        #[test]
        fn a_head_stays_a_head(
            lines in proptest::collection::vec(("[a-c]{1,2}", "[ -~]{0,6}"), 0..8),
            user: Vec<u8>,
        ) {
            let plan = compile(
                "'https://*.example'",
                "true",
                "response: { set: { a: '{user}' }, remove: [b], rename: { c: d }, add: { e: '{user}x' } }",
            ).expect("good");
            let request = request(ORIGIN);
            let who = Somebody { user, ..Somebody::default() };
            let mut out = b"HTTP/1.1 200 OK\r\n".to_vec();
            for (name, value) in &lines {
                out.extend_from_slice(format!("{name}: {}\r\n", value.trim()).as_bytes());
            }
            with_facts(&request, Some(&who), |facts| plan.amend(&mut out, 0, facts));
            out.extend_from_slice(b"\r\n");
            let mut parsed = crate::codec::ResponseHead::new();
            let read = parsed.parse(&out, &mut 0, &crate::codec::HeadLimits::default());
            prop_assert!(matches!(read, Ok(crate::codec::Parsed::Complete(n)) if n == out.len()));
            let fields = parsed.fields();
            prop_assert!(fields.by_name(b"b").is_none() && fields.by_name(b"c").is_none());
            prop_assert!(fields.all_by_name(b"a").count() <= 1);
            let renamed = lines.iter().filter(|(name, _)| name == "c").count();
            prop_assert_eq!(fields.all_by_name(b"d").count(), renamed);
            let kept = lines.iter().filter(|(name, _)| name.len() == 2).count();
            let seen = fields.iter().filter(|(_, name, _)| name.len() == 2).count();
            prop_assert_eq!(seen, kept);
        }
    }
}
