//! What a server says about keeping its answer (RFC 9111, section 5.2.2).

use std::time::Duration;

use weir_client::{Response, header};

/// How long an answer may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The server does not say.
    Unsaid,
    /// It must not be kept, or not without asking again.
    Not,
    /// So long.
    For(Duration),
}

impl Keep {
    /// What a response says.
    pub(crate) fn of(response: &Response) -> Self {
        let fields = response.headers.get_all(&header::CACHE_CONTROL);
        Self::read(
            fields
                .iter()
                .map(|value| value.to_str().unwrap_or_default()),
        )
    }

    fn read<'a>(fields: impl Iterator<Item = &'a str>) -> Self {
        let mut keep = Self::Unsaid;
        for directive in fields.flat_map(|field| field.split(',')) {
            let directive = directive.trim().to_ascii_lowercase();
            match directive.split_once('=') {
                None if directive == "no-store" || directive == "no-cache" => return Self::Not,
                Some(("max-age", seconds)) => keep = Self::seconds(seconds.trim_matches('"')),
                _ => {}
            }
        }
        keep
    }

    fn seconds(text: &str) -> Self {
        /// Section 1.2.2: for numbers that are too large.
        const MOST: u64 = 1 << 31;
        // Section 4.2.1: what is no number makes an answer stale.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::Not;
        }
        match text.parse().map_or(MOST, |seconds: u64| seconds.min(MOST)) {
            0 => Self::Not,
            seconds => Self::For(Duration::from_secs(seconds)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_servers_say() {
        let seconds = |seconds| Keep::For(Duration::from_secs(seconds));
        for (text, keep) in [
            ("max-age=60", seconds(60)),
            ("public, MAX-AGE=60", seconds(60)),
            ("max-age=\"60\", must-revalidate", seconds(60)),
            ("max-age=60, no-store", Keep::Not),
            ("no-store|max-age=60", Keep::Not),
            ("private|max-age=60", seconds(60)),
            ("no-cache", Keep::Not),
            ("", Keep::Unsaid),
            ("max-age=0", Keep::Not),
            ("max-age=-1", Keep::Not),
            ("max-age=", Keep::Not),
            ("max-age=99999999999999999999", seconds(1 << 31)),
            ("s-maxage=60", Keep::Unsaid),
        ] {
            assert_eq!(Keep::read(text.split('|')), keep, "{text}");
        }
    }
}
