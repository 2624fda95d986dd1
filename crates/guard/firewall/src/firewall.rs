//! Which addresses may come in.

use std::net::IpAddr;

use weir_config::Cx;

use crate::{
    config::{Entry, Several},
    entries::Entries,
    geo::{Geo, Memo},
    registry::Firewalls,
    verdict::{Cause, Verdict},
};

/// `deny` and `allow` of one place of the config. Immutable; what its files hold is always the newest.
#[derive(Debug)]
pub struct Firewall {
    deny: Entries,
    /// `None`: everybody.
    allow: Option<Entries>,
    dry_run: bool,
}

impl Firewall {
    pub(crate) fn compile(
        deny: &Several<Entry>,
        allow: &Several<Entry>,
        dry_run: bool,
        firewalls: &Firewalls,
        geo: &Geo,
        cx: &mut Cx,
    ) -> Self {
        // By what is written: an `allow` whose only file is empty allows nobody.
        let limited = !allow.is_empty();
        Self {
            deny: Entries::compile(deny, firewalls, geo, cx),
            allow: limited.then(|| Entries::compile(allow, firewalls, geo, cx)),
            dry_run,
        }
    }

    /// Whether this client may come in. `client` is the real address: behind a PROXY header or a trusted proxy, not the
    /// proxy's. Allocates nothing and takes no lock.
    #[inline]
    pub fn check(&self, client: IpAddr, memo: &Memo) -> Verdict<'_> {
        let client = client.to_canonical();
        if let Some(cause) = self.deny.find(client, memo) {
            return Verdict::deny(cause, self.dry_run);
        }
        match &self.allow {
            Some(allow) if allow.find(client, memo).is_none() => {
                Verdict::deny(Cause::NotAllowed, self.dry_run)
            }
            _ => Verdict::PASS,
        }
    }

    /// Whether it lets everybody in, so that nobody needs to ask.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

#[cfg(test)]
mod tests;
