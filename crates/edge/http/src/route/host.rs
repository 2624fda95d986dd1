//! Hosts: what a rule may say, and how the host of a request is brought to one spelling.

use std::cmp::Ordering;

use super::problem::Complaint;

/// Longest host name in bytes (RFC 1035 section 2.3.4).
const MAX_HOST: usize = 253;

/// The hosts that a rule takes, in lower case and without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPattern {
    Exact(Box<str>),
    /// `example.com` of `*.example.com`.
    Below(Box<str>),
    Any,
}

impl HostPattern {
    pub(super) fn parse(text: Option<&str>) -> Result<Self, Complaint> {
        let Some(text) = text else {
            return Ok(Self::Any);
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        let lower = text.to_ascii_lowercase();
        if lower.starts_with('[') {
            return parse_ipv6(&lower).map(Self::Exact);
        }
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        match name.strip_prefix("*.") {
            Some(parent) => check_name(parent).map(|()| Self::Below(parent.into())),
            None => check_name(name).map(|()| Self::Exact(name.into())),
        }
    }

    /// Whether this pattern takes `host`, which is in [`Canonical`] form.
    pub(super) fn matches(&self, host: Option<&[u8]>) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (_, None) => false,
            (Self::Exact(name), Some(host)) => name.as_bytes() == host,
            (Self::Below(parent), Some(host)) => host
                .strip_suffix(parent.as_bytes())
                .and_then(|rest| rest.strip_suffix(b"."))
                .is_some_and(|label| !label.is_empty()),
        }
    }

    /// The most specific first.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rank = |host: &Self| match host {
            Self::Exact(_) => 0,
            Self::Below(_) => 1,
            Self::Any => 2,
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| match (self, other) {
                (Self::Exact(a), Self::Exact(b)) | (Self::Below(a), Self::Below(b)) => {
                    b.len().cmp(&a.len()).then_with(|| a.cmp(b))
                }
                _ => Ordering::Equal,
            })
    }
}

fn parse_ipv6(text: &str) -> Result<Box<str>, Complaint> {
    let address = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match address.map(str::parse::<std::net::Ipv6Addr>) {
        Some(Ok(_)) => Ok(text.into()),
        _ => Err(Complaint::new(
            format!("`{text}` is not an IPv6 address in brackets"),
            "write it like `[::1]`, without a port",
        )),
    }
}

fn check_name(name: &str) -> Result<(), Complaint> {
    if !name.is_ascii() {
        return Err(Complaint::new(
            format!("the host `{name}` holds letters outside ASCII"),
            "write the name as it is sent, in its `xn--` form",
        ));
    }
    if name.contains('*') {
        return Err(Complaint::new(
            "`*` in a host stands for whole labels at the front only",
            "write `*.example.com`, or leave the host out for any host",
        ));
    }
    if name.contains(':') {
        return Err(Complaint::new(
            format!("the host `{name}` holds a port or a scheme"),
            "write the name alone; ports belong to `listeners`",
        ));
    }
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() > MAX_HOST || !name.split('.').all(is_label) {
        return Err(Complaint::new(
            format!("`{name}` is not a host name"),
            "write `api.example.com` (exact) or `*.example.com` (everything below)",
        ));
    }
    Ok(())
}

/// Room for the canonical form of one host.
pub(super) struct Canonical([u8; MAX_HOST]);

impl Canonical {
    pub(super) fn new() -> Self {
        Self([0; MAX_HOST])
    }

    /// `host` without port and trailing dot, in lower case. `None` when it is empty or longer than any name.
    pub(super) fn of<'a>(&'a mut self, host: &'a [u8]) -> Option<&'a [u8]> {
        let host = without_port(host);
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.is_empty() || host.len() > MAX_HOST {
            return None;
        }
        if !host.iter().any(u8::is_ascii_uppercase) {
            return Some(host);
        }
        let lower = &mut self.0[..host.len()];
        lower.copy_from_slice(host);
        lower.make_ascii_lowercase();
        Some(lower)
    }
}

/// A host as in the Host field, without its port; an IPv6 address keeps its brackets.
pub fn without_port(host: &[u8]) -> &[u8] {
    // An address in brackets holds colons of its own.
    let from = if host.first() == Some(&b'[') {
        memchr::memchr(b']', host).unwrap_or(0)
    } else {
        0
    };
    match memchr::memchr(b':', &host[from..]) {
        Some(colon) => &host[..from + colon],
        None => host,
    }
}
