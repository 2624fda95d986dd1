//! A service that is asked whether a request may pass.
//!
//! It is told what the client asked for, and gets the fields of the request but not its body. What it says of who is
//! asking goes on to the endpoint, under names that nobody else may use. Whatever is not clearly a yes or a no is a
//! failure, and a failure lets nobody pass.

use std::rc::Rc;

use weir_auth::Hidden;
use weir_config::{OneOrMany, Spanned};
use weir_net::Micros;
use weir_telemetry::Reason;

use super::{
    amend_own_answer,
    query::{write_address, write_query},
    subrequest::{Subrequest, Unanswered},
};
use crate::{
    codec::{FieldId, Fields, Method, Names, encode},
    config::{AskMethod, ChangedField, ForwardAuthConfig},
    exchange::{Answer, Exchange, FieldSet, Next, forward, reply},
    local::Local,
    plan::ListenerPlan,
    proxy::NEVER,
    server::Client,
};

/// Fields that the service never gets as the client sent them: those that Weir writes, and those that would say something
/// about a body that is not sent.
const NEVER_PASSED: FieldSet = FieldSet::of(&[
    FieldId::ContentLength,
    FieldId::Expect,
    FieldId::Forwarded,
    FieldId::Host,
    FieldId::MaxForwards,
    FieldId::Trailer,
    FieldId::XForwardedFor,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XForwardedProto,
    FieldId::XRealIp,
    FieldId::XRequestId,
]);

/// Fields that it gets only if it is said that it shall: about the body, and conditions on the answer that is not this one.
const NOT_BY_DEFAULT: FieldSet = FieldSet::of(&[
    FieldId::ContentEncoding,
    FieldId::ContentRange,
    FieldId::ContentType,
    FieldId::IfMatch,
    FieldId::IfModifiedSince,
    FieldId::IfNoneMatch,
    FieldId::IfRange,
    FieldId::IfUnmodifiedSince,
    FieldId::Range,
]);

/// Further fields that only Weir writes.
const OWN: [&[u8]; 2] = [b"X-Forwarded-Method", b"X-Forwarded-Uri"];

/// How a service is asked.
#[derive(Debug)]
pub(crate) struct ForwardAuthPlan {
    /// Index in [`Plan::services`](crate::plan::Plan).
    service: u32,
    method: AskMethod,
    target: Box<[u8]>,
    timeout: Micros,
    /// `None`: all that are not left out.
    pass: Option<Names>,
    /// Those of the client's that are left out.
    left_out: Names,
    /// Fields of the answer that the request gets.
    headers: Vec<Box<[u8]>>,
    max_body: usize,
}

/// What it said.
pub(crate) enum Verdict {
    /// The request may pass, with these lines.
    Pass(Vec<u8>),
    /// It may not, and this is the answer.
    Refuse(Refused),
    /// Nobody knows, so it may not.
    Unavailable(Answer),
    /// Nobody waits any more.
    ClientGone,
}

/// An answer that goes to the client as it is.
pub(crate) struct Refused {
    asked: Box<Exchange>,
    body: Vec<u8>,
    /// The body is all there.
    whole: bool,
}

impl ForwardAuthPlan {
    /// Compiles a policy. `service` is the index of its service in the plan.
    pub(crate) fn compile(config: &ForwardAuthConfig, service: u32) -> Self {
        let names = |fields: &Option<OneOrMany<Spanned<ChangedField>>>| -> Vec<Box<[u8]>> {
            let fields = fields.iter().flat_map(|fields| fields.iter());
            fields
                .map(|field| field.as_str().as_bytes().into())
                .collect()
        };
        let headers = names(&config.headers);
        let mut left_out: Names = OWN.into_iter().collect();
        left_out.add(forward::MIRROR);
        for name in &headers {
            // Credentials that the answer replaces are what it is asked about.
            if FieldId::of(name) == FieldId::Other {
                left_out.add(name);
            }
        }
        Self {
            service,
            method: config.method,
            target: config.path.as_bytes().into(),
            timeout: u64::try_from(config.timeout.get().as_micros()).unwrap_or(NEVER - 1),
            pass: config.pass.is_some().then(|| {
                let pass = names(&config.pass);
                pass.iter().map(|name| &**name).collect()
            }),
            left_out,
            headers,
            max_body: config.max_body.as_usize(),
        }
    }

    /// The fields that tell endpoints who is asking: nobody else may send them.
    pub(crate) fn identity_names(&self) -> impl Iterator<Item = &[u8]> {
        let names = self.headers.iter().map(|name| &**name);
        names.filter(|name| FieldId::of(name) == FieldId::Other)
    }

