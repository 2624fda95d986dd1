//! What an answer means (RFC 7662, section 2.2).

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::claims::{ClaimPath, Claims};
use crate::identity::{Identity, Person, Shape};
use crate::jwt::json;
use crate::method::Fault;
use crate::refusal::Why;

/// What an answer must say for its token to count.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) issuer: Option<Box<str>>,
    /// One of these; any if there is none.
    pub(super) audience: Vec<Box<str>>,
    pub(super) subject: Option<ClaimPath>,
    pub(super) scopes: ClaimPath,
    pub(super) plan: Option<ClaimPath>,
}

/// What an answer says about a token.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is good, until then in seconds since 1970.
    Good(Arc<Identity>, Option<u64>),
    /// It is not.
    Bad(Fault),
    /// This is no answer.
    Malformed,
}

const fn bad(why: Why, detail: &'static str) -> Answer {
    Answer::Bad(Fault { why, detail })
}

impl Rules {
    /// Reads the body of an answer.
    pub(super) fn read(&self, body: &[u8], shape: &Shape, now: u64) -> Answer {
        // Names that stand there twice among them: one reader takes the first `active`, another the last.
        let Some(fields) = json::object(body) else {
            return Answer::Malformed;
        };
        match fields.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => return bad(Why::Invalid, "the token is not active"),
            _ => return Answer::Malformed,
        }
        let Some(expires) = time(&fields, "exp") else {
            return Answer::Malformed;
        };
        let Some(begins) = time(&fields, "nbf") else {
            return Answer::Malformed;
        };
        if expires.is_some_and(|at| at <= now) || begins.is_some_and(|at| at > now) {
            return bad(Why::Expired, "the token has expired or does not count yet");
        }
        // RFC 7800, 3; RFC 9449, 7.1: such a token counts only together with a proof that Weir does not ask for.
        if fields.contains_key("cnf") {
            return bad(Why::Invalid, "the token is bound to a key");
        }
        let issuer = fields.get("iss").and_then(Value::as_str);
        if self.issuer.is_some() && self.issuer.as_deref() != issuer {
            return bad(Why::Audience, "the token comes from somebody else");
        }
        if !self.audience.is_empty() && !self.is_for_us(fields.get("aud")) {
            return bad(Why::Audience, "the token is for somebody else");
        }
        let claims = Claims::new(fields);
        let text = |path: &ClaimPath| claims.at(path).and_then(Value::as_str);
        let subject = match &self.subject {
            Some(path) => text(path),
            None => ["sub", "client_id"]
                .iter()
                .find_map(|name| claims.as_map().get(*name)?.as_str()),
        };
        let person = Person {
            subject: subject.unwrap_or(""),
            key_id: None,
            plan: self.plan.as_ref().and_then(text),
            scopes: claims.words(&self.scopes),
            expires,
        };
        match shape.identity(person, claims.clone()) {
            Ok(identity) => Answer::Good(identity, expires),
            Err(fault) => Answer::Bad(fault),
        }
    }

    fn is_for_us(&self, audience: Option<&Value>) -> bool {
        let fits = |value: &Value| {
            let text = value.as_str();
            text.is_some_and(|text| self.audience.iter().any(|own| **own == *text))
        };
        match audience {
            Some(Value::Array(values)) => values.iter().any(fits),
            Some(value) => fits(value),
            None => false,
        }
    }
}

