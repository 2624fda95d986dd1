//! Answering with a file.

use std::{borrow::Cow, future::poll_fn, io, rc::Rc, task::Poll};

use weir_net::now;
use weir_telemetry::Reason;

use super::{
    answer::{self, Answer},
    reply,
    run::Next,
    state::Exchange,
};
use crate::{
    codec::{FieldId, Fields, Method, encode},
    files::{FilesAnswer, FilesBody, FilesMethod, FilesPlan, FilesRequest, Piece},
    guard,
    local::Local,
    plan::ListenerPlan,
    server::Client,
    wire::Pace,
};

/// Serves a request from a files route. `below` is the path parameter that holds the path below the root.
pub(super) async fn run(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    listener: &ListenerPlan,
    plan: &FilesPlan,
    below: Option<usize>,
) -> Next {
    let found = resolve(local, exchange, plan, below).await;
    if found.status >= 400 && found.status != 412 && found.status != 416 {
        exchange.detail = found.detail;
        let refusal = Answer::new(found.status, found.reason.unwrap_or(Reason::FileFailed));
        let allow = (found.status == 405).then_some(&b"GET, HEAD"[..]);
        return reply::error(local, client, exchange, listener, refusal, allow).await;
    }
    exchange.status = found.status;
    exchange.reason = found.reason;
    let keep = reply::may_keep(local, client, exchange, listener);
    let version = client.version;
    let routes = Rc::clone(client.plan());
    let stage = client.wire.stage();
    let start = stage.len();
    answer::status_line(stage, found.status);
    found.fields(|name, value| encode::field(stage, name.as_bytes(), value));
    guard::amend_own_answer(stage, start, &routes, exchange);
    match found.content_length {
        Some(length) => answer::finish_head(local, stage, version, length, keep),
        None if found.status == 304 => {
            answer::finish_head_without_length(local, stage, version, keep);
        }
        None => answer::finish_head(local, stage, version, 0, keep),
    }
    let Some(mut body) = found.body else {
        return reply::send(local, client, exchange, listener, keep).await;
    };
    let length = body.remaining();
    let sent = send(client, listener, &mut body).await;
    exchange.body_out = length - body.remaining();
    match sent {
        Ok(()) => reply::after(local, client, listener, keep).await,
        Err(Broken::File) => {
            exchange.reason = Some(Reason::FileFailed);
            Next::Abort
        }
        Err(Broken::Client(reason)) => {
            exchange.reason = Some(reason);
            Next::Abort
        }
    }
}

async fn resolve(
    local: &Local,
    exchange: &Exchange,
    plan: &FilesPlan,
    below: Option<usize>,
) -> FilesAnswer {
    let request = &exchange.request;
    let path = exchange.path();
    let fields = request.fields();
    let if_match = list(fields, FieldId::IfMatch);
    let if_none_match = list(fields, FieldId::IfNoneMatch);
    let accept_encoding = list(fields, FieldId::AcceptEncoding);
    let wanted = FilesRequest {
        method: match request.method() {
            Method::Get => FilesMethod::Get,
            Method::Head => FilesMethod::Head,
            _ => FilesMethod::Other,
        },
        path: below
            .and_then(|index| exchange.captures.value(index, path))
            .unwrap_or(path),
        full_path: path,
        query: request.query(),
        if_match: if_match.as_deref(),
        if_none_match: if_none_match.as_deref(),
        if_modified_since: only(fields, FieldId::IfModifiedSince),
        if_unmodified_since: only(fields, FieldId::IfUnmodifiedSince),
        if_range: only(fields, FieldId::IfRange),
        range: only(fields, FieldId::Range),
        accept_encoding: accept_encoding.as_deref(),
        now: local.worker.unix_millis(exchange.times.start) / 1000,
        seed: local.random(),
    };
    plan.resolve(&wanted).await
}

/// A list field: its lines are one value (RFC 9110, 5.2).
fn list(fields: &Fields, id: FieldId) -> Option<Cow<'_, [u8]>> {
    let mut lines = fields.all(id);
    let first = lines.next()?;
    let Some(second) = lines.next() else {
        return Some(Cow::Borrowed(first));
    };
    let mut joined = first.to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(line);
    }
    Some(Cow::Owned(joined))
}

/// A field that means something only if it is there once.
fn only(fields: &Fields, id: FieldId) -> Option<&[u8]> {
    let mut lines = fields.all(id);
    let first = lines.next()?;
    lines.next().is_none().then_some(first)
}

/// Why a file did not go out whole.
enum Broken {
    File,
    Client(Reason),
}

impl Broken {
    fn to_client(error: &io::Error) -> Self {
        Self::Client(reply::why_unsent(error))
    }
}

/// Sends what is staged, and the file: a small one with its head in one write, a large one inside the kernel.
async fn send(
    client: &mut Client,
    listener: &ListenerPlan,
    body: &mut FilesBody,
) -> Result<(), Broken> {
    if body.remaining() <= FilesBody::SMALL {
        let max = usize::try_from(body.remaining()).unwrap_or(usize::MAX);
        body.read(client.wire.stage(), max)
            .await
            .map_err(|_| Broken::File)?;
    }
    let mut pace = Pace::default();
    loop {
        match body.piece() {
            Piece::End => break,
            Piece::Bytes(bytes) => {
                let n = bytes.len();
                client.wire.stage().extend_from_slice(bytes);
                body.advance(n);
            }
            Piece::File { offset, len } => {
                reply::flush_at(client, listener, &mut pace)
                    .await
                    .map_err(|error| Broken::to_client(&error))?;
                body.ensure_resident(offset, len)
                    .await
                    .map_err(|_| Broken::File)?;
                let n = send_chunk(client, listener, &mut pace, body, (offset, len)).await?;
                body.advance(n);
            }
        }
    }
    reply::flush_at(client, listener, &mut pace)
        .await
        .map_err(|error| Broken::to_client(&error))
}

async fn send_chunk(
    client: &mut Client,
    listener: &ListenerPlan,
    pace: &mut Pace,
    body: &FilesBody,
    (offset, len): (u64, usize),
) -> Result<usize, Broken> {
    let mut waited = false;
    poll_fn(|cx| {
        match client
            .wire
            .stream
            .poll_send_file(cx, body.file(), offset, len)
        {
            // The file was cut short after its length had been announced.
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(Broken::File)),
            Poll::Ready(Ok(n)) => {
                client.wire.sent += n as u64;
                if waited {
                    pace.rest(now());
                }
                return Poll::Ready(Ok(n));
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
                cx.waker().wake_by_ref();
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(Broken::to_client(&error))),
            Poll::Pending => {}
        }
        waited = true;
        reply::poll_slow(cx, client, listener, pace).map(|error| Err(Broken::to_client(&error)))
    })
    .await
}