    /// Writes the question about the request in `exchange`.
    fn write(&self, out: &mut Vec<u8>, client: &Client, exchange: &Exchange) {
        let request = &exchange.request;
        let fields = request.fields();
        encode::request_line(out, self.method.as_str().as_bytes(), &self.target);
        encode::field(out, b"Host", request.authority());
        let shared = &client.plan().shared;
        // Who says which fields it gets leaves keys out by that, and means no other way for them.
        let (hidden, referred): (&[Hidden], &[Hidden]) = match (&self.pass, exchange.route) {
            (Some(_), Some(route)) => (
                client.plan().route(route).hidden(),
                &shared.hidden_parameters,
            ),
            _ => (&[], &[]),
        };
        let traced = exchange.trace.is_some() && !exchange.trace_made;
        fields.write_forwarded(out, |field| {
            let (id, name) = (field.id(), fields.name(field));
            let by_default = match &self.pass {
                Some(pass) => pass.has(name),
                None => !NOT_BY_DEFAULT.has(id),
            };
            let own = match id {
                FieldId::Referer => !referred.is_empty(),
                FieldId::Traceparent | FieldId::Tracestate => !traced,
                FieldId::Other => self.left_out.has(name),
                _ => NEVER_PASSED.has(id),
            };
            by_default && !own
        });
        if !referred.is_empty() && self.pass.as_ref().is_some_and(|pass| pass.has(b"referer")) {
            for (field, _, address) in fields.iter() {
                if field.id() == FieldId::Referer && !field.hop() {
                    out.extend_from_slice(b"Referer: ");
                    write_address(out, address, referred);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
        if self.method == AskMethod::Post {
            encode::field(out, b"Content-Length", b"0");
        }
        let forwarding = &client.options().forwarding;
        forwarding.write_x_forwarded(out, &client.address, client.trusted, request);
        encode::field(out, b"X-Forwarded-Method", request.method_bytes());
        out.extend_from_slice(b"X-Forwarded-Uri: ");
        // The path that the route was chosen by: what is let pass is what was asked about.
        out.extend_from_slice(exchange.path());
        if let Some(query) = request.query() {
            write_query(out, query, hidden);
        }
        out.extend_from_slice(b"\r\n");
        if !exchange.request_id().is_empty() {
            encode::field(out, b"X-Request-Id", exchange.request_id());
        }
        if let (Some(trace), true) = (&exchange.trace, exchange.trace_made) {
            encode::field(out, b"traceparent", trace.as_bytes());
        }
        encode::end_of_head(out);
    }

    /// The lines that the request gets out of an answer.
    fn lines(&self, answer: &Fields) -> Vec<u8> {
        let mut lines = Vec::new();
        for wanted in &self.headers {
            for (field, name, value) in answer.iter() {
                if !field.hop() && name.eq_ignore_ascii_case(wanted) {
                    encode::field(&mut lines, wanted, value);
                }
            }
        }
        lines
    }
}

/// Asks about the request in `exchange`.
pub(crate) async fn ask(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    check: &ForwardAuthPlan,
) -> Verdict {
    let plan = Rc::clone(client.plan());
    let mut message = local.scratch();
    check.write(&mut message, client, exchange);
    let mut asked = local.exchange();
    let mut body = Vec::new();
    let question = Subrequest {
        local,
        plan: &plan,
        service: check.service,
        method: match check.method {
            AskMethod::Get => Method::Get,
            AskMethod::Head => Method::Head,
            AskMethod::Post => Method::Post,
        },
        message: &message,
        timeout: check.timeout,
        priority: exchange.priority,
        most_body: check.max_body,
    };
    let answered = question.ask(client, &mut asked, &mut body).await;
    local.reclaim_scratch(message);
    let verdict = match answered {
        Err(Unanswered::ClientGone) => Verdict::ClientGone,
        Err(Unanswered::Failed(why)) => unavailable(exchange, why),
        Ok(whole) => match asked.response.status() {
            200..=299 => Verdict::Pass(check.lines(asked.response.fields())),
            // 304 answers a condition, and none was passed on.
            401 | 403 | 300..=303 | 305..=399 => {
                return Verdict::Refuse(Refused { asked, body, whole });
            }
            _ => unavailable(exchange, "status"),
        },
    };
    local.spare(asked);
    verdict
}

fn unavailable(exchange: &mut Exchange, why: &'static str) -> Verdict {
    exchange.rule = why;
    Verdict::Unavailable(Answer::new(503, Reason::AuthUnavailable))
}

/// Hands a refusal to the client.
pub(crate) async fn refuse(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    refused: Refused,
) -> Next {
    let Refused { asked, body, whole } = refused;
    let keep = reply::may_keep(local, client, exchange, listener);
    let response = &asked.response;
    exchange.status = response.status();
    exchange.reason = Some(Reason::AuthDenied);
    let head_only = exchange.request.method() == Method::Head;
    let version = client.version;
    let plan = Rc::clone(client.plan());
    let stage = client.wire.stage();
    let start = stage.len();
    encode::status_line(stage, response.status(), response.reason());
    write_refusal(stage, response.fields(), whole);
    amend_own_answer(stage, start, &plan, exchange);
    if response.fields().first(FieldId::Date).is_none() {
        local.write_date(stage);
    }
    encode::number_field(stage, b"Content-Length", body_of(&body, whole).len() as u64);
    forward::connection_field(stage, version, keep);
    encode::end_of_head(stage);
    if !head_only {
        stage.extend_from_slice(body_of(&body, whole));
        exchange.body_out = body_of(&body, whole).len() as u64;
    }
    local.spare(asked);
    reply::send(local, client, exchange, listener, keep).await
}

/// A body that is not all there says something else than was meant.
fn body_of(body: &[u8], whole: bool) -> &[u8] {
    if whole { body } else { b"" }
}

/// Writes the fields of a refusal, without those that delimit or describe a body that is not there.
fn write_refusal(out: &mut Vec<u8>, fields: &Fields, whole: bool) {
    let about_body = FieldSet::of(&[
        FieldId::ContentEncoding,
        FieldId::ContentRange,
        FieldId::ContentType,
        FieldId::ETag,
        FieldId::LastModified,
    ]);
    fields.write_forwarded(out, |field| {
        let id = field.id();
        let delimits = matches!(id, FieldId::ContentLength | FieldId::Trailer);
        !(delimits || !whole && about_body.has(id))
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_config::Cx;

    fn plan(text: &str) -> ForwardAuthPlan {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<ForwardAuthConfig>();
        let config = cx.finish(config).expect("good").value;
        ForwardAuthPlan::compile(&config, 7)
    }

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in lines {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn the_endpoint_is_told_what_the_service_says() {
        let plan = plan("{ service: authz, headers: [X-User, authorization] }");
        let answer = fields(&[
            ("x-USER", "ada"),
            ("X-Other", "1"),
            ("X-User", "b"),
            ("Authorization", "Bearer inner"),
        ]);
        assert_eq!(plan.lines(&fields(&[])), b"");
        assert_eq!(
            plan.lines(&answer),
            b"x-user: ada\r\nx-user: b\r\nauthorization: Bearer inner\r\n"
        );
        let names: Vec<&[u8]> = plan.identity_names().collect();
        assert_eq!(names, [b"x-user"], "clients may send credentials elsewhere");
        assert!(plan.left_out.has(b"X_User") && plan.left_out.has(b"x-forwarded-uri"));
        assert!(
            !plan.left_out.has(b"authorization"),
            "it is what is asked about"
        );
    }

    #[test]
    fn a_refusal_is_passed_on_as_it_is() {
        let answer = fields(&[
            ("Location", "https://id.example/login"),
            ("Set-Cookie", "a=1"),
            ("Set-Cookie", "b=2"),
            ("WWW-Authenticate", "Bearer"),
            ("Content-Type", "text/html"),
            ("Content-Length", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close"),
        ]);
        let mut whole = Vec::new();
        write_refusal(&mut whole, &answer, true);
        let common = "Location: https://id.example/login\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nWWW-Authenticate: Bearer\r\n";
        assert_eq!(
            String::from_utf8_lossy(&whole),
            format!("{common}Content-Type: text/html\r\n")
        );
        let mut cut = Vec::new();
        write_refusal(&mut cut, &answer, false);
        assert_eq!(String::from_utf8_lossy(&cut), common);
    }

    #[test]
    fn the_config_becomes_the_plan() {
        let plan = plan(
            "{ service: authz, path: '/check?a', method: POST, timeout: 20ms, pass: [Cookie], max_body: 1KiB }",
        );
        assert_eq!((plan.service, &*plan.target), (7, &b"/check?a"[..]));
        assert_eq!((plan.timeout, plan.max_body), (20_000, 1024));
        assert!(
            plan.pass
                .is_some_and(|pass| pass.has(b"cookie") && !pass.has(b"a"))
        );
    }
}
