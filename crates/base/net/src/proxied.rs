//! Connections from a proxy: the header that comes first, taken off the socket before anybody else looks at it.
//!
//! Only what belongs to the header is read. Bytes are first looked at where they wait in the kernel, and then exactly
//! those of the header are taken, so a connection that is handed on begins with what the client itself sent, with no
//! buffer to carry along. A proxy sends its header in one piece, so this costs two system calls.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    task::{Poll, ready},
    time::Duration,
};

use tokio::{io::ReadBuf, net::TcpStream};
use weir_config::Cidr;

use crate::{
    clock::{Micros, now},
    config::{OthersConfig, ProxyProtocolConfig},
    incident::Refusal,
    proxy_protocol::{ProxyHeader, ProxyHeaderError, ProxyParser},
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

/// Why no header came.
enum Failed {
    /// The connection ended.
    Ended,
    Refused(Refusal),
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
        Poll::Ready(Err(Failed::Refused(Refusal::LateProxyHeader)))
    })
    .await;
    match header {
        Ok(ProxyHeader::Proxied { client, .. }) => Ok(Some(client)),
        Ok(ProxyHeader::Local) => Ok(Some(peer)),
        Err(Failed::Ended) if parser.is_fresh() => Ok(None),
        Err(Failed::Ended) => Err(Refusal::BadProxyHeader),
        Err(Failed::Refused(refusal)) => Err(refusal),
    }
}

fn poll_header(
    socket: &TcpStream,
    parser: &mut ProxyParser,
    cx: &mut std::task::Context<'_>,
) -> Poll<Result<ProxyHeader, Failed>> {
    let mut bytes = [0; LOOK];
    loop {
        let n = ready!(socket.poll_peek(cx, &mut ReadBuf::new(&mut bytes)));
        let n = match n {
            Ok(n) if n > 0 => n,
            _ => return Poll::Ready(Err(Failed::Ended)),
        };
        let (taken, header) = match parser.push(&bytes[..n]) {
            Ok(pushed) => pushed,
            Err(error) => return Poll::Ready(Err(Failed::Refused(refusal(error, &bytes[..n])))),
        };
        // They wait there: nobody else reads from this socket.
        if !matches!(socket.try_read(&mut bytes[..taken]), Ok(read) if read == taken) {
            return Poll::Ready(Err(Failed::Ended));
        }
        if let Some(header) = header {
            return Poll::Ready(Ok(header));
        }
    }
}

/// What to say of a header that is none. `bytes` came last, so they are the first if nothing was right.
fn refusal(error: ProxyHeaderError, bytes: &[u8]) -> Refusal {
    match error {
        ProxyHeaderError::Missing if is_http(bytes) => Refusal::PlainHttp,
        ProxyHeaderError::Missing => Refusal::NoProxyHeader,
        ProxyHeaderError::TooLong | ProxyHeaderError::Malformed | ProxyHeaderError::Unknown => {
            Refusal::BadProxyHeader
        }
    }
}

/// Whether this looks like the beginning of an HTTP request: a method in upper case, a space, and a target.
fn is_http(bytes: &[u8]) -> bool {
    let method = bytes.iter().take_while(|b| b.is_ascii_uppercase()).count();
    (3..=20).contains(&method)
        && bytes[method..].first() == Some(&b' ')
        && matches!(bytes.get(method + 1), Some(b'/' | b'*' | b'h'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_instead_of_a_header_is_told() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\n"[..], Refusal::PlainHttp),
            (b"POST /x HTTP/1.1\r\n", Refusal::PlainHttp),
            (b"OPTIONS * HTTP/1.1\r\n", Refusal::PlainHttp),
            (b"GET http://x/ HTTP/1.1\r\n", Refusal::PlainHttp),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Refusal::PlainHttp),
            (b"GET", Refusal::NoProxyHeader),
            (b"\x16\x03\x01\x02\x00", Refusal::NoProxyHeader),
            (b"SSH-2.0-x\r\n", Refusal::NoProxyHeader),
            (b"PROXY TCP4 GET / HTTP/1.1\r\n", Refusal::BadProxyHeader),
        ] {
            let error = ProxyParser::default().push(bytes).expect_err("no header");
            assert_eq!(refusal(error, bytes), expected, "{bytes:?}");
        }
    }
}
