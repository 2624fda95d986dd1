//! Which pages of other origins may use a route: CORS, as the Fetch standard has it.
//!
//! Weir decides, so the endpoint's own `Access-Control-*` fields are taken out of its answers. An origin is repeated only
//! if it is listed, and every answer that depends on it says so (`Vary: Origin`), refused ones too, so that no cache hands
//! one origin's answer to another. Questions that browsers ask first (preflights) are answered here and reach no endpoint;
//! they carry no credentials, so nobody can be asked for any.

mod origins;

use weir_config::Cx;

use self::origins::Origins;
use crate::{
    codec::{FieldId, Fields, Method, RequestHead, encode},
    config::{CorsConfig, Token},
    exchange::{Exchange, Next, forward, reply},
    local::Local,
    plan::ListenerPlan,
    server::Client,
};

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
        let origins = Origins::compile(&config.origins, cx);
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
        Some(Self {
            origins: origins?,
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
        self.origins.are_all()
    }

    /// Writes who may read the answer. False if the one who asks may not.
    fn write_origin(&self, out: &mut Vec<u8>, request: &Fields) -> bool {
        if self.is_for_all() {
            encode::field(out, b"Access-Control-Allow-Origin", b"*");
            return true;
        }
        let mut origins = request.all(FieldId::Origin);
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        let listed = self.origins.list(origin);
        if listed {
            encode::field(out, b"Access-Control-Allow-Origin", origin);
        }
        listed
    }
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
mod tests;
