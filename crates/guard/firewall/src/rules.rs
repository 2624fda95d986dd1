//! Rules on requests: a list that people can read, asked from its first to its last.
//!
//! A rule that denies looks at the path and the query in every spelling that a server may read, as they are forwarded and decoded,
//! and at what else servers may take the path for, so that it cannot be evaded by writing differently what it looks for
//! (`/wp-admin%2Fx`, `/%2Fwp-admin`, `/wp-admin;a/x`). A rule that allows looks only at what is forwarded, so that nothing passes because of how
//! it might be read.

use std::net::IpAddr;

use weir_config::{Cx, Map, OneOrMany, Spanned};

use crate::{
    config::{MatchConfig, QueryConfig, RuleAction, RuleConfig},
    entries::Entries,
    geo::{Geo, Memo},
    pattern::{PathPattern, Pattern, decoded},
    registry::Firewalls,
    verdict::{Cause, Verdict},
};

/// What rules look at.
pub trait Request {
    /// The method, as it was sent.
    fn method(&self) -> &[u8];

    /// The path in normal form, as routes see it.
    fn path(&self) -> &[u8];

    /// Other paths that a server may take it for. Asked only where a rule that denies looks at paths; nothing for almost all of them.
    fn readings(&self) -> Vec<Vec<u8>>;

    /// The query as it was sent, without its `?`.
    fn query(&self) -> &[u8];

    /// Whether `test` holds for any value of the header fields of this name, which is in lower case.
    fn any_field<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], test: F) -> bool;

    /// The address of the client.
    fn client(&self) -> IpAddr;
}

/// Room for decoding, kept from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    path: Vec<u8>,
    query: Vec<u8>,
    value: Vec<u8>,
}

/// The rules of one place of the config.
#[derive(Debug, Default)]
pub struct RequestRules {
    rules: Box<[Rule]>,
    /// All of them are only tried out, together.
    dry_run: bool,
    /// Whether one looks at the path or the whole query in a second spelling.
    decodes_path: bool,
    decodes_query: bool,
}

#[derive(Debug)]
struct Rule {
    name: Box<str>,
    denies: bool,
    dry_run: bool,
    paths: Box<[PathPattern]>,
    methods: Box<[Box<[u8]>]>,
    fields: Box<[Condition]>,
    query: Option<Pattern>,
    parameters: Box<[Condition]>,
    from: Option<Entries>,
}

/// A name, and what one of its values must be.
#[derive(Debug)]
struct Condition {
    name: Box<[u8]>,
    pattern: Pattern,
}

/// A request with what was decoded of it.
struct Asked<'r, R> {
    request: &'r R,
    memo: &'r Memo,
    path: Option<&'r [u8]>,
    /// What else servers may read, as it is and decoded.
    readings: Vec<(Vec<u8>, Vec<u8>)>,
    query: Option<&'r [u8]>,
}

impl RequestRules {
    pub(crate) fn compile(
        rules: &[Spanned<RuleConfig>],
        dry_run: bool,
        firewalls: &Firewalls,
        geo: &Geo,
        cx: &mut Cx,
    ) -> Self {
        let mut compiled: Vec<Rule> = Vec::with_capacity(rules.len());
        for (index, config) in rules.iter().enumerate() {
            let rule = Rule::compile(index, config, firewalls, geo, cx);
            if compiled.iter().any(|other| other.name == rule.name) {
                cx.error(config.span, format!("two rules are called `{}`", rule.name));
            }
            compiled.push(rule);
        }
        let rules: Box<[Rule]> = compiled.into();
        let denying = || rules.iter().filter(|rule| rule.denies);
        Self {
            dry_run,
            decodes_path: denying().any(|rule| !rule.paths.is_empty()),
            decodes_query: denying().any(|rule| rule.query.is_some()),
            rules,
        }
    }

    /// Whether there is no rule, so that nobody needs to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The names of all rules, for their metrics.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().map(|rule| &*rule.name)
    }

    /// What the first rule that matches says. A rule that is only tried out decides nothing, and the next one is asked.
    pub fn check<R: Request>(
        &self,
        request: &R,
        memo: &Memo,
        scratch: &mut Scratch,
    ) -> Verdict<'_> {
        if self.rules.is_empty() {
            return Verdict::PASS;
        }
        let Scratch { path, query, value } = scratch;
        let coded = |bytes: &[u8]| memchr::memchr(b'%', bytes).is_some();
        let asked = Asked {
            request,
            memo,
            path: (self.decodes_path && coded(request.path())).then(|| {
                path.clear();
                path.extend(decoded(request.path(), false));
                &**path
            }),
            readings: if self.decodes_path {
                let all = request.readings().into_iter();
                let both = |path: Vec<u8>| {
                    let plain = decoded(&path, false).collect();
                    (path, plain)
                };
                all.map(both).collect()
            } else {
                Vec::new()
            },
            query: (self.decodes_query && memchr::memchr2(b'%', b'+', request.query()).is_some())
                .then(|| {
                    query.clear();
                    query.extend(decoded(request.query(), true));
                    &**query
                }),
        };
        let mut verdict = Verdict::PASS;
        for rule in &self.rules {
            if !rule.matches(&asked, value) {
                continue;
            }
            if !rule.denies {
                // One that is tried out must not keep those after it from denying.
                if rule.dry_run {
                    continue;
                }
                break;
            }
            let cause = Some(Cause::Rule(&rule.name));
            if !rule.dry_run {
                verdict.denied = cause;
                break;
            }
            verdict.would_deny = verdict.would_deny.or(cause);
        }
        if self.dry_run {
            let denied = verdict.denied.take();
            verdict.would_deny = verdict.would_deny.or(denied);
        }
        verdict
    }
}

