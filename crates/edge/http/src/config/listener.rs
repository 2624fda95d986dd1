//! How a listener speaks HTTP.

use weir_config::{ByteSize, Cidr, Cx, Duration, Node, OrOff, Spanned, Within, choice, object};

use super::byte_rate::ByteRate;

object! {
    /// How a listener speaks HTTP.
    pub struct HttpConfig {
        /// How large the head of a request may be: its first line and all fields.
        pub max_head: Spanned<ByteSize> = ByteSize::kib(32).into(),
        /// How many fields a request may have.
        pub max_fields: Within<8, 10_000> = Within::new(100),
        /// How large one field may be, its name included.
        pub max_field: Spanned<ByteSize> = ByteSize::kib(16).into(),
        /// How large the target of a request may be: its path and query.
        pub max_target: Spanned<ByteSize> = ByteSize::kib(8).into(),
        /// How large the body of a request may be, unless its route says otherwise; `off` for any size.
        pub max_body: OrOff<ByteSize> = OrOff::On(ByteSize::gib(1)),
        /// How many requests one connection may carry; `off` for any number.
        pub max_requests: OrOff<Within<1, 1_000_000_000>> = OrOff::On(Within::new(100_000)),
        /// How long a new connection may take to send its first byte.
        pub first_byte_timeout: Duration = Duration::from_secs(10),
        /// How long a request may take from its first byte to the end of its head.
        pub head_timeout: Duration = Duration::from_secs(10),
        /// How long a client may send nothing of a request's body.
        pub body_timeout: Duration = Duration::from_secs(30),
        /// How long a client may take none of an answer that waits for it.
        pub send_timeout: Duration = Duration::from_secs(30),
        /// How fast a client must send a body and take an answer, in the long run: each byte gives it back as much of
        /// `body_timeout` or `send_timeout` as it may take at this rate; `off` if any byte is enough. Time in which Weir
        /// waits for the endpoint does not count, nor do tunnels. What a client takes of an answer is seen in pieces of up to 64 KiB,
        /// so each of these may take no longer than `send_timeout`.
        pub min_rate: OrOff<ByteRate> = OrOff::On(ByteRate::per_second(500)),
        /// How long an answer may make no progress once the client has ended its own direction. Most clients that do so
        /// have gone; some still wait for the answer.
        pub half_close_timeout: Duration = Duration::from_secs(5),
        /// How long a connection may wait for its next request.
        pub idle_timeout: Duration = Duration::from_secs(75),
        /// How long a tunnel, such as a WebSocket, may be silent in both directions.
        pub tunnel_timeout: Duration = Duration::from_secs(3600),
        /// Whom to believe about the client, and what to tell endpoints about it.
        pub forwarded: ForwardedConfig = ForwardedConfig::default(),
        /// What becomes of slashes that stand encoded in a path, as `%2F`: `keep` leaves them, and they are no slashes to
        /// routes; `decode` makes slashes of them before anything is decided, for routes, policies and endpoints alike;
        /// `reject` refuses them (400), as it does encoded backslashes (`%5C`), which `decode` does not take either.
        pub escaped_slashes: EscapedSlashes = EscapedSlashes::Keep,
        /// What becomes of requests whose path an endpoint may read as that of a route with stricter policies, if it takes `%2F` for a slash
        /// or drops `;parameters`.
        pub ambiguous_paths: AmbiguousPaths = AmbiguousPaths::Refuse,
        /// Whether requests carry an `X-Request-Id`; a well-formed one that the client sends is kept.
        pub request_id: bool = true,
        /// Whether requests without a valid `traceparent` (W3C Trace Context) get one.
        pub traceparent: bool = true,
        /// Whether requests carry `Via` (RFC 9110, section 7.6.3).
        pub via: bool = true,
    }
    check HttpConfig::check;
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_head: ByteSize::kib(32).into(),
            max_fields: Within::new(100),
            max_field: ByteSize::kib(16).into(),
            max_target: ByteSize::kib(8).into(),
            max_body: OrOff::On(ByteSize::gib(1)),
            max_requests: OrOff::On(Within::new(100_000)),
            first_byte_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            min_rate: OrOff::On(ByteRate::per_second(500)),
            half_close_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            tunnel_timeout: Duration::from_secs(3600),
            forwarded: ForwardedConfig::default(),
            escaped_slashes: EscapedSlashes::Keep,
            ambiguous_paths: AmbiguousPaths::Refuse,
            request_id: true,
            traceparent: true,
            via: true,
        }
    }
}

impl HttpConfig {
    fn check(&self, _: &Node, cx: &mut Cx) {
        const LEAST: ByteSize = ByteSize::bytes(256);
        const MOST: ByteSize = ByteSize::mib(16);
        for size in [self.max_head, self.max_field, self.max_target] {
            if !(LEAST..=MOST).contains(&size.value) {
                cx.error(size.span, format!("`{size}` is out of bounds"))
                    .expected(format!("a size from {LEAST} to {MOST}"));
            }
        }
        // Defaults may be larger: then the head's own bound is met first.
        for part in [self.max_field, self.max_target] {
            if part.value > self.max_head.value && !part.span.is_none() {
                let message = format!(
                    "this part of a head may not be larger than all of it, {}",
                    self.max_head
                );
                cx.error(part.span, message)
                    .help("raise `max_head`, or lower this");
            }
        }
    }
}

object! {
    /// Whom to believe about the client, and what to tell endpoints about it.
    pub struct ForwardedConfig {
        /// Proxies in front of Weir: what they say of clients is believed and extended, what anyone else says is replaced.
        pub trusted: Vec<Cidr> = Vec::new(),
        /// Which fields these proxies write. Those of the other kind are whatever clients wrote, and say nothing.
        pub read: ReadFields = ReadFields::XForwarded,
        /// Which fields tell endpoints about the client.
        pub send: ForwardedFields = ForwardedFields::XForwarded,
    }
    check ForwardedConfig::check;
}

impl ForwardedConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.trusted.iter().any(|range| range.prefix() == 0) {
            cx.warning(node.span, "everybody may say that they are any client")
                .key("trusted")
                .help("name only the addresses that your proxies connect from");
        }
    }
}

impl Default for ForwardedConfig {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            read: ReadFields::XForwarded,
            send: ForwardedFields::XForwarded,
        }
    }
}

choice! {
    /// What becomes of slashes that stand encoded in a path. Servers differ in how they read them, and a policy of
    /// `/admin/*` is worth little if an endpoint takes `/admin%2Fx` for `/admin/x`.
    pub enum EscapedSlashes {
        /// They stay, and are no slashes to routes: for endpoints that have slashes in names.
        Keep = "keep",
        /// Requests with them are refused (400), and with encoded backslashes (`%5C`): the safest where none are needed.
        Reject = "reject",
        /// They are decoded, so that routes, policies and endpoints see slashes. Encoded backslashes are refused.
        Decode = "decode",
    }
}

choice! {
    /// What becomes of paths that servers read differently.
    pub enum AmbiguousPaths {
        /// They are refused (400) where that matters.
        Refuse = "refuse",
        /// They pass: for endpoints that are known to read them as routes do.
        Pass = "pass",
    }
}

choice! {
    /// The fields that trusted proxies write.
    pub enum ReadFields {
        /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
        XForwarded = "x_forwarded",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
    }
}

choice! {
    /// The fields that tell endpoints about the client.
    pub enum ForwardedFields {
        /// `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
        XForwarded = "x_forwarded",
        /// `Forwarded` (RFC 7239).
        Forwarded = "forwarded",
        /// Both kinds.
        Both = "both",
        /// None; those of clients are removed.
        Off = "off",
    }
}
