//! Values of header fields with parts that are filled in: `Bearer-of {user}`, `{client_ip}`, `{claim.tenant}`.
//!
//! Names are looked up when the plan is compiled, so a request meets only positions. What is filled in comes from
//! clients and from tokens, which may hold any character: control characters are percent-encoded and white space at the
//! ends is cut off, so no value can end its line or begin another. Everything else goes in as it is.

use std::borrow::Cow;

use weir_auth::Hidden;
use weir_config::nearest;

use super::query::without_keys;
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
    /// Credentials that are told to nobody.
    pub(crate) hidden: &'a [Hidden],
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
                Part::Word(word) => push_clean(&of(*word, facts), out),
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
/// What other programs call so.
fn borrowed(name: &str) -> Option<String> {
    let claim = ["jwt.", "claims.", "token.", "jwt_claim_"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix));
    Some(match name {
        "sub" | "subject" | "username" | "user_id" | "jwt.sub" | "remote_user" => "user".to_owned(),
        "remote_addr" | "remote_ip" | "client.ip" | "ip" => "client_ip".to_owned(),
        "uri" | "request_uri" | "url" => "path".to_owned(),
        "api_key" | "key_id" => "key".to_owned(),
        "proto" => "scheme".to_owned(),
        _ => format!("claim.{}", claim.filter(|claim| !claim.is_empty())?),
    })
}

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
            let help = match borrowed(name).or_else(|| nearest(name, known()).map(str::to_owned)) {
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

fn of<'a, W: Who>(word: Word, facts: &Facts<'a, W>) -> Cow<'a, [u8]> {
    let request = facts.request;
    Cow::Borrowed(match word {
        Word::ClientIp => facts.client_ip,
        Word::Host => without_port(request.host()),
        Word::Method => request.method_bytes(),
        Word::Path => facts.path,
        Word::Query => return without_keys(request.query(), facts.hidden).unwrap_or_default(),
        Word::RequestId => facts.request_id,
        Word::Route => facts.route,
        Word::Scheme => facts.scheme,
        Word::Key => facts.who.map_or(b"", W::key),
        Word::Plan => facts.who.map_or(b"", W::plan),
        Word::User => facts.who.map_or(b"", W::user),
    })
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
pub(super) mod tests;
