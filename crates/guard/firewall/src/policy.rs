//! What stands under one `firewall` of a listener, a route or a policy.

use crate::{firewall::Firewall, rules::RequestRules};

/// Which clients may come in, and with what requests.
#[derive(Debug)]
pub struct FirewallPolicy {
    /// Asked about the client: of a listener when it connects, of a route at each request.
    pub firewall: Firewall,
    /// Asked about each request.
    pub rules: RequestRules,
}

impl FirewallPolicy {
    /// Whether everything passes, so that nobody needs to ask.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.firewall.is_open() && self.rules.is_empty()
    }
}
