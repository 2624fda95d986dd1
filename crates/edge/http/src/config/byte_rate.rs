//! How fast bytes must move.

use weir_config::{ByteSize, Text};

/// An amount of bytes in a second: `500B/s`, `16KiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRate(ByteSize);

impl ByteRate {
    /// So many bytes in a second.
    pub(super) const fn per_second(bytes: u64) -> Self {
        Self(ByteSize::bytes(bytes))
    }

    /// Bytes in a second; never zero.
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl Text for ByteRate {
    const EXPECTED: &'static str = "a rate such as `500B/s` or `16KiB/s`";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some(size) = text.strip_suffix("/s") else {
            return Err("it ends in `/s`".to_owned());
        };
        let size = ByteSize::from_text(size)?;
        if size.get() == 0 {
            return Err("more than nothing; `off` if any byte is enough".to_owned());
        }
        Ok(Self(size))
    }

    fn to_text(&self) -> String {
        format!("{}/s", self.0)
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9]+([kK]?B|KiB|[MGT]i?B)?/s$")
    }
}

weir_config::text!(ByteRate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, bytes, written) in [
            ("500B/s", 500, "500B/s"),
            ("240/s", 240, "240B/s"),
            ("2048B/s", 2048, "2KiB/s"),
            ("1MB/s", 1_000_000, "1MB/s"),
        ] {
            let rate = ByteRate::from_text(text).expect(text);
            assert_eq!(rate.get(), bytes, "{text}");
            assert_eq!(rate.to_text(), written, "{text}");
        }
        for text in ["", "/s", "500", "500B", "0/s", "5B/min", "1.5KiB/s", "off"] {
            assert!(ByteRate::from_text(text).is_err(), "{text}");
        }
    }
}
