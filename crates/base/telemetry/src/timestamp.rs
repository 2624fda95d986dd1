//! RFC 3339 timestamps in UTC with milliseconds, made by hand and remembered: within a second only
//! three digits change.

const TEMPLATE: [u8; 24] = *b"1970-01-01T00:00:00.000Z";
/// 9999-12-31T23:59:59.999Z; RFC 3339, section 5.6, has four digits for the year.
const LAST: u64 = 253_402_300_799_999;

/// The text of the last time asked for.
#[derive(Clone, Debug)]
pub(crate) struct Timestamp {
    millis: u64,
    second: u64,
    text: [u8; 24],
}

impl Default for Timestamp {
    fn default() -> Self {
        Self {
            millis: 0,
            second: 0,
            text: TEMPLATE,
        }
    }
}

impl Timestamp {
    /// The text for a time in milliseconds since 1970.
    #[inline]
    pub(crate) fn at(&mut self, unix_millis: u64) -> &[u8; 24] {
        if unix_millis != self.millis {
            self.change(unix_millis);
        }
        &self.text
    }

    fn change(&mut self, unix_millis: u64) {
        self.millis = unix_millis;
        let millis = unix_millis.min(LAST);
        let second = millis / 1000;
        if second != self.second {
            self.second = second;
            let (year, month, day) = civil(second / 86_400);
            let of_day = second % 86_400;
            digits(&mut self.text[0..4], year);
            digits(&mut self.text[5..7], month);
            digits(&mut self.text[8..10], day);
            digits(&mut self.text[11..13], of_day / 3600);
            digits(&mut self.text[14..16], of_day / 60 % 60);
            digits(&mut self.text[17..19], of_day % 60);
        }
        digits(&mut self.text[20..23], millis % 1000);
    }
}

fn digits(text: &mut [u8], mut value: u64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Year, month and day of a day counted from 1970-01-01, after Howard Hinnant's `civil_from_days`.
const fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Counted from March.
    let mp = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = era * 400 + year_of_era + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let mut stamp = Timestamp::default();
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1, "1970-01-01T00:00:00.001Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_582_934_400_000, "2020-02-29T00:00:00.000Z"),
            (1_798_761_599_123, "2026-12-31T23:59:59.123Z"),
            (1_798_761_600_000, "2027-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (LAST, "9999-12-31T23:59:59.999Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
            (0, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(std::str::from_utf8(stamp.at(millis)).unwrap(), text);
        }
    }

    #[test]
    fn days_follow_each_other() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..80_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                day = 1;
                month += 1;
            }
            if month > 12 {
                month = 1;
                year += 1;
            }
        }
    }
}
