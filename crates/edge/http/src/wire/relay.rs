//! One body from its source to its sink.

use std::task::{Context, Poll, ready};

use weir_net::{Buffers, Pipe, Pipes};

use super::{
    body::{BodyError, Data, Sink, Source},
    replay::Replay,
};

/// Bodies with at least this much still to come move inside the kernel: below it,
/// two copies cost less than the extra system calls.
const SPLICE_FROM: u64 = 128 * 1024;

/// Why a relay stopped early.
#[derive(Debug)]
pub(crate) enum RelayError {
    /// The side it came from.
    Source(BodyError),
    /// The side it went to.
    Sink,
}

/// What a pending relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    /// Bytes from the source.
    Source,
    /// Room at the sink.
    Sink,
}

/// The state of one direction of an exchange.
#[derive(Debug, Default)]
pub(crate) struct Relay {
    /// Body bytes moved so far.
    pub(crate) moved: u64,
    /// The most that may be moved.
    limit: Option<u64>,
    /// What it waited for last.
    waits: Option<Waits>,
    /// The source is complete and the end is staged.
    ended: bool,
    /// Everything is flushed.
    done: bool,
    pipe: Option<Pipe>,
    /// Keeps a copy of what passes; what it holds from before goes out first.
    replay: Option<Replay>,
    /// How much of that went out.
    replayed: usize,
}

impl Relay {
    /// A relay for a body of at most `limit` bytes. Not one byte more is passed on, nor is what would complete the
    /// body, so that a body that is too large never looks like one that is not.
    pub(crate) fn up_to(limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..Self::default()
        }
    }

    /// Sends what `replay` holds before anything else, and keeps a copy of what follows in it.
    pub(crate) fn keep(&mut self, replay: Option<Replay>) {
        let held = replay.as_ref().and_then(Replay::bytes);
        self.moved = held.map_or(0, <[u8]>::len) as u64;
        self.replay = replay;
    }

    /// Takes the copy.
    pub(crate) fn take_replay(&mut self) -> Option<Replay> {
        self.replay.take()
    }

    /// Whether the body has arrived in full.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// What a pending relay waits for.
    #[inline]
    pub(crate) fn waits(&self) -> Waits {
        self.waits.unwrap_or(Waits::Source)
    }

    /// Makes it ready for another body. A pipe that is held goes back to its pool.
    pub(crate) fn reset(&mut self, pipes: &Pipes) {
        if let Some(pipe) = self.pipe.take() {
            pipes.reclaim(pipe);
        }
        *self = Self::default();
    }

    /// Moves what can be moved now. Ready when the body and what was staged before it are written.
    pub(crate) fn poll<S: Source, K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        pool: &Buffers,
        pipes: &Pipes,
    ) -> Poll<Result<(), RelayError>> {
        loop {
            if self.ended {
                self.waits = Some(Waits::Sink);
                ready!(sink.poll_flush(cx)).map_err(|_| RelayError::Sink)?;
                self.done = true;
                return Poll::Ready(Ok(()));
            }
            if self.pipe.is_some() {
                ready!(self.poll_splice(cx, source, sink, pipes))?;
                continue;
            }
            if self.replay.is_some() {
                ready!(self.poll_replay(cx, sink))?;
            }
            match source.poll_data(cx, pool) {
                Poll::Ready(Ok(Data::Ready)) => {
                    let data = source.data();
                    if let Some(limit) = self.limit
                        && data.len() as u64 > limit - self.moved
                    {
                        return Poll::Ready(Err(RelayError::Source(BodyError::TooLarge)));
                    }
                    self.waits = Some(Waits::Sink);
                    let n = ready!(sink.poll_push(cx, data)).map_err(|_| RelayError::Sink)?;
                    if let Some(replay) = &mut self.replay {
                        replay.push(&data[..n]);
                        self.replayed += n;
                    }
                    source.consume(n);
                    self.moved += n as u64;
                    self.consider_splicing(source, sink, pipes);
                }
                Poll::Ready(Ok(Data::End)) => {
                    sink.finish(source.trailers());
                    self.ended = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(RelayError::Source(error))),
                Poll::Pending => {
                    self.waits = Some(Waits::Sink);
                    ready!(sink.poll_flush(cx)).map_err(|_| RelayError::Sink)?;
                    self.waits = Some(Waits::Source);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Sends what was kept of an earlier try.
    fn poll_replay<K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut K,
    ) -> Poll<Result<(), RelayError>> {
        let kept = self.replay.as_ref().and_then(Replay::bytes);
        while let Some(rest) = kept.and_then(|kept| kept.get(self.replayed..))
            && !rest.is_empty()
        {
            self.waits = Some(Waits::Sink);
            self.replayed += ready!(sink.poll_push(cx, rest)).map_err(|_| RelayError::Sink)?;
        }
        Poll::Ready(Ok(()))
    }

    /// Once the buffered part of a large, plainly framed body is out, the rest goes through a pipe.
    #[inline]
    fn consider_splicing<S: Source, K: Sink>(
        &mut self,
        source: &mut S,
        sink: &mut K,
        pipes: &Pipes,
    ) {
        let Some((from, left)) = source.raw() else {
            return;
        };
        if left < SPLICE_FROM || self.replay.as_ref().is_some_and(|kept| !kept.is_lost()) {
            return;
        }
        if let Some(to) = sink.raw()
            && from.can_splice_to(to)
        {
            self.pipe = pipes.lend().ok();
        }
    }

    /// Fills the pipe, drains it, until the body is through.
    fn poll_splice<S: Source, K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut S,
        sink: &mut K,
        pipes: &Pipes,
    ) -> Poll<Result<(), RelayError>> {
        let Some(pipe) = &mut self.pipe else {
            return Poll::Ready(Ok(()));
        };
        loop {
            let left = source.raw().map_or(0, |(_, left)| left);
            if pipe.held() == 0 && left == 0 {
                if let Some(pipe) = self.pipe.take() {
                    pipes.reclaim(pipe);
                }
                return Poll::Ready(Ok(()));
            }
            if pipe.held() == 0
                && let Some((from, left)) = source.raw()
            {
                let capacity = pipe.capacity();
                let limit = usize::try_from(left).unwrap_or(capacity).min(capacity);
                self.waits = Some(Waits::Source);
                let n = ready!(from.poll_splice_in(cx, pipe, limit))
                    .map_err(|_| RelayError::Source(BodyError::Io))?;
                if n == 0 {
                    return Poll::Ready(Err(RelayError::Source(BodyError::Truncated)));
                }
                source.took_raw(n as u64);
            }
            while pipe.held() > 0 {
                // Nothing is staged while bytes lie in the pipe. Were it otherwise, they could not leave in order.
                let Some(to) = sink.raw() else {
                    debug_assert!(false, "staged while splicing");
                    return Poll::Ready(Err(RelayError::Sink));
                };
                self.waits = Some(Waits::Sink);
                let n = ready!(to.poll_splice_out(cx, pipe)).map_err(|_| RelayError::Sink)?;
                sink.put_raw(n as u64);
                self.moved += n as u64;
            }
        }
    }
}
