//! One API key, as it stands in a file.

use std::fmt;

use aws_lc_rs::{constant_time, digest};
use weir_config::{Decode, Json, Map, Name, Text, object};

use crate::config::Scope;
use crate::encoding::{from_hex, to_hex};

object! {
    /// An API key, without the key itself.
    pub struct KeyEntry {
        /// What it is called in logs, statistics and limits.
        pub id: Name,
        /// `sha256:` and the SHA-256 of the key in hexadecimal digits.
        pub hash: KeyHash,
        /// Whose it is; without it, the key stands for itself.
        pub subject: Option<String>,
        /// The plan of rate limits that it is on.
        pub plan: Option<Name>,
        /// What it may do.
        pub scopes: Vec<Scope> = Vec::new(),
        /// When it ends: `2027-01-31`, or `2027-01-31T12:00:00Z`.
        pub expires: Option<Timestamp>,
        /// Whether it is out of use for now.
        pub disabled: bool = false,
        /// What else is known about it, for `headers`, `require: { claims }` and keys of limits.
        pub metadata: Map<String> = Map::default(),
    }
}

impl KeyEntry {
    /// The entry as one line of a file of keys. Texts are quoted, so that nothing in them means anything.
    pub fn to_line(&self) -> String {
        let Json::Object(members) = self.to_json() else {
            return String::new();
        };
        let nothing = |value: &Json| match value {
            Json::Array(items) => items.is_empty(),
            Json::Object(members) => members.is_empty(),
            value => value == &Json::Bool(false),
        };
        let written = members.iter().filter(|(_, value)| !nothing(value));
        let parts: Vec<String> = written
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        format!("- {{ {} }}", parts.join(", "))
    }
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, Eq)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    const PREFIX: &str = "sha256:";

    /// Of a key.
    pub fn of(key: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
        Self(hash)
    }

    /// A number that hardly any other hash has, too.
    pub(super) const fn begin(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}

/// In constant time.
impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Text for KeyHash {
    const EXPECTED: &'static str =
        "`sha256:` and 64 hexadecimal digits, as `weir key new` prints it";

    fn from_text(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix(Self::PREFIX).unwrap_or(text);
        from_hex(digits.as_bytes())
            .map(Self)
            .ok_or_else(String::new)
    }

    fn to_text(&self) -> String {
        format!("{}{}", Self::PREFIX, to_hex(&self.0))
    }

    fn pattern() -> Option<&'static str> {
        Some("^(sha256:)?[0-9a-fA-F]{64}$")
    }
}

/// A moment, in seconds since 1970: a day (its beginning in UTC), or a time of RFC 3339 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(u64);

impl Timestamp {
    /// Seconds since 1970.
    pub const fn unix(self) -> u64 {
        self.0
    }

    /// So many seconds after 1970.
    pub const fn from_unix(seconds: u64) -> Self {
        Self(seconds)
    }
}

impl Text for Timestamp {
    const EXPECTED: &'static str = "a day or a time in UTC: `2027-01-31` or `2027-01-31T12:00:00Z`";

    fn from_text(text: &str) -> Result<Self, String> {
        parse(text).map(Self).ok_or_else(String::new)
    }

    fn to_text(&self) -> String {
        let (year, month, day) = civil(self.0 / 86_400);
        let second = self.0 % 86_400;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    fn pattern() -> Option<&'static str> {
        Some("^\\d{4}-\\d\\d-\\d\\d([Tt]\\d\\d:\\d\\d:\\d\\d[Zz])?$")
    }
}

weir_config::text!(KeyHash, Timestamp);

fn parse(text: &str) -> Option<u64> {
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1970..=9999).contains(&year) || !(1..=longest).contains(&day) {
        return None;
    }
    let second = match time {
        None => 0,
        Some(time) => {
            let [hour, minute, second] = numbers(time.strip_suffix(['Z', 'z'])?, ':', [2, 2, 2])?;
            if hour > 23 || minute > 59 || second > 59 {
                return None;
            }
            hour * 3600 + minute * 60 + second
        }
    };
    Some(days(year, month, day) * 86_400 + second)
}

fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut numbers = [0; 3];
    let mut parts = text.split(separator);
    for (number, width) in numbers.iter_mut().zip(widths) {
        let part = parts.next()?;
        if part.len() != width || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days since 1970 of a day of the Gregorian calendar; years begin in March, so that leap days end them.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

/// The day of the calendar.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments() {
        for (text, unix) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2027-01-31T12:00:00Z", 1_801_396_800),
            ("2100-03-01t00:00:01z", 4_107_542_401),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(Timestamp::from_text(text), Ok(Timestamp(unix)), "{text}");
        }
        for text in [
            "",
            "2027",
            "2027-1-1",
            "2027-13-01",
            "2027-02-29",
            "2100-02-29",
            "2027-01-00",
            "1969-12-31",
            "2027-01-01T",
            "2027-01-01T24:00:00Z",
            "2027-01-01T00:00:60Z",
            "2027-01-01T00:00:00",
            "2027-01-01T00:00:00+01:00",
            "2027-01-01-01",
            "2027-01-01T00:00Z",
            "+027-01-01",
        ] {
            assert!(Timestamp::from_text(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn moments_come_back(unix in 0_u64..253_402_300_800) {
            let moment = Timestamp(unix);
            prop_assert_eq!(Timestamp::from_text(&moment.to_text()), Ok(moment));
        }
    }

    #[test]
    fn hashes() {
        // FIPS 180-2, appendix B.1.
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(KeyHash::of(b"abc").to_text(), abc);
        assert_eq!(KeyHash::from_text(abc), Ok(KeyHash::of(b"abc")));
        assert_eq!(
            KeyHash::from_text(&abc[7..].to_uppercase()),
            Ok(KeyHash::of(b"abc"))
        );
        for text in ["", "sha256:", &abc[..70], &format!("{abc}0"), "sha512:00"] {
            assert!(KeyHash::from_text(text).is_err(), "{text}");
        }
    }
}
