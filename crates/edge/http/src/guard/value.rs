//! Values of header fields with parts that are filled in: `Bearer-of {user}`, `{client_ip}`, `{claim.tenant}`.
//!
//! Names are looked up when the plan is compiled, so a request meets only positions. What is filled in comes from
//! clients and from tokens, which may hold any character: control characters are percent-encoded and white space at the
//! ends is cut off, so no value can end its line or begin another. Everything else goes in as it is.

use weir_config::nearest;

use crate::{
    codec::RequestHead,
    route::{Captures, TemplateProblem, without_port},
};

/// Most parts of one value, so that what it becomes is a bounded multiple of the request.
const MAX_PARTS: usize = 32;

/// What values are made of, for one request.
pub(crate) struct Facts<'a, W> {
    pub(crate) request: &'a RequestHead,
    /// The normalised path.
    pub(crate) path: &'a [u8],
    pub(crate) captures: &'a Captures,
    /// Whom the request is from, as text.
    pub(crate) client_ip: &'a [u8],
    /// How the client came: `http` or `https`.
    pub(crate) scheme: &'a [u8],
    /// May be empty.
    pub(crate) request_id: &'a [u8],
    pub(crate) route: &'a [u8],
    /// Who is asking, if that is known.
    pub(crate) who: Option<&'a W>,
}

/// What authentication found out about who is asking. What it does not know is empty.
pub(crate) trait Who {
    fn user(&self) -> &[u8];
    /// The name of the API key.
    fn key(&self) -> &[u8];
    fn plan(&self) -> &[u8];
    /// Appends the claim of this name as text.
    fn claim(&self, name: &str, out: &mut Vec<u8>);
}

/// What a name in braces stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    ClientIp,
    Host,
    Key,
    Method,
    Path,
    Plan,
    Query,
    RequestId,
    Route,
    Scheme,
    User,
}

const WORDS: [(&str, Word); 11] = [
    ("client_ip", Word::ClientIp),
    ("host", Word::Host),
    ("key", Word::Key),
    ("method", Word::Method),
    ("path", Word::Path),
    ("plan", Word::Plan),
    ("query", Word::Query),
    ("request_id", Word::RequestId),
    ("route", Word::Route),
    ("scheme", Word::Scheme),
    ("user", Word::User),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<[u8]>),
    Word(Word),
    Parameter(usize),
    Claim(Box<str>),
}

/// A compiled value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ValueTemplate(Box<[Part]>);

impl ValueTemplate {
    /// Compiles `text`, which holds no control characters, for a route with these parameters.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(text: &str, parameters: &[Box<str>]) -> Result<Self, TemplateProblem> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            let Some((name, after)) = rest.split_once('}').filter(|_| brace == "{") else {
                return Err(problem(
                    format!("`{text}` has a brace without its partner"),
                    "write `{name}`; for a brace itself, write it twice",
                ));
            };
            rest = after;
            push_literal(&mut parts, &mut literal);
            parts.push(part(name, parameters)?);
        }
        literal.push_str(rest);
        push_literal(&mut parts, &mut literal);
        if parts.len() > MAX_PARTS {
            return Err(problem(
                format!("this value has more than {MAX_PARTS} parts"),
                "use fewer, or several fields",
            ));
        }
        Ok(Self(parts.into()))
    }

    /// The text, if nothing is filled in.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match &*self.0 {
            [] => Some(b""),
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether it is made of text and the client's own host alone.
    pub(crate) fn is_about_host(&self) -> bool {
        self.0
            .iter()
            .all(|part| matches!(part, Part::Literal(_) | Part::Word(Word::Host)))
    }

    /// Appends the value.
    pub(crate) fn render<W: Who>(&self, facts: &Facts<'_, W>, out: &mut Vec<u8>) {
        let start = out.len();
        for part in &self.0 {
            match part {
                Part::Literal(text) => out.extend_from_slice(text),
                Part::Word(word) => push_clean(of(*word, facts), out),
                Part::Parameter(index) => {
                    let value = facts.captures.value(*index, facts.path);
                    push_clean(value.unwrap_or_default(), out);
                }
                Part::Claim(name) => {
                    let from = out.len();
                    if let Some(who) = facts.who {
                        who.claim(name, out);
                    }
                    clean(out, from);
                }
            }
        }
        trim(out, start);
    }
}

