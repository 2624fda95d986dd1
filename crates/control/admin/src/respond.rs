//! Answers: JSON, text, and problems (RFC 9457).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value as Json, json};

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn json_body(status: StatusCode, value: &Json) -> Answer {
    let mut text = format!("{value:#}");
    text.push('\n');
    answer(status, "application/json", text)
}

pub(crate) fn text(status: StatusCode, text: impl Into<String>) -> Answer {
    answer(status, "text/plain; charset=utf-8", text.into())
}

/// A problem body (RFC 9457).
pub(crate) fn problem(status: StatusCode, detail: &str) -> Answer {
    let value = json!({
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": detail,
    });
    answer(status, "application/problem+json", format!("{value:#}\n"))
}

pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    // What is private to whoever may ask, and changes all the time, is for no cache, and no page of another site.
    const FIELDS: [(HeaderName, &str); 3] = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ];
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    answer
}
