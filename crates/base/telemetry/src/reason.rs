//! Why an exchange did not simply pass on what an endpoint answered.

use std::fmt;

macro_rules! reasons {
    ($($variant:ident $name:literal $doc:literal,)+) => {
        /// Why Weir answered itself, or why an exchange broke. The same words stand in the access
        /// log (`reason`) and in `weir_http_failures_total`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Reason {
            $(#[doc = $doc] $variant,)+
        }

        impl Reason {
            /// Every reason, in order of declaration.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$variant),+];

            /// The word in logs and metrics.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence for people.
            pub const fn describe(self) -> &'static str {
                match self { $(Self::$variant => $doc,)+ }
            }
        }
    };
}

reasons! {
    BadRequest "bad_request" "The request broke the protocol's rules.",
    HeadTimeout "head_timeout" "The client did not send the whole head in time.",
    HeadTooLarge "head_too_large" "The request head, or its number of fields, exceeded the limit.",
    TargetTooLong "target_too_long" "The request target exceeded the limit.",
    UnsupportedVersion "unsupported_version" "The client spoke a protocol version that Weir does not.",
    UnsupportedMethod "unsupported_method" "The method is one that Weir does not implement.",
    ExpectationFailed "expectation_failed" "The client expected something other than 100-continue.",
    NoRoute "no_route" "No route matched.",
    MethodNotAllowed "method_not_allowed" "Routes matched the path, but none the method.",
    FileNotFound "file_not_found" "The route serves files, and there is none at that path.",
    FileForbidden "file_forbidden" "The file may not be read, or lies outside the root.",
    FileFailed "file_failed" "Reading the file failed.",
    RangeNotSatisfiable "range_not_satisfiable" "No requested range lies within the file.",
    PreconditionFailed "precondition_failed" "A precondition of the request did not hold.",
    BodyTooLarge "body_too_large" "The request body exceeded the limit.",
    BodyTimeout "body_timeout" "The request body made no progress, or too little, in time.",
    BodyBroken "body_broken" "The framing of the request body was broken.",
    NoEndpoint "no_endpoint" "The service had no endpoint to try.",
    Overloaded "overloaded" "A limit on connections or requests was reached.",
    Draining "draining" "Weir, or the listener, is shutting down.",
    ConnectRefused "connect_refused" "The endpoint refused the connection.",
    ConnectTimeout "connect_timeout" "Connecting to the endpoint took too long.",
    ConnectFailed "connect_failed" "Connecting to the endpoint failed in another way.",
    BreakerOpen "breaker_open" "The circuit breaker of the service, or of all its endpoints, is open.",
    TryTimeout "try_timeout" "The endpoint did not begin to answer in the time that one try may take.",
    FirstByteTimeout "first_byte_timeout" "The endpoint did not begin to answer in time.",
    IdleTimeout "idle_timeout" "An exchange under way made no progress in time.",
    TotalTimeout "total_timeout" "The whole exchange took too long.",
    UpstreamClosed "upstream_closed" "The endpoint closed the connection before it had answered.",
    UpstreamReset "upstream_reset" "The endpoint reset the connection.",
    UpstreamBadResponse "upstream_bad_response" "The endpoint's answer broke the protocol's rules.",
    UpstreamTruncated "upstream_truncated" "The endpoint's answer ended before its body was complete.",
    FirewallDenied "firewall_denied" "A firewall does not let the client, or this request, in.",
    RateLimited "rate_limited" "The client has made as many requests as it may for now.",
    ConcurrencyLimited "concurrency_limited" "The client has as many requests under way as it may.",
    LimitUnavailable "limit_unavailable" "The store of a rate limit could not be asked, and the limit says `closed` for that.",
    Unauthenticated "unauthenticated" "The request has no valid credentials.",
    Forbidden "forbidden" "The credentials are valid, but do not allow this request.",
    LoginNeeded "login_needed" "The client was sent to log in, or is on its way through a login or a logout.",
    AuthUnavailable "auth_unavailable" "Whoever decides about the credentials could not be asked.",
    AuthDenied "auth_denied" "The service that is asked about every request did not let it pass.",
    SendTimeout "send_timeout" "The client took nothing of the answer, or too little, in time.",
    ClientGone "client_gone" "The client closed or reset the connection before the exchange was complete.",
    Internal "internal" "Weir failed in a way that it should not.",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_distinct_snake_case_and_indexed_in_order() {
        for (i, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, i);
            let word = reason.as_str();
            assert!(
                word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{word}"
            );
            assert_eq!(
                Reason::ALL
                    .iter()
                    .filter(|other| other.as_str() == word)
                    .count(),
                1,
                "{word}"
            );
            assert!(reason.describe().ends_with('.'));
            assert_eq!(reason.to_string(), word);
        }
    }
}
