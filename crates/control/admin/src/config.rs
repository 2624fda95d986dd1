//! What the user says about the admin API.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use weir_config::{Cx, ListenAddress, Node, Secret, Spanned, object};

object! {
    /// The admin API and the metrics. In short form, the address.
    pub struct AdminConfig {
        /// Where it listens.
        pub address: Spanned<ListenAddress> = DEFAULT_ADDRESS.into(),
        /// What callers must show (`Authorization: Bearer ...`); required unless only this machine can reach the address.
        pub token: Option<Secret>,
    }
    short address;
    check AdminConfig::check;
}

const DEFAULT_ADDRESS: ListenAddress =
    ListenAddress::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9900));

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            address: DEFAULT_ADDRESS.into(),
            token: None,
        }
    }
}

impl AdminConfig {
    fn check(&self, _: &Node, cx: &mut Cx) {
        if self.token.is_none() && !self.address.is_loopback() {
            let address = self.address;
            cx.error(
                address.span,
                format!("the admin API on `{address}` needs a token, as others can reach it"),
            )
            .help(format!(
                "write `{{ address: \"{address}\", token: \"file:/run/secrets/weir-token\" }}`"
            ))
            .help("or listen on this machine only: 127.0.0.1:9900");
        }
    }
}
