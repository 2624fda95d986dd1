//! One HTTP/1 connection: reads heads and bodies, stages and writes heads and bodies.

use std::{
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, ready},
};

use weir_net::{Buffer, Buffers, Stream};

use super::body::{BodyError, Data, Sink, Source};
use crate::codec::{BodyLength, BodyReader, FieldId, Fields, HeadLimits, Names, Run, encode};

/// Body bytes up to this many are copied behind a staged head, so that both leave in one plain write.
const COPY_UP_TO: usize = 4096;
/// Pieces smaller than this are gathered rather than written one by one.
const GATHER: usize = 512;
/// More staged than this is written out before anything is added.
const STAGE_UP_TO: usize = 16 * 1024;

/// How the body that we write is delimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By Content-Length, by the end of the connection, or there is none: the bytes as they are.
    #[default]
    Identity,
    /// By the chunked coding.
    Chunked,
}

/// One HTTP/1 connection, on the client's side or on an endpoint's.
#[derive(Debug)]
pub(crate) struct Wire {
    /// The socket.
    pub(crate) stream: Stream,
    /// Bytes that were read and not yet understood.
    pub(crate) input: Buffer,
    /// How far the head parser has looked into `input`.
    pub(crate) scanned: usize,
    /// Bytes read and written on this connection in all.
    pub(crate) received: u64,
    pub(crate) sent: u64,
    /// The other side has ended its direction.
    pub(crate) ended: bool,
    reader: BodyReader,
    /// Connection names fields that may stand among the trailers. Such trailers are not forwarded.
    hop_trailers: bool,
    /// Trailers that are not forwarded either, by name.
    kept_back: Option<Arc<Names>>,
    /// Decoded body bytes at the front of `input`.
    run: usize,
    /// Bytes to be written before any body bytes.
    staged: Vec<u8>,
    staged_sent: usize,
    framing: Framing,
    /// Bytes that the chunk we have announced still needs.
    chunk_left: usize,
}

impl Wire {
    /// A fresh connection. `limits` bound the trailers it may send.
    pub(crate) fn new(stream: Stream, limits: HeadLimits) -> Self {
        Self {
            stream,
            input: Buffer::default(),
            scanned: 0,
            received: 0,
            sent: 0,
            ended: false,
            reader: BodyReader::new(limits),
            hop_trailers: false,
            kept_back: None,
            run: 0,
            staged: Vec::new(),
            staged_sent: 0,
            framing: Framing::Identity,
            chunk_left: 0,
        }
    }

    /// Reads once. `Ok(0)` is the end of the other side's direction.
    #[inline]
    pub(crate) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        pool: &Buffers,
    ) -> Poll<io::Result<usize>> {
        let n = ready!(self.stream.poll_fill(cx, &mut self.input, pool))?;
        self.received += n as u64;
        self.ended |= n == 0;
        Poll::Ready(Ok(n))
    }

    /// Takes `n` bytes of a parsed head off the input.
    #[inline]
    pub(crate) fn consume_head(&mut self, n: usize) {
        self.input.consume(n);
        self.scanned = 0;
    }

    /// Says how the body that follows the head is delimited. `head` says which trailers are meant for this hop only.
    #[inline]
    pub(crate) fn expect_message(&mut self, length: BodyLength, head: &Fields) {
        self.expect_body(length);
        self.hop_trailers = length == BodyLength::Chunked && nominates(head);
        self.kept_back = None;
    }

    /// Keeps these trailers of the message back.
    pub(crate) fn keep_back(&mut self, names: &Arc<Names>) {
        self.kept_back = Some(Arc::clone(names));
    }

    /// As [`expect_message`](Self::expect_message), without a head.
    #[inline]
    pub(crate) fn expect_body(&mut self, length: BodyLength) {
        self.reader.start(length);
        self.run = 0;
    }

    /// Whether the body that we read is complete.
    #[inline]
    pub(crate) fn body_done(&self) -> bool {
        self.run == 0 && self.reader.is_done()
    }

    /// Bytes of the body that are still to be taken, if its length is known.
    pub(crate) fn body_left(&self) -> Option<u64> {
        self.reader.remaining().map(|left| left + self.run as u64)
    }

    /// Where the next head is written.
    #[inline]
    pub(crate) fn stage(&mut self) -> &mut Vec<u8> {
        if self.staged_sent == self.staged.len() {
            self.staged.clear();
            self.staged_sent = 0;
        }
        &mut self.staged
    }

    /// Says how the body that we write is delimited.
    #[inline]
    pub(crate) fn frame(&mut self, framing: Framing) {
        debug_assert_eq!(self.chunk_left, 0);
        self.framing = framing;
    }

    /// Whether everything staged is written.
    #[inline]
    pub(crate) fn is_flushed(&self) -> bool {
        self.staged_sent == self.staged.len()
    }

    /// Gives up what waits to be written: the connection is about to close, or to be thrown away.
    pub(crate) fn forget_staged(&mut self) {
        self.staged.clear();
        self.staged_sent = 0;
        self.chunk_left = 0;
    }

    /// Lends memory to stage in; [`take_stage`](Self::take_stage) gives it back.
    #[inline]
    pub(crate) fn lend_stage(&mut self, stage: Vec<u8>) {
        debug_assert!(self.staged.is_empty() && stage.is_empty());
        self.staged = stage;
    }

    /// Takes the staging memory away from an idle connection. What was in it has been written.
    #[inline]
    pub(crate) fn take_stage(&mut self) -> Vec<u8> {
        debug_assert!(self.is_flushed());
        self.staged_sent = 0;
        let mut stage = std::mem::take(&mut self.staged);
        stage.clear();
        stage
    }

    /// Writes what is staged and then `data`; returns how much of `data` went out.
    fn poll_write_with(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let staged = &self.staged[self.staged_sent..];
            let n = if staged.is_empty() {
                ready!(self.stream.poll_write(cx, data))?
            } else {
                let slices = [IoSlice::new(staged), IoSlice::new(data)];
                ready!(self.stream.poll_write_vectored(cx, &slices))?
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += n as u64;
            let from_staged = n.min(staged.len());
            self.staged_sent += from_staged;
            if n > from_staged {
                return Poll::Ready(Ok(n - from_staged));
            }
        }
    }
}

