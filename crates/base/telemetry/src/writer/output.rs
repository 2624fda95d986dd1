//! Batches into a sink, through stalls, errors and changes of destination.

use super::queue::Queue;
use crate::sink::Sink;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The writer thread's side of a destination.
#[derive(Debug)]
pub(super) struct Output {
    sink: Sink,
    queue: Arc<Queue>,
    /// The last write stopped within a line.
    torn: bool,
}

impl Output {
    pub(super) const fn new(sink: Sink, queue: Arc<Queue>) -> Self {
        Self {
            sink,
            queue,
            torn: false,
        }
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    pub(super) fn redirect(&mut self, sink: Sink) {
        self.sink = sink;
        self.torn = false;
    }

    /// Writes a batch of `lines` lines, or as much of it as can be.
    pub(super) fn deliver(&mut self, batch: &[u8], lines: u64) {
        let stats = Arc::clone(&self.queue.stats);
        let mut at = 0;
        while at < batch.len() {
            let result = if self.torn {
                self.sink.write(b"\n").map(|_| 0)
            } else {
                self.sink.write(&batch[at..])
            };
            match result {
                Ok(n) => {
                    self.torn = false;
                    at += n;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if let Some(sink) = self.queue.take_redirect() {
                        // The new destination gets the line that the old one has a part of.
                        at = line_start(batch, at);
                        self.redirect(sink);
                    } else if self.queue.is_overdue() {
                        break;
                    }
                }
                Err(_) => {
                    stats.errors.fetch_add(1, Relaxed);
                    break;
                }
            }
        }
        self.torn |= at > 0 && batch[at - 1] != b'\n';
        let lost = match &batch[at..] {
            [] => 0,
            rest => (rest.iter().filter(|byte| **byte == b'\n').count() as u64).min(lines),
        };
        if !self.sink.is_off() {
            stats.lines.fetch_add(lines - lost, Relaxed);
            stats.bytes.fetch_add(at as u64, Relaxed);
        }
        stats.lost.fetch_add(lost, Relaxed);
    }
}

fn line_start(batch: &[u8], at: usize) -> usize {
    batch[..at]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1)
}
