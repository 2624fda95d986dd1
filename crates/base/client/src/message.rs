//! What is sent and what comes back, both complete.

use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, StatusCode};

use crate::Url;

/// A request. Host, Content-Length and User-Agent are written by the client.
#[derive(Clone, Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) repeatable: bool,
}

impl Request {
    /// A GET that wants JSON.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url, Bytes::new())
    }

    /// A POST of a form that wants JSON.
    pub fn post_form(url: Url, form: String) -> Self {
        Self::new(Method::POST, url, Bytes::from(form)).header(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )
    }

    /// Any request that wants JSON.
    pub fn new(method: Method, url: Url, body: Bytes) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        Self {
            repeatable: method.is_idempotent(),
            method,
            url,
            headers,
            body,
        }
    }

    /// Says that it does no harm if the server gets it twice, as with every GET.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    /// Sets a field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets Authorization to these credentials, which no message shows; what cannot stand in a field is left out, and
    /// so refused by whoever wants credentials.
    #[must_use]
    pub fn authorization(mut self, credentials: &str) -> Self {
        if let Ok(mut value) = HeaderValue::from_str(credentials) {
            value.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, value);
        }
        self
    }
}

/// A response with its whole body.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Response {
    /// A field as text; `None` if it is missing or holds other than visible ASCII.
    pub fn field(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON, if it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.body).ok()
    }
}
