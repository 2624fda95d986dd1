//! The thread that takes log lines to their destination.
//!
//! Each log has its own writer, so that an access log whose reader sleeps does not silence the
//! event log. Whoever logs hands over a full buffer of lines under a lock that is only ever held
//! for a push or a pop, and workers do not even wait for that: if it is taken they keep the buffer
//! and come back. When the queue is full, the buffer's lines are dropped and counted. Written
//! buffers go back through the queue for reuse.
//!
//! The destination can change at any time ([`LogWriter::redirect`]): what is queued, and what is
//! left of a batch that a sleeping reader holds up, goes to the new one. A write that fails costs
//! the rest of its batch and is counted; the next batch tries again, on a line of its own.

mod output;
mod queue;

use crate::sink::{Sink, Target};
use output::Output;
pub(crate) use queue::Handover;
use queue::{Queue, Step};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What became of a log's lines.
#[derive(Debug, Default)]
pub struct LogStats {
    lines: AtomicU64,
    bytes: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
    suppressed: AtomicU64,
    errors: AtomicU64,
}

impl LogStats {
    /// Lines written.
    pub fn lines(&self) -> u64 {
        self.lines.load(Relaxed)
    }

    /// Bytes written.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Lines dropped because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Lines lost because writing failed, or because the time to shut down was over.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Lines not made because too many of their kind came at once.
    pub fn suppressed(&self) -> u64 {
        self.suppressed.load(Relaxed)
    }

    /// Writes that failed.
    pub fn errors(&self) -> u64 {
        self.errors.load(Relaxed)
    }

    pub(crate) fn suppress(&self) {
        self.suppressed.fetch_add(1, Relaxed);
    }
}

/// A handle for handing over lines.
#[derive(Clone, Debug)]
pub struct LogQueue(Arc<Queue>);

impl LogQueue {
    /// Whether lines go anywhere. When not, there is no point in making them.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.0.is_on()
    }

    pub(crate) fn stats(&self) -> &LogStats {
        &self.0.stats
    }

    /// Hands over `lines` lines and leaves an empty buffer in place, or leaves all as it is if that
    /// would mean waiting.
    pub(crate) fn try_hand_over(&self, buffer: &mut Vec<u8>, lines: u64) -> Handover {
        self.0.try_push(buffer, lines)
    }

    /// Hands over `lines` lines, or drops them when the queue is full.
    pub(crate) fn hand_over(&self, buffer: Vec<u8>, lines: u64) {
        self.0.push(buffer, lines);
    }

    /// Counts lines that never got to the queue.
    pub(crate) fn count_dropped(&self, lines: u64) {
        self.0.stats.dropped.fetch_add(lines, Relaxed);
    }
}

/// A log's writer thread, seen from the control runtime.
#[derive(Debug)]
pub struct LogWriter {
    queue: Arc<Queue>,
    stats: Arc<LogStats>,
}

impl LogWriter {
    /// Starts a thread of this name, with a queue of at most `batches` batches (of about 32 KiB
    /// from the access log, of one line from the event log).
    pub fn start(name: &str, sink: Sink, batches: usize) -> io::Result<Self> {
        let stats = Arc::new(LogStats::default());
        let queue = Arc::new(Queue::new(
            batches,
            sink.target().clone(),
            Arc::clone(&stats),
        ));
        let output = Output::new(sink, Arc::clone(&queue));
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(output))?;
        Ok(Self { queue, stats })
    }

    /// A handle for whoever logs.
    pub fn queue(&self) -> LogQueue {
        LogQueue(Arc::clone(&self.queue))
    }

    /// What became of the lines.
    pub fn stats(&self) -> Arc<LogStats> {
        Arc::clone(&self.stats)
    }

    /// Sends lines elsewhere from now on, those that are queued included. To open the sink first is
    /// the caller's part, so that a reload can fail while nothing has changed yet.
    pub fn redirect(&self, sink: Sink) {
        self.queue.redirect(sink);
    }

    /// Opens the destination anew, as after a log was rotated. On an error the old one stays.
    pub fn reopen(&self) -> io::Result<()> {
        let target = self.queue.target();
        self.redirect(Sink::open(target)?);
        Ok(())
    }

    /// Where lines go now.
    pub fn target(&self) -> Target {
        self.queue.target()
    }

    /// Writes what is queued and ends the thread. Blocks for at most about `grace`; false if lines
    /// were lost.
    pub fn shutdown(self, grace: Duration) -> bool {
        let lost = self.stats.lost();
        self.queue.stop(grace);
        self.queue.wait_stopped(grace) && self.stats.lost() == lost
    }
}

impl Drop for LogWriter {
    /// Without a [`LogWriter::shutdown`], the thread still writes for a moment, but nobody waits
    /// for it.
    fn drop(&mut self) {
        self.queue.stop(Duration::from_secs(1));
    }
}

fn run(mut output: Output) {
    let mut written = None;
    loop {
        match output.queue().next(written.take()) {
            Step::Batch(batch) => {
                output.deliver(&batch.bytes, batch.lines);
                written = Some(batch.bytes);
            }
            Step::Redirect(sink) => output.redirect(sink),
            Step::Stop => break,
        }
    }
    output.queue().set_stopped();
}

#[cfg(test)]
mod tests;
