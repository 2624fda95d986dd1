//! Whom a request is counted to.
//!
//! Tables on this machine know a key as 128 bits of SipHash-1-3 under a seed that is drawn when Weir starts: small, of one
//! size whatever a client sends, and nobody outside can make two keys meet. A shared store needs what every Weir of a fleet
//! writes alike, so there a key is text. [`KeyBuilder`] makes both at once; without text it allocates nothing.
//!
//! The text names addresses, countries, routes and hosts as they are, so that an operator can find them. What identifies a person
//! or is a secret (users, API keys, header fields, claims) appears only as half of its SHA-256.

use std::borrow::Cow;
use std::io::Write;
use std::net::{IpAddr, Ipv6Addr};

use sha2::{Digest, Sha256};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// A key as tables on this machine know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

impl Key {
    /// A key of these bits, which must be as good as random: tables take them as they are.
    pub const fn new(bits: u128) -> Self {
        Self(bits)
    }

    /// Chooses a shard.
    pub(crate) const fn high(self) -> u32 {
        (self.0 >> 96) as u32
    }

    /// Chooses a place in a shard.
    pub(crate) const fn low(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn words(self) -> [u32; 4] {
        [
            self.0 as u32,
            (self.0 >> 32) as u32,
            (self.0 >> 64) as u32,
            (self.0 >> 96) as u32,
        ]
    }

    pub(crate) const fn from_words(words: [u32; 4]) -> Self {
        Self(
            words[0] as u128
                | (words[1] as u128) << 32
                | (words[2] as u128) << 64
                | (words[3] as u128) << 96,
        )
    }
}

/// What makes keys unpredictable: random bits that stay the same while a process runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(u64, u64);

impl Seed {
    /// From 128 random bits.
    pub const fn new(bits: u128) -> Self {
        Self(bits as u64, (bits >> 64) as u64)
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

/// One of the things that a key is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The client's address; of IPv6 the network of so many bits.
    Ip(u8),
    /// Who the client proved to be.
    User,
    /// Which API key it used.
    ApiKey,
    /// A header field, its name in lower case.
    Header(Box<str>),
    /// A claim of the client's token.
    Claim(Box<str>),
    /// The country of its address.
    Country,
    /// The network (autonomous system) of its address.
    Asn,
    /// The route.
    Route,
    /// The host that it asks.
    Host,
}

impl KeyPart {
    /// By address: a household or a host has a whole /64 and changes its address within it as it likes.
    pub const IP: Self = Self::Ip(64);
}

/// What a key is made of: all parts together; none for one count for everyone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeySpec(Box<[KeyPart]>);

impl Default for KeySpec {
    fn default() -> Self {
        Self::new([KeyPart::IP])
    }
}

/// What keys may be made of: how a request looks to limits.
pub trait Caller {
    /// The client's real address.
    fn ip(&self) -> IpAddr;
    /// Who it proved to be.
    fn user(&self) -> Option<&[u8]>;
    /// The id of the API key that it used; never the key itself.
    fn api_key(&self) -> Option<&[u8]>;
    /// The value of a header field; `name` is in lower case.
    fn header(&self, name: &str) -> Option<&[u8]>;
    /// A claim of its token.
    fn claim(&self, name: &str) -> Option<Cow<'_, [u8]>>;
    /// The country of its address, as two letters.
    fn country(&self) -> Option<[u8; 2]>;
    /// The autonomous system of its address.
    fn asn(&self) -> Option<u32>;
    /// What tells its route from others.
    fn route(&self) -> &str;
    /// The host that it asks, in lower case.
    fn host(&self) -> &[u8];
}

impl KeySpec {
    /// These parts together.
    pub fn new(parts: impl IntoIterator<Item = KeyPart>) -> Self {
        Self(parts.into_iter().collect())
    }

    /// The parts.
    pub fn parts(&self) -> &[KeyPart] {
        &self.0
    }

    /// The key of a request for tables on this machine.
    pub fn key(&self, caller: &impl Caller, seed: Seed) -> Key {
        self.build(caller, KeyBuilder::new(seed))
    }

    /// The same key, and its text for a shared store in place of what `text` held.
    pub fn key_and_text(&self, caller: &impl Caller, seed: Seed, text: &mut Vec<u8>) -> Key {
        self.build(caller, KeyBuilder::with_text(seed, text))
    }

