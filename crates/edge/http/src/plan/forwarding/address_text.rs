//! Addresses as text.

use std::{io::Write, net::IpAddr};

/// An address as text, made once per connection. An IPv4 client of an IPv6 socket looks like what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AddressText {
    text: [u8; 46],
    len: u8,
}

impl AddressText {
    pub(crate) fn new(address: IpAddr) -> Self {
        let mut text = [0; 46];
        let mut room = &mut text[..];
        // The longest IPv6 text has 45 characters.
        let _ = write!(room, "{}", address.to_canonical());
        let len = (46 - room.len()) as u8;
        Self { text, len }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.len)]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_people_know_it() {
        for (address, text) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("2001:db8::1", "2001:db8::1"),
            (
                "1111:2222:3333:4444:5555:6666:7777:8888",
                "1111:2222:3333:4444:5555:6666:7777:8888",
            ),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(AddressText::new(address).as_str(), text);
        }
    }
}
