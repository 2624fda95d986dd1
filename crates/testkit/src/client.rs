//! A client that sends exactly the bytes it is given.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::Response;
use crate::wire::{TIMEOUT, Wire};

/// One TCP connection of raw bytes. Its waits end after 10 seconds unless [`RawClient::timeout`] says otherwise, and
/// methods without `try_` panic when the peer does something else than the test expects.
#[derive(Debug)]
pub struct RawClient {
    wire: Wire,
    peer: SocketAddr,
}

impl RawClient {
    /// Connects; panics when nobody listens.
    pub fn connect(addr: SocketAddr) -> Self {
        Self::try_connect(addr).unwrap_or_else(|e| panic!("connect {addr}: {e}"))
    }

    /// Connects.
    pub fn try_connect(addr: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, TIMEOUT)?;
        Ok(Self {
            wire: Wire::new(stream, TIMEOUT)?,
            peer: addr,
        })
    }

    /// Connects, sends, and reads one response: for the many tests that need no more.
    pub fn exchange(addr: SocketAddr, request: impl AsRef<[u8]>) -> Response {
        let mut client = Self::connect(addr);
        client.send(request);
        client.response()
    }

    /// Bounds every wait from here on.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.wire
            .set_timeout(timeout)
            .expect("a socket takes a timeout that is not zero");
        self
    }

    /// Sends all bytes at once. A peer that has closed already is no failure here: what it answered still counts.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        match self.try_send(bytes) {
            Ok(()) => {}
            Err(e) if matches!(e.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
            Err(e) => panic!("send to {}: {e}", self.peer),
        }
        self
    }

    /// Sends all bytes at once.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write(bytes.as_ref())
    }

    /// Sends in two writes, the second after a pause in which the peer surely read the first.
    pub fn send_split(&mut self, bytes: impl AsRef<[u8]>, at: usize) -> &mut Self {
        let (first, second) = bytes.as_ref().split_at(at);
        self.send(first);
        thread::sleep(Duration::from_millis(2));
        self.send(second)
    }

    /// Sends every byte in its own segment.
    pub fn send_bytewise(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> &mut Self {
        for &byte in bytes.as_ref() {
            self.send([byte]);
            thread::sleep(pause);
        }
        self
    }

    /// Sends a GET for `path` and reads the response; the connection stays open.
    pub fn get(&mut self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.peer);
        self.send(request);
        self.response()
    }

    /// Reads one response to a request other than HEAD or CONNECT.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads one response to a request with this method, which decides about the body.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response_to(method)
            .unwrap_or_else(|e| panic!("response from {}: {e}", self.peer))
    }

    /// Reads one response; a close before its first byte is `UnexpectedEof`.
    pub fn try_response(&mut self) -> io::Result<Response> {
        self.try_response_to("GET")
    }

    fn try_response_to(&mut self, method: &str) -> io::Result<Response> {
        self.wire
            .response(method)?
            .ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "closed before a response"))
    }

    /// Reads up to and with `end`.
    pub fn read_until(&mut self, end: &[u8]) -> Vec<u8> {
        match self.wire.until(end) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => panic!(
                "{} closed before {:?}",
                self.peer,
                String::from_utf8_lossy(end)
            ),
            Err(e) => panic!(
                "read until {:?} from {}: {e}",
                String::from_utf8_lossy(end),
                self.peer
            ),
        }
    }

    /// Reads exactly that many bytes.
    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        self.wire
            .exactly(count)
            .unwrap_or_else(|e| panic!("read {count} bytes from {}: {e}", self.peer))
    }

    /// Reads everything until the peer closes; a reset ends it too.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        match self.wire.read_to_end() {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::ConnectionReset => self.wire.unread().to_vec(),
            Err(e) => panic!("read to the end from {}: {e}", self.peer),
        }
    }

    /// Panics unless the peer closes or resets the connection now, without another byte.
    pub fn expect_close(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "expected a close, got {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Panics unless the connection stays open and silent for this long.
    pub fn expect_silence(&mut self, span: Duration) {
        assert!(
            self.wire.unread().is_empty(),
            "unread {:?}",
            String::from_utf8_lossy(self.wire.unread())
        );
        self.wire
            .set_timeout(span)
            .expect("a span that is not zero");
        let result = self.wire.fill();
        self.wire.set_timeout(TIMEOUT).expect("not zero");
        match result {
            Err(e) if e.kind() == ErrorKind::TimedOut => {}
            Ok(0) => panic!("expected silence, {} closed", self.peer),
            Ok(_) => panic!(
                "expected silence, got {:?}",
                String::from_utf8_lossy(self.wire.unread())
            ),
            Err(e) => panic!("expected silence from {}, got {e}", self.peer),
        }
    }

    /// Closes the sending side; reading goes on.
    pub fn half_close(&mut self) -> &mut Self {
        // The peer may have reset the connection by now; then there is nothing left to close.
        let _ = self.wire.stream().shutdown(Shutdown::Write);
        self
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        reset(self.wire.stream());
    }

    /// The client's own address, as the peer sees it.
    pub fn local_addr(&self) -> SocketAddr {
        self.wire
            .stream()
            .local_addr()
            .expect("a connected socket has an address")
    }

    /// The socket, for what this type does not do.
    pub fn stream(&self) -> &TcpStream {
        self.wire.stream()
    }
}

/// Makes the coming close of the socket a reset: SO_LINGER with no time.
pub(crate) fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// Every way to cut `bytes` in two parts of at least one byte.
pub fn boundaries(bytes: &[u8]) -> std::ops::Range<usize> {
    1..bytes.len().max(1)
}
