//! Whom to trust.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::decode::Text;

/// A range of addresses: `10.0.0.0/8`, `2001:db8::/32`; a single address is a range of one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    /// The first address; what lies beyond the prefix is zero.
    first: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Whether an address lies in it. An IPv4 address that came through an IPv6 socket counts as IPv4.
    pub fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4()
            && (bits(address) ^ bits(self.first)) & self.mask() == 0
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.first
    }

    /// How many leading bits are fixed.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    fn mask(self) -> u128 {
        let free = 128 - u32::from(self.prefix) - if self.first.is_ipv4() { 96 } else { 0 };
        u128::MAX.checked_shl(free).unwrap_or(0)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl From<IpAddr> for Cidr {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let prefix = if first.is_ipv4() { 32 } else { 128 };
        Self { first, prefix }
    }
}

impl Text for Cidr {
    const EXPECTED: &'static str = "an address or a range of them, such as `10.0.0.0/8`";

    fn from_text(text: &str) -> Result<Self, String> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(address) = address.parse::<IpAddr>() else {
            return Err(hint(text));
        };
        let Some(prefix) = prefix else {
            return Ok(Self::from(address));
        };
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let digits = prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix
            .parse()
            .ok()
            .filter(|prefix| digits && *prefix <= longest);
        let Some(prefix) = prefix else {
            let hint = hint(text);
            return Err(if hint.is_empty() {
                format!("the number after `/` is one from 0 to {longest}")
            } else {
                hint
            });
        };
        let cidr = Self {
            first: address,
            prefix,
        };
        let first = bits(address) & cidr.mask();
        if first != bits(address) {
            let first: IpAddr = match address {
                IpAddr::V4(_) => IpAddr::V4((first as u32).into()),
                IpAddr::V6(_) => IpAddr::V6(first.into()),
            };
            return Err(format!(
                "the range begins at another address: `{first}/{prefix}`?"
            ));
        }
        Ok(cidr)
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn pattern() -> Option<&'static str> {
        Some("^[0-9a-fA-F:.]+(/[0-9]{1,3})?$")
    }
}

/// What to write instead, as far as other ways to write ranges tell.
fn hint(text: &str) -> String {
    const PRIVATE: &str = "`10.0.0.0/8`, `172.16.0.0/12`, `192.168.0.0/16`, `fc00::/7`";
    match text {
        "*" | "all" | "any" | "everyone" | "0.0.0.0/0.0.0.0" => {
            return "everybody is `0.0.0.0/0` and `::/0`".to_owned();
        }
        "private" | "private_ranges" | "internal" => return format!("name the ranges: {PRIVATE}"),
        "localhost" | "loopback" => return "write `127.0.0.0/8` and `::1`".to_owned(),
        _ => {}
    }
    let is_v4 = |text: &str| text.trim().parse::<Ipv4Addr>();
    if let Some((from, to)) = text.split_once('-')
        && let (Ok(from), Ok(to)) = (is_v4(from), is_v4(to))
    {
        return match range(from, to) {
            Some(range) => format!("write `{range}`"),
            None => "write it as ranges with `/`, such as `10.0.0.0/28`".to_owned(),
        };
    }
    if let Some((address, mask)) = text.split_once('/')
        && let (Ok(address), Ok(mask)) = (is_v4(address), is_v4(mask))
        && mask.to_bits().leading_ones() + mask.to_bits().trailing_zeros() == 32
    {
        let ones = mask.to_bits().leading_ones();
        let first = address.to_bits() & mask.to_bits();
        return format!("write `{}/{ones}`", Ipv4Addr::from_bits(first));
    }
    let parts: Vec<&str> = text.split('.').collect();
    let fixed = parts.iter().take_while(|part| **part != "*").count();
    let stars = parts[fixed..].iter().all(|part| *part == "*");
    if parts.len() == 4 && stars && (1..4).contains(&fixed) {
        let first = [&parts[..fixed], &["0", "0", "0"][..4 - fixed]].concat();
        return format!("write `{}/{}`", first.join("."), fixed * 8);
    }
    if is_name(text) {
        return "names are not taken here; write addresses".to_owned();
    }
    String::new()
}

/// The one range from one address to another, if there is one.
fn range(from: Ipv4Addr, to: Ipv4Addr) -> Option<Cidr> {
    let (first, last) = (from.to_bits(), to.to_bits());
    let prefix = (first ^ last).leading_zeros();
    let free = u32::MAX.checked_shr(prefix).unwrap_or(0);
    (first & free == 0 && last & free == free).then_some(Cidr {
        first: from.into(),
        prefix: prefix as u8,
    })
}

/// Whether this is the name of a host, rather than of a file.
fn is_name(text: &str) -> bool {
    let ends = [".com", ".net", ".org", ".internal", ".local", ".example"];
    ends.iter().any(|end| text.ends_with(end))
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::text!(Cidr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_contain_what_they_should() {
        for (range, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "10.0.0.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.168.1.128/25", "192.168.1.127", false),
        ] {
            let range = Cidr::from_text(range).expect(range);
            assert_eq!(
                range.contains(address.parse().expect(address)),
                inside,
                "{range:?} {address}"
            );
        }
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.1/8",
            "10.0.0/8",
            "host",
            "::/129",
        ] {
            assert!(Cidr::from_text(text).is_err(), "{text}");
        }
    }
}
