//! How long an endpoint wants to be left alone (RFC 9110, 10.2.3).

use std::time::{Duration, UNIX_EPOCH};

use weir_net::now;

use crate::{
    codec::{FieldId, ResponseHead},
    local::Local,
};

/// Milliseconds from now, if the answer says so.
pub(super) fn read(response: &ResponseHead, local: &Local) -> Option<u64> {
    let value = response.fields().first(FieldId::RetryAfter)?;
    parse(value, local.worker.unix_millis(now()))
}

/// Seconds, or a date.
fn parse(value: &[u8], unix_ms: u64) -> Option<u64> {
    let value = std::str::from_utf8(value).ok()?;
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More than fits is as long as anything may be.
        return Some(
            value
                .parse::<u64>()
                .unwrap_or(u64::MAX)
                .saturating_mul(1000),
        );
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let at = date.duration_since(UNIX_EPOCH).ok()?;
    let wait = at.saturating_sub(Duration::from_millis(unix_ms));
    u64::try_from(wait.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates() {
        const UNIX_MS: u64 = 784_111_777_000;
        for (value, wait) in [
            ("0", Some(0)),
            ("120", Some(120_000)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("Sun, 06 Nov 1994 08:49:40 GMT", Some(3_000)),
            ("Sun, 06 Nov 1994 08:49:30 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("soon", None),
        ] {
            assert_eq!(parse(value.as_bytes(), UNIX_MS), wait, "{value}");
        }
    }
}
