//! The gRPC health checking protocol (`grpc.health.v1.Health/Check`), over HTTP/2 without TLS.
//!
//! One call of one message each way, so the two protobuf messages are written and read here: a request has one field, the
//! name of the service as a string, and an answer one, its status as a number.

use std::future::poll_fn;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use hyper::{Method, Request, Uri, Version};
use tokio::net::TcpStream;

use crate::runner::AbortOnDrop;

const PATH: &str = "/grpc.health.v1.Health/Check";
/// How large the header fields of an answer may be.
const MAX_HEAD: u32 = 16 * 1024;
/// How large its message may be: the protocol's own has two bytes.
const MAX_MESSAGE: usize = 4 * 1024;
/// The status of a service that takes requests.
const SERVING: u64 = 1;

/// A call of the health service.
#[derive(Debug)]
pub(super) struct GrpcQuestion {
    message: Bytes,
}

impl GrpcQuestion {
    /// Asks about `service`; empty for the server as a whole.
    pub(super) fn new(service: &str) -> Self {
        let mut text = BytesMut::new();
        if !service.is_empty() {
            // Field 1, length-delimited.
            text.put_u8(0x0a);
            put_varint(&mut text, service.len() as u64);
            text.put_slice(service.as_bytes());
        }
        let mut message = BytesMut::with_capacity(5 + text.len());
        // gRPC over HTTP/2: a message is a byte that says whether it is compressed, its length, and itself.
        message.put_u8(0);
        message.put_u32(text.len() as u32);
        message.put(text);
        Self {
            message: message.freeze(),
        }
    }

    /// Asks over a fresh connection.
    pub(super) async fn ask(&self, stream: TcpStream, label: &str) -> Result<(), String> {
        let (sender, connection) = h2::client::Builder::new()
            .max_header_list_size(MAX_HEAD)
            .initial_max_send_streams(1)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await
            .map_err(|e| e.to_string())?;
        let _connection = AbortOnDrop::spawn(async move {
            // Its errors also reach the request.
            let _: Result<(), h2::Error> = connection.await;
        });
        let mut sender = sender.ready().await.map_err(|e| e.to_string())?;
        let (response, mut body) = sender
            .send_request(request(label)?, false)
            .map_err(|e| e.to_string())?;
        body.send_data(self.message.clone(), true)
            .map_err(|e| e.to_string())?;
        let response = response.await.map_err(|e| e.to_string())?;
        if response.status() != 200 {
            return Err(format!(
                "HTTP status {}, expected 200",
                response.status().as_u16()
            ));
        }
        // An answer without a message has its status in the head.
        grpc_status(response.headers())?;
        let mut body = response.into_body();
        let mut message = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.map_err(|e| e.to_string())?;
            if message.len() + data.len() > MAX_MESSAGE {
                return Err("the answer is too large for a health check".into());
            }
            message.extend_from_slice(&data);
            let _: Result<(), h2::Error> = body.flow_control().release_capacity(data.len());
        }
        let trailers = poll_fn(|cx| body.poll_trailers(cx)).await;
        if let Some(trailers) = trailers.map_err(|e| e.to_string())? {
            grpc_status(&trailers)?;
        }
        match serving_status(&message) {
            Some(SERVING) => Ok(()),
            Some(2) => Err("the service says NOT_SERVING".into()),
            Some(3) => Err("the server does not know this service".into()),
            Some(other) => Err(format!("the service says status {other}, expected SERVING")),
            None => Err("the answer is no health check answer".into()),
        }
    }
}

fn request(label: &str) -> Result<Request<()>, String> {
    let uri: Uri = format!("http://{label}{PATH}")
        .parse()
        .map_err(|_| format!("`{label}` is not a host"))?;
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.version_mut() = Version::HTTP_2;
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("weir-health"));
    Ok(request)
}

