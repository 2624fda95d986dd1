//! A connected byte stream: plain TCP now, with room for TLS beside it.
//!
//! An enum rather than a trait object: the hot path branches on one tag.

use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf, unix::AsyncFd},
    net::TcpStream,
};

use crate::{
    buffer::{Buffer, Buffers},
    splice::Pipe,
};

/// Bytes that the kernel may hold for a peer beyond those that are on their way to it.
///
/// Left to itself it takes megabytes for whoever was once fast, all of which a client that stops reading keeps. There is
/// a bound on that memory for the whole machine, and a thousand such clients reach it; everybody suffers then. With
/// this much the next bytes are still always at hand.
const UNSENT: u32 = 128 * 1024;

/// A connected byte stream, either side of the proxy.
#[derive(Debug)]
pub enum Stream {
    /// TCP without encryption.
    Tcp(TcpStream),
}

impl Stream {
    /// Wraps a connected socket; small writes go out at once (no Nagle delay), and few bytes wait unsent.
    pub fn tcp(socket: TcpStream) -> Self {
        // A socket that was reset already reports an error here; the first read tells.
        let _ = socket.set_nodelay(true);
        let _ = socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT);
        Self::Tcp(socket)
    }

    /// The address of the other end.
    ///
    /// # Errors
    /// When the socket is not connected any more.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr(),
        }
    }

    /// Ready when a read would not block: bytes, the end, or an error wait.
    ///
    /// Costs no system call while nothing arrived since the last short read.
    #[inline]
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_read_ready(cx),
        }
    }

    /// Ready when the socket takes bytes.
    #[inline]
    pub fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => socket.poll_write_ready(cx),
        }
    }

    /// Reads once into the room of `buffer`, borrowing memory from `pool` only
    /// when something waits to be read. `Ok(0)` is the end of the stream; the
    /// caller sees to it that a held buffer has room.
    #[inline]
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        pool: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if !buffer.is_held() {
            ready!(self.poll_readable(cx))?;
            pool.lend(buffer);
        }
        debug_assert!(buffer.room() > 0);
        let read = {
            let mut room = ReadBuf::new(buffer.room_mut());
            let done = match self {
                Self::Tcp(socket) => Pin::new(socket).poll_read(cx, &mut room),
            };
            match done {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(room.filled().len())),
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Pending => Poll::Pending,
            }
        };
        match read {
            Poll::Ready(Ok(n)) => {
                buffer.filled(n);
                if n == 0 {
                    pool.reclaim_if_empty(buffer);
                }
                Poll::Ready(Ok(n))
            }
            other => {
                pool.reclaim_if_empty(buffer);
                other
            }
        }
    }

    /// Writes some of `bytes`.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
        }
    }

    /// Writes some of `slices`, in order.
    #[inline]
    pub fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
        }
    }

    /// Ends our direction; the other one stays open.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }

    /// Makes the close that follows a reset, so that the peer cannot take what it
    /// got for a complete message.
    pub fn reset_on_close(&self) {
        match self {
            Self::Tcp(socket) => {
                let _ = socket2::SockRef::from(socket).set_linger(Some(std::time::Duration::ZERO));
            }
        }
    }

    /// Whether bytes can be moved to `other` inside the kernel.
    #[must_use]
    pub fn can_splice_to(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Tcp(_), Self::Tcp(_)))
    }

    /// Moves at most `limit` bytes from the socket into `pipe`. `Ok(0)` is the end.
    pub fn poll_splice_in(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => loop {
                ready!(socket.poll_read_ready(cx))?;
                match socket.try_io(Interest::READABLE, || pipe.fill_from(socket, limit)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
        }
    }

    /// Moves what `pipe` holds to the socket, as much as it takes.
    pub fn poll_splice_out(
        &self,
        cx: &mut Context<'_>,
        pipe: &mut Pipe,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => loop {
                ready!(socket.poll_write_ready(cx))?;
                match socket.try_io(Interest::WRITABLE, || pipe.drain_to(socket)) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
        }
    }

    /// Sends `length` bytes of `file` from `offset` inside the kernel, as many as the socket takes.
    /// `Ok(0)` means that the file ended early.
    pub fn poll_send_file(
        &self,
        cx: &mut Context<'_>,
        file: &std::fs::File,
        offset: u64,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(socket) => loop {
                ready!(socket.poll_write_ready(cx))?;
                let mut from = offset;
                match socket.try_io(Interest::WRITABLE, || {
                    Ok(rustix::fs::sendfile(socket, file, Some(&mut from), length)?)
                }) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return Poll::Ready(done),
                }
            },
        }
    }
}

/// Notices that a connection is reset whose reading direction has ended.
///
/// Such a socket is readable for ever, so a reader learns nothing more. A second handle of it, registered for urgent
/// data only, hears of nothing but errors and hang-ups. It is made when it is first needed, so a connection that ends
/// in the usual way never pays for it.
#[derive(Debug, Default)]
pub struct ResetWatch(Option<AsyncFd<OwnedFd>>);

impl ResetWatch {
    /// Ready once `stream`, always the same one, was reset. Also once both its directions have ended: the caller asks
    /// only while ours has not.
    pub fn poll(&mut self, cx: &mut Context<'_>, stream: &Stream) -> Poll<()> {
        if self.0.is_none() {
            // Without a descriptor to spare, the reset is noticed by whoever writes next, or by a deadline.
            self.0 = Self::handle(stream).ok();
        }
        match &self.0 {
            Some(handle) => handle.poll_read_ready(cx).map(|_| ()),
            None => Poll::Pending,
        }
    }

    #[allow(
        deprecated,
        reason = "what replaces it is unsafe for the sake of types that change their descriptor; an owned one never does"
    )]
    fn handle(stream: &Stream) -> io::Result<AsyncFd<OwnedFd>> {
        match stream {
            Stream::Tcp(socket) => {
                let socket = socket.as_fd().try_clone_to_owned()?;
                AsyncFd::with_interest(socket, Interest::PRIORITY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        io::Write as _,
        net::{Shutdown, TcpListener, TcpStream as StdStream},
        time::Duration,
    };

    fn pair() -> (StdStream, StdStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("an address");
        let client = StdStream::connect(address).expect("connects");
        let (server, _) = listener.accept().expect("accepts");
        server.set_nonblocking(true).expect("takes the option");
        (client, server)
    }

    #[test]
    fn a_reset_behind_an_end_is_noticed_and_the_end_is_none() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (mut client, server) = pair();
            let mut server = Stream::tcp(TcpStream::from_std(server).expect("registers"));
            let pool = Buffers::new(64, 1);
            let mut buffer = Buffer::default();
            client.write_all(b"x").expect("takes a byte");
            client.shutdown(Shutdown::Write).expect("ends");
            for expected in [1, 0] {
                let n = poll_fn(|cx| server.poll_fill(cx, &mut buffer, &pool)).await;
                assert_eq!(n.expect("reads"), expected);
            }
            let mut watch = ResetWatch::default();
            let first = poll_fn(|cx| Poll::Ready(watch.poll(cx, &server))).await;
            assert!(first.is_pending());
            tokio::task::yield_now().await;
            let second = poll_fn(|cx| Poll::Ready(watch.poll(cx, &server))).await;
            assert!(second.is_pending());
            socket2::SockRef::from(&client)
                .set_linger(Some(Duration::ZERO))
                .expect("takes the option");
            drop(client);
            poll_fn(|cx| watch.poll(cx, &server)).await;
        });
    }
}
