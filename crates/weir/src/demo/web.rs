//! HTTP for the shop: one listener, served until the future is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::Value as Json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

const MOST_CONNECTIONS: usize = 1024;
const MOST_BODY: usize = 16 << 10;
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than Weir keeps idle connections, so that Weir is the one to close them.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

pub(super) type Body = Either<Full<Bytes>, Channel<Bytes>>;

/// Serves until it is dropped, which closes every connection at once: as a crash would.
pub(super) async fn serve<F, A>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    sleep(Duration::from_millis(50)).await;
                    continue;
                };
                if connections.len() >= MOST_CONNECTIONS {
                    continue;
                }
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answer = answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(IDLE_TIMEOUT)
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(async {
                    // Its client knows.
                    let _ = connection.await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The body of a request, if it is small and comes in time.
pub(super) async fn body(request: Request<Incoming>) -> Option<Bytes> {
    let body = Limited::new(request.into_body(), MOST_BODY).collect();
    Some(timeout(BODY_TIMEOUT, body).await.ok()?.ok()?.to_bytes())
}

pub(super) fn json(status: u16, body: &Json) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from(format!("{body}\n")))));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
