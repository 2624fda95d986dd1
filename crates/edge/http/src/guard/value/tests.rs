//! What is filled in, and that none of it leaves its line.

use proptest::prelude::*;

use super::*;
use crate::codec::{HeadLimits, Parsed};

/// Somebody with claims.
#[derive(Default)]
pub(in crate::guard) struct Somebody {
    pub(in crate::guard) user: Vec<u8>,
    pub(in crate::guard) claims: Vec<(String, Vec<u8>)>,
}

impl Who for Somebody {
    fn user(&self) -> &[u8] {
        &self.user
    }

    fn key(&self) -> &[u8] {
        b""
    }

    fn plan(&self) -> &[u8] {
        b"gold"
    }

    fn claim(&self, name: &str, out: &mut Vec<u8>) {
        for (_, value) in self.claims.iter().filter(|(known, _)| known == name) {
            out.extend_from_slice(value);
        }
    }
}

pub(in crate::guard) fn request(fields: &str) -> RequestHead {
    let mut request = RequestHead::new();
    let head = format!("GET /shops/7?a=b HTTP/1.1\r\nHost: shop.example:81\r\n{fields}\r\n");
    let limits = HeadLimits::default();
    let parsed = request.parse(head.as_bytes(), &mut 0, &limits);
    assert!(matches!(parsed, Ok(Parsed::Complete(_))), "{fields}");
    request
}

/// Facts with a path of one parameter, which holds `7`.
pub(in crate::guard) fn with_facts<T>(
    request: &RequestHead,
    who: Option<&Somebody>,
    look: impl FnOnce(&Facts<'_, Somebody>) -> T,
) -> T {
    let rule = crate::route::Rule {
        path: Some("/shops/{shop}".to_owned()),
        ..Default::default()
    };
    let table = crate::route::RouteTable::compile(&[rule], &crate::route::Limits::default());
    let lookup = crate::route::Lookup {
        listener: 0,
        host: request.host(),
        path: request.path(),
        query: request.query(),
        method: request.method_bytes(),
    };
    let mut captures = Captures::new();
    let headers = crate::exchange::Headers(request);
    let found = table
        .expect("one rule")
        .find(&lookup, &headers, &mut captures);
    assert!(matches!(found, crate::route::Outcome::Route { .. }));
    look(&Facts {
        request,
        path: request.path(),
        captures: &captures,
        client_ip: b"192.0.2.1",
        scheme: b"https",
        request_id: b"id-1",
        route: b"shops",
        who,
        hidden: &[],
    })
}

pub(in crate::guard) fn parameters() -> Vec<Box<str>> {
    vec!["shop".into()]
}

fn rendered(text: &str, who: &Somebody) -> String {
    let template = ValueTemplate::compile(text, &parameters()).expect(text);
    let mut out = b"before ".to_vec();
    with_facts(&request(""), Some(who), |facts| {
        template.render(facts, &mut out);
    });
    let text = String::from_utf8_lossy(&out).into_owned();
    text.strip_prefix("before ").expect("kept").to_owned()
}

#[test]
fn every_name_has_its_value() {
    let who = Somebody {
        user: b"ada".to_vec(),
        claims: vec![("a.b".to_owned(), b"c".to_vec())],
    };
    for (text, expected) in [
        ("plain", "plain"),
        ("{client_ip}", "192.0.2.1"),
        ("{host}", "shop.example"),
        ("{method} {path}?{query}", "GET /shops/7?a=b"),
        ("{request_id}/{route}", "id-1/shops"),
        ("{scheme}", "https"),
        ("{shop}", "7"),
        ("{user} {plan} {key}", "ada gold"),
        ("{claim.a.b}{claim.none}", "c"),
        ("{{\"group\":\"{user}\"}}", "{\"group\":\"ada\"}"),
        ("{key}", ""),
    ] {
        assert_eq!(rendered(text, &who), expected, "{text}");
    }
}

#[test]
fn nobody_has_no_name() {
    let template = ValueTemplate::compile("{user}{key}{plan}{claim.x}", &[]).expect("good");
    let mut out = Vec::new();
    with_facts(&request(""), None, |facts| template.render(facts, &mut out));
    assert_eq!(out, b"");
}

#[test]
fn unknown_names_are_refused() {
    for (text, part) in [
        ("{client-ip}", "did you mean `{client_ip}`?"),
        ("{shopp}", "did you mean `{shop}`?"),
        ("{nonsense}", "`{claim.NAME}`"),
        ("{}", "`{claim.NAME}`"),
        ("{claim.}", "write `{claim.tenant}`"),
        ("{user", "twice"),
        ("user}", "twice"),
        ("{{user}", "twice"),
    ] {
        let problem = ValueTemplate::compile(text, &parameters()).expect_err(text);
        assert!(problem.help.contains(part), "{text}: {}", problem.help);
    }
    let many = "{user} ".repeat(17);
    assert!(ValueTemplate::compile(&many, &[]).is_err());
}

#[test]
fn a_path_cannot_say_who_is_asking() {
    let parameters: Vec<Box<str>> = vec!["user".into()];
    let problem = ValueTemplate::compile("{user}", &parameters).expect_err("ambiguous");
    assert!(problem.help.contains("another name"));
}

#[test]
fn literals_are_known_beforehand() {
    let of = |text| ValueTemplate::compile(text, &[]).expect(text);
    assert_eq!(of("a {{b}}").literal(), Some(&b"a {b}"[..]));
    assert_eq!(of("a{user}").literal(), None);
    assert!(of("{host}:8080").is_about_host());
    assert!(!of("{user}.internal").is_about_host());
}

proptest! {
    #[test]
    fn no_value_leaves_its_line(claim: Vec<u8>, user: Vec<u8>) {
        let who = Somebody { user, claims: vec![("c".to_owned(), claim)] };
        for text in ["{claim.c}", "a {claim.c}{user} b", "{user}"] {
            let template = ValueTemplate::compile(text, &[]).expect("good");
            let mut out = b"keep\r\n".to_vec();
            with_facts(&request(""), Some(&who), |facts| template.render(facts, &mut out));
            prop_assert!(out.starts_with(b"keep\r\n"));
            let value = &out[6..];
            prop_assert!(!value.iter().any(|byte| is_control(*byte)));
            prop_assert_eq!(value.trim_ascii(), value);
        }
    }

    #[test]
    fn what_holds_no_controls_goes_in_as_it_is(claim in "[ -~\u{e4}]*") {
        let mut out = Vec::new();
        push_clean(claim.as_bytes(), &mut out);
        prop_assert_eq!(out, claim.as_bytes());
    }
}

#[test]
fn controls_are_encoded() {
    let mut out = b"x".to_vec();
    push_clean(b"a\r\nb\0\x7f\tc", &mut out);
    assert_eq!(out, b"xa%0D%0Ab%00%7F%09c");
}