fn push_literal(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Literal(std::mem::take(literal).into_bytes().into()));
    }
}

/// What `{name}` stands for.
fn part(name: &str, parameters: &[Box<str>]) -> Result<Part, TemplateProblem> {
    if let Some(claim) = name.strip_prefix("claim.") {
        if claim.is_empty() {
            return Err(problem(
                "`{claim.}` names no claim",
                "write `{claim.tenant}`",
            ));
        }
        return Ok(Part::Claim(claim.into()));
    }
    let word = WORDS.iter().find(|(word, _)| *word == name);
    let parameter = parameters.iter().position(|known| **known == *name);
    match (word, parameter) {
        // Anyone can choose what stands in a path: it must not be taken for what Weir found out.
        (Some(_), Some(_)) => Err(problem(
            format!("`{{{name}}}` could be a parameter of the path, and has a meaning of its own"),
            "give the parameter another name",
        )),
        (Some((_, word)), None) => Ok(Part::Word(*word)),
        (None, Some(index)) => Ok(Part::Parameter(index)),
        (None, None) => {
            let known = || {
                let words = WORDS.iter().map(|(word, _)| *word);
                words.chain(parameters.iter().map(|name| &**name))
            };
            let help = match nearest(name, known()) {
                Some(near) => format!("did you mean `{{{near}}}`?"),
                None => {
                    let all: Vec<String> = known().map(|name| format!("`{{{name}}}`")).collect();
                    format!("there are {} and `{{claim.NAME}}`", all.join(", "))
                }
            };
            Err(problem(format!("nothing is called `{{{name}}}`"), help))
        }
    }
}

fn of<'a, W: Who>(word: Word, facts: &Facts<'a, W>) -> &'a [u8] {
    let request = facts.request;
    match word {
        Word::ClientIp => facts.client_ip,
        Word::Host => without_port(request.host()),
        Word::Method => request.method_bytes(),
        Word::Path => facts.path,
        Word::Query => request.query().unwrap_or_default(),
        Word::RequestId => facts.request_id,
        Word::Route => facts.route,
        Word::Scheme => facts.scheme,
        Word::Key => facts.who.map_or(b"", W::key),
        Word::Plan => facts.who.map_or(b"", W::plan),
        Word::User => facts.who.map_or(b"", W::user),
    }
}

const fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

fn push_clean(value: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(value);
    clean(out, from);
}

/// Percent-encodes the control characters from `from` on.
fn clean(out: &mut Vec<u8>, from: usize) {
    let controls = out[from..].iter().filter(|byte| is_control(**byte)).count();
    if controls == 0 {
        return;
    }
    let mut read = out.len();
    out.resize(read + controls * 2, 0);
    let mut write = out.len();
    // From the end, so that nothing is overwritten before it was read.
    while read > from {
        read -= 1;
        let byte = out[read];
        if is_control(byte) {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble & 0xf)];
            write -= 3;
            out[write] = b'%';
            out[write + 1] = digit(byte >> 4);
            out[write + 2] = digit(byte);
        } else {
            write -= 1;
            out[write] = byte;
        }
    }
}

/// Takes the spaces off both ends of what was written from `start` on.
fn trim(out: &mut Vec<u8>, start: usize) {
    let value = &out[start..];
    let kept = value.trim_ascii_end().len();
    let lead = kept - value[..kept].trim_ascii_start().len();
    out.truncate(start + kept);
    if lead > 0 {
        out.drain(start..start + lead);
    }
}

fn problem(message: impl Into<String>, help: impl Into<String>) -> TemplateProblem {
    TemplateProblem {
        message: message.into(),
        help: help.into(),
    }
}

#[cfg(test)]
pub(super) mod tests {
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
}
