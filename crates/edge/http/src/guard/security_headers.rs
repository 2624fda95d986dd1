//! Fields that tell browsers to be careful.
//!
//! The lines are rendered when the plan is compiled. For an answer there is only to find out which of them the endpoint
//! sent itself: it knows better than a policy for many routes, unless that says otherwise.

use crate::{
    codec::{FieldId, Fields, Names, encode},
    config::{FieldValue, HstsConfig, SecurityHeadersConfig},
};

/// What tells clients which software answers.
const SOFTWARE: [&[u8]; 6] = [
    b"server",
    b"x-powered-by",
    b"x-aspnet-version",
    b"x-aspnetmvc-version",
    b"x-generator",
    b"x-runtime",
];

/// The fields of a route's answers.
#[derive(Debug)]
pub(crate) struct SecurityPlan {
    lines: Vec<Line>,
    /// Bit `n`: a line has a name of `n` bytes.
    lengths: u64,
    replace: bool,
    drops: Names,
}

#[derive(Debug)]
struct Line {
    name: &'static str,
    /// With its line end.
    text: Vec<u8>,
    /// Only for clients that came by https.
    https: bool,
}

/// Which of the lines of a plan an answer has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent(u16);

impl SecurityPlan {
    /// Compiles a policy. Names that `settled` knows are another policy's.
    pub(crate) fn compile(config: &SecurityHeadersConfig, settled: impl Fn(&[u8]) -> bool) -> Self {
        let config = config.fields();
        let hsts = config.hsts.clone().on().map(|hsts| hsts_value(&hsts));
        let word = |word: Option<&'static str>| word.map(str::to_owned);
        let text = |text: &Option<FieldValue>| text.as_ref().map(|text| text.as_str().to_owned());
        let values = [
            ("strict-transport-security", hsts),
            (
                "x-content-type-options",
                word(config.no_sniff.then_some("nosniff")),
            ),
            (
                "x-frame-options",
                config
                    .frames
                    .on()
                    .map(|frames| frames.as_str().to_ascii_uppercase()),
            ),
            (
                "referrer-policy",
                word(config.referrer.on().map(|policy| policy.as_str())),
            ),
            (
                "content-security-policy",
                text(&config.content_security_policy),
            ),
            (
                "content-security-policy-report-only",
                text(&config.content_security_policy_report_only),
            ),
            ("permissions-policy", text(&config.permissions_policy)),
            (
                "cross-origin-opener-policy",
                word(config.cross_origin_opener.map(|policy| policy.as_str())),
            ),
            (
                "cross-origin-embedder-policy",
                word(config.cross_origin_embedder.map(|policy| policy.as_str())),
            ),
            (
                "cross-origin-resource-policy",
                word(config.cross_origin_resource.map(|policy| policy.as_str())),
            ),
        ];
        let mut plan = Self {
            lines: Vec::new(),
            lengths: 0,
            replace: config.replace,
            drops: Names::default(),
        };
        for (name, value) in values {
            let Some(value) = value.filter(|_| !settled(name.as_bytes())) else {
                continue;
            };
            let mut text = Vec::new();
            encode::field(&mut text, name.as_bytes(), value.as_bytes());
            plan.lines.push(Line {
                name,
                text,
                https: name == "strict-transport-security",
            });
            plan.lengths |= 1 << name.len();
            if plan.replace {
                plan.drops.add(name.as_bytes());
            }
        }
        if config.hide_software {
            for name in SOFTWARE {
                plan.drops.add(name);
            }
        }
        plan
    }

    /// Whether a line of this name is left out.
    #[inline]
    pub(crate) fn drops(&self, name: &[u8]) -> bool {
        self.drops.has(name)
    }

    /// Notes a line that the answer has.
    #[inline]
    pub(crate) fn note(&self, sent: &mut Sent, id: FieldId, name: &[u8]) {
        if id != FieldId::Other || name.len() > 63 || self.lengths >> name.len() & 1 == 0 {
            return;
        }
        let found = self
            .lines
            .iter()
            .position(|line| name.eq_ignore_ascii_case(line.name.as_bytes()));
        if let Some(at) = found {
            sent.0 |= 1 << at;
        }
    }

    /// What an answer has already.
    #[inline]
    pub(crate) fn sent(&self, answer: &Fields) -> Sent {
        let mut sent = Sent::default();
        if !self.replace {
            for field in answer.list().iter().filter(|field| !field.hop()) {
                self.note(&mut sent, field.id(), answer.name(field));
            }
        }
        sent
    }

