//! Answers that Weir gives itself.
//!
//! Errors carry a problem document (RFC 9457). It says what the client can act on;
//! why an endpoint failed is for the log, which the request id leads to.

use std::rc::Rc;

use weir_telemetry::Reason;

use super::{forward, state::Exchange};
use crate::{
    codec::{Method, Version, encode},
    guard,
    local::Local,
    server::Client,
};

/// An answer that Weir gives itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: Reason,
    /// The connection is not fit for another request.
    pub(crate) close: bool,
}

impl Answer {
    /// The connection stays open.
    pub(crate) const fn new(status: u16, reason: Reason) -> Self {
        Self {
            status,
            reason,
            close: false,
        }
    }

    /// The connection closes behind the answer.
    pub(crate) const fn closing(status: u16, reason: Reason) -> Self {
        Self {
            status,
            reason,
            close: true,
        }
    }

    /// What the client is told beyond the status. Nothing about what stands behind Weir.
    const fn detail(self, rule: &'static str) -> &'static str {
        if !rule.is_empty() && self.status < 500 {
            return rule;
        }
        match self.status {
            404 => "Nothing is served under this host and path.",
            405 => "This path is served, but not with this method; Allow lists those that it has.",
            408 => "The request did not arrive in time.",
            413 => "The request body is larger than this route accepts.",
            501 => "This server does not implement what the request asks for.",
            502 if matches!(self.reason, Reason::ConnectRefused | Reason::ConnectFailed) => {
                "The service could not be reached."
            }
            502 => "The service gave no valid answer.",
            503 => "The service cannot take the request now.",
            504 => "The service did not answer in time.",
            _ => self.reason.describe(),
        }
    }
}

/// Stages the whole answer with its problem document.
pub(crate) fn answer(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    answer: Answer,
    allow: Option<&[u8]>,
    keep: bool,
) {
    exchange.status = answer.status;
    exchange.reason = Some(answer.reason);
    let head_only = exchange.request.method() == Method::Head;
    let mut body = local.scratch();
    body.extend_from_slice(b"{\"title\":\"");
    body.extend_from_slice(encode::reason_phrase(answer.status).as_bytes());
    body.extend_from_slice(b"\",\"status\":");
    body.extend_from_slice(itoa::Buffer::new().format(answer.status).as_bytes());
    body.extend_from_slice(b",\"detail\":\"");
    // Both texts are ours and free of quotes and backslashes but for backquotes.
    body.extend_from_slice(answer.detail(exchange.detail).as_bytes());
    body.push(b'"');
    if exchange.request_id_len > 0 {
        body.extend_from_slice(b",\"request_id\":\"");
        body.extend_from_slice(exchange.request_id());
        body.push(b'"');
    }
    body.extend_from_slice(b"}\n");

    let version = client.version;
    let plan = Rc::clone(client.plan());
    let stage = client.wire.stage();
    let start = stage.len();
    status_line(stage, answer.status);
    encode::field(stage, b"Content-Type", b"application/problem+json");
    encode::field(stage, b"Cache-Control", b"no-store");
    if let Some(allow) = allow {
        encode::field(stage, b"Allow", allow);
    }
    if answer.status == 503 {
        let seconds = u64::from(exchange.retry_after.max(1));
        encode::number_field(stage, b"Retry-After", seconds);
    }
    guard::amend_own_answer(stage, start, &plan, exchange);
    finish_head(local, stage, version, body.len() as u64, keep);
    if !head_only {
        stage.extend_from_slice(&body);
        exchange.body_out = body.len() as u64;
    }
    local.reclaim_scratch(body);
}

/// Starts the head of an answer of ours.
pub(crate) fn status_line(stage: &mut Vec<u8>, status: u16) {
    encode::status_line(stage, status, encode::reason_phrase(status).as_bytes());
    stage.extend_from_slice(b"Server: weir\r\n");
}

/// Ends the head of an answer of ours: length, date, connection, and the empty line.
pub(crate) fn finish_head(
    local: &Local,
    stage: &mut Vec<u8>,
    version: Version,
    length: u64,
    keep: bool,
) {
    encode::field(
        stage,
        b"Content-Length",
        itoa::Buffer::new().format(length).as_bytes(),
    );
    finish_head_without_length(local, stage, version, keep);
}

/// As [`finish_head`], for answers that carry no length (204, 304).
pub(crate) fn finish_head_without_length(
    local: &Local,
    stage: &mut Vec<u8>,
    version: Version,
    keep: bool,
) {
    local.write_date(stage);
    forward::connection_field(stage, version, keep);
    stage.extend_from_slice(b"\r\n");
}
