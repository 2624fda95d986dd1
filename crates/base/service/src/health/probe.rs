//! Asking one endpoint whether it works.
//!
//! Every check opens a connection of its own: an endpoint that only serves connections it already has is not
//! healthy. Answers come from the network, so head, body and time are bounded.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::grpc::GrpcQuestion;
use super::spec::{CheckKind, HealthSpec, HttpCheck, StatusRanges};
use crate::runner::AbortOnDrop;

/// How much of a body is searched for the expected text.
const MAX_BODY: usize = 64 * 1024;
/// How large a response head may be.
const MAX_HEAD: usize = 64 * 1024;

/// A compiled check.
#[derive(Debug)]
pub(crate) struct Probe {
    timeout: Duration,
    question: Question,
}

#[derive(Debug)]
enum Question {
    Tcp,
    Http(Box<HttpQuestion>),
    Grpc(GrpcQuestion),
}

#[derive(Debug)]
struct HttpQuestion {
    path: Uri,
    host: Option<HeaderValue>,
    headers: HeaderMap,
    expect: StatusRanges,
    body: Option<String>,
}

impl Probe {
    /// Compiles a check; the error says what is wrong with it.
    pub(crate) fn compile(spec: &HealthSpec) -> Result<Self, String> {
        if spec.interval.is_zero() || spec.timeout.is_zero() {
            return Err("interval and timeout of a health check must be longer than 0".into());
        }
        let question = match &spec.kind {
            CheckKind::Tcp => Question::Tcp,
            CheckKind::Grpc { service } => Question::Grpc(GrpcQuestion::new(service)),
            CheckKind::Http(check) => Question::Http(Box::new(HttpQuestion::compile(check)?)),
        };
        Ok(Self {
            timeout: spec.timeout,
            question,
        })
    }

    /// Asks. `Err` says, for people, what was not as expected.
    pub(crate) async fn run(&self, address: SocketAddr, label: &str) -> Result<(), String> {
        let asked = async {
            let stream = TcpStream::connect(address)
                .await
                .map_err(|e| format!("connect: {}", brief(&e)))?;
            match &self.question {
                Question::Tcp => Ok(()),
                Question::Http(http) => http.ask(stream, label).await,
                Question::Grpc(grpc) => grpc.ask(stream, label).await,
            }
        };
        match timeout(self.timeout, asked).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer within {:?}", self.timeout)),
        }
    }
}

impl HttpQuestion {
    fn compile(check: &HttpCheck) -> Result<Self, String> {
        let path: Uri = check
            .path
            .parse()
            .ok()
            .filter(|_| check.path.starts_with('/'))
            .ok_or_else(|| format!("`{}` is not a path like `/healthz`", check.path))?;
        let value = |text: &str| {
            HeaderValue::from_str(text).map_err(|_| format!("`{text}` is not a valid header value"))
        };
        let mut headers = HeaderMap::new();
        for (name, text) in &check.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| format!("`{name}` is not a valid header name"))?;
            headers.append(name, value(text)?);
        }
        Ok(Self {
            path,
            host: check.host.as_deref().map(value).transpose()?,
            headers,
            expect: check.expect.clone(),
            body: check.body.clone().filter(|text| !text.is_empty()),
        })
    }

    async fn ask(&self, stream: TcpStream, label: &str) -> Result<(), String> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake::<_, Empty<Bytes>>(TokioIo::new(stream))
            .await
            .map_err(|e| e.to_string())?;
        let _connection = AbortOnDrop::spawn(async move {
            // Its errors also reach the request.
            let _: hyper::Result<()> = connection.await;
        });
        let response = sender
            .send_request(self.request(label))
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        if !self.expect.contains(status) {
            return Err(format!("status {status}, expected {}", self.expect));
        }
        match &self.body {
            Some(text) => contains(response.into_body(), text).await,
            None => Ok(()),
        }
    }

    fn request(&self, label: &str) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("weir-health"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        // RFC 9112, section 3.2: a client MUST send a Host field.
        let host = self
            .host
            .clone()
            .or_else(|| HeaderValue::from_str(label).ok());
        headers.insert(HOST, host.unwrap_or(HeaderValue::from_static("")));
        for name in self.headers.keys() {
            headers.remove(name);
            for value in self.headers.get_all(name) {
                headers.append(name, value.clone());
            }
        }
        request
    }
}

async fn contains(mut body: Incoming, text: &str) -> Result<(), String> {
    let mut seen: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| e.to_string())?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        // Only what is new can complete the text.
        let from = seen.len().saturating_sub(text.len() - 1);
        seen.extend_from_slice(&data[..data.len().min(MAX_BODY - seen.len())]);
        if seen[from..]
            .windows(text.len())
            .any(|window| window == text.as_bytes())
        {
            return Ok(());
        }
        if seen.len() == MAX_BODY {
            break;
        }
    }
    Err("the body does not contain the expected text".into())
}

/// `connection refused` rather than `Connection refused (os error 111)`.
fn brief(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidInput => error.to_string(),
        kind => kind.to_string(),
    }
}
