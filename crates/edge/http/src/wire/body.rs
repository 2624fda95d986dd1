//! The two ends of a body.

use std::{
    io,
    task::{Context, Poll},
};

use weir_net::{Buffers, Stream};

use crate::codec::{ChunkError, Fields};

/// What a source has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Data {
    /// [`Source::data`] is not empty.
    Ready,
    /// The body is complete.
    End,
}

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection ended before the body did.
    Truncated,
    /// The framing is broken.
    Framing(ChunkError),
    /// There is more of it than is accepted.
    TooLarge,
    /// The connection broke.
    Io,
}

/// Where a body comes from.
pub(crate) trait Source {
    /// Waits until there is data or the body is complete.
    fn poll_data(&mut self, cx: &mut Context<'_>, pool: &Buffers) -> Poll<Result<Data, BodyError>>;

    /// Decoded bytes of the body that are here already.
    fn data(&self) -> &[u8];

    /// Takes `n` bytes off the front of [`data`](Self::data).
    fn consume(&mut self, n: usize);

    /// Trailer fields that may be forwarded, once the body is complete.
    fn trailers(&self) -> &Fields;

    /// The socket and the bytes still to come, if they are the body itself with nothing between them.
    fn raw(&mut self) -> Option<(&Stream, u64)> {
        None
    }

    /// Says that `n` bytes were taken off the socket of [`raw`](Self::raw).
    fn took_raw(&mut self, _n: u64) {}
}

/// Where a body goes.
pub(crate) trait Sink {
    /// Takes some of `data`: written, or staged for the next write. Never zero bytes.
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>>;

    /// Says that the body is complete; what frames its end is staged.
    fn finish(&mut self, trailers: &Fields);

    /// Writes everything that is staged.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The socket, if plain body bytes may be put on it directly (nothing staged, no framing).
    fn raw(&mut self) -> Option<&Stream> {
        None
    }

    /// Says that `n` bytes were put on the socket of [`raw`](Self::raw).
    fn put_raw(&mut self, _n: u64) {}
}