    /// Writes what the answer does not have.
    #[inline]
    pub(crate) fn write(&self, out: &mut Vec<u8>, sent: Sent, https: bool) {
        for (at, line) in self.lines.iter().enumerate() {
            // RFC 6797, 7.2: never over plain HTTP.
            if sent.0 >> at & 1 == 0 && (https || !line.https) {
                out.extend_from_slice(&line.text);
            }
        }
    }
}

/// RFC 6797, 6.1.
fn hsts_value(hsts: &HstsConfig) -> String {
    let mut value = format!("max-age={}", hsts.max_age.get().as_secs());
    if hsts.include_subdomains {
        value.push_str("; includeSubDomains");
    }
    if hsts.preload {
        value.push_str("; preload");
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_config::Cx;

    fn plan(text: &str) -> SecurityPlan {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<SecurityHeadersConfig>();
        let config = cx.finish(config).expect("good").value;
        SecurityPlan::compile(&config, |_| false)
    }

    /// The fields of an answer as the client gets them.
    fn passed(plan: &SecurityPlan, fields: &[(&str, &str)], https: bool) -> String {
        let mut answer = Fields::new();
        for (name, value) in fields {
            answer.push(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        answer.write_forwarded(&mut out, |field| !plan.drops(answer.name(field)));
        plan.write(&mut out, plan.sent(&answer), https);
        String::from_utf8(out).expect("text")
    }

    const USUAL: &str = "x-content-type-options: nosniff\r\nx-frame-options: DENY\r\nreferrer-policy: strict-origin-when-cross-origin\r\n";
    const HSTS: &str = "strict-transport-security: max-age=31536000\r\n";

    #[test]
    fn the_usual_ones_are_added() {
        let plan = plan("true");
        assert_eq!(passed(&plan, &[], false), USUAL);
        assert_eq!(passed(&plan, &[], true), format!("{HSTS}{USUAL}"));
    }

    #[test]
    fn the_endpoint_knows_better() {
        let plan = plan("true");
        let own = [
            ("X-FRAME-OPTIONS", "SAMEORIGIN"),
            ("Strict-Transport-Security", "max-age=0"),
        ];
        assert_eq!(
            passed(&plan, &own, true),
            "X-FRAME-OPTIONS: SAMEORIGIN\r\nStrict-Transport-Security: max-age=0\r\nx-content-type-options: nosniff\r\nreferrer-policy: strict-origin-when-cross-origin\r\n"
        );
    }

    #[test]
    fn unless_it_is_overruled() {
        let plan = plan(
            "{ replace: true, hsts: off, referrer: off, no_sniff: false, hide_software: true }",
        );
        let own = [
            ("X-Frame-Options", "SAMEORIGIN"),
            ("Server", "old/1.0"),
            ("X-Powered-By", "x"),
            ("A", "b"),
        ];
        assert_eq!(
            passed(&plan, &own, true),
            "A: b\r\nx-frame-options: DENY\r\n"
        );
    }

    #[test]
    fn every_field_can_be_had() {
        let plan = plan(
            "{ hsts: { max_age: 400d, include_subdomains: true, preload: true }, no_sniff: false, frames: sameorigin, referrer: no-referrer,
               content_security_policy: \"default-src 'self'\", content_security_policy_report_only: 'img-src *', permissions_policy: 'camera=()',
               cross_origin_opener: same-origin, cross_origin_embedder: require-corp, cross_origin_resource: same-site }",
        );
        assert_eq!(
            passed(&plan, &[], true),
            "strict-transport-security: max-age=34560000; includeSubDomains; preload\r\nx-frame-options: SAMEORIGIN\r\n\
             referrer-policy: no-referrer\r\ncontent-security-policy: default-src 'self'\r\ncontent-security-policy-report-only: img-src *\r\n\
             permissions-policy: camera=()\r\ncross-origin-opener-policy: same-origin\r\ncross-origin-embedder-policy: require-corp\r\n\
             cross-origin-resource-policy: same-site\r\n"
        );
    }

    #[test]
    fn what_another_policy_says_is_left_to_it() {
        let mut cx = Cx::from_text("weir.yaml", "true", &|_| None);
        let config = cx.decode::<SecurityHeadersConfig>().expect("good");
        let plan = SecurityPlan::compile(&config, |name| name == b"x-frame-options");
        assert!(!passed(&plan, &[], false).contains("x-frame-options"));
    }

    #[test]
    fn names_are_matched_whole() {
        let plan = plan("true");
        let near = [("x-frame-optionz", "a"), ("referrer-policies", "b")];
        assert!(passed(&plan, &near, false).ends_with(USUAL));
    }
}
