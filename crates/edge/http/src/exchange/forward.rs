//! The heads that Weir passes on: the request's to the endpoint, the answer's to the client.

use weir_telemetry::TraceParent;

use weir_net::now;

use super::{
    aim::{self, Stays},
    state::Exchange,
};
use crate::{
    codec::{BodyLength, FieldId, Method, RequestHead, ResponseHead, Version, encode},
    cookie,
    guard::{self, RequestEdit},
    local::{Local, LocalPlan},
    plan::{AddressText, ListenerPlan},
    server::Client,
};

/// A set of [`FieldId`]s as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSet(u64);

impl FieldSet {
    pub(crate) const fn of(ids: &[FieldId]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < ids.len() {
            bits |= 1 << ids[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    pub(crate) const fn with(self, id: FieldId) -> Self {
        Self(self.0 | 1 << id as u8)
    }

    #[inline]
    pub(crate) const fn has(self, id: FieldId) -> bool {
        self.0 >> id as u8 & 1 == 1
    }
}

/// Whether the request asks for another protocol that Weir may tunnel.
///
/// Only a request without a body: until the endpoint has agreed, what follows is
/// the next request (RFC 9110, 7.8). Not `h2c`, which would carry requests past
/// every rule (RFC 9113, 3.1 made it obsolete).
pub(crate) fn upgrade(request: &RequestHead) -> Option<&[u8]> {
    let upgrade = request.upgrade()?;
    let h2c = protocols(upgrade).any(|name| name.to_ascii_lowercase().starts_with(b"h2c"));
    (request.body().is_empty() && !h2c).then_some(upgrade)
}

/// Whether the endpoint's 101 switches to what the request asked for. Any other protocol is one that the client does
/// not speak (RFC 9110, 7.8: a server must not switch to it).
pub(crate) fn switches(request: &RequestHead, response: &ResponseHead) -> bool {
    let (Some(asked), Some(agreed)) = (upgrade(request), response.upgrade()) else {
        return false;
    };
    let mut agreed = protocols(agreed).peekable();
    agreed.peek().is_some()
        && agreed.all(|name| protocols(asked).any(|asked| asked.eq_ignore_ascii_case(name)))
}

/// The names in an Upgrade field.
fn protocols(upgrade: &[u8]) -> impl Iterator<Item = &[u8]> {
    upgrade
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.is_empty())
}

/// How many more hops an OPTIONS request may take, if it says so (RFC 9110, 7.6.2). The server where
/// it reaches zero answers it.
pub(crate) fn hops_left(request: &RequestHead) -> Option<u64> {
    if request.method() != Method::Options {
        return None;
    }
    let value = request.fields().first(FieldId::MaxForwards)?;
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// The field that marks a copy, so that a service can tell it from what users wait for. Like the forwarding fields it is
/// worth as much as its sender: that of an untrusted client is not passed on.
pub(crate) const MIRROR: &[u8] = b"X-Weir-Mirror";

/// Writes the head of the request as the endpoint gets it.
pub(crate) fn request_head(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: &Client,
    listener: &ListenerPlan,
    target: Target<'_>,
) {
    head_of(out, exchange, client, listener, target, None);
}

/// Writes the head of a copy of the request, with a body of `length` bytes.
pub(crate) fn mirrored_head(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: &Client,
    listener: &ListenerPlan,
    target: Target<'_>,
    length: usize,
) {
    head_of(out, exchange, client, listener, target, Some(length));
}

fn head_of(
    out: &mut Vec<u8>,
    exchange: &Exchange,
    client: &Client,
    listener: &ListenerPlan,
    target: Target<'_>,
    copy: Option<usize>,
) {
    let plan = client.plan();
    let new_trace = exchange.trace.as_ref().filter(|_| exchange.trace_made);
    let route = exchange.route.map(|route| plan.route(route));
    let told = guard::told_address(plan, client, exchange);
    let address = told.as_ref().unwrap_or(&client.address);
    let outgoing = Outgoing {
        request: &exchange.request,
        address: &client.address,
        trusted: client.trusted,
        request_id: exchange.request_id(),
        traced: exchange.trace.is_some() && !exchange.trace_made,
        new_trace: new_trace.map(|trace| &trace.as_bytes()[..]),
        stays: Stays::in_exchange(plan, exchange),
        deadline: route
            .and_then(|route| route.deadline.as_ref())
            .map(|field| {
                let left = match copy {
                    // Nobody waits for a copy.
                    Some(_) => None,
                    None => aim::millis_left(exchange.deadline, now()),
                };
                (&*field.name, left)
            }),
        edit: guard::request_edit(plan, exchange, address),
        copy,
    };
    write_request_head(out, &outgoing, listener, target);
}

/// What the head of a request is made of, beside its listener and its target.
pub(crate) struct Outgoing<'a> {
    pub(crate) request: &'a RequestHead,
    /// The client's.
    pub(crate) address: &'a AddressText,
    /// Whether the client is believed about whom it speaks for.
    pub(crate) trusted: bool,
    /// May be empty.
    pub(crate) request_id: &'a [u8],
    /// Whether the client sent a valid trace context.
    pub(crate) traced: bool,
    /// The one that Weir began instead.
    pub(crate) new_trace: Option<&'a [u8]>,
    /// Cookies that are between the client and Weir.
    pub(crate) stays: Stays<'a>,
    /// The field in which deadlines travel, and the milliseconds that are left, if there is a deadline.
    pub(crate) deadline: Option<(&'a [u8], Option<u64>)>,
    /// What policies change.
    pub(crate) edit: RequestEdit<'a>,
    /// The length of the body, if this is a copy.
    pub(crate) copy: Option<usize>,
}

/// As [`request_head`], for anyone who knows the parts.
pub(crate) fn write_request_head(
    out: &mut Vec<u8>,
    outgoing: &Outgoing<'_>,
    listener: &ListenerPlan,
    target: Target<'_>,
) {
    let request = outgoing.request;
    out.extend_from_slice(request.method_bytes());
    out.push(b' ');
    let edit = &outgoing.edit;
    match target {
        Target::AsReceived { path, query } => {
            out.extend_from_slice(path);
            if let Some(query) = query {
                guard::write_query(out, query, edit.hidden);
            }
        }
        Target::Rewritten(target) => out.extend_from_slice(target),
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if !edit.write_host(out) {
        encode::field(out, b"Host", request.authority());
    }

    let mut drop = listener.forwarding.replaced;
    let expects = request.expects_continue() && request.version() == Version::H11;
    if !expects || outgoing.copy.is_some() {
        drop = drop.with(FieldId::Expect);
    }
    if outgoing.copy.is_some() {
        // The whole body is there, so it is sent with its length; trailers are not kept.
        drop = drop.with(FieldId::ContentLength).with(FieldId::Trailer);
    }
    let keeps_cookies = outgoing.stays.is_empty() && !edit.hides_cookies();
    if !keeps_cookies {
        drop = drop.with(FieldId::Cookie);
    }
    if edit.changes_referer() {
        drop = drop.with(FieldId::Referer);
    }
    if !outgoing.traced {
        // W3C Trace Context, 3.3: without a valid traceparent, tracestate says nothing.
        drop = drop.with(FieldId::Traceparent).with(FieldId::Tracestate);
    }
    let hops = hops_left(request);
    if let Some(hops) = hops {
        drop = drop.with(FieldId::MaxForwards);
        encode::number_field(out, b"Max-Forwards", hops.saturating_sub(1));
    }
    let fields = request.fields();
    let own = |name: &[u8]| {
        is_forwarding(name, outgoing.trusted)
            || (!outgoing.trusted || outgoing.copy.is_some()) && name.eq_ignore_ascii_case(MIRROR)
            || outgoing
                .deadline
                .is_some_and(|(field, _)| name.eq_ignore_ascii_case(field))
    };
    fields.write_forwarded(out, |field| {
        let id = field.id();
        let name = fields.name(field);
        !(drop.has(id) || id == FieldId::Other && own(name) || edit.drops(fields, field))
    });
    if !keeps_cookies && !edit.drops_cookies() {
        cookie::write_without(out, fields, |name| {
            outgoing.stays.each().any(|sticky| sticky.name() == name) || edit.hides_cookie(name)
        });
    }
    if edit.changes_referer() {
        edit.write_referer(out, fields);
    }
    edit.write(out);
    if let Some((name, Some(left))) = outgoing.deadline {
        encode::number_field(out, name, left);
    }

    match (outgoing.copy, request.body()) {
        (Some(_), BodyLength::None) => {}
        (Some(length), _) => encode::number_field(out, b"Content-Length", length as u64),
        (None, BodyLength::Chunked) => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        // Written with the fields above. A length of zero that was absent stays absent.
        (None, BodyLength::Length(_) | BodyLength::None | BodyLength::UntilClose) => {}
    }
    if outgoing.copy.is_some() {
        encode::field(out, MIRROR, b"1");
    }
    listener
        .forwarding
        .write(out, outgoing.address, outgoing.trusted, request);
    if listener.request_id && !outgoing.request_id.is_empty() {
        encode::field(out, b"X-Request-Id", outgoing.request_id);
    }
    if let Some(trace) = outgoing.new_trace {
        encode::field(out, b"traceparent", trace);
    }
    if listener.via {
        out.extend_from_slice(match request.version() {
            Version::H10 => b"Via: 1.0 weir\r\n",
            Version::H11 => b"Via: 1.1 weir\r\n",
        });
    }
    if outgoing.copy.is_some() {
        // Nobody is there to read trailers or to speak another protocol.
    } else if let Some(upgrade) = upgrade(request) {
        out.extend_from_slice(b"Connection: upgrade\r\n");
        encode::field(out, b"Upgrade", upgrade);
    } else if request.te_trailers() {
        out.extend_from_slice(b"Connection: TE\r\nTE: trailers\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a field, which is none of those that Weir writes itself, tells where a request came from and must not pass: any
/// `X-Forwarded-*` of a client that is not trusted, and of nobody a spelling with `_`, which applications that get fields as
/// CGI variables take for the one that Weir wrote.
fn is_forwarding(name: &[u8], trusted: bool) -> bool {
    let fold = |byte: &u8| match byte {
        b'_' => b'-',
        byte => byte.to_ascii_lowercase(),
    };
    let begins = |start: &[u8]| {
        name.len() >= start.len() && name.iter().map(fold).zip(start).all(|(a, b)| a == *b)
    };
    let odd = name.contains(&b'_');
    begins(b"x-forwarded-") && (odd || !trusted)
        || odd && name.len() == 9 && begins(b"x-real-ip")
        || odd && name.len() == 12 && begins(b"x-request-id")
}

/// What the request line says.
#[derive(Clone, Copy)]
pub(crate) enum Target<'a> {
    /// What the client sent, in origin form; the path normalised if that changed it,
    /// so that the endpoint sees the path that the route was chosen by.
    AsReceived {
        path: &'a [u8],
        query: Option<&'a [u8]>,
    },
    /// What the route's template made, without credentials.
    Rewritten(&'a [u8]),
}

/// How the answer's body is delimited towards the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delimited {
    /// As the endpoint did: by length, or there is none.
    AsReceived,
    /// By the chunked coding.
    Chunked,
    /// By the end of the connection: for HTTP/1.0 clients.
    ByClose,
}

/// Writes the head of the answer as the client gets it.
pub(crate) fn response_head(
    out: &mut Vec<u8>,
    local: &Local,
    plan: &LocalPlan,
    exchange: &Exchange,
    version: Version,
    delimited: Delimited,
    keep: bool,
) {
    let response = &exchange.response;
    encode::status_line(out, response.status(), response.reason());
    let fields = response.fields();
    // RFC 9110, 8.6: no Content-Length in 1xx and 204.
    write_answer_fields(out, plan, exchange, response.status() == 204);
    if fields.first(FieldId::Date).is_none() {
        // RFC 9110, 6.6.1: whoever forwards a response without Date adds it.
        local.write_date(out);
    }
    if delimited == Delimited::Chunked {
        out.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
    }
    connection_field(out, version, keep);
    out.extend_from_slice(b"\r\n");
}

/// The fields of a final answer, with the cookies that keep the client where it is.
fn write_answer_fields(out: &mut Vec<u8>, plan: &LocalPlan, exchange: &Exchange, no_length: bool) {
    let stays = Stays::in_exchange(plan, exchange);
    let fields = exchange.response.fields();
    let policies = guard::AnswerEdit::of(plan, exchange);
    fields.write_forwarded(out, |field| {
        let id = field.id();
        let length = no_length && id == FieldId::ContentLength;
        let kept = id == FieldId::SetCookie
            && stays
                .each()
                .any(|sticky| sticky.is_set_by(fields.value(field)));
        !(length || kept || policies.drops(id, fields.name(field)))
    });
    stays.write(out, plan, exchange);
    policies.write(out, fields);
}

/// Writes an interim answer (1xx other than 101).
pub(crate) fn interim_head(out: &mut Vec<u8>, response: &ResponseHead) {
    encode::status_line(out, response.status(), response.reason());
    response
        .fields()
        .write_forwarded(out, |field| field.id() != FieldId::ContentLength);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of 101: from here on both sides speak another protocol.
pub(crate) fn switching_head(out: &mut Vec<u8>, plan: &LocalPlan, exchange: &Exchange) {
    let response = &exchange.response;
    encode::status_line(out, response.status(), response.reason());
    write_answer_fields(out, plan, exchange, true);
    out.extend_from_slice(b"Connection: upgrade\r\n");
    encode::field(out, b"Upgrade", response.upgrade().unwrap_or_default());
    out.extend_from_slice(b"\r\n");
}

/// RFC 9112, 9.3: persistence is the default of 1.1 and an option of 1.0.
pub(crate) fn connection_field(out: &mut Vec<u8>, version: Version, keep: bool) {
    match (version, keep) {
        (Version::H11, true) => {}
        // Said to HTTP/1.0 as well: the answer is HTTP/1.1, where silence means to go on (section 9.6).
        (_, false) => out.extend_from_slice(b"Connection: close\r\n"),
        (Version::H10, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
    }
}

/// The request's valid trace context, if it has one.
pub(crate) fn trace_of(request: &RequestHead) -> Option<TraceParent> {
    let mut all = request.fields().all(FieldId::Traceparent);
    let parent = TraceParent::parse(all.next()?)?;
    // W3C Trace Context 3.2: more than one is as good as none.
    all.next().is_none().then_some(parent)
}
