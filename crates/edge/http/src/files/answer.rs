//! The answer to a request for a file: status, fields, and what to send.

use weir_telemetry::Reason;

use super::{
    body::{Boundary, FilesBody},
    encoding::Encoding,
    range::ByteRange,
    refusal::Refusal,
    validator::{EntityTag, LastModified},
};

/// The answer to one request.
///
/// Statuses are 200, 206, 301, 304, 400, 403, 404, 405, 412, 416, and 500 or 503 when the machine fails.
#[derive(Debug)]
pub struct FilesAnswer {
    /// The status code.
    pub status: u16,
    /// Why it is an error, for the log.
    pub reason: Option<Reason>,
    /// One sentence for the body of an error; empty when it is none.
    pub detail: &'static str,
    /// Content-Length, also for HEAD. `None`: this answer has no content of its own (redirects, 304, errors).
    pub content_length: Option<u64>,
    /// What to send behind the head; `None` for HEAD and wherever there is nothing to send.
    pub body: Option<FilesBody>,
    fields: Fields,
}

/// The fields by kind of answer.
#[derive(Debug)]
enum Fields {
    None,
    Allow,
    Location(Vec<u8>),
    /// 304 carries what a cache needs to find its copy, no more (RFC 9110, 15.4.5).
    NotModified {
        etag: EntityTag,
        vary: bool,
    },
    /// The length that a range should have stayed within (RFC 9110, 15.5.17).
    Unsatisfiable {
        length: u64,
    },
    Content(ContentFields),
}

/// The fields of 200 and 206.
#[derive(Debug)]
pub(super) struct ContentFields {
    pub(super) media_type: &'static str,
    pub(super) shape: Shape,
    pub(super) etag: EntityTag,
    pub(super) last_modified: LastModified,
    pub(super) encoding: Option<Encoding>,
    pub(super) vary: bool,
}

/// How much of the representation is sent, and how.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Whole,
    Part { range: ByteRange, length: u64 },
    Multipart(Boundary),
}

impl FilesAnswer {
    /// Hands every field but Content-Length, Date and Connection to `emit`, as name and value.
    pub fn fields(&self, mut emit: impl FnMut(&'static str, &[u8])) {
        match &self.fields {
            Fields::None => {}
            Fields::Allow => emit("Allow", b"GET, HEAD"),
            Fields::Location(location) => emit("Location", location),
            Fields::NotModified { etag, vary } => {
                emit("ETag", etag.as_bytes());
                if *vary {
                    emit("Vary", b"Accept-Encoding");
                }
            }
            Fields::Unsatisfiable { length } => {
                let mut value = Value::new(b"bytes */");
                value.number(*length);
                emit("Content-Range", value.as_bytes());
                emit("Accept-Ranges", b"bytes");
            }
            Fields::Content(fields) => fields.each(emit),
        }
    }

    /// RFC 9110, 15.5.6: a 405 MUST name what is allowed.
    pub(super) const fn method_not_allowed() -> Self {
        Self::error(
            405,
            Reason::MethodNotAllowed,
            "Files can only be read, with GET or HEAD.",
            Fields::Allow,
        )
    }

    pub(super) const fn refused(refusal: Refusal) -> Self {
        Self::error(
            refusal.status(),
            refusal.reason(),
            refusal.detail(),
            Fields::None,
        )
    }

    pub(super) const fn moved(location: Vec<u8>) -> Self {
        Self::bare(301, Fields::Location(location))
    }

    pub(super) const fn precondition_failed() -> Self {
        Self::error(
            412,
            Reason::PreconditionFailed,
            "The file is not in the state that the request requires.",
            Fields::None,
        )
    }

    pub(super) const fn not_modified(etag: EntityTag, vary: bool) -> Self {
        Self::bare(304, Fields::NotModified { etag, vary })
    }

    pub(super) const fn unsatisfiable(length: u64) -> Self {
        Self::error(
            416,
            Reason::RangeNotSatisfiable,
            "The file does not reach as far as the range.",
            Fields::Unsatisfiable { length },
        )
    }

    pub(super) const fn content(
        fields: ContentFields,
        length: u64,
        body: Option<FilesBody>,
    ) -> Self {
        Self {
            status: match fields.shape {
                Shape::Whole => 200,
                Shape::Part { .. } | Shape::Multipart(_) => 206,
            },
            reason: None,
            detail: "",
            content_length: Some(length),
            body,
            fields: Fields::Content(fields),
        }
    }

    const fn bare(status: u16, fields: Fields) -> Self {
        Self::without_content(status, None, "", fields)
    }

    const fn error(status: u16, reason: Reason, detail: &'static str, fields: Fields) -> Self {
        Self::without_content(status, Some(reason), detail, fields)
    }

    const fn without_content(
        status: u16,
        reason: Option<Reason>,
        detail: &'static str,
        fields: Fields,
    ) -> Self {
        Self {
            status,
            reason,
            detail,
            content_length: None,
            body: None,
            fields,
        }
    }
}

impl ContentFields {
    fn each(&self, mut emit: impl FnMut(&'static str, &[u8])) {
        match self.shape {
            Shape::Whole => emit("Content-Type", self.media_type.as_bytes()),
            Shape::Part { range, length } => {
                emit("Content-Type", self.media_type.as_bytes());
                let mut value = Value::new(b"");
                value.content_range(range, length);
                emit("Content-Range", value.as_bytes());
            }
            // RFC 9110, 15.3.7.2: Content-Range MUST NOT stand beside the parts' own.
            Shape::Multipart(boundary) => {
                let mut value = Value::new(b"multipart/byteranges; boundary=");
                value.text(boundary.as_bytes());
                emit("Content-Type", value.as_bytes());
            }
        }
        emit("ETag", self.etag.as_bytes());
        emit("Last-Modified", self.last_modified.as_bytes());
        if let Some(encoding) = self.encoding {
            emit("Content-Encoding", encoding.token().as_bytes());
        }
        if self.vary {
            emit("Vary", b"Accept-Encoding");
        }
        emit("Accept-Ranges", b"bytes");
    }
}

/// A short field value, put together without the heap.
pub(super) struct Value {
    bytes: [u8; 96],
    len: usize,
}

impl Value {
    pub(super) fn new(start: &[u8]) -> Self {
        let mut value = Self {
            bytes: [0; 96],
            len: 0,
        };
        value.text(start);
        value
    }

    /// `bytes first-last/length` (RFC 9110, 14.4): at most 68 bytes.
    pub(super) fn content_range(&mut self, range: ByteRange, length: u64) {
        self.text(b"bytes ");
        self.number(range.offset);
        self.text(b"-");
        self.number(range.last());
        self.text(b"/");
        self.number(length);
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn text(&mut self, text: &[u8]) {
        let end = self.len + text.len();
        self.bytes[self.len..end].copy_from_slice(text);
        self.len = end;
    }

    fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number).as_bytes());
    }
}
