//! What the user says about sockets and threads.

use weir_config::{Duration, OrAuto, Within, choice, object};

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
    /// Who may connect.
    pub struct FirewallConfig {
        /// Open connections from one client, which is an IPv4 address or an IPv6 network of 64 bits. Raise it when
        /// clients come through a proxy.
        pub connections_per_ip: Within<1, 16_777_216> = Within::new(4096),
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

impl Default for FirewallConfig {
    fn default() -> Self {
        Self {
            connections_per_ip: Within::new(4096),
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
