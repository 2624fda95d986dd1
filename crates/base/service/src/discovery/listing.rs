//! What a source says: the endpoints that it knows, or why it cannot tell.

use std::sync::Arc;
use std::time::Duration;

use weir_config::{HostPort, Name, Text};

/// Most endpoints that one source may list.
pub(crate) const MAX_LISTED: usize = 65_536;
/// The longest name of DNS, a port, and what stands around them.
const MAX_ADDRESS: usize = 264;
/// Greatest weight of an endpoint.
pub(crate) const MAX_WEIGHT: u32 = 65_535;

/// An endpoint as a source names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Listed {
    /// Where it is: an address, or a name that has some.
    pub(crate) at: HostPort,
    /// Its share relative to the others of the source, 1 to 65,535.
    pub(crate) weight: u32,
    /// 0 comes first.
    pub(crate) priority: u8,
    /// Where it runs, if the source says so.
    pub(crate) zone: Option<Arc<str>>,
}

impl Listed {
    pub(crate) fn at(at: HostPort) -> Self {
        Self {
            at,
            weight: 1,
            priority: 0,
            zone: None,
        }
    }

    /// From an address such as `10.0.0.1:80`; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_ADDRESS {
            return Err("an address that is too long to be one".to_owned());
        }
        HostPort::from_text(text).map(Self::at).map_err(|hint| {
            let error = match hint.is_empty() {
                true => format!("`{text}` is not a host and port"),
                false => format!("`{text}`: {hint}"),
            };
            error.replace(char::is_control, "?")
        })
    }
}

/// The name of a zone, if the configuration could call one so.
pub(crate) fn zone(text: &str) -> Option<Arc<str>> {
    Name::new(text).map(|name| name.as_str().into())
}

/// All endpoints of a source at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Listing {
    pub(crate) entries: Vec<Listed>,
    /// The source lost what it knew: endpoints that are missing may only not have come back yet.
    pub(crate) reset: bool,
    /// How many entries cannot be used, and what is wrong with the first.
    pub(crate) skipped: Option<(usize, String)>,
}

impl Listing {
    /// Takes an entry in, or the reason why it cannot be used.
    pub(crate) fn push(&mut self, entry: Result<Listed, String>) {
        let entry = match entry {
            Ok(_) if self.entries.len() >= MAX_LISTED => {
                Err(format!("more than {MAX_LISTED} endpoints"))
            }
            entry => entry,
        };
        match (entry, &mut self.skipped) {
            (Ok(listed), _) => self.entries.push(listed),
            (Err(_), Some((count, _))) => *count += 1,
            (Err(reason), skipped) => *skipped = Some((1, reason)),
        }
    }
}

/// Why a source could not be used, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// It cannot be reached, or does not answer in time.
    #[error("{0}")]
    Unreachable(String),
    /// It answers that it will not, or cannot.
    #[error("{0}")]
    Refused(String),
    /// What it says makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Some of what it says makes no sense; the rest is used.
    #[error("{count} of its entries cannot be used; the first: {reason}")]
    Skipped {
        /// How many.
        count: usize,
        /// What is wrong with the first.
        reason: String,
    },
    /// It says that endpoints are gone, in a way that may be its own failure.
    #[error(
        "it lists {listed} endpoints; {held} more that it listed before stay for {for_up_to:?}"
    )]
    Held {
        /// What it lists now.
        listed: usize,
        /// What stays in use beyond that.
        held: usize,
        /// For how long at most.
        for_up_to: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_by_table() {
        for text in ["10.0.0.1:80", "[::1]:80", "App.Internal:80"] {
            assert!(Listed::parse(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1:0",
            "http://a:80",
            "a b:1",
            "a\n:1",
        ] {
            let error = Listed::parse(text).unwrap_err();
            assert!(!error.is_empty() && !error.contains('\n'), "{error}");
        }
        assert!(Listed::parse(&"x".repeat(10_000)).unwrap_err().len() < 300);
        assert!(!Listed::parse("x\u{1b}[31m").unwrap_err().contains('\u{1b}'));
        assert_eq!(zone("eu-1").as_deref(), Some("eu-1"));
        assert!(zone("").is_none() && zone("a\nb").is_none() && zone(&"z".repeat(65)).is_none());
    }

    #[test]
    fn broken_entries_are_counted() {
        let mut listing = Listing::default();
        listing.push(Listed::parse("10.0.0.1:80"));
        listing.push(Err("one".into()));
        listing.push(Err("two".into()));
        assert_eq!(listing.entries.len(), 1);
        assert_eq!(listing.skipped, Some((2, "one".into())));
    }
}
