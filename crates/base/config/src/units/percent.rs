//! Parts of a hundred.

use std::fmt;

use crate::decode::Text;

/// A share of a whole: `10%`, `0.1%`, at most `100%`, at least a thousandth of a percent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Percent {
    /// In thousandths of a percent, so that equality is exact.
    millis: u32,
}

impl Percent {
    /// So many percent, at most 100.
    pub const fn new(percent: u32) -> Self {
        let percent = if percent > 100 { 100 } else { percent };
        Self {
            millis: percent * 1000,
        }
    }

    /// As a part of one.
    pub fn ratio(self) -> f64 {
        f64::from(self.millis) / 100_000.0
    }
}

impl Text for Percent {
    const EXPECTED: &'static str = "a percentage such as `10%`";

    fn from_text(text: &str) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return Err(match text.parse::<f64>() {
                Ok(_) => format!("a percentage ends in `%`: `{text}%`?"),
                Err(_) => String::new(),
            });
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str, most| {
            (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
        };
        if !digits(whole, 3) || !digits(part, 3) {
            return Err("at most three digits follow the point".to_owned());
        }
        let millis = format!("{whole}{part:0<3}").parse::<u32>();
        match millis {
            Ok(millis) if millis <= 100_000 => Ok(Self { millis }),
            _ => Err("at most `100%`".to_owned()),
        }
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9]{1,3}([.][0-9]{1,3})?%$")
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.millis / 1000)?;
        match self.millis % 1000 {
            0 => f.write_str("%"),
            part => write!(f, ".{}%", format!("{part:03}").trim_end_matches('0')),
        }
    }
}

impl fmt::Debug for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(Percent);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_and_written() {
        for (text, ratio, written) in [
            ("10%", 0.1, "10%"),
            ("0%", 0.0, "0%"),
            ("100%", 1.0, "100%"),
            ("0.1%", 0.001, "0.1%"),
            ("12.50%", 0.125, "12.5%"),
        ] {
            let percent = Percent::from_text(text).expect(text);
            assert!((percent.ratio() - ratio).abs() < 1e-12, "{text}");
            assert_eq!(percent.to_text(), written, "{text}");
        }
        for text in [
            "", "%", "10", "101%", "100.001%", "1.2345%", "-1%", "1e1%", "10 %",
        ] {
            assert!(Percent::from_text(text).is_err(), "{text}");
        }
    }
}
