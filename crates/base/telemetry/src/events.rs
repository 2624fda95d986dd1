//! The event log: state changes and errors, at a low rate, for people and for machines.
//!
//! An event's message is a literal and names its kind; what varies goes into fields. That makes
//! events easy to search for, and it gives the storm limit something to count by: beyond 50 of a
//! kind within ten seconds they are held back, and the next one (or [`Events::tick`]) says how many
//! in `suppressed`.

use crate::json::{push_int, push_millis, push_string};
use crate::storm::Storm;
use crate::timestamp::Timestamp;
use crate::writer::LogQueue;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Something failed and needs a person.
    Error,
    /// Something is wrong that Weir copes with.
    Warn,
    /// Something changed.
    Info,
    /// Detail for finding a problem.
    Debug,
}

impl Level {
    /// Every level, most severe first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The word in logs and config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Format {
    /// One JSON object per line.
    Json,
    /// `time LEVEL message key=value ...`.
    Text,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 2] = [Self::Json, Self::Text];

    /// The word in config.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
        }
    }
}

/// A field's value.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    /// Text.
    Str(&'a str),
    /// Bytes from the network.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
    /// An integer.
    Uint(u64),
    /// Yes or no.
    Bool(bool),
    /// A duration, in milliseconds; its key should end in `_ms`.
    Duration(Duration),
    /// Anything that can be shown, such as an error or an address.
    Display(&'a dyn fmt::Display),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Vec::new();
        self.push(&mut out, push_string);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident ($convert:expr);)+) => {
        $(impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$variant($convert(value))
            }
        })+
    };
}

from! {
    &'a str => Str(std::convert::identity);
    &'a String => Str(String::as_str);
    &'a [u8] => Bytes(std::convert::identity);
    i64 => Int(std::convert::identity);
    u64 => Uint(std::convert::identity);
    u32 => Uint(u64::from);
    u16 => Uint(u64::from);
    usize => Uint(|value| value as u64);
    bool => Bool(std::convert::identity);
    Duration => Duration(std::convert::identity);
    &'a dyn fmt::Display => Display(std::convert::identity);
}

impl Value<'_> {
    fn push(&self, out: &mut Vec<u8>, push_str: fn(&mut Vec<u8>, &[u8])) {
        match self {
            Self::Str(text) => push_str(out, text.as_bytes()),
            Self::Bytes(text) => push_str(out, text),
            Self::Int(value) => push_int(out, *value),
            Self::Uint(value) => push_int(out, *value),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Duration(value) => push_millis(out, *value),
            Self::Display(value) => {
                let mut text = String::new();
                // A Display that fails has at least shown what came before.
                let _ = write!(text, "{value}");
                push_str(out, text.as_bytes());
            }
        }
    }
}

/// The event log. Clones are handles to the same log.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: LogQueue,
    level: AtomicU8,
    format: AtomicU8,
    storm: Mutex<Storm>,
}

impl Events {
    /// A log of events that matter at least as much as `level`.
    pub fn new(queue: LogQueue, level: Level, format: Format) -> Self {
        Self(Arc::new(Shared {
            queue,
            level: AtomicU8::new(level as u8),
            format: AtomicU8::new(format as u8),
            storm: Mutex::default(),
        }))
    }

    /// Changes level and format, as after a reload.
    pub fn configure(&self, level: Level, format: Format) {
        self.0.level.store(level as u8, Relaxed);
        self.0.format.store(format as u8, Relaxed);
    }

    /// Whether events of this level are logged.
    pub fn is_on(&self, level: Level) -> bool {
        level as u8 <= self.0.level.load(Relaxed) && self.0.queue.is_on()
    }

    /// Logs an [error](Level::Error).
    pub fn error(&self, message: &'static str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Error, message, fields);
    }

    /// Logs a [warning](Level::Warn).
    pub fn warn(&self, message: &'static str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Warn, message, fields);
    }

    /// Logs a [change](Level::Info).
    pub fn info(&self, message: &'static str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Info, message, fields);
    }

    /// Logs a [detail](Level::Debug).
    pub fn debug(&self, message: &'static str, fields: &[(&str, Value<'_>)]) {
        self.log(Level::Debug, message, fields);
    }

    /// Logs an event. The message is its kind; keys are `snake_case` and none of `time`, `level`,
    /// `message`, `suppressed`.
    pub fn log(&self, level: Level, message: &'static str, fields: &[(&str, Value<'_>)]) {
        if !self.is_on(level) {
            return;
        }
        match self.storm(|storm| storm.admit(message, Instant::now())) {
            Some(held) => self.send(level, message, fields, held),
            None => self.0.queue.stats().suppress(),
        }
    }

    /// Reports what was held back and not reported since. To be called every few seconds.
    pub fn tick(&self, now: Instant) {
        for (message, held) in self.storm(|storm| storm.overdue(now)) {
            self.send(
                Level::Warn,
                "events were suppressed",
                &[("kind", message.into())],
                held,
            );
        }
    }

    fn storm<T>(&self, ask: impl FnOnce(&mut Storm) -> T) -> T {
        ask(&mut self.0.storm.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn send(&self, level: Level, message: &str, fields: &[(&str, Value<'_>)], held: u64) {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut timestamp = Timestamp::default();
        let time = timestamp.at(u64::try_from(unix.as_millis()).unwrap_or(u64::MAX));
        let mut out = Vec::with_capacity(256);
        let push = if self.0.format.load(Relaxed) == Format::Json as u8 {
            push_json
        } else {
            push_plain
        };
        push(&mut out, time, level, message, fields, held);
        self.0.queue.hand_over(out, 1);
    }
}

fn push_json(
    out: &mut Vec<u8>,
    time: &[u8],
    level: Level,
    message: &str,
    fields: &[(&str, Value<'_>)],
    held: u64,
) {
    out.extend_from_slice(b"{\"time\":\"");
    out.extend_from_slice(time);
    out.extend_from_slice(b"\",\"level\":\"");
    out.extend_from_slice(level.as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    push_string(out, message.as_bytes());
    for (key, value) in fields {
        out.push(b',');
        push_string(out, key.as_bytes());
        out.push(b':');
        value.push(out, push_string);
    }
    if held > 0 {
        out.extend_from_slice(b",\"suppressed\":");
        push_int(out, held);
    }
    out.extend_from_slice(b"}\n");
}

fn push_plain(
    out: &mut Vec<u8>,
    time: &[u8],
    level: Level,
    message: &str,
    fields: &[(&str, Value<'_>)],
    held: u64,
) {
    /// Quoted only if it must be, as in logfmt.
    fn push_word(out: &mut Vec<u8>, text: &[u8]) {
        if !text.is_empty()
            && text
                .iter()
                .all(|byte| byte.is_ascii_graphic() && !b"\"\\=".contains(byte))
        {
            out.extend_from_slice(&text[..text.len().min(crate::json::MAX_TEXT)]);
        } else {
            push_string(out, text);
        }
    }
    out.extend_from_slice(time);
    out.push(b' ');
    out.extend_from_slice(level.as_str().to_ascii_uppercase().as_bytes());
    out.push(b' ');
    out.extend_from_slice(message.as_bytes());
    for (key, value) in fields {
        out.push(b' ');
        out.extend_from_slice(key.as_bytes());
        out.push(b'=');
        value.push(out, push_word);
    }
    if held > 0 {
        out.extend_from_slice(b" suppressed=");
        push_int(out, held);
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests;