    fn build(&self, caller: &impl Caller, mut key: KeyBuilder<'_>) -> Key {
        for part in &self.0 {
            match part {
                KeyPart::Ip(bits) => key.ip(caller.ip(), *bits),
                KeyPart::User => key.private("user", "", caller.user(), caller),
                KeyPart::ApiKey => key.private("api_key", "", caller.api_key(), caller),
                KeyPart::Header(name) => {
                    key.private("header", name, caller.header(name), caller);
                }
                KeyPart::Claim(name) => {
                    key.private("claim", name, caller.claim(name).as_deref(), caller);
                }
                KeyPart::Country => match &caller.country() {
                    Some(country) => key.plain("country", country),
                    None => key.stranger(caller),
                },
                KeyPart::Asn => match caller.asn() {
                    Some(asn) => key.asn(asn),
                    None => key.stranger(caller),
                },
                KeyPart::Route => key.plain("route", caller.route().as_bytes()),
                KeyPart::Host => key.plain("host", caller.host()),
            }
        }
        key.finish()
    }
}

/// Makes a key of parts. What is added in the same order with the same words gives the same key, and nothing else does.
#[derive(Debug)]
pub struct KeyBuilder<'t> {
    hasher: SipHasher13,
    text: Option<&'t mut Vec<u8>>,
}

impl<'t> KeyBuilder<'t> {
    /// For tables on this machine only.
    pub fn new(seed: Seed) -> Self {
        Self {
            hasher: SipHasher13::new_with_keys(seed.0, seed.1),
            text: None,
        }
    }

    /// For a shared store, too: its text replaces what `text` held.
    pub fn with_text(seed: Seed, text: &'t mut Vec<u8>) -> Self {
        text.clear();
        Self {
            text: Some(text),
            ..Self::new(seed)
        }
    }

    /// Adds an address; of IPv6 the network of so many bits. IPv4 in IPv6 counts as IPv4.
    pub fn ip(&mut self, ip: IpAddr, bits: u8) {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                self.hash(b'4', &ip.octets());
                if let Some(text) = self.named("ip") {
                    write_to(text, format_args!("{ip}"));
                }
            }
            IpAddr::V6(ip) => {
                let bits = bits.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
                let network = u128::from(ip) & mask;
                self.hash(b'6', &network.to_be_bytes());
                if let Some(text) = self.named("ip") {
                    let network = Ipv6Addr::from(network);
                    write_to(text, format_args!("{network}/{bits}"));
                }
            }
        }
    }

    /// Adds an autonomous system.
    pub fn asn(&mut self, asn: u32) {
        self.hash(b'a', &asn.to_be_bytes());
        if let Some(text) = self.named("asn") {
            write_to(text, format_args!("{asn}"));
        }
    }

    /// Adds something that anyone may read in the store. What is long appears as a digest all the same.
    pub fn plain(&mut self, what: &'static str, value: &[u8]) {
        const LONGEST: usize = 128;
        self.hash(b'p', value);
        let Some(text) = self.named(what) else {
            return;
        };
        if value.len() > LONGEST {
            digest(text, value);
            return;
        }
        for &byte in value {
            // Not those that separate parts, nor braces, which mean something to Redis Cluster.
            if byte.is_ascii_alphanumeric() || b"-._/:*~".contains(&byte) {
                text.push(byte);
            } else {
                write_to(text, format_args!("%{byte:02X}"));
            }
        }
    }

    /// Adds whoever lacks what is counted by. They are told apart by address: they must not all share one count, which any of them
    /// could use up.
    pub fn stranger(&mut self, caller: &impl Caller) {
        self.hash(b'-', b"");
        self.ip(caller.ip(), 64);
    }

    /// Adds what identifies a person or is a secret; nothing at all is as good as none.
    pub fn private(
        &mut self,
        what: &'static str,
        name: &str,
        value: Option<&[u8]>,
        caller: &impl Caller,
    ) {
        let Some(value) = value.filter(|value| !value.is_empty()) else {
            return self.stranger(caller);
        };
        self.hash(b's', value);
        if let Some(text) = self.named(what) {
            if !name.is_empty() {
                text.pop();
                text.push(b'.');
                text.extend_from_slice(name.as_bytes());
                text.push(b'=');
            }
            digest(text, value);
        }
    }

    /// The key.
    pub fn finish(self) -> Key {
        if let Some(text) = self.text
            && text.is_empty()
        {
            text.extend_from_slice(b"everyone");
        }
        Key(self.hasher.finish128().as_u128())
    }

    /// Kind and length go first, so that what one part ends with is never taken for the beginning of the next.
    fn hash(&mut self, kind: u8, value: &[u8]) {
        self.hasher
            .write_u64((value.len() as u64) << 8 | u64::from(kind));
        self.hasher.write(value);
    }

    fn named(&mut self, what: &str) -> Option<&mut Vec<u8>> {
        let text = self.text.as_deref_mut()?;
        if !text.is_empty() {
            text.push(b'|');
        }
        text.extend_from_slice(what.as_bytes());
        text.push(b'=');
        Some(text)
    }
}

fn digest(text: &mut Vec<u8>, value: &[u8]) {
    let digest = Sha256::digest(value);
    text.push(b'~');
    for byte in digest.iter().take(16) {
        write_to(text, format_args!("{byte:02x}"));
    }
}

fn write_to(text: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // A vector takes whatever is written.
    let _: std::io::Result<()> = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
