//! How long a service may take, and when a request is tried again.

use weir_config::{ByteSize, Cx, Duration, Node, OrOff, Percent, Text, Within, object};

object! {
    /// How long a service may take. In short form, for the whole exchange.
    pub struct TimeoutConfig {
        /// From the head of the request to the end of the answer; by default unbounded, as long as there is progress.
        pub total: Option<Duration>,
        /// For the connection to an endpoint.
        pub connect: Duration = Duration::from_secs(5),
        /// From the end of the request to the head of the answer.
        pub first_byte: Duration = Duration::from_secs(60),
        /// How long the body of an answer may make no progress.
        pub idle: Duration = Duration::from_secs(60),
    }
    short total;
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self {
            total: None,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        }
    }
}

object! {
    /// When a request is tried again on another endpoint. In short form, how often.
    pub struct RetriesConfig {
        /// How often, beyond the first time; 0 for never.
        pub attempts: Within<0, 16> = Within::new(2),
        /// After which failures.
        pub on: Vec<RetryOn> = vec![RetryOn::Connect, RetryOn::Reset],
        /// How many retries, hedges included, the service may get on top of its requests of the last ten seconds, so that
        /// retries cannot bring down what is barely up.
        pub budget: Percent = Percent::new(20),
        /// So many retries a second are always allowed, or a quiet service could not retry at all.
        pub budget_floor: Within<0, 1_000_000> = Within::new(10),
        /// How long one try may take to the head of its answer; the next try then begins. By default as long as
        /// `timeout` allows.
        pub per_try: Option<Duration>,
        /// The pause before a retry: by chance from nothing to this, doubled for every further one.
        pub backoff: Duration = Duration::from_millis(25),
        /// The longest such pause.
        pub max_backoff: Duration = Duration::from_millis(250),
        /// Bodies of requests up to this size are kept while they are sent, so that they can be sent again.
        pub buffer: ByteSize = ByteSize::kib(64),
        /// When no answer has come after this time, the request is sent to a second endpoint as well, and the first good
        /// answer counts: a time, or `p95` for what 95 of 100 answers took lately. Only requests without a body that may
        /// be repeated. `off` for never.
        pub hedge_after: OrOff<HedgeAfter> = OrOff::Off,
    }
    short attempts;
    check RetriesConfig::check;
}

impl RetriesConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.attempts.get() == 0 {
            return;
        }
        if self.on.is_empty() {
            cx.warning(node.span, "no failure leads to a retry")
                .key("on")
                .help("name some failures, or write `retries: 0`");
        } else if self.max_backoff < self.backoff {
            cx.warning(
                node.span,
                format!(
                    "a pause of `backoff`, {}, is longer than `max_backoff` allows: none is longer than {}",
                    self.backoff, self.max_backoff
                ),
            )
            .key("max_backoff");
        }
    }
}

impl Default for RetriesConfig {
    fn default() -> Self {
        Self {
            attempts: Within::new(2),
            on: vec![RetryOn::Connect, RetryOn::Reset],
            budget: Percent::new(20),
            budget_floor: Within::new(10),
            per_try: None,
            backoff: Duration::from_millis(25),
            max_backoff: Duration::from_millis(250),
            buffer: ByteSize::kib(64),
            hedge_after: OrOff::Off,
        }
    }
}

/// A failure after which a request may be tried again.
///
/// But for `connect`, after which the endpoint has seen nothing of the request, only requests are repeated that may be
/// (RFC 9110, section 9.2.2) and whose body, if they have one, was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryOn {
    /// The endpoint could not be connected to.
    Connect,
    /// The endpoint closed the connection before it answered.
    Reset,
    /// The endpoint did not begin to answer in time.
    Timeout,
    /// The endpoint answered with any status from 500 to 599.
    ServerError,
    /// The endpoint answered with this status: 429, or one from 500 to 599.
    Status(u16),
}

impl Text for RetryOn {
    const EXPECTED: &'static str =
        "`connect`, `reset`, `timeout`, `5xx`, or a status such as `503`";
    const NUMBERS: bool = true;

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(match text {
            "connect" => Self::Connect,
            "reset" => Self::Reset,
            "timeout" => Self::Timeout,
            "5xx" => Self::ServerError,
            other => match other.parse() {
                Ok(status @ (429 | 500..=599)) => Self::Status(status),
                Ok(_) => return Err("a status is 429, or one from 500 to 599".to_owned()),
                Err(_) => return Err(String::new()),
            },
        })
    }

    fn to_text(&self) -> String {
        match self {
            Self::Connect => "connect".to_owned(),
            Self::Reset => "reset".to_owned(),
            Self::Timeout => "timeout".to_owned(),
            Self::ServerError => "5xx".to_owned(),
            Self::Status(status) => status.to_string(),
        }
    }

    fn pattern() -> Option<&'static str> {
        Some("^(connect|reset|timeout|5xx|429|5[0-9]{2})$")
    }
}

weir_config::text!(RetryOn);

/// When a request is sent to a second endpoint as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HedgeAfter {
    /// After this time.
    Time(Duration),
    /// After the time that 95 of 100 answers took lately.
    P95,
}

impl Text for HedgeAfter {
    const EXPECTED: &'static str = "a time such as `200ms`, or `p95`";

    fn from_text(text: &str) -> Result<Self, String> {
        match text {
            "p95" => Ok(Self::P95),
            time => Duration::from_text(time).map(Self::Time),
        }
    }

    fn to_text(&self) -> String {
        match self {
            Self::Time(time) => time.to_text(),
            Self::P95 => "p95".to_owned(),
        }
    }
}

weir_config::text!(HedgeAfter);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_nothing_is_warned_about() {
        for (text, warning) in [
            ("{ on: [] }", "no failure leads to a retry"),
            ("{ attempts: 0, on: [] }", ""),
            ("{ backoff: 1s }", "longer than `max_backoff` allows"),
            ("{ max_backoff: 10ms }", "none is longer than 10ms"),
            ("{ attempts: 0, max_backoff: 10ms }", ""),
            ("{ backoff: 1s, max_backoff: 1s }", ""),
            ("3", ""),
        ] {
            let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
            let config = cx.decode::<RetriesConfig>();
            let told = cx.finish(config).expect("good").warnings.to_string();
            assert_eq!(told.is_empty(), warning.is_empty(), "{text}: {told}");
            assert!(told.contains(warning), "{text}: {told}");
        }
    }
}
