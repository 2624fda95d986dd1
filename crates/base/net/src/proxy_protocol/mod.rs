//! The PROXY protocol, versions 1 and 2: who the client of a connection is, by the proxy that hands it on.
//!
//! Specification: "The PROXY protocol, Versions 1 & 2" (HAProxy, `doc/proxy-protocol.txt`). The parser is pure, takes the
//! bytes as they come, in any pieces, never takes one that follows the header, and keeps at most [`LINE`] of them.
//! It is strict where the specification is: a header is what says whom to believe, so one that could be read in two ways
//! is refused. What it says beyond the addresses (TLVs) is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest line of version 1, its end included (section 2.1).
const LINE: usize = 107;
/// The longest header of version 2 that is taken. Addresses are at most 216 bytes; the rest is for TLVs, such as a
/// client's certificate.
const LONGEST: usize = 16 * 1024;

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length (section 2.2).
const FIXED: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The proxy speaks for itself (a health check), or the client has no address that it could tell: what the socket
    /// says counts.
    Local,
    /// The connection of a client.
    Proxied {
        /// The client's address.
        client: SocketAddr,
        /// The address that the client connected to.
        server: SocketAddr,
    },
}

/// Why something is not a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// It begins with something else.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It is longer than any header is.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It breaks the format.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// Another version, command, family or transport than are defined for a connection.
    #[error("the PROXY header is of a kind that is not known")]
    Unknown,
}

/// Whether these bytes are the beginning of a PROXY header of either version: what somebody sends who takes a listener
/// for one that expects it.
#[must_use]
pub fn begins_with_proxy_header(bytes: &[u8]) -> bool {
    [&b"PROXY TCP"[..], b"PROXY UNKNOWN", V2]
        .iter()
        .any(|signature| bytes.starts_with(signature))
}

/// Reads one header.
#[derive(Clone, Debug)]
pub struct ProxyParser {
    /// What is kept of it: the line, or the fixed part and the addresses.
    kept: [u8; LINE],
    len: usize,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Start,
    Line,
    Fixed,
    /// The addresses of version 2 up to this length, and how many bytes follow them.
    Addresses(usize, usize),
    Skip(usize, ProxyHeader),
    Done(ProxyHeader),
    Failed(ProxyHeaderError),
}

impl Default for ProxyParser {
    fn default() -> Self {
        Self {
            kept: [0; LINE],
            len: 0,
            phase: Phase::Start,
        }
    }
}

impl ProxyParser {
    /// Takes what came next. Says how many of the bytes belong to the header, and what it says once it is complete;
    /// until then all of them do.
    ///
    /// # Errors
    /// When it is not a header; then nothing that follows is taken either.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, Option<ProxyHeader>), ProxyHeaderError> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            match self.step(rest) {
                Ok(0) => break,
                Ok(n) => taken += n,
                Err(error) => self.phase = Phase::Failed(error),
            }
        }
        match self.phase {
            Phase::Done(header) => Ok((taken, Some(header))),
            Phase::Failed(error) => Err(error),
            _ => Ok((taken, None)),
        }
    }

    /// Whether not a byte has come.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.phase == Phase::Start
    }

    /// Takes at least one byte, if it needs one and there is one.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, ProxyHeaderError> {
        match self.phase {
            Phase::Start => {
                self.phase = match bytes.first() {
                    None => return Ok(0),
                    Some(b'P') => Phase::Line,
                    Some(b'\r') => Phase::Fixed,
                    Some(_) => return Err(ProxyHeaderError::Missing),
                };
                self.step(bytes)
            }
            Phase::Line => {
                let end = bytes.iter().position(|&b| b == b'\n');
                let part = end.map_or(bytes, |end| &bytes[..=end]);
                let room = LINE - self.len;
                if part.len() > room || (part.len() == room && end.is_none()) {
                    // Whether it would have been one is told by its beginning.
                    let start = self.len;
                    self.keep(&part[..room], LINE);
                    self.expect(V1, start)?;
                    return Err(ProxyHeaderError::TooLong);
                }
                let start = self.len;
                let taken = self.keep(part, LINE);
                self.expect(V1, start)?;
                if end.is_some() {
                    self.phase = Phase::Done(line(&self.kept[..self.len])?);
                }
                Ok(taken)
            }
            Phase::Fixed => {
                let start = self.len;
                let taken = self.keep(bytes, FIXED);
                self.expect(V2, start)?;
                if self.len == FIXED {
                    self.phase = fixed(&self.kept[V2.len()..FIXED])?;
                }
                Ok(taken)
            }
            Phase::Addresses(end, rest) => {
                let taken = self.keep(bytes, end);
                if self.len == end {
                    self.phase = skip(rest, addresses(&self.kept[FIXED..end])?);
                }
                Ok(taken)
            }
            Phase::Skip(left, header) => {
                let taken = bytes.len().min(left);
                self.phase = skip(left - taken, header);
                Ok(taken)
            }
            Phase::Done(_) | Phase::Failed(_) => Ok(0),
        }
    }

    /// Keeps bytes until there are `end` of them.
    fn keep(&mut self, bytes: &[u8], end: usize) -> usize {
        let taken = bytes.len().min(end - self.len);
        self.kept[self.len..self.len + taken].copy_from_slice(&bytes[..taken]);
        self.len += taken;
        taken
    }

    /// What came since `start` goes on with `signature`.
    fn expect(&self, signature: &[u8], start: usize) -> Result<(), ProxyHeaderError> {
        let end = self.len.min(signature.len());
        let fits = start >= end || self.kept[start..end] == signature[start..end];
        fits.then_some(()).ok_or(ProxyHeaderError::Missing)
    }
}