/// The call's own status, if it is there: anything but 0 is an error.
fn grpc_status(fields: &HeaderMap) -> Result<(), String> {
    let text = |name: &str| fields.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some("5") => Err("the server does not know this service".into()),
        Some("12") => Err("the server has no health service".into()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default();
            Err(format!("gRPC status {code} {message}")
                .trim_end()
                .to_owned())
        }
    }
}

/// The status in a health check answer. A field that is not there is 0.
fn serving_status(message: &[u8]) -> Option<u64> {
    let (&[compressed, a, b, c, d], mut fields) = message.split_first_chunk::<5>()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    if compressed != 0 || fields.len() != length {
        return None;
    }
    let mut status = 0;
    while !fields.is_empty() {
        let key = varint(&mut fields)?;
        match key & 7 {
            0 => {
                let value = varint(&mut fields)?;
                if key >> 3 == 1 {
                    status = value;
                }
            }
            // Fields that newer servers may add are skipped.
            1 => fields = fields.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut fields)?).ok()?;
                fields = fields.get(length..)?;
            }
            5 => fields = fields.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn answers_by_table() {
        for (message, status) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\x02\x08\x02", Some(2)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x03\x08\x81\x00", Some(1)),
            // Another field before it: a string, a double, a float.
            (b"\0\0\0\0\x06\x12\x02hi\x08\x01", Some(1)),
            (b"\0\0\0\0\x0b\x11\0\0\0\0\0\0\0\0\x08\x01", Some(1)),
            (b"\0\0\0\0\x07\x15\0\0\0\0\x08\x01", Some(1)),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x02\x08\xff", None),
            (b"\0\0\0\0\x02\x12\x7f", None),
            (b"\0\0\0\0\x02\x0c\x01", None),
            (b"\0\0\0", None),
            (b"", None),
        ] {
            assert_eq!(serving_status(message), status, "{message:?}");
        }
        for length in 0..9 {
            let _ = serving_status(&[0xff; 9][..length]);
        }
    }

    #[test]
    fn questions_name_the_service() {
        assert_eq!(&*GrpcQuestion::new("").message, b"\0\0\0\0\0");
        assert_eq!(
            &*GrpcQuestion::new("shop").message,
            b"\0\0\0\0\x06\x0a\x04shop"
        );
        let long = "x".repeat(300);
        let message = GrpcQuestion::new(&long).message;
        assert_eq!(&message[..8], b"\0\0\0\x01\x2f\x0a\xac\x02");
    }

    /// A server that answers one call with this message and these trailers.
    async fn served(message: &'static [u8], status: &'static str) -> Result<(), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.expect("a connection");
            let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
            let (request, mut respond) = connection.accept().await.expect("a call").expect("whole");
            assert_eq!(request.uri().path(), PATH);
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let mut asked = request.into_body();
            let question = asked.data().await.expect("a message").expect("whole");
            assert_eq!(&*question, b"\0\0\0\0\x06\x0a\x04shop");
            let mut response = hyper::Response::new(());
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
            let mut body = respond.send_response(response, false).expect("a head");
            body.send_data(Bytes::from_static(message), false)
                .expect("a message");
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static(status));
            body.send_trailers(trailers).expect("trailers");
            while connection.accept().await.is_some() {}
        });
        let stream = TcpStream::connect(address).await.expect("connected");
        let answer = GrpcQuestion::new("shop").ask(stream, "shop.test:80").await;
        server.abort();
        answer
    }

    #[tokio::test]
    async fn a_real_call_says_what_is_wrong() {
        assert_eq!(served(b"\0\0\0\0\x02\x08\x01", "0").await, Ok(()));
        for (message, status, says) in [
            (&b"\0\0\0\0\x02\x08\x02"[..], "0", "NOT_SERVING"),
            (b"\0\0\0\0\x02\x08\x03", "0", "does not know"),
            (b"", "12", "no health service"),
            (b"", "5", "does not know"),
            (b"", "14", "gRPC status 14"),
            (b"junk", "0", "no health check answer"),
        ] {
            let error = served(message, status).await.expect_err(says);
            assert!(error.contains(says), "{error}");
        }
    }
}
