//! The HTTP client that registries are asked with: HTTP/1.1 in plain text, one connection for each question.
//!
//! The members of a registry are tried in turn, and the one that answered is asked again. What it sends is bounded, and
//! so is every wait.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_config::{Host, HostPort};

use super::listing::SourceError;
use super::names::RESOLVE_DEADLINE;
use crate::dns::Resolve;
use crate::runner::AbortOnDrop;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a body may take once its head is there.
const BODY: Duration = Duration::from_secs(30);
/// How large a response head may be.
const MAX_HEAD: usize = 64 * 1024;
/// How large a body, or one message of a stream, may be.
pub(crate) const MAX_BODY: usize = 32 << 20;

/// The members of one registry.
pub(crate) struct Client {
    addresses: Vec<HostPort>,
    /// Which of them is asked.
    turn: usize,
    resolver: Arc<dyn Resolve>,
}

/// A request, as far as it differs from others.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// How long the head of the response may take.
    pub(crate) within: Duration,
}

/// A response whose body is still to be read.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    from: String,
    _connection: AbortOnDrop,
}

impl Client {
    pub(crate) fn new(addresses: Vec<HostPort>, resolver: Arc<dyn Resolve>) -> Self {
        Self {
            addresses,
            turn: 0,
            resolver,
        }
    }

    /// The next question goes to the next member. For whoever does not like the answer, or got none.
    pub(crate) fn turn(&mut self) {
        self.turn = (self.turn + 1) % self.addresses.len().max(1);
    }

    /// Asks the first member that accepts a connection.
    pub(crate) async fn ask(&mut self, ask: &Ask<'_>) -> Result<Answer, SourceError> {
        let mut last = SourceError::Unreachable("no address is configured".to_owned());
        for _ in 0..self.addresses.len() {
            let Some(address) = self.addresses.get(self.turn) else {
                break;
            };
            match self.connect(address).await {
                Ok(stream) => return send(stream, ask, &address.to_string()).await,
                Err(error) => last = error,
            }
            self.turn();
        }
        Err(last)
    }

    async fn connect(&self, address: &HostPort) -> Result<TcpStream, SourceError> {
        let unreachable = |why: &dyn std::fmt::Display| {
            SourceError::Unreachable(format!("cannot connect to {address}: {why}"))
        };
        let ips = match &address.host {
            Host::Ip(ip) => vec![*ip],
            Host::Name(name) => {
                let answer = timeout(RESOLVE_DEADLINE, self.resolver.resolve(name)).await;
                let answer =
                    answer.map_err(|_| unreachable(&"its name was not resolved in time"))?;
                let (v4, v6) = match (answer.v4, answer.v6) {
                    (Err(error), Err(_)) => return Err(unreachable(&error)),
                    (v4, v6) => (v4.unwrap_or_default(), v6.unwrap_or_default()),
                };
                [v4.addresses, v6.addresses].concat()
            }
        };
        let mut last = unreachable(&"its name has no address");
        for ip in ips.into_iter().take(8) {
            let to = SocketAddr::new(ip, address.port);
            match timeout(CONNECT, TcpStream::connect(to)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = unreachable(&error.kind()),
                Err(_) => last = unreachable(&"no answer in time"),
            }
        }
        Err(last)
    }
}

async fn send(stream: TcpStream, ask: &Ask<'_>, from: &str) -> Result<Answer, SourceError> {
    let broken = |why: &dyn std::fmt::Display| SourceError::Unreachable(format!("{from}: {why}"));
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| broken(&error))?;
    let connection = AbortOnDrop::spawn(async move {
        // Its errors also reach the request.
        let _: hyper::Result<()> = connection.await;
    });
    let mut request = Request::new(Full::new(Bytes::from(ask.body.clone())));
    *request.method_mut() = ask.method.clone();
    *request.uri_mut() = ask
        .path
        .parse::<Uri>()
        .map_err(|_| SourceError::Invalid("the request cannot be written as a URI".to_owned()))?;
    *request.headers_mut() = ask.headers.clone();
    let headers = request.headers_mut();
    headers.insert(USER_AGENT, HeaderValue::from_static("weir"));
    // RFC 9112, section 3.2: a client MUST send a Host field.
    let host = HeaderValue::from_str(from);
    headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("")));
    let response = timeout(ask.within, sender.send_request(request))
        .await
        .map_err(|_| broken(&"no answer in time"))?
        .map_err(|error| broken(&error))?;
    let (head, body) = response.into_parts();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
        from: from.to_owned(),
        _connection: connection,
    })
}

impl Answer {
    /// The whole body.
    pub(crate) async fn read(mut self) -> Result<Vec<u8>, SourceError> {
        let mut bytes = Vec::new();
        let from = self.from.clone();
        let read = async {
            while let Some(piece) = self.piece().await? {
                if bytes.len() + piece.len() > MAX_BODY {
                    return Err(too_large(&from));
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(())
        };
        match timeout(BODY, read).await {
            Ok(read) => read.map(|()| bytes),
            Err(_) => Err(SourceError::Unreachable(format!(
                "{from}: the answer does not end"
            ))),
        }
    }

    /// The next piece of a body that may never end.
    pub(crate) async fn piece(&mut self) -> Result<Option<Bytes>, SourceError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(Err(error)) => {
                    return Err(SourceError::Unreachable(format!("{}: {error}", self.from)));
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// An error for a status that is not a good one, with what the registry says about it.
    pub(crate) async fn refusal(self) -> SourceError {
        let (from, status) = (self.from.clone(), self.status.as_u16());
        let text = self.read().await.unwrap_or_default();
        let text: String = String::from_utf8_lossy(&text).chars().take(200).collect();
        SourceError::Refused(format!(
            "{from}: status {status}: {}",
            text.trim().escape_debug()
        ))
    }
}

pub(crate) fn too_large(from: &str) -> SourceError {
    SourceError::Invalid(format!(
        "{from}: the answer is larger than {} MiB",
        MAX_BODY >> 20
    ))
}

/// Text as a segment of a path or a part of a query (RFC 3986, section 2.3: what is not unreserved is encoded).
pub(crate) fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => {
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
                out.insert(out.len() - 2, '%');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bytes_are_encoded() {
        assert_eq!(encode("web-1.a_b~"), "web-1.a_b~");
        assert_eq!(encode("a/b ?&=%é"), "a%2Fb%20%3F%26%3D%25%C3%A9");
    }
}
