//! From a URL to a connection that HTTP can be spoken on.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::tls::Tls;
use crate::{ClientError, Url};

/// How long one address may take, so that the next gets its chance.
const CONNECT: Duration = Duration::from_secs(3);
/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 8;
/// How large a response head may be.
const MAX_HEAD: usize = 64 * 1024;

/// The sending half of a connection; the other half runs as a task until the connection ends or this is dropped.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Opens a connection to the server of this URL.
pub(crate) async fn connect(url: &Url, tls: &Tls) -> Result<Sender, ClientError> {
    let stream = tcp(url).await?;
    // What is asked is small and complete; waiting for more to send with it helps nobody.
    let _ = stream.set_nodelay(true);
    if !url.is_https() {
        return handshake(url, TokioIo::new(stream)).await;
    }
    let stream = tls
        .connect(url.host(), stream)
        .await
        .map_err(|why| ClientError::Tls {
            host: name(url),
            why,
        })?;
    handshake(url, TokioIo::new(stream)).await
}

/// Host and port, for messages and as the name of a pool.
pub(crate) fn name(url: &Url) -> String {
    match url.host() {
        host if host.contains(':') => format!("[{host}]:{}", url.port()),
        host => format!("{host}:{}", url.port()),
    }
}

async fn tcp(url: &Url) -> Result<TcpStream, ClientError> {
    let addresses: Vec<SocketAddr> = match url.host().parse::<IpAddr>() {
        Ok(ip) => vec![SocketAddr::new(ip, url.port())],
        Err(_) => lookup_host((url.host(), url.port()))
            .await
            .map_err(|error| ClientError::Lookup {
                host: url.host().to_owned(),
                why: error.to_string(),
            })?
            .take(MOST_ADDRESSES)
            .collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no answer in time"),
        }
    }
    Err(ClientError::Connect {
        host: name(url),
        source: last,
    })
}

async fn handshake<S>(url: &Url, stream: S) -> Result<Sender, ClientError>
where
    S: Read + Write + Send + Unpin + 'static,
{
    let (sender, connection) = Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(stream)
        .await
        .map_err(|error| ClientError::Exchange {
            host: name(url),
            why: error.to_string(),
        })?;
    tokio::spawn(async move {
        // Its errors also reach the request.
        let _: hyper::Result<()> = connection.await;
    });
    Ok(sender)
}