fn skip(left: usize, header: ProxyHeader) -> Phase {
    if left == 0 {
        Phase::Done(header)
    } else {
        Phase::Skip(left, header)
    }
}

/// Version 1: a complete line (section 2.1).
fn line(line: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let malformed = ProxyHeaderError::Malformed;
    let text = line
        .strip_prefix(V1)
        .and_then(|line| line.strip_suffix(b"\r\n"));
    let text = text.and_then(|text| std::str::from_utf8(text).ok());
    let text = text.ok_or(malformed)?;
    let mut words = text.split(' ');
    let family = words.next().ok_or(malformed)?;
    if family == "UNKNOWN" {
        // "The receiver must ignore anything presented before the CRLF."
        return Ok(ProxyHeader::Local);
    }
    let mut next = || words.next().ok_or(malformed);
    let (source, destination, from, to) = (next()?, next()?, next()?, next()?);
    if words.next().is_some() {
        return Err(malformed);
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    if !matches!(family, "TCP4" | "TCP6") {
        return Err(ProxyHeaderError::Unknown);
    }
    let socket = |ip: &str, port_text: &str| {
        let address = address(ip).zip(port(port_text));
        address.map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    };
    let client = socket(source, from).ok_or(malformed)?;
    let server = socket(destination, to).ok_or(malformed)?;
    Ok(ProxyHeader::Proxied { client, server })
}

/// Digits only, without leading zeros.
fn port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (digits && canonical).then(|| text.parse().ok()).flatten()
}

/// Version 2: what follows the signature (section 2.2).
fn fixed(bytes: &[u8]) -> Result<Phase, ProxyHeaderError> {
    let &[version, family, high, low] = bytes else {
        return Err(ProxyHeaderError::Malformed);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if version >> 4 != 2 || version & 15 > 1 {
        return Err(ProxyHeaderError::Unknown);
    }
    if FIXED + length > LONGEST {
        return Err(ProxyHeaderError::TooLong);
    }
    if version & 15 == 0 {
        // LOCAL: "the receiver must discard the protocol block including the family".
        return Ok(skip(length, ProxyHeader::Local));
    }
    let (addresses, told) = match family {
        0x00 => (0, false),
        0x11 => (12, true),
        0x21 => (36, true),
        // Of a Unix socket: a client without an address.
        0x31 => (216, false),
        // Datagrams never arrive on a connection; others are not defined.
        _ => return Err(ProxyHeaderError::Unknown),
    };
    let rest = length.checked_sub(addresses);
    let rest = rest.ok_or(ProxyHeaderError::Malformed)?;
    Ok(if told {
        Phase::Addresses(FIXED + addresses, rest)
    } else {
        skip(length, ProxyHeader::Local)
    })
}

/// Version 2: source and destination, then their ports.
fn addresses(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let (ips, ports) = bytes.split_at(bytes.len() - 4);
    let (source, destination) = ips.split_at(ips.len() / 2);
    let address = |bytes: &[u8], port: &[u8]| -> Option<SocketAddr> {
        let ip = match bytes.len() {
            4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
            _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
        };
        let port = u16::from_be_bytes(port.try_into().ok()?);
        Some(SocketAddr::new(ip.to_canonical(), port))
    };
    let client = address(source, &ports[..2]).ok_or(ProxyHeaderError::Malformed)?;
    let server = address(destination, &ports[2..]).ok_or(ProxyHeaderError::Malformed)?;
    Ok(ProxyHeader::Proxied { client, server })
}

#[cfg(test)]
mod tests;
