//! The client: one request, one answer, with bounds on both.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use weir_config::Secret;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A reload may have to resolve names.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The metrics of ten thousand routes have some ten megabytes.
const MOST_BYTES: usize = 256 << 20;

/// What a Weir answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing listens there, or it cannot be reached.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        error: std::io::Error,
    },
    /// Something listens, but does not answer as an admin API would.
    #[error("what listens on {address} does not answer like Weir: {error}")]
    Protocol {
        /// Where.
        address: String,
        /// Why.
        error: String,
    },
    /// No answer in time.
    #[error("{address} does not answer")]
    Timeout {
        /// Where.
        address: String,
    },
    /// The path or the token cannot stand in a request.
    #[error("this cannot be asked: {0}")]
    Request(String),
}

/// Asks the admin API at `address` (`host:port`).
///
/// # Errors
/// If there is no answer. An answer with an error status is an answer.
pub async fn request(
    address: &str,
    token: Option<&Secret>,
    method: &str,
    path: &str,
) -> Result<Response, ClientError> {
    let method = Method::from_bytes(method.as_bytes())
        .map_err(|error| ClientError::Request(error.to_string()))?;
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address);
    if let Some(token) = token {
        let mut value = header::HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .map_err(|_| ClientError::Request("the token holds control characters".to_owned()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| ClientError::Request(error.to_string()))?;

    let late = || ClientError::Timeout {
        address: address.to_owned(),
    };
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| late())?
        .map_err(|error| ClientError::Connect {
            address: address.to_owned(),
            error,
        })?;
    timeout(TIMEOUT, exchange(stream, request))
        .await
        .map_err(|_| late())?
        .map_err(|error| ClientError::Protocol {
            address: address.to_owned(),
            error: error.to_string(),
        })
}

async fn exchange(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MOST_BYTES)
            .collect()
            .await?;
        // With its sender gone, the connection ends too.
        drop(sender);
        Ok(Response {
            status,
            body: body.to_bytes(),
        })
    };
    let (answer, _) = tokio::join!(answer, connection);
    answer
}
