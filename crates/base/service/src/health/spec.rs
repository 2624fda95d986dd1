//! What to check, and how often.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::Thresholds;

/// An active health check of every endpoint of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSpec {
    /// What is asked.
    pub kind: CheckKind,
    /// From the end of one check to the start of the next; every wait is this ±10 %.
    pub interval: Duration,
    /// A check that takes longer has failed.
    pub timeout: Duration,
    /// Successes in a row until an unhealthy endpoint is healthy again.
    pub healthy_after: u32,
    /// Failures in a row until a healthy endpoint is unhealthy.
    pub unhealthy_after: u32,
}

/// The question that a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckKind {
    /// Does it accept a connection?
    Tcp,
    /// Does it answer a GET as expected?
    Http(HttpCheck),
    /// Does its gRPC health service say that it is serving?
    Grpc {
        /// The service that is asked about; empty for the server as a whole.
        service: String,
    },
}

/// A GET and the answer that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Path with query.
    pub path: String,
    /// The Host field; by default the endpoint as the user wrote it.
    pub host: Option<String>,
    /// Further request fields.
    pub headers: Vec<(String, String)>,
    /// Statuses that count as healthy.
    pub expect: StatusRanges,
    /// Text that must occur in the first 64 KiB of the body.
    pub body: Option<String>,
}

impl HealthSpec {
    /// `kind` every 5 s with a timeout of 1 s; 2 successes and 3 failures change the verdict.
    pub fn new(kind: CheckKind) -> Self {
        Self {
            kind,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy_after: 2,
            unhealthy_after: 3,
        }
    }

    /// How many results in a row change the verdict.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            healthy_after: self.healthy_after,
            unhealthy_after: self.unhealthy_after,
        }
    }
}

impl HttpCheck {
    /// GET `path`, 200-399 is healthy.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            host: None,
            headers: Vec::new(),
            expect: StatusRanges::default(),
            body: None,
        }
    }
}

/// Which statuses count as healthy: `200-399`, or a list like `200, 204, 300-399`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusRanges(Vec<(u16, u16)>);

/// Why a text is no list of status ranges.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected statuses like `200-399` or `200, 204`, found `{0}`")]
pub struct StatusRangesError(String);

impl StatusRanges {
    /// The ranges, both ends included. Each must lie in 100..=599 and not be empty, and there must be one.
    pub fn new(ranges: Vec<(u16, u16)>) -> Result<Self, StatusRangesError> {
        let valid = |(low, high): &(u16, u16)| *low >= 100 && low <= high && *high <= 599;
        if ranges.is_empty() || ranges.len() > 64 || !ranges.iter().all(valid) {
            return Err(StatusRangesError(Self(ranges).to_string()));
        }
        Ok(Self(ranges))
    }

    /// Is this status one of them?
    pub fn contains(&self, status: u16) -> bool {
        self.0
            .iter()
            .any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl Default for StatusRanges {
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl FromStr for StatusRanges {
    type Err = StatusRangesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let range = |part: &str| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges
            .and_then(|ranges| Self::new(ranges).ok())
            .ok_or_else(|| StatusRangesError(text.to_owned()))
    }
}

impl fmt::Display for StatusRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (low, high)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            if low == high {
                write!(f, "{comma}{low}")?;
            } else {
                write!(f, "{comma}{low}-{high}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_ranges_by_table() {
        for (text, inside, outside) in [
            ("200-399", &[200u16, 301, 399][..], &[199u16, 400, 503][..]),
            ("200", &[200], &[201]),
            ("200, 204,300-302", &[200, 204, 301], &[203, 303]),
        ] {
            let ranges: StatusRanges = text.parse().unwrap();
            assert!(inside.iter().all(|s| ranges.contains(*s)), "{text}");
            assert!(!outside.iter().any(|s| ranges.contains(*s)), "{text}");
            assert_eq!(ranges.to_string().parse::<StatusRanges>().unwrap(), ranges);
        }
        for text in [
            "", "abc", "99", "600", "300-200", "200-", "2xx", "200,,300", "-1",
        ] {
            assert!(text.parse::<StatusRanges>().is_err(), "{text}");
        }
    }
}
