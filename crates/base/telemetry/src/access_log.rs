//! The access log: one JSON object per request, one per line.
//!
//! Making the line is the largest single cost of observability on a proxy's hot path, so it is made
//! once, by hand, from borrowed parts, straight into the worker's batch buffer. The buffer goes to
//! the writer thread when it is full, or at the next tick after it has waited for 200 ms.
//!
//! | key | value |
//! |---|---|
//! | `time` | when the request began: RFC 3339, UTC, milliseconds |
//! | `id` | request id |
//! | `listener` | name of the listener |
//! | `client` | the client's address |
//! | `method`, `host`, `target`, `protocol` | as the client sent them; the target is path and query |
//! | `user` | who the credentials say it is; absent without |
//! | `route`, `service`, `endpoint` | names of what the request met, as far as it came |
//! | `status` | what the client got; absent when it got none |
//! | `bytes_in`, `bytes_out` | body bytes from and to the client |
//! | `duration_ms` | from the first byte of the request to the last of the answer, in milliseconds with µs as decimals |
//! | `head_ms` | until the request's head was complete |
//! | `connect_ms` | connecting to the endpoint; absent when a connection was reused |
//! | `first_byte_ms` | from sending the request to the endpoint until the head of its answer was complete |
//! | `attempts` | endpoints tried; absent when there was none to try |
//! | `reused` | whether the connection to the endpoint came from the pool |
//! | `user_agent`, `referer` | as the client sent them |
//! | `reason` | why Weir answered itself, or why the exchange broke: see [`Reason`] |
//! | `rule` | the rule of the protocol that was broken, such as `duplicate_host` |
//! | `policy` | the policy that refused, or would have in a dry run |
//! | `trace` | trace id |
//!
//! A key that does not apply is absent. Control characters are escaped, bytes that are not UTF-8
//! appear as `\u00XX`, and a value longer than 8 KiB is cut and ends in `…`.

use crate::json::{push_int, push_millis, push_text};
use crate::reason::Reason;
use crate::timestamp::Timestamp;
use crate::writer::{Handover, LogQueue};
use std::time::{Duration, Instant};

/// A batch goes to the writer when it has grown beyond this.
const BATCH: usize = 32 * 1024;
/// While others are at the queue, a batch may grow to this before it is dropped.
const MOST: usize = 4 * BATCH;
/// A batch waits this long at most, and then for the next tick.
const LATEST: Duration = Duration::from_millis(200);

/// What the log says about one request. The module's documentation says what each field means.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessRecord<'a> {
    /// When the request began, in milliseconds since 1970.
    pub unix_millis: u64,
    /// Request id.
    pub request_id: &'a str,
    /// Name of the listener.
    pub listener: &'a str,
    /// The client's address, as text.
    pub client: &'a str,
    /// Method, as sent.
    pub method: &'a [u8],
    /// Host, as sent.
    pub host: &'a [u8],
    /// Path and query, as sent.
    pub target: &'a [u8],
    /// Such as `HTTP/1.1`.
    pub protocol: &'a str,
    /// Who the credentials say it is.
    pub user: Option<&'a str>,
    /// Name of the route.
    pub route: Option<&'a str>,
    /// Name of the service.
    pub service: Option<&'a str>,
    /// The endpoint that was tried last.
    pub endpoint: Option<&'a str>,
    /// Status that the client got.
    pub status: Option<u16>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// The whole exchange.
    pub duration: Duration,
    /// Reading the request's head.
    pub head: Option<Duration>,
    /// Connecting to the endpoint.
    pub connect: Option<Duration>,
    /// From sending the request to the endpoint until the head of its answer was complete.
    pub first_byte: Option<Duration>,
    /// Endpoints tried.
    pub attempts: u32,
    /// Whether the connection to the endpoint came from the pool.
    pub reused: Option<bool>,
    /// The User-Agent field.
    pub user_agent: Option<&'a [u8]>,
    /// The Referer field.
    pub referer: Option<&'a [u8]>,
    /// Why Weir answered itself, or why the exchange broke.
    pub reason: Option<Reason>,
    /// The rule of the protocol that was broken, as a word.
    pub rule: Option<&'a str>,
    /// The policy that refused, or would have in a dry run.
    pub policy: Option<&'a str>,
    /// Trace id.
    pub trace_id: Option<&'a str>,
}

/// One worker's access log.
#[derive(Debug)]
pub struct AccessLog {
    queue: LogQueue,
    batch: Vec<u8>,
    lines: u64,
    timestamp: Timestamp,
    last_tick: Option<Instant>,
    /// The last tick before the batch's first line.
    began: Option<Instant>,
}

