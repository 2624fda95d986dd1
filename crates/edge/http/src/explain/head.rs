//! The head that an endpoint would get, without the secrets in it.

use weir_auth::Hidden;

use super::{
    Case,
    request::{client_of, text},
};
use crate::{
    codec::FieldId,
    exchange::{Stays, forward},
    guard,
    plan::{AddressText, Plan, RoutePlan},
};

/// What the head that an endpoint gets depends on beside the request.
pub(super) struct Sent<'a> {
    pub(super) plan: &'a Plan,
    pub(super) stays: Stays<'a>,
    pub(super) deadline: Option<(&'a [u8], Option<u64>)>,
}

/// The head as the endpoint gets it, as far as it is known who sends the request.
pub(super) fn head(
    case: &Case<'_>,
    target: forward::Target<'_>,
    sent_with: &Sent<'_>,
) -> Vec<String> {
    let Case {
        question,
        request,
        listener,
        ..
    } = case;
    let sent = request.fields().first(FieldId::XRequestId);
    let kept = sent.and_then(weir_telemetry::accepted_request_id);
    let traced = forward::trace_of(request).is_some();
    let request_id = kept.map_or(&b"<new>"[..], str::as_bytes);
    let client = AddressText::new(client_of(question, request, listener));
    let mut out = Vec::new();
    forward::write_request_head(
        &mut out,
        &forward::Outgoing {
            request,
            address: &AddressText::new(question.from),
            trusted: listener.forwarding.trusts(question.from),
            request_id,
            traced,
            new_trace: (listener.traceparent && !traced).then_some(b"<new>"),
            stays: sent_with.stays,
            deadline: sent_with.deadline,
            edit: guard::explained_edit(
                sent_with.plan,
                case.route,
                request,
                case.values,
                &client,
                request_id,
                case.known,
            ),
            copy: None,
        },
        listener,
        target,
    );
    let lines = text(&out);
    let parameters = super::parameters(&sent_with.plan.hidden_parameters);
    lines
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{name}: {}", shown(name, value, case.route)),
            None => without_parameters(line, &parameters),
        })
        .collect()
}

/// The value of a field, without a credential that it holds.
fn shown(name: &str, value: &str, route: &RoutePlan) -> String {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("authorization") || is("proxy-authorization") {
        return match value.split_once(' ') {
            Some((scheme, _)) => format!("{scheme} ***"),
            None => "***".to_owned(),
        };
    }
    // What nobody here looks at may be a credential for the endpoint.
    const WORDS: [&str; 7] = [
        "api-key",
        "apikey",
        "cookie",
        "credential",
        "passw",
        "secret",
        "token",
    ];
    let lower = name.to_ascii_lowercase();
    let named = |hidden: &Hidden| matches!(hidden, Hidden::Field(field) if is(field));
    if WORDS.iter().any(|word| lower.contains(word)) || route.hidden().iter().any(named) {
        return "***".to_owned();
    }
    value.to_owned()
}

/// A request line without the values of these parameters of its query.
pub(super) fn without_parameters(line: &str, names: &[String]) -> String {
    let Some((before, rest)) = line.split_once('?') else {
        return line.to_owned();
    };
    // A name may be written in other ways than its own.
    let is_hidden = |name: &str| {
        names
            .iter()
            .any(|hidden| hidden == name || name.contains('%'))
    };
    let (query, version) = rest.split_once(' ').unwrap_or((rest, ""));
    let pairs: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) if is_hidden(name) => format!("{name}=***"),
            _ => pair.to_owned(),
        })
        .collect();
    let space = if version.is_empty() { "" } else { " " };
    format!("{before}?{}{space}{version}", pairs.join("&"))
}
