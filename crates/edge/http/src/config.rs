//! What the user says about HTTP: how a listener speaks it, and where a route leads.

use weir_config::{
    ByteSize, Cidr, Cx, Decode, Duration, FilePath, Json, Key, Map, Name, Node, OneOrMany, OrOff,
    Schemas, Span, Spanned, Text, Within, choice, object, one_of,
};

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
        /// How long the body of a request may make no progress.
        pub body_timeout: Duration = Duration::from_secs(30),
        /// How long a client may take none of an answer that waits for it.
        pub send_timeout: Duration = Duration::from_secs(30),
        /// How long an answer may make no progress once the client has ended its own direction. Most clients that do so
        /// have gone; some still wait for the answer.
        pub half_close_timeout: Duration = Duration::from_secs(5),
        /// How long a connection may wait for its next request.
        pub idle_timeout: Duration = Duration::from_secs(75),
        /// How long a tunnel, such as a WebSocket, may be silent in both directions.
        pub tunnel_timeout: Duration = Duration::from_secs(3600),
        /// Whom to believe about the client, and what to tell endpoints about it.
        pub forwarded: ForwardedConfig = ForwardedConfig::default(),
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
            half_close_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(75),
            tunnel_timeout: Duration::from_secs(3600),
            forwarded: ForwardedConfig::default(),
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
        /// Proxies in front of Weir: their `Forwarded` and `X-Forwarded-*` are believed and extended, those of anyone
        /// else are replaced.
        pub trusted: Vec<Cidr> = Vec::new(),
        /// Which fields tell endpoints about the client.
        pub send: ForwardedFields = ForwardedFields::XForwarded,
    }
}

impl Default for ForwardedConfig {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            send: ForwardedFields::XForwarded,
        }
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

object! {
    /// Where requests lead. The most specific route that a request matches takes it, whatever the order of the file.
    pub struct RouteConfig {
        /// What logs and metrics call it; by default made of its host and path.
        pub name: Option<Spanned<Name>>,
        /// Hosts, exact or with a wildcard (`*.example.com`); by default any.
        pub host: Option<OneOrMany<Spanned<String>>>,
        /// The path: exact `/a/b`, prefix `/a/*`, parameters `/a/{id}`, or a regular expression `~^/a/\d+$`; by default any.
        pub path: Option<Spanned<String>>,
        /// Methods; by default any.
        pub methods: Option<OneOrMany<Spanned<String>>>,
        /// Header fields that must all be there: a value, `*` for any, or a regular expression after `~`.
        pub headers: Map<Spanned<String>, String> = Map::default(),
        /// Query parameters that must all be there, written like `headers`.
        pub query: Map<Spanned<String>, String> = Map::default(),
        /// The listeners that it belongs to; by default all.
        pub listeners: Option<OneOrMany<Spanned<Name>>>,
        /// The path, and query, that the service sees instead: `/users/{id}`, `/{rest}`.
        pub rewrite: Option<Spanned<String>>,
        /// How long the service may take; in short form, for the whole exchange.
        pub timeout: TimeoutConfig = TimeoutConfig::default(),
        /// When a request is tried again on another endpoint; in short form, how often.
        pub retries: RetriesConfig = RetriesConfig::default(),
        /// How large the body of a request may be; by default what the listener says.
        pub max_body: Option<OrOff<ByteSize>>,
    }
    one_of {
        /// What becomes of the request.
        pub action: Action
    }
    check RouteConfig::check;
}

one_of! {
    /// What becomes of a request.
    pub enum Action {
        /// It goes to an endpoint of this service.
        service => Service(Spanned<Name>),
        /// The client is sent elsewhere.
        redirect => Redirect(RedirectConfig),
        /// It gets a fixed answer.
        respond => Respond(RespondConfig),
        /// It gets a file.
        files => Files(FilesConfig),
    }
}

impl RouteConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if matches!(self.action, Action::Service(_)) {
            return;
        }
        let rewritten = self.rewrite.is_some().then_some("rewrite");
        let timed = (self.timeout != TimeoutConfig::default()).then_some("timeout");
        let retried = (self.retries != RetriesConfig::default()).then_some("retries");
        for key in [rewritten, timed, retried].into_iter().flatten() {
            cx.error(
                node.span,
                format!("`{key}` says something only about a `service`"),
            )
            .key(key);
        }
    }
}

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
    }
    short attempts;
}

impl Default for RetriesConfig {
    fn default() -> Self {
        Self {
            attempts: Within::new(2),
            on: vec![RetryOn::Connect, RetryOn::Reset],
        }
    }
}

choice! {
    /// A failure after which a request may be tried again.
    pub enum RetryOn {
        /// The endpoint could not be connected to: it has seen nothing of the request.
        Connect = "connect",
        /// The endpoint closed the connection before it answered. Only requests that may be repeated (RFC 9110, section
        /// 9.2.2) and whose body was not sent.
        Reset = "reset",
    }
}