impl AccessLog {
    /// A log that hands its lines to this queue.
    pub fn new(queue: LogQueue) -> Self {
        Self {
            queue,
            batch: Vec::new(),
            lines: 0,
            timestamp: Timestamp::default(),
            last_tick: None,
            began: None,
        }
    }

    /// Whether records are wanted at all.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.queue.is_on()
    }

    /// Logs one request. Never waits.
    pub fn write(&mut self, record: &AccessRecord<'_>) {
        if !self.queue.is_on() {
            return;
        }
        if self.lines == 0 {
            self.began = self.last_tick;
            // Room for the line that goes beyond.
            self.batch.reserve(BATCH + 2048);
        }
        push_record(
            &mut self.batch,
            self.timestamp.at(record.unix_millis),
            record,
        );
        self.lines += 1;
        if self.batch.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands the batch over if it has waited for long enough. To be called regularly, every 100 ms
    /// or so.
    pub fn tick(&mut self, now: Instant) {
        let began = self.began.or(self.last_tick);
        self.last_tick = Some(now);
        if self.lines > 0
            && began.is_none_or(|began| now.saturating_duration_since(began) >= LATEST)
        {
            self.flush();
        }
    }

    /// Hands the batch over now.
    pub fn flush(&mut self) {
        if self.lines == 0 {
            return;
        }
        match self.queue.try_hand_over(&mut self.batch, self.lines) {
            Handover::Taken | Handover::Dropped => self.lines = 0,
            Handover::Busy if self.batch.len() < MOST => {}
            Handover::Busy => {
                self.queue.count_dropped(self.lines);
                self.batch.clear();
                self.lines = 0;
            }
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        if self.lines > 0 {
            self.queue
                .hand_over(std::mem::take(&mut self.batch), self.lines);
        }
    }
}

fn push_record(out: &mut Vec<u8>, time: &[u8; 24], record: &AccessRecord<'_>) {
    let mut text = |key: &[u8], value: &[u8]| {
        out.extend_from_slice(key);
        push_text(out, value);
    };
    text(b"{\"time\":\"", time);
    text(b"\",\"id\":\"", record.request_id.as_bytes());
    text(b"\",\"listener\":\"", record.listener.as_bytes());
    text(b"\",\"client\":\"", record.client.as_bytes());
    text(b"\",\"method\":\"", record.method);
    text(b"\",\"host\":\"", record.host);
    text(b"\",\"target\":\"", record.target);
    text(b"\",\"protocol\":\"", record.protocol.as_bytes());
    if let Some(user) = record.user {
        text(b"\",\"user\":\"", user.as_bytes());
    }
    if let Some(route) = record.route {
        text(b"\",\"route\":\"", route.as_bytes());
    }
    if let Some(service) = record.service {
        text(b"\",\"service\":\"", service.as_bytes());
    }
    if let Some(endpoint) = record.endpoint {
        text(b"\",\"endpoint\":\"", endpoint.as_bytes());
    }
    if let Some(agent) = record.user_agent {
        text(b"\",\"user_agent\":\"", agent);
    }
    if let Some(referer) = record.referer {
        text(b"\",\"referer\":\"", referer);
    }
    if let Some(reason) = record.reason {
        text(b"\",\"reason\":\"", reason.as_str().as_bytes());
    }
    if let Some(rule) = record.rule {
        text(b"\",\"rule\":\"", rule.as_bytes());
    }
    if let Some(policy) = record.policy {
        text(b"\",\"policy\":\"", policy.as_bytes());
    }
    if let Some(trace) = record.trace_id {
        text(b"\",\"trace\":\"", trace.as_bytes());
    }
    out.push(b'"');
    let mut int = |key: &[u8], value: u64| {
        out.extend_from_slice(key);
        push_int(out, value);
    };
    if let Some(status) = record.status {
        int(b",\"status\":", u64::from(status));
    }
    int(b",\"bytes_in\":", record.bytes_in);
    int(b",\"bytes_out\":", record.bytes_out);
    if record.attempts > 0 {
        int(b",\"attempts\":", u64::from(record.attempts));
    }
    let mut millis = |key: &[u8], value: Duration| {
        out.extend_from_slice(key);
        push_millis(out, value);
    };
    millis(b",\"duration_ms\":", record.duration);
    if let Some(head) = record.head {
        millis(b",\"head_ms\":", head);
    }
    if let Some(connect) = record.connect {
        millis(b",\"connect_ms\":", connect);
    }
    if let Some(first_byte) = record.first_byte {
        millis(b",\"first_byte_ms\":", first_byte);
    }
    out.extend_from_slice(match record.reused {
        Some(true) => b",\"reused\":true}\n",
        Some(false) => b",\"reused\":false}\n",
        None => b"}\n",
    });
}

#[cfg(test)]
mod tests;