/// HEAD is a GET without the content (RFC 9110, 9.3.2), for rules as for routes.
fn is_method(wanted: &[u8], method: &[u8]) -> bool {
    wanted == method || wanted == b"GET" && method == b"HEAD"
}

impl Rule {
    fn compile(
        index: usize,
        config: &RuleConfig,
        firewalls: &Firewalls,
        geo: &Geo,
        cx: &mut Cx,
    ) -> Self {
        let (denies, matches) = match &config.action {
            RuleAction::Deny(matches) => (true, matches),
            RuleAction::Allow(matches) => (false, matches),
        };
        let MatchConfig {
            path,
            methods,
            headers,
            query,
            from,
        } = matches;
        let (query, parameters) = match query {
            None => (None, None),
            Some(QueryConfig::Whole(text)) => (parse(text, Pattern::parse, cx), None),
            Some(QueryConfig::Parameters(patterns)) => (None, Some(patterns)),
        };
        let name = config.name.as_ref().map(|name| name.as_str().into());
        Self {
            name: name.unwrap_or_else(|| format!("rule-{}", index + 1).into()),
            denies,
            dry_run: config.dry_run,
            paths: several(path.as_ref())
                .filter_map(|text| parse(text, PathPattern::parse, cx))
                .collect(),
            methods: several(methods.as_ref())
                .filter_map(|text| parse(text, method, cx))
                .collect(),
            fields: conditions(headers, true, cx),
            query,
            parameters: parameters
                .map_or_else(Box::default, |patterns| conditions(patterns, false, cx)),
            from: (!from.is_empty()).then(|| Entries::compile(from, firewalls, geo, cx)),
        }
    }

    /// Whether everything that the rule says holds. What costs least and fails most comes first.
    fn matches<R: Request>(&self, asked: &Asked<'_, R>, scratch: &mut Vec<u8>) -> bool {
        let request = asked.request;
        (self.methods.is_empty()
            || (self.methods.iter()).any(|method| is_method(method, request.method())))
            && (self.paths.is_empty() || {
                let decoded = asked.path.filter(|_| self.denies);
                let read = |path: &PathPattern| {
                    let mut readings = asked.readings.iter().filter(|_| self.denies);
                    readings.any(|(normal, decoded)| path.matches(normal, Some(decoded)))
                };
                let mut paths = self.paths.iter();
                paths.any(|path| path.matches(request.path(), decoded) || read(path))
            })
            && self.query.as_ref().is_none_or(|pattern| {
                let decoded = asked.query.filter(|_| self.denies);
                pattern.matches(request.query())
                    || decoded.is_some_and(|query| pattern.matches(query))
            })
            && (self.fields.iter())
                .all(|field| request.any_field(&field.name, |value| field.pattern.matches(value)))
            && (self.parameters.iter()).all(|parameter| parameter.holds(request.query(), scratch))
            && self.from.as_ref().is_none_or(|from| {
                from.find(request.client().to_canonical(), asked.memo)
                    .is_some()
            })
    }
}

impl Condition {
    /// Whether one of the parameters of this name, decoded, has such a value, decoded.
    fn holds(&self, query: &[u8], scratch: &mut Vec<u8>) -> bool {
        query.split(|&b| b == b'&').any(|pair| {
            let split = memchr::memchr(b'=', pair).unwrap_or(pair.len());
            let (name, value) = (&pair[..split], pair.get(split + 1..).unwrap_or_default());
            decoded(name, true).eq(self.name.iter().copied()) && {
                scratch.clear();
                scratch.extend(decoded(value, true));
                self.pattern.matches(scratch)
            }
        })
    }
}

fn several(texts: Option<&OneOrMany<Spanned<String>>>) -> impl Iterator<Item = &Spanned<String>> {
    texts.into_iter().flat_map(|texts| texts.iter())
}

fn conditions(
    patterns: &Map<Spanned<String>, String>,
    fields: bool,
    cx: &mut Cx,
) -> Box<[Condition]> {
    let mut conditions = Vec::new();
    for (name, pattern) in patterns {
        if name.value.is_empty() || (fields && !name.value.bytes().all(is_token_byte)) {
            cx.error(
                name.span,
                "this is not the name of a header field or a parameter",
            );
            continue;
        }
        let Some(pattern) = parse(pattern, Pattern::parse, cx) else {
            continue;
        };
        // Names of header fields have no case (RFC 9110, section 5.1); those of parameters do.
        let name = if fields {
            name.value.to_ascii_lowercase()
        } else {
            name.value.clone()
        };
        conditions.push(Condition {
            name: name.into_bytes().into(),
            pattern,
        });
    }
    conditions.into()
}

fn parse<T>(
    text: &Spanned<String>,
    parse: impl Fn(&str) -> Result<T, String>,
    cx: &mut Cx,
) -> Option<T> {
    match parse(&text.value) {
        Ok(value) => Some(value),
        Err(reason) => {
            cx.error(text.span, format!("the pattern `{}`: {reason}", text.value));
            None
        }
    }
}

/// Methods are tokens, and their case counts (RFC 9110, section 9.1).
fn method(text: &str) -> Result<Box<[u8]>, String> {
    if text.is_empty() || !text.bytes().all(is_token_byte) {
        return Err("this is not a method".to_owned());
    }
    if text.bytes().any(|b| b.is_ascii_lowercase()) {
        return Err(format!("write `{}`", text.to_ascii_uppercase()));
    }
    Ok(text.as_bytes().into())
}

fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests;