object! {
    /// Where a client is sent. In short form, the place.
    pub struct RedirectConfig {
        /// The path or URL, which may hold parameters of the route's path: `/new/{rest}`, `https://{host}{path}`.
        pub to: Spanned<String>,
        /// The status.
        pub status: RedirectStatus = RedirectStatus(308),
    }
    short to;
}

/// The status of a redirect: 301, 302, 303, 307 or 308.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectStatus(u16);

impl RedirectStatus {
    const ALL: [u16; 5] = [301, 302, 303, 307, 308];

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Decode for RedirectStatus {
    fn decode(node: &Node, cx: &mut Cx) -> Option<Self> {
        let status = u16::decode(node, cx)?;
        if Self::ALL.contains(&status) {
            return Some(Self(status));
        }
        cx.error(
            node.span,
            format!("{status} is not the status of a redirect"),
        )
        .expected("301, 302, 303, 307 or 308");
        None
    }

    fn to_json(&self) -> Json {
        self.0.into()
    }

    fn schema(schemas: &mut Schemas) -> Json {
        let numbers: Vec<Json> = Self::ALL.into_iter().map(Json::from).collect();
        let mut schema = weir_config::JsonMap::new();
        schema.insert("enum".to_owned(), numbers.into());
        schemas.or_variable(schema.into())
    }
}

object! {
    /// A fixed answer. In short form, its status.
    pub struct RespondConfig {
        /// The status.
        pub status: Within<200, 599> = Within::new(200),
        /// The body.
        pub body: String = String::new(),
        /// The type of the body.
        pub content_type: FieldValue = FieldValue("text/plain; charset=utf-8".into()),
        /// Further fields of the answer.
        pub headers: Map<FieldValue, FieldName> = Map::default(),
    }
    short status;
    check RespondConfig::check;
}

impl RespondConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        let status = self.status.get();
        // RFC 9110, 15.3.5, 15.3.6 and 15.4.5.
        if matches!(status, 204 | 205 | 304) && !self.body.is_empty() {
            cx.error(
                node.span,
                format!("an answer with status {status} has no body"),
            )
            .key("body");
        }
    }
}

/// The name of a header field that an answer may be given: a token (RFC 9110, section 5.1), in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// What Weir writes itself, since it decides about connections and framing.
    const OWN: [&'static str; 9] = [
        "connection",
        "content-length",
        "content-type",
        "date",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// The name, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Key for FieldName {
    fn from_key(key: &str, span: Span, cx: &mut Cx) -> Option<Self> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let name = key.to_ascii_lowercase();
        if !name.bytes().all(token) {
            cx.error(span, "this is not the name of a header field");
            return None;
        }
        if Self::OWN.contains(&name.as_str()) {
            let problem = cx.error(span, format!("Weir sets `{name}` itself"));
            if name == "content-type" {
                problem.help("say it in `content_type`, beside `headers`");
            }
            return None;
        }
        Some(Self(name.into()))
    }

    fn as_key(&self) -> &str {
        &self.0
    }
}

/// The value of a header field: without control characters (RFC 9110, section 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldValue(Box<str>);

impl FieldValue {
    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for FieldValue {
    const EXPECTED: &'static str = "the value of a header field, without control characters";

    fn from_text(text: &str) -> Result<Self, String> {
        let control = |b: u8| b.is_ascii_control() && b != b'\t';
        if text.bytes().any(control) {
            return Err(String::new());
        }
        Ok(Self(text.trim_matches([' ', '\t']).into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }
}

weir_config::text!(FieldValue);

object! {
    /// Files of a folder. In short form, the folder.
    pub struct FilesConfig {
        /// The folder, relative to the config file. Nothing outside of it is ever served.
        pub root: Spanned<FilePath>,
        /// What is served for a folder.
        pub index: FileName = FileName("index.html".into()),
        /// Codings of compressed siblings (`app.js.br`) to serve to clients that take them, best first.
        pub precompressed: Vec<Precompressed> = Vec::new(),
    }
    short root;
}

choice! {
    /// A coding of compressed siblings.
    pub enum Precompressed {
        /// Brotli, `.br`.
        Brotli = "br",
        /// Zstandard, `.zst`.
        Zstd = "zstd",
        /// Gzip, `.gz`.
        Gzip = "gzip",
    }
}

/// The name of a file, without a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileName(Box<str>);

impl FileName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Text for FileName {
    const EXPECTED: &'static str = "the name of a file, such as `index.html`";

    fn from_text(text: &str) -> Result<Self, String> {
        if matches!(text, "" | "." | "..") || text.contains(['/', '\0']) {
            return Err("a name only, without a folder".to_owned());
        }
        Ok(Self(text.into()))
    }

    fn to_text(&self) -> String {
        self.0.as_ref().into()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[^/]+$")
    }
}

weir_config::text!(FileName);
