//! How much in how long.

use std::fmt;
use std::time;

use super::Duration;
use super::{split_digits, unit_of};
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
        Self::parse(text).map_err(|hint| match Self::meant(text) {
            Some(meant) => format!("write `{meant}`"),
            None => hint,
        })
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9]+/([0-9]*(ms|s|m|min|h|d)|([0-9]+(d|h|m|s|ms))+)$")
    }
}

impl Rate {
    fn parse(text: &str) -> Result<Self, String> {
        let Some((count, per)) = text.split_once('/') else {
            let count = split_digits(text).0;
            let count = count
                .parse()
                .ok()
                .filter(|&count| count > 0)
                .unwrap_or(100_u64);
            return Err(format!("say in how long: `{count}/s`, `{count}/min`"));
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

    /// The rate that is written in another way here: `100 per minute`, `100r/s`, `5k/hour`, `100rps`.
    fn meant(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase().replace(" per ", "/");
        let text = text.replace([' ', '_', ','], "");
        let (text, per) = match text
            .strip_suffix("rps")
            .or_else(|| text.strip_suffix("qps"))
        {
            Some(count) => (count, "s"),
            None => text.split_once('/')?,
        };
        let (digits, rest) = split_digits(text);
        let factor = match rest {
            "" | "r" | "req" | "reqs" | "requests" => 1,
            "k" => 1000,
            "m" => 1_000_000,
            _ => return None,
        };
        let count = digits.parse::<u64>().ok()?.checked_mul(factor)?;
        let (digits, unit) = split_digits(per);
        let digits = if digits.is_empty() { "1" } else { digits };
        let per = Duration::from_text(&format!("{digits}{}", unit_of(unit)?)).ok()?;
        (count > 0).then_some(Self { count, per })
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

    #[test]
    fn what_is_no_rate_is_told_as_it_is_written_here() {
        for (text, told) in [
            ("100/minute", "write `100/min`"),
            ("100/second", "write `100/s`"),
            ("100/Hour", "write `100/h`"),
            ("100 / min", "write `100/min`"),
            ("100 per minute", "write `100/min`"),
            ("100r/s", "write `100/s`"),
            ("100rps", "write `100/s`"),
            ("1k/s", "write `1000/s`"),
            ("1_000/10sec", "write `1000/10s`"),
            ("100", "say in how long: `100/s`, `100/min`"),
            ("per_ip", "say in how long: `100/s`, `100/min`"),
            ("0/s", "a whole number above zero stands before the `/`"),
            ("5/fortnight", ""),
        ] {
            assert_eq!(Rate::from_text(text).expect_err(text), told, "{text}");
        }
    }
}