impl Source for Wire {
    fn poll_data(&mut self, cx: &mut Context<'_>, pool: &Buffers) -> Poll<Result<Data, BodyError>> {
        loop {
            if self.run > 0 {
                return Poll::Ready(Ok(Data::Ready));
            }
            if self.reader.is_done() {
                return Poll::Ready(Ok(Data::End));
            }
            if !self.input.is_empty() {
                match self
                    .reader
                    .read(self.input.unread())
                    .map_err(BodyError::Framing)?
                {
                    Run::Data { start, end } => {
                        self.input.consume(start);
                        self.run = end - start;
                        continue;
                    }
                    Run::NeedMore { consumed } => self.input.consume(consumed),
                    Run::End { consumed } => {
                        self.input.consume(consumed);
                        if self.hop_trailers {
                            self.reader.trailers_mut().clear();
                        }
                        if let Some(names) = &self.kept_back {
                            self.reader.trailers_mut().mark_named(names);
                        }
                        return Poll::Ready(Ok(Data::End));
                    }
                }
            }
            if self.input.is_held() && self.input.room() == 0 {
                self.input.compact();
            }
            let n = ready!(self.poll_fill(cx, pool)).map_err(|_| BodyError::Io)?;
            if n == 0 && !self.reader.finish() {
                return Poll::Ready(Err(BodyError::Truncated));
            }
        }
    }

    #[inline]
    fn data(&self) -> &[u8] {
        &self.input.unread()[..self.run]
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        debug_assert!(n <= self.run);
        self.input.consume(n);
        self.run -= n;
    }

    fn trailers(&self) -> &Fields {
        self.reader.trailers()
    }

    #[inline]
    fn raw(&mut self) -> Option<(&Stream, u64)> {
        if !self.input.is_empty() {
            return None;
        }
        match self.reader.left() {
            BodyLength::Length(left) => Some((&self.stream, left)),
            _ => None,
        }
    }

    fn took_raw(&mut self, n: u64) {
        self.received += n;
        self.reader.advance(n);
    }
}

impl Sink for Wire {
    #[inline]
    fn poll_push(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.staged.len() - self.staged_sent > STAGE_UP_TO {
            ready!(self.poll_flush(cx))?;
        }
        let mut data = data;
        if self.framing == Framing::Chunked {
            if self.chunk_left == 0 {
                let stage = self.stage();
                encode::chunk_size(stage, data.len() as u64);
                self.chunk_left = data.len();
            }
            data = &data[..data.len().min(self.chunk_left)];
        }
        // A relay flushes whenever it has to wait, so small pieces may gather.
        let n = if data.len() < GATHER || (data.len() <= COPY_UP_TO && !self.is_flushed()) {
            self.stage().extend_from_slice(data);
            data.len()
        } else {
            ready!(self.poll_write_with(cx, data))?
        };
        if self.framing == Framing::Chunked {
            self.chunk_left -= n;
            if self.chunk_left == 0 {
                self.stage().extend_from_slice(b"\r\n");
            }
        }
        Poll::Ready(Ok(n))
    }

    fn finish(&mut self, trailers: &Fields) {
        if self.framing == Framing::Chunked {
            debug_assert_eq!(self.chunk_left, 0);
            let stage = self.stage();
            encode::last_chunk(stage, trailers);
            self.framing = Framing::Identity;
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_flushed() {
            let n = ready!(self.stream.poll_write(cx, &self.staged[self.staged_sent..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.staged_sent += n;
            self.sent += n as u64;
        }
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn raw(&mut self) -> Option<&Stream> {
        (self.framing == Framing::Identity && self.is_flushed()).then_some(&self.stream)
    }

    fn put_raw(&mut self, n: u64) {
        self.sent += n;
    }
}

/// Whether Connection names more than how the connection goes on.
fn nominates(head: &Fields) -> bool {
    head.all(FieldId::Connection)
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|option| {
            let known: [&[u8]; 5] = [b"", b"close", b"keep-alive", b"upgrade", b"te"];
            !known.iter().any(|name| option.eq_ignore_ascii_case(name))
        })
}
