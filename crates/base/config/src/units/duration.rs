//! Lengths of time.

use std::fmt;
use std::time;

use super::{split_digits, unit_of};
use crate::decode::Text;

/// A length of time above zero: `250ms`, `5s`, `1m30s`, `1h`, `1d`.
///
/// A number needs its unit, and there is no zero: what has no limit is left out or says `off`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(time::Duration);

impl Duration {
    const UNITS: [(&'static str, u64); 5] = [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1000),
        ("ms", 1),
    ];
    /// Longer ones would overflow clocks.
    const MOST_MILLIS: u64 = 3660 * 86_400_000;

    /// So many milliseconds; at least one.
    pub const fn from_millis(millis: u64) -> Self {
        let millis = if millis == 0 { 1 } else { millis };
        Self(time::Duration::from_millis(millis))
    }

    /// So many seconds; at least a millisecond.
    pub const fn from_secs(secs: u64) -> Self {
        Self::from_millis(secs * 1000)
    }

    /// As the standard library has it.
    pub const fn get(self) -> time::Duration {
        self.0
    }
}

impl From<Duration> for time::Duration {
    fn from(duration: Duration) -> Self {
        duration.0
    }
}

impl Text for Duration {
    const EXPECTED: &'static str = "a duration such as `250ms`, `5s`, `1m30s`, `1h` or `1d`";

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
        Some(concat!(
            "^([0-9]+d([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?",
            "|[0-9]+h([0-9]+m)?([0-9]+s)?([0-9]+ms)?",
            "|[0-9]+m([0-9]+s)?([0-9]+ms)?|[0-9]+s([0-9]+ms)?|[0-9]+ms)$",
        ))
    }
}

impl Duration {
    fn parse(text: &str) -> Result<Self, String> {
        const ZERO: &str = "it must be more than zero; leave the key out for its default";
        if text == "0" {
            return Err(ZERO.to_owned());
        }
        if ["off", "none", "never", "no", "infinite"].contains(&text) {
            return Err("leave the key out for its default".to_owned());
        }
        let mut rest = text;
        let mut total: u64 = 0;
        let mut units = Self::UNITS.iter();
        while !rest.is_empty() {
            let (digits, tail) = split_digits(rest);
            let end = tail
                .find(|c: char| !c.is_ascii_lowercase())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(end);
            let Ok(number) = digits.parse::<u64>() else {
                return Err(String::new());
            };
            if unit.is_empty() && tail.is_empty() && total == 0 {
                return Err(format!(
                    "a number needs its unit: `{digits}s` or `{digits}ms`?"
                ));
            }
            // Each unit once, the greater ones first.
            let Some((_, millis)) = units.by_ref().find(|(name, _)| *name == unit) else {
                return Err(String::new());
            };
            total = number
                .checked_mul(*millis)
                .and_then(|part| total.checked_add(part))
                .filter(|&total| total <= Self::MOST_MILLIS)
                .ok_or("the longest is ten years, 3660d")?;
            rest = tail;
        }
        if total == 0 {
            return Err(if text.is_empty() {
                String::new()
            } else {
                ZERO.to_owned()
            });
        }
        Ok(Self::from_millis(total))
    }

    /// The length that is written in another way here: `5 sec`, `1.5s`, `2 hours`.
    fn meant(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase().replace(' ', "");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, word) = text.split_at(end);
        let unit = match word {
            "w" | "week" | "weeks" => 7 * 86_400_000,
            "y" | "yr" | "year" | "years" => 365 * 86_400_000,
            word => {
                let unit = unit_of(word)?;
                Self::UNITS.iter().find(|(name, _)| *name == unit)?.1
            }
        };
        let millis = number.parse::<f64>().ok()? * unit as f64;
        let fits = (1.0..=Self::MOST_MILLIS as f64).contains(&millis) && millis.fract() == 0.0;
        fits.then(|| Self::from_millis(millis as u64))
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0.as_millis();
        for (unit, millis) in Self::UNITS {
            let number = left / u128::from(millis);
            left %= u128::from(millis);
            if number > 0 {
                write!(f, "{number}{unit}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(Duration);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis, written) in [
            ("250ms", 250, "250ms"),
            ("5s", 5000, "5s"),
            ("1m", 60_000, "1m"),
            ("1m30s", 90_000, "1m30s"),
            ("90s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h"),
            ("1d", 86_400_000, "1d"),
            ("1s500ms", 1500, "1s500ms"),
            ("0m5s", 5000, "5s"),
        ] {
            let duration = Duration::from_text(text).expect(text);
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(duration.to_text(), written);
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "ms",
            "5 s",
            "5S",
            "5sec",
            "1.5s",
            "-5s",
            "30s1m",
            "1s1s",
            "1m30",
            "5ms1s",
            "٥s",
            "99999999999999999999s",
            "3661d",
        ] {
            assert!(Duration::from_text(text).is_err(), "{text}");
        }
        let hint = Duration::from_text("5").expect_err("no unit");
        assert_eq!(hint, "a number needs its unit: `5s` or `5ms`?");
        assert!(Duration::from_text("0s").is_err());
        for (text, told) in [
            ("5sec", "write `5s`"),
            ("5 s", "write `5s`"),
            ("5 Seconds", "write `5s`"),
            ("1.5s", "write `1s500ms`"),
            ("90min", "write `1h30m`"),
            ("2 hours", "write `2h`"),
            ("1y", "write `365d`"),
            ("2 weeks", "write `14d`"),
            (
                "0",
                "it must be more than zero; leave the key out for its default",
            ),
            ("off", "leave the key out for its default"),
            ("1..5s", ""),
        ] {
            assert_eq!(Duration::from_text(text).expect_err(text), told, "{text}");
        }
    }
}
