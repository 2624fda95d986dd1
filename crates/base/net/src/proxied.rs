//! Connections from a proxy: the header that comes first, taken off the socket before anybody else looks at it.
//!
//! Only what belongs to the header is read. Bytes are first looked at where they wait in the kernel, and then exactly
//! those of the header are taken, so a connection that is handed on begins with what the client itself sent, with no
//! buffer to carry along. A proxy sends its header in one piece, so this costs two system calls.

use std::{
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    task::{Poll, ready},
    time::Duration,
};

use tokio::{io::ReadBuf, net::TcpStream};
use weir_config::Cidr;

use crate::{
    accept::Refusal,
    clock::{Micros, now},
    config::{OthersConfig, ProxyProtocolConfig},
    proxy_protocol::{ProxyHeader, ProxyParser},
    wheel::Timer,
};

/// How much is looked at at once: any header without large TLVs.
const LOOK: usize = 256;
/// How long a connection may stay silent once its listener closes.
const LAST_CALL: Micros = 1_000_000;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preamble {
    /// With what the client sends; the client is who the socket says.
    #[default]
    None,
    /// With a PROXY header, which must be there within this time.
    ProxyHeader(Duration),
    /// It may not begin at all: it is not from a proxy.
    Refused,
}

/// The `proxy_protocol` of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    from: Box<[Cidr]>,
    others: OthersConfig,
    timeout: Duration,
}

impl ProxyProtocol {
    /// As the config says.
    #[must_use]
    pub fn new(config: &ProxyProtocolConfig) -> Self {
        Self {
            from: config.from.as_slice().into(),
            others: config.others,
            timeout: config.timeout.get(),
        }
    }

    /// What a connection from `peer` begins with.
    #[must_use]
    pub fn preamble(&self, peer: IpAddr) -> Preamble {
        if self.from.iter().any(|range| range.contains(peer)) {
            return Preamble::ProxyHeader(self.timeout);
        }
        match self.others {
            OthersConfig::Refuse => Preamble::Refused,
            OthersConfig::Serve => Preamble::None,
        }
    }
}

/// Takes the header off a connection and says who the client is. `closing` tells whether the listener is; `Ok(None)` is
/// a connection that ended before its first byte, as those of port checks do.
pub(crate) async fn read_header(
    socket: &TcpStream,
    peer: SocketAddr,
    timer: &Timer,
    time: Duration,
    closing: impl Fn() -> bool,
) -> Result<Option<SocketAddr>, Refusal> {
    let mut deadline = now() + time.as_micros() as Micros;
    timer.set(deadline);
    let mut parser = ProxyParser::default();
    let mut leaving = false;
    let header = poll_fn(|cx| {
        if closing() && !leaving {
            leaving = true;
            deadline = deadline.min(now() + LAST_CALL);
            timer.set(deadline);
        }
        if let Poll::Ready(read) = poll_header(socket, &mut parser, cx) {
            return Poll::Ready(read);
        }
        ready!(timer.poll_expired(cx, now()));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    })
    .await;
    match header {
        Ok(ProxyHeader::Proxied { client, .. }) => Ok(Some(client)),
        Ok(ProxyHeader::Local) => Ok(Some(peer)),
        Err(error) if parser.is_fresh() && error.kind() != io::ErrorKind::TimedOut => Ok(None),
        Err(_) => Err(Refusal::ProxyHeader),
    }
}

fn poll_header(
    socket: &TcpStream,
    parser: &mut ProxyParser,
    cx: &mut std::task::Context<'_>,
) -> Poll<io::Result<ProxyHeader>> {
    let mut bytes = [0; LOOK];
    loop {
        let n = ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut bytes)))?;
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        let pushed = parser.push(&bytes[..n]);
        let (taken, header) =
            pushed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        // They wait there: nobody else reads from this socket.
        if socket.try_read(&mut bytes[..taken])? != taken {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if let Some(header) = header {
            return Poll::Ready(Ok(header));
        }
    }
}
