//! Entity tags and dates of modification (RFC 9110, 8.8).

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use rustix::fs::Stat;

use super::encoding::Encoding;

/// The last second of the year 9999; a date has four digits for the year.
const MAX_TIME: u64 = 253_402_300_799;

/// What is known of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) length: u64,
    inode: u64,
    /// Seconds since 1970, and nanoseconds.
    modified: (i64, u32),
}

/// A strong entity tag, quotes included.
///
/// It is made of the time of modification to the nanosecond, the length and the inode, so that it changes with every
/// way to change a file, and with the coding, since other bytes need another tag (RFC 9110, 8.8.3.3).
#[derive(Clone, Copy, Debug)]
pub(super) struct EntityTag {
    bytes: [u8; 64],
    len: u8,
}

/// A date as Last-Modified has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LastModified {
    seconds: u64,
    text: [u8; 29],
}

impl From<&Stat> for Metadata {
    // Widths and signs differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "needed on other architectures")]
    fn from(stat: &Stat) -> Self {
        Self {
            length: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino as u64,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
        }
    }
}

impl Metadata {
    pub(super) fn entity_tag(&self, encoding: Option<Encoding>) -> EntityTag {
        let (seconds, nanoseconds) = self.modified;
        // Wraps after the year 2554; a tag only has to differ.
        let modified = (seconds as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(u64::from(nanoseconds));
        let mut tag = EntityTag {
            bytes: [0; 64],
            len: 0,
        };
        tag.push(b'"');
        tag.push_hex(modified);
        tag.push(b'-');
        tag.push_hex(self.length);
        tag.push(b'-');
        tag.push_hex(self.inode);
        if let Some(encoding) = encoding {
            for &byte in encoding.tag_suffix() {
                tag.push(byte);
            }
        }
        tag.push(b'"');
        tag
    }

    /// RFC 9110, 8.8.2.1: MUST NOT lie in the future, seen from `now`.
    pub(super) fn last_modified(&self, now: u64) -> LastModified {
        let modified = u64::try_from(self.modified.0).unwrap_or(0);
        LastModified::new(modified.min(now).min(MAX_TIME))
    }
}

impl EntityTag {
    /// With the quotes.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    fn push_hex(&mut self, number: u64) {
        let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
        for digit in (0..digits).rev() {
            self.push(b"0123456789abcdef"[(number >> (4 * digit)) as usize & 0xf]);
        }
    }
}

impl LastModified {
    /// `seconds` is at most [`MAX_TIME`].
    fn new(seconds: u64) -> Self {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        let written = write!(&mut text[..], "{}", httpdate::HttpDate::from(time));
        debug_assert!(written.is_ok(), "an IMF-fixdate has 29 bytes");
        Self { seconds, text }
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    pub(super) const fn seconds(&self) -> u64 {
        self.seconds
    }

    /// Seconds since 1970 of a date in any of the forms of RFC 9110, 5.6.7. Usually it is the very text that we sent.
    pub(super) fn parse(&self, date: &[u8]) -> Option<u64> {
        if date == self.text {
            return Some(self.seconds);
        }
        let time = httpdate::parse_http_date(std::str::from_utf8(date).ok()?).ok()?;
        time.duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .map(|since| since.as_secs())
    }
}
