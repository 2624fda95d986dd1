//! Requests and responses as the test's own parser reads them: small, strict, and independent of Weir's codec, so that
//! one mistake cannot hide the other.

use std::io;

use serde_json::Value;

/// Header fields in the order they came, names as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first field of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every field of that name, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// True when a field of that name has the comma-separated token, in any case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name)
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    }
}

/// A response, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The `x` in `HTTP/1.x`.
    pub minor: u8,
    /// The final status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// Header fields.
    pub headers: Headers,
    /// The body, without framing.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Headers,
    /// The 1xx responses before it: status and fields.
    pub interim: Vec<(u16, Headers)>,
}

impl Response {
    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// The body as text; panics when it is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    /// The body as JSON; panics when it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// True when the connection stays open after it.
    pub fn keeps_alive(&self) -> bool {
        match self.minor {
            0 => self.headers.has_token("connection", "keep-alive"),
            _ => !self.headers.has_token("connection", "close"),
        }
    }
}

/// A request, read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The request target, as it was written.
    pub target: String,
    /// The `x` in `HTTP/1.x`.
    pub minor: u8,
    /// Header fields.
    pub headers: Headers,
    /// The body, without framing.
    pub body: Vec<u8>,
    /// Trailer fields of a chunked body.
    pub trailers: Headers,
}

impl Request {
    /// The first field of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }

    /// True when the client wants the connection to stay open.
    pub fn keeps_alive(&self) -> bool {
        match self.minor {
            0 => self.headers.has_token("connection", "keep-alive"),
            _ => !self.headers.has_token("connection", "close"),
        }
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Empty,
    Length(usize),
    Chunked,
    UntilClose,
}

pub(crate) fn malformed(what: &str, bytes: &[u8]) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{what}: {:?}", String::from_utf8_lossy(bytes)),
    )
}

/// Parses a response head, without body and framing. `head` ends with the empty line.
pub(crate) fn response_head(head: &[u8]) -> io::Result<Response> {
    let (line, headers) = split_head(head)?;
    let bad = || malformed("status line", line.as_bytes());
    let minor = minor_version(line.get(..8).unwrap_or_default()).ok_or_else(bad)?;
    let status = line
        .get(9..12)
        .filter(|code| code.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(bad)?;
    // RFC 9112, 4: the space before an empty reason phrase stays.
    if line.as_bytes()[8] != b' ' || line.as_bytes().get(12) != Some(&b' ') {
        return Err(bad());
    }
    Ok(Response {
        minor,
        status: status.parse().map_err(|_| bad())?,
        reason: line[13..].to_owned(),
        headers,
        ..Response::default()
    })
}

/// Parses a request head, without body and framing. `head` ends with the empty line.
pub(crate) fn request_head(head: &[u8]) -> io::Result<Request> {
    let (line, headers) = split_head(head)?;
    let bad = || malformed("request line", line.as_bytes());
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad());
    };
    if method.is_empty() || target.is_empty() {
        return Err(bad());
    }
    Ok(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        minor: minor_version(version).ok_or_else(bad)?,
        headers,
        ..Request::default()
    })
}

/// RFC 9112, 6.3, for a response to `method`.
pub(crate) fn response_framing(response: &Response, method: &str) -> io::Result<Framing> {
    let bodiless = method == "HEAD" || matches!(response.status, 100..=199 | 204 | 304);
    match declared(&response.headers)? {
        _ if bodiless || (method == "CONNECT" && (200..300).contains(&response.status)) => {
            Ok(Framing::Empty)
        }
        Some(framing) => Ok(framing),
        None => Ok(Framing::UntilClose),
    }
}

/// RFC 9112, 6.3, for a request.
pub(crate) fn request_framing(request: &Request) -> io::Result<Framing> {
    Ok(declared(&request.headers)?.unwrap_or(Framing::Empty))
}

/// Parses trailer fields; `block` ends with the empty line.
pub(crate) fn trailer_fields(block: &[u8]) -> io::Result<Headers> {
    let text = std::str::from_utf8(block).map_err(|_| malformed("trailers not in UTF-8", block))?;
    fields(text)
}

fn declared(headers: &Headers) -> io::Result<Option<Framing>> {
    let bad = |what: &str| Err(malformed(what, format!("{headers:?}").as_bytes()));
    let codings: Vec<&str> = headers.all("transfer-encoding").collect();
    let lengths: Vec<&str> = headers.all("content-length").collect();
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(None),
        ([], [length]) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            match length.parse() {
                Ok(length) => Ok(Some(Framing::Length(length))),
                Err(_) => bad("Content-Length too large"),
            }
        }
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        _ => bad("ambiguous framing"),
    }
}

fn minor_version(text: &str) -> Option<u8> {
    match text {
        "HTTP/1.0" => Some(0),
        "HTTP/1.1" => Some(1),
        _ => None,
    }
}

fn split_head(head: &[u8]) -> io::Result<(&str, Headers)> {
    let text = std::str::from_utf8(head).map_err(|_| malformed("head not in UTF-8", head))?;
    let (line, rest) = text
        .split_once("\r\n")
        .ok_or_else(|| malformed("head without CRLF", head))?;
    Ok((line, fields(rest)?))
}

fn fields(block: &str) -> io::Result<Headers> {
    let mut headers = Headers::default();
    let block = block
        .strip_suffix("\r\n")
        .ok_or_else(|| malformed("fields without an end", block.as_bytes()))?;
    for line in block.split_terminator("\r\n") {
        let bad = || malformed("field", line.as_bytes());
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        if name.is_empty() || !name.bytes().all(is_token) || value.contains(['\r', '\n', '\0']) {
            return Err(bad());
        }
        headers
            .0
            .push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(headers)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_parse_and_framing_follows() {
        let response =
            response_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: \r\n\r\n").expect("fine");
        assert_eq!((response.status, response.header("x")), (200, Some("")));
        assert_eq!(
            response_framing(&response, "GET").expect("fine"),
            Framing::Length(5)
        );
        assert_eq!(
            response_framing(&response, "HEAD").expect("fine"),
            Framing::Empty
        );
        let request =
            request_head(b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").expect("fine");
        assert_eq!(request_framing(&request).expect("fine"), Framing::Chunked);
        assert!(!request.keeps_alive());
    }

    #[test]
    fn what_is_ambiguous_is_refused() {
        for head in [
            "HTTP/1.1 200\r\n\r\n",
            "HTTP/2.0 200 OK\r\n\r\n",
            "HTTP/1.1 2x0 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n\r\n",
        ] {
            assert!(response_head(head.as_bytes()).is_err(), "{head:?}");
        }
        for fields in [
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: +5",
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
        ] {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
            let response = response_head(head.as_bytes()).expect("a head");
            assert!(response_framing(&response, "GET").is_err(), "{fields:?}");
        }
    }
}
