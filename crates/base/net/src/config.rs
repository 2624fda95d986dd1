//! What the user says about sockets and threads.

use weir_config::{Cidr, Cx, Duration, Node, OrAuto, Within, choice, object};

/// How many worker threads run: `auto` for one per core.
pub type WorkersConfig = OrAuto<Within<1, 1024>>;

choice! {
    /// What a listener speaks.
    pub enum ListenerProtocol {
        /// HTTP/1.1 and HTTP/1.0.
        Http = "http",
    }
}

object! {
    /// Bounds on what all listeners take on together.
    pub struct LimitsConfig {
        /// Open client connections; a further one is closed at once. When the process may open fewer descriptors, Weir
        /// takes as many connections as leave some for endpoints and files, and says so in its log.
        pub connections: Within<1, 16_777_216> = Within::new(65_536),
    }
}

object! {
    /// A listener behind proxies that say who the client is by the PROXY protocol, version 1 or 2. Their header must come
    /// first on every connection, and the address in it is the client's for everything that follows.
    pub struct ProxyProtocolConfig {
        /// The proxies, by address. From nobody else is such a header believed.
        pub from: Vec<Cidr>,
        /// What becomes of connections from everybody else.
        pub others: OthersConfig = OthersConfig::Refuse,
        /// How long a connection may take to send the header.
        pub timeout: Duration = Duration::from_secs(5),
    }
    check ProxyProtocolConfig::check;
}

choice! {
    /// What becomes of connections that are not from a proxy.
    pub enum OthersConfig {
        /// They are closed: who goes past the proxy goes past what it guards.
        Refuse = "refuse",
        /// They are served under their own address; a PROXY header on them is a malformed request.
        Serve = "serve",
    }
}

impl ProxyProtocolConfig {
    fn check(&self, node: &Node, cx: &mut Cx) {
        if self.from.is_empty() {
            cx.error(node.span, "no proxy is named, so nobody could connect")
                .key("from")
                .help("list the addresses that your proxies connect from, such as `from: [10.0.0.0/8]`");
        }
        if self.from.iter().any(|range| range.prefix() == 0) {
            cx.warning(node.span, "everybody may say that they are any client")
                .key("from")
                .help("name only the addresses that your proxies connect from");
        }
    }
}

object! {
    /// How Weir stops.
    pub struct ShutdownConfig {
        /// How long connections may take to finish their exchanges before they are closed.
        pub drain: Duration = Duration::from_secs(30),
    }
    short drain;
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections: Within::new(65_536),
        }
    }
}

impl Default for ShutdownConfig {
    fn default() -> Self {
        Self {
            drain: Duration::from_secs(30),
        }
    }
}
