//! A gRPC server that tells its health (`grpc.health.v1.Health/Check`), over HTTP/2 without TLS as gRPC speaks it.
//!
//! On the same port it answers HTTP/1.1 like an application, so that tests see who gets requests.

use std::collections::BTreeMap;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE};
use hyper::{Method, Request, Response};

use crate::acceptor::Acceptor;
use crate::wire::Wire;

/// Connections between a proxy and an endpoint may idle for long.
const IDLE: Duration = Duration::from_secs(60);
/// What every connection of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0";
/// The largest message that it reads.
const MOST: usize = 4096;

/// A running server; dropped, it stops and cuts its connections. Answers of HTTP/1.1 have `X-Origin: NAME`.
#[derive(Debug)]
pub struct GrpcHealth {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

/// What a server says about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    /// `UNKNOWN`, which is an empty message.
    Unknown,
    /// `SERVING`.
    Yes,
    /// `NOT_SERVING`.
    No,
}

#[derive(Debug)]
struct Shared {
    name: String,
    services: Mutex<BTreeMap<String, Serving>>,
    asked: Mutex<Vec<String>>,
}

impl GrpcHealth {
    /// Starts one on a free address. As a whole (`""`) it serves.
    pub fn start(name: &str) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            services: Mutex::new(BTreeMap::from([(String::new(), Serving::Yes)])),
            asked: Mutex::default(),
        });
        let acceptor = Acceptor::start(crate::free_addr(), Arc::default(), {
            let shared = Arc::clone(&shared);
            move |stream, _| serve(stream, &shared)
        });
        Self { acceptor, shared }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// From now on it says this about a service.
    pub fn say(&self, service: &str, serving: Serving) {
        lock(&self.shared.services).insert(service.to_owned(), serving);
    }

    /// The services that it was asked about, in the order they came.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.shared.asked).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE))?;
    let mut start = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut start)?;
        if read == 0 || !PREFACE.starts_with(&start[..read]) || read == PREFACE.len() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    if start == PREFACE {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(speak(stream, shared));
    }
    let mut wire = Wire::new(stream, IDLE)?;
    while wire.request()?.is_some() {
        let name = &shared.name;
        let answer = format!("HTTP/1.1 200 OK\r\nX-Origin: {name}\r\nContent-Length: 0\r\n\r\n");
        wire.write(answer.as_bytes())?;
    }
    wire.stream().shutdown(Shutdown::Both)
}

async fn speak(stream: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let stream = tokio::net::TcpStream::from_std(stream)?;
    let mut connection = h2::server::handshake(stream)
        .await
        .map_err(io::Error::other)?;
    while let Some(call) = connection.accept().await {
        let (request, respond) = call.map_err(io::Error::other)?;
        // The connection moves only while somebody waits for its next call.
        tokio::spawn(call_of(request, respond, Arc::clone(shared)));
    }
    Ok(())
}

/// A call that breaks off is the client's affair.
async fn call_of(request: Request<RecvStream>, respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    let _: Result<(), h2::Error> = answer(request, respond, &shared).await;
}

async fn answer(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    shared: &Shared,
) -> Result<(), h2::Error> {
    let fields = request.headers();
    let is_grpc = request.method() == Method::POST
        && fields.get(CONTENT_TYPE) == Some(&HeaderValue::from_static("application/grpc"))
        && fields.get(TE) == Some(&HeaderValue::from_static("trailers"));
    if !is_grpc {
        respond.send_reset(Reason::PROTOCOL_ERROR);
        return Ok(());
    }
    let known = request.uri().path() == "/grpc.health.v1.Health/Check";
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        message.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len())?;
        if message.len() > MOST {
            respond.send_reset(Reason::ENHANCE_YOUR_CALM);
            return Ok(());
        }
    }
    // The status codes of gRPC: 12 is UNIMPLEMENTED, 13 INTERNAL, 5 NOT_FOUND.
    let failed = match (known, service(&message)) {
        (false, _) => 12,
        (true, None) => 13,
        (true, Some(service)) => {
            lock(&shared.asked).push(service.clone());
            let serving = lock(&shared.services).get(&service).copied();
            match serving {
                None => 5,
                Some(serving) => return tell(respond, serving),
            }
        }
    };
    // Trailers alone: head and status are one.
    let mut head = head();
    head.headers_mut()
        .insert("grpc-status", HeaderValue::from(failed));
    respond.send_response(head, true)?;
    Ok(())
}

fn tell(mut respond: SendResponse<Bytes>, serving: Serving) -> Result<(), h2::Error> {
    let mut body = respond.send_response(head(), false)?;
    // Field 1, a number; zero is left out (proto3).
    let message: &'static [u8] = match serving {
        Serving::Unknown => &[0, 0, 0, 0, 0],
        Serving::Yes => &[0, 0, 0, 0, 2, 0x08, 1],
        Serving::No => &[0, 0, 0, 0, 2, 0x08, 2],
    };
    body.send_data(Bytes::from_static(message), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    body.send_trailers(trailers)
}

fn head() -> Response<()> {
    let mut head = Response::new(());
    let grpc = HeaderValue::from_static("application/grpc");
    head.headers_mut().insert(CONTENT_TYPE, grpc);
    head
}

/// The service that a `HealthCheckRequest` asks about.
fn service(message: &[u8]) -> Option<String> {
    // A byte for compression, four for the length, then field 1, a text of its length.
    let (&[0, a, b, c, d], message) = message.split_first_chunk::<5>()? else {
        return None;
    };
    if message.len() != u32::from_be_bytes([a, b, c, d]) as usize {
        return None;
    }
    match message {
        [] => Some(String::new()),
        [0x0a, length @ ..=0x7f, text @ ..] if text.len() == usize::from(*length) => {
            String::from_utf8(text.to_vec()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawClient;

    #[test]
    fn questions_are_read_as_protobuf_has_them() {
        for (message, expected) in [
            (&[0, 0, 0, 0, 0][..], Some("")),
            (&[0, 0, 0, 0, 3, 0x0a, 1, b'a'], Some("a")),
            (&[1, 0, 0, 0, 0], None),
            (&[0, 0, 0, 0, 3, 0x0a, 2, b'a'], None),
            (&[0, 0, 0, 0, 9, 0x0a, 1, b'a'], None),
            (&[0, 0], None),
        ] {
            assert_eq!(service(message).as_deref(), expected, "{message:?}");
        }
    }

    #[test]
    fn it_is_an_application_too() {
        let server = GrpcHealth::start("app");
        let mut client = RawClient::connect(server.addr());
        assert_eq!(client.get("/").header("x-origin"), Some("app"));
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.response().status, 200);
        assert!(server.asked().is_empty());
    }
}
