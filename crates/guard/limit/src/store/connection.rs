//! A connection to a server: found, encrypted if it is to be, introduced, and bounded in what it brings.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::frames::Frames;
use super::hub::Hub;
use super::server::Address;

/// How long a new connection may take until it can be asked something.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 8;
/// How large an answer to a check may be; those that are errors have a line or two.
pub(crate) const SMALL_ANSWER: usize = 64 << 10;
/// How large the map of a Cluster may be.
pub(crate) const MAP_ANSWER: usize = 16 << 20;

/// An open connection. Dropped, it is closed, with all that is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) line: MultiplexedConnection,
    /// Ends when the server closed it or it broke.
    pub(crate) driver: JoinHandle<()>,
}

impl Connection {
    /// Connects and says who we are, in bounded time. `announced` is the hostname that the server is known to have, if it
    /// is; `most` is how large an answer may be.
    pub(crate) async fn open(
        address: &Address,
        announced: Option<&str>,
        hub: &Hub,
        most: usize,
    ) -> Result<Self, String> {
        let mut step = "connection";
        let open = async {
            let stream = tcp(address).await.map_err(|why| why.to_string())?;
            stream.set_nodelay(true).map_err(|why| why.to_string())?;
            let Some(tls) = &hub.tls else {
                step = "answer";
                return Self::over(Frames::new(stream, most), hub).await;
            };
            step = "TLS";
            let stream = tls.connect(&address.host, announced, stream).await?;
            step = "answer";
            Self::over(Frames::new(stream, most), hub).await
        };
        match timeout(CONNECT, open).await {
            Ok(opened) => opened,
            Err(_) => Err(format!("no {step} within {CONNECT:?}")),
        }
    }

    async fn over<S>(stream: S, hub: &Hub) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new()
            // Those who ask have their own deadlines.
            .set_response_timeout(None)
            .set_pipeline_buffer_size(hub.most_pending);
        let (line, driver) = MultiplexedConnection::new_with_config(&hub.who, stream, config)
            .await
            .map_err(|why| told_first(&why, hub))?;
        let driver = tokio::spawn(driver);
        Ok(Self { line, driver })
    }

    /// Sends a command and waits for its answer.
    pub(crate) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        send(&mut self.line.clone(), command).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Sends a command and waits for its answer; an error that the server answers with is an error.
pub(crate) async fn send(
    line: &mut MultiplexedConnection,
    command: &Cmd,
) -> Result<Value, RedisError> {
    line.send_packed_command(command).await?.extract_error()
}

/// Why a server that never answered did not: one that waits for TLS just hangs up.
pub(crate) fn told_first(why: &RedisError, hub: &Hub) -> String {
    let told = told(why);
    if hub.tls.is_none() && why.is_io_error() {
        format!("{told}; if it speaks TLS, say `rediss://`")
    } else {
        told
    }
}

/// An error as people know it: that of a server by the word that it begins with.
pub(crate) fn told(why: &RedisError) -> String {
    if why.kind() == ErrorKind::AuthenticationFailed {
        return "it does not take this `user` and `password`".to_owned();
    }
    match (why.code(), why.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => why.to_string(),
    }
}

/// Names are looked up anew each time: after a failover another server may answer to them.
async fn tcp(address: &Address) -> io::Result<TcpStream> {
    let found = lookup_host((&*address.host, address.port)).await?;
    let addresses: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
    // Each gets its chance, however silent those before it are.
    let share = CONNECT / u32::try_from(addresses.len().max(1)).unwrap_or(1);
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(why)) => last = why,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, "no connection in time"),
        }
    }
    Err(last)
}
