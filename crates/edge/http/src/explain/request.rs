//! A request that was never sent, as those see it who decide about requests.

use std::net::IpAddr;

use super::{ExplainedAnswer, Question};
use crate::{
    codec::{Names, Parsed, RequestHead, encode},
    exchange::Exchange,
    plan::ListenerPlan,
};

/// The request as the codec sees it.
pub(super) fn parse(
    question: &Question<'_>,
    listener: &ListenerPlan,
    identity_names: &Names,
) -> Result<RequestHead, ExplainedAnswer> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", question.method, question.target).into_bytes();
    for (name, value) in question.fields {
        encode::field(&mut bytes, name.as_bytes(), value.as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    let mut request = RequestHead::new();
    match request.parse(&bytes, &mut 0, &listener.head) {
        Ok(Parsed::Complete(read)) if read == bytes.len() => {
            request.remove_fields(identity_names);
            Ok(request)
        }
        Ok(_) => Err(answer(400, "This is not one request head.")),
        Err(error) => Err(answer(error.status(), error.detail())),
    }
}

/// Whom a request is from, as far as trusted proxies tell.
pub(super) fn client_of(
    question: &Question<'_>,
    request: &RequestHead,
    listener: &ListenerPlan,
) -> IpAddr {
    let forwarding = &listener.forwarding;
    forwarding.client(question.from, forwarding.trusts(question.from), request)
}

/// The request as policies see it.
pub(super) fn exchange_of(
    question: &Question<'_>,
    listener: &ListenerPlan,
    identity_names: &Names,
    path: &[u8],
) -> Result<Box<Exchange>, ExplainedAnswer> {
    let mut exchange = Exchange::new();
    exchange.request = parse(question, listener, identity_names)?;
    exchange.path_changed = true;
    exchange.path.extend_from_slice(path);
    Ok(exchange)
}

/// An answer of Weir's own.
pub(super) fn answer(status: u16, detail: &str) -> ExplainedAnswer {
    ExplainedAnswer {
        status,
        detail: detail.to_owned(),
        allow: None,
    }
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
