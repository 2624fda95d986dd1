//! Amounts of bytes.

use std::fmt;

use super::split_digits;
use crate::decode::Text;

/// An amount of bytes: `64KiB`, `10MB`, `1GiB`; a bare number counts bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

impl ByteSize {
    const UNITS: [(&'static str, u64); 10] = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1000),
        ("kB", 1000),
        ("B", 1),
    ];

    /// So many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(kib: u64) -> Self {
        Self(kib << 10)
    }

    /// So many times 1024 KiB.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// So many times 1024 MiB.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// How many bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many bytes, as a length of something in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl ByteSize {
    /// What is probably meant by `5M`, `5 mb` or `1.5GiB`.
    fn hint(text: &str) -> String {
        const UNITS: &str = "units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB";
        let text = text.to_ascii_lowercase().replace(' ', "");
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, unit) = text.split_at(end.unwrap_or(text.len()));
        let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
        let (Ok(value), Some(letter @ ('K' | 'M' | 'G' | 'T'))) = (number.parse::<f64>(), letter)
        else {
            return UNITS.to_owned();
        };
        let smaller = match letter {
            'T' => "GiB",
            'G' => "MiB",
            'M' => "KiB",
            _ => "B",
        };
        match &unit[1..] {
            _ if value.fract() != 0.0 => {
                let value = (value * 1024.0).round();
                format!("write a whole number: `{value}{smaller}`")
            }
            "" => format!("write `{number}{letter}iB` or `{number}{letter}B`"),
            "b" => format!("write `{number}{letter}B`"),
            "ib" => format!("write `{number}{letter}iB`"),
            _ => UNITS.to_owned(),
        }
    }
}

impl Text for ByteSize {
    const EXPECTED: &'static str = "a size such as `64KiB`, `10MB` or `1GiB`";
    const NUMBERS: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_digits(text);
        let Ok(number) = digits.parse::<u64>() else {
            return Err(String::new());
        };
        let factor = match unit {
            "" => 1,
            unit => match Self::UNITS.iter().find(|(name, _)| *name == unit) {
                Some((_, factor)) => *factor,
                None => return Err(Self::hint(text)),
            },
        };
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or_else(|| "that is too much".to_owned())
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9]+(B|[kK]B|KiB|[MGT]i?B)?$")
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The greatest unit that divides it, so that nothing is lost.
        let unit = Self::UNITS
            .iter()
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        write!(f, "{}{}", self.0 / unit.1, unit.0)
    }
}

impl fmt::Debug for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(ByteSize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("0", 0, "0B"),
            ("512", 512, "512B"),
            ("64KiB", 65536, "64KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("10MB", 10_000_000, "10MB"),
            ("8kB", 8000, "8KB"),
            ("1GiB", 1 << 30, "1GiB"),
            ("2TB", 2_000_000_000_000, "2TB"),
        ] {
            let size = ByteSize::from_text(text).expect(text);
            assert_eq!(size.get(), bytes, "{text}");
            assert_eq!(size.to_text(), written, "{text}");
        }
        for text in [
            "",
            "KiB",
            "1.5GiB",
            "1 KiB",
            "-1",
            "1kb",
            "99999999TiB",
            "1GiB1",
        ] {
            assert!(ByteSize::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_told_as_it_is_written_here() {
        for (text, told) in [
            ("5M", "write `5MiB` or `5MB`"),
            ("5mb", "write `5MB`"),
            ("5 MB", "write `5MB`"),
            ("5g", "write `5GiB` or `5GB`"),
            ("8kib", "write `8KiB`"),
            ("1.5GiB", "write a whole number: `1536MiB`"),
            ("5 bytes", "units are B, KB, KiB, MB, MiB, GB, GiB, TB, TiB"),
        ] {
            assert_eq!(ByteSize::from_text(text).expect_err(text), told, "{text}");
        }
    }
}
