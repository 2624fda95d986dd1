//! How an attempt at an endpoint ended, in the words that outlier detection, breakers and retries share.
//!
//! One attempt is one request sent, or tried to be sent, to one endpoint. An attempt that nobody waits for any more (the
//! client went away, a hedge won, the client's own deadline was shorter than the configured timeout) has no outcome: it
//! says nothing about the endpoint, and counting it would let clients take endpoints out.

use std::fmt;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An answer that says nothing against the endpoint: everything below 500, and 501 and 505.
    Success,
    /// A 5xx of the application itself: 500 and those that no other outcome names. The endpoint can be reached and answers.
    ServerError,
    /// 502, 503 or 504: the endpoint, or a proxy in front of it, says that it cannot serve.
    GatewayError,
    /// No connection: refused, unreachable, handshake failed, or not in time. Nothing was sent.
    Connect,
    /// The connection ended before the answer was complete.
    Reset,
    /// No answer within the configured time.
    Timeout,
    /// The answer breaks the protocol.
    Invalid,
}

impl Outcome {
    /// The outcome that an answer with this status is.
    ///
    /// 501 (Not Implemented) and 505 (HTTP Version Not Supported) are about what was asked (RFC 9110, 15.6.2 and 15.6.6): a
    /// client can provoke them at will, so they must not take endpoints out. HAProxy draws the same line.
    #[inline]
    pub fn of_status(status: u16) -> Self {
        match status {
            501 | 505 => Self::Success,
            502..=504 => Self::GatewayError,
            500.. => Self::ServerError,
            _ => Self::Success,
        }
    }

    /// Did it go wrong in any way? Success rates and breakers count this.
    #[inline]
    pub fn is_failure(self) -> bool {
        self != Self::Success
    }

    /// Did it go wrong on the way to the application? A run of these ejects an endpoint. The application's own errors are
    /// not among them: an endpoint that answers 500 is alive, and all the others probably answer the same.
    #[inline]
    pub fn is_gateway_failure(self) -> bool {
        !matches!(self, Self::Success | Self::ServerError)
    }

    /// Was nothing sent for certain, so that even a request that is not idempotent may be sent again?
    #[inline]
    pub fn is_unsent(self) -> bool {
        self == Self::Connect
    }

    /// The word that configuration, logs and metrics use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ServerError => "server_error",
            Self::GatewayError => "gateway_error",
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_by_table() {
        use Outcome::{GatewayError, ServerError, Success};
        for (statuses, outcome, failure, gateway) in [
            (
                &[100, 200, 304, 404, 429, 499, 501, 505][..],
                Success,
                false,
                false,
            ),
            (&[500, 506, 507, 508, 511, 599], ServerError, true, false),
            (&[502, 503, 504], GatewayError, true, true),
        ] {
            for status in statuses {
                let found = Outcome::of_status(*status);
                assert_eq!(found, outcome, "{status}");
                assert_eq!(found.is_failure(), failure, "{status}");
                assert_eq!(found.is_gateway_failure(), gateway, "{status}");
                assert!(!found.is_unsent(), "{status}");
            }
        }
    }

    #[test]
    fn what_prevents_an_answer_is_a_gateway_failure() {
        use Outcome::{Connect, Invalid, Reset, Timeout};
        for outcome in [Connect, Reset, Timeout, Invalid] {
            assert!(outcome.is_failure() && outcome.is_gateway_failure());
            assert_eq!(outcome.is_unsent(), outcome == Connect);
        }
    }
}