/// A time that may be missing; `None` if it is no time. Some servers write 0 for "never" or fractions.
fn time(fields: &Map<String, Value>, name: &str) -> Option<Option<u64>> {
    match fields.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Number(number)) => {
            let whole = number.as_u64();
            // What a fraction or a date before 1970 rounds to is close enough.
            Some(Some(whole.or_else(|| Some(number.as_f64()? as u64))?))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::auth::Events;
    use crate::identity::MethodKind;

    fn shape() -> Shape {
        let policy = "partner".into();
        Shape::new(
            MethodKind::Introspection,
            policy,
            Vec::new(),
            Events::nobody(),
        )
    }

    fn rules() -> Rules {
        Rules {
            issuer: None,
            audience: Vec::new(),
            subject: None,
            scopes: ClaimPath::known("scope"),
            plan: Some(ClaimPath::known("plan")),
        }
    }

    fn read(rules: &Rules, body: &Value) -> Answer {
        rules.read(body.to_string().as_bytes(), &shape(), 1000)
    }

    fn refused(rules: &Rules, body: &Value) -> Why {
        match read(rules, body) {
            Answer::Bad(fault) => fault.why,
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn an_active_token() {
        let body = json!({ "active": true, "sub": "ann", "client_id": "app", "scope": "read write", "exp": 1001, "plan": "gold" });
        let Answer::Good(identity, expires) = read(&rules(), &body) else {
            panic!("it is good");
        };
        assert_eq!(
            (&*identity.subject, identity.plan.as_deref()),
            ("ann", Some("gold"))
        );
        assert!(identity.has_scope("read") && identity.has_scope("write"));
        assert_eq!(expires, Some(1001));
        assert_eq!(identity.expires, Some(1001));
    }

    #[test]
    fn who_it_is() {
        let body = json!({ "active": true, "client_id": "app", "username": "ann" });
        let mut rules = rules();
        let Answer::Good(identity, None) = read(&rules, &body) else {
            panic!("it is good");
        };
        assert_eq!(&*identity.subject, "app");
        rules.subject = Some(ClaimPath::known("username"));
        let Answer::Good(identity, None) = read(&rules, &body) else {
            panic!("it is good");
        };
        assert_eq!(&*identity.subject, "ann");
        assert_eq!(
            refused(&rules, &json!({ "active": true, "sub": "ann" })),
            Why::Invalid
        );
        assert_eq!(
            refused(&rules, &json!({ "active": true, "username": "a\r\nb" })),
            Why::Invalid
        );
    }

    #[test]
    fn a_token_that_is_not_good() {
        let rules = rules();
        for (body, why) in [
            (json!({ "active": false }), Why::Invalid),
            (json!({ "active": false, "sub": "ann" }), Why::Invalid),
            (
                json!({ "active": true, "sub": "ann", "exp": 1000 }),
                Why::Expired,
            ),
            (
                json!({ "active": true, "sub": "ann", "exp": 0 }),
                Why::Expired,
            ),
            (
                json!({ "active": true, "sub": "ann", "exp": -5 }),
                Why::Expired,
            ),
            (
                json!({ "active": true, "sub": "ann", "exp": 999.5 }),
                Why::Expired,
            ),
            (
                json!({ "active": true, "sub": "ann", "nbf": 1001 }),
                Why::Expired,
            ),
            (
                json!({ "active": true, "sub": "ann", "cnf": { "jkt": "x" } }),
                Why::Invalid,
            ),
            (json!({ "active": true }), Why::Invalid),
        ] {
            assert_eq!(refused(&rules, &body), why, "{body}");
        }
    }

    #[test]
    fn whose_and_for_whom() {
        let mut rules = rules();
        rules.issuer = Some("https://id".into());
        rules.audience = vec!["api".into(), "web".into()];
        for (body, good) in [
            (
                json!({ "active": true, "sub": "a", "iss": "https://id", "aud": "api" }),
                true,
            ),
            (
                json!({ "active": true, "sub": "a", "iss": "https://id", "aud": ["x", "web"] }),
                true,
            ),
            (
                json!({ "active": true, "sub": "a", "iss": "https://id/", "aud": "api" }),
                false,
            ),
            (json!({ "active": true, "sub": "a", "aud": "api" }), false),
            (
                json!({ "active": true, "sub": "a", "iss": "https://id" }),
                false,
            ),
            (
                json!({ "active": true, "sub": "a", "iss": "https://id", "aud": "other" }),
                false,
            ),
            (
                json!({ "active": true, "sub": "a", "iss": "https://id", "aud": {} }),
                false,
            ),
        ] {
            match read(&rules, &body) {
                Answer::Good(..) => assert!(good, "{body}"),
                Answer::Bad(fault) => assert!(!good && fault.why == Why::Audience, "{body}"),
                Answer::Malformed => panic!("{body}"),
            }
        }
    }

    #[test]
    fn what_is_no_answer() {
        for body in [
            "",
            "null",
            "[]",
            "true",
            "{}",
            "{\"active\": \"true\"}",
            "{\"active\": 1}",
            "{\"active\": null}",
            "{\"active\": true, \"sub\": \"a\", \"exp\": \"1001\"}",
            "{\"active\": false, \"active\": true, \"sub\": \"a\"}",
            "{\"active\": true",
            "<html>",
        ] {
            let answer = rules().read(body.as_bytes(), &shape(), 1000);
            assert!(matches!(answer, Answer::Malformed), "{body}: {answer:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(body in "\\{?(\"(active|exp|sub|aud)\": ?(true|1e99|-1|\"x\"|\\[|\\{|\\}|,)*,?)*\\}?") {
            let _ = rules().read(body.as_bytes(), &shape(), 1000);
        }
    }
}
