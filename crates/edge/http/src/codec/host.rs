//! `uri-host [":" port]`, as Host and request targets carry it (RFC 9110, 7.2; RFC 3986, 3.2).
//!
//! A host is matched against routes, compared with the target, logged and put into redirects, so less is accepted than
//! RFC 3986 could express: letters, digits, `-._~` in non-empty labels (one trailing dot may stand), or an IPv6 address
//! in brackets. Percent-encoding and sub-delimiters occur in no name of the DNS. A colon needs a port after it.

use super::chars::HOST;
use super::section::Span;

/// The longest name of the DNS in text, with its trailing dot.
const MAX_NAME: usize = 254;

/// A valid host with an optional port, as ranges of a head.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct HostPort {
    pub(super) whole: Span,
    /// Without port; an IPv6 address keeps its brackets.
    pub(super) host: Span,
}

impl HostPort {
    pub(super) const fn has_port(&self) -> bool {
        self.whole.len != self.host.len
    }
}

/// Parses `value`, which starts at `at` in its head.
pub(super) fn parse(value: &[u8], at: usize) -> Option<HostPort> {
    let host_len = if value.first() == Some(&b'[') {
        ipv6_len(value)?
    } else {
        name_len(value)?
    };
    match &value[host_len..] {
        [] => {}
        [b':', port @ ..] if is_port(port) => {}
        _ => return None,
    }
    Some(HostPort {
        whole: Span::new(at, value.len()),
        host: Span::new(at, host_len),
    })
}

/// The length of the name at the start of `value`.
fn name_len(value: &[u8]) -> Option<usize> {
    let mut label_start = 0;
    let mut len = value.len();
    for (at, &byte) in value.iter().enumerate() {
        if byte == b'.' {
            if at == label_start {
                return None;
            }
            label_start = at + 1;
        } else if byte == b':' {
            len = at;
            break;
        } else if !HOST[usize::from(byte)] {
            return None;
        }
    }
    (1..=MAX_NAME).contains(&len).then_some(len)
}

/// The length of the IPv6 address in brackets at the start of `value`. No zone: it means nothing to another machine.
fn ipv6_len(value: &[u8]) -> Option<usize> {
    let close = value.iter().position(|&byte| byte == b']')?;
    std::str::from_utf8(&value[1..close])
        .ok()?
        .parse::<std::net::Ipv6Addr>()
        .ok()?;
    Some(close + 1)
}

fn is_port(digits: &[u8]) -> bool {
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits
            .iter()
            .fold(0_u32, |port, digit| port * 10 + u32::from(digit - b'0'))
            <= 0xffff
}
