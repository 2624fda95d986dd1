//! How much in how long.

use std::fmt;
use std::time;

use super::Duration;
use super::split_digits;
use crate::decode::Text;

/// A number in a length of time: `100/s`, `1000/min`, `5/10s`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u64,
    per: Duration,
}

impl Rate {
    /// So many in this time.
    pub const fn new(count: u64, per: Duration) -> Self {
        Self { count, per }
    }

    /// How many.
    pub const fn count(self) -> u64 {
        self.count
    }

    /// In how long.
    pub const fn per(self) -> time::Duration {
        self.per.get()
    }
}

impl Text for Rate {
    const EXPECTED: &'static str = "a rate such as `100/s`, `1000/min` or `5/10s`";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some((count, per)) = text.split_once('/') else {
            return Err("say in how long: `100/s`".to_owned());
        };
        let count = match split_digits(count) {
            (digits, "") => digits.parse::<u64>().ok(),
            _ => None,
        };
        let Some(count) = count.filter(|&count| count > 0) else {
            return Err("a whole number above zero stands before the `/`".to_owned());
        };
        // A unit alone is one of it, and minutes may also be called `min`, which cannot be taken for metres.
        let (digits, unit) = split_digits(per);
        let digits = if digits.is_empty() { "1" } else { digits };
        let unit = if unit == "min" { "m" } else { unit };
        let per = Duration::from_text(&format!("{digits}{unit}"))?;
        Ok(Self { count, per })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9]+/([0-9]*(ms|s|m|min|h|d)|([0-9]+(d|h|m|s|ms))+)$")
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let per = self.per.to_string();
        match per.strip_prefix('1') {
            Some("m") => write!(f, "{}/min", self.count),
            Some(unit) if unit.bytes().all(|b| b.is_ascii_lowercase()) => {
                write!(f, "{}/{unit}", self.count)
            }
            _ => write!(f, "{}/{per}", self.count),
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(Rate);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for (text, count, millis, written) in [
            ("1000/min", 1000, 60_000, "1000/min"),
            ("5/10s", 5, 10_000, "5/10s"),
            ("100/s", 100, 1000, "100/s"),
            ("5/h", 5, 3_600_000, "5/h"),
            ("5/1m30s", 5, 90_000, "5/1m30s"),
            ("5/5min", 5, 300_000, "5/5m"),
        ] {
            let rate = Rate::from_text(text).expect(text);
            assert_eq!(
                (rate.count(), rate.per().as_millis()),
                (count, millis),
                "{text}"
            );
            assert_eq!(rate.to_text(), written, "{text}");
        }
        for text in [
            "", "5", "/s", "0/s", "5/", "5/x", "5/0s", "-5/s", "5/ s", "5/s/s",
        ] {
            assert!(Rate::from_text(text).is_err(), "{text}");
        }
    }
}
