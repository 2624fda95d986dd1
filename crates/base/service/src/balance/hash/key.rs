//! Hashes that mean the same everywhere and for ever.
//!
//! Which endpoint a user belongs to must not depend on the process, the machine or the version of Weir that asks: a fleet
//! agrees on it without talking, and an upgrade moves nobody. So the function is written down: XXH64 with seed 0, as its
//! specification gives it, over exactly the bytes named here. It is not keyed: who can choose a key freely can choose
//! the endpoint it falls on, and bounded load is the answer to that, not secrecy, which a fleet could not share.

use std::net::{IpAddr, SocketAddr};

const PRIME_1: u64 = 0x9e37_79b1_85eb_ca87;
const PRIME_2: u64 = 0xc2b2_ae3d_27d4_eb4f;
const PRIME_3: u64 = 0x1656_67b1_9e37_79f9;
const PRIME_4: u64 = 0x85eb_ca77_c2b2_ae63;
const PRIME_5: u64 = 0x27d4_eb2f_1656_67c5;

/// The key of some bytes, such as the value of a header: XXH64, seed 0.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let (stripes, tail) = bytes.as_chunks::<32>();
    let mut hash = if stripes.is_empty() {
        PRIME_5
    } else {
        let mut lanes = [
            PRIME_1.wrapping_add(PRIME_2),
            PRIME_2,
            0,
            PRIME_1.wrapping_neg(),
        ];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.as_chunks::<8>().0) {
                *lane = round(*lane, u64::from_le_bytes(*word));
            }
        }
        let [a, b, c, d] = lanes;
        let merged = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes.into_iter().fold(merged, |hash, lane| {
            (hash ^ round(0, lane))
                .wrapping_mul(PRIME_1)
                .wrapping_add(PRIME_4)
        })
    };
    hash = hash.wrapping_add(bytes.len() as u64);

    let (words, tail) = tail.as_chunks::<8>();
    for word in words {
        hash = (hash ^ round(0, u64::from_le_bytes(*word)))
            .rotate_left(27)
            .wrapping_mul(PRIME_1)
            .wrapping_add(PRIME_4);
    }
    let (halves, tail) = tail.as_chunks::<4>();
    for half in halves {
        hash = (hash ^ u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIME_1))
            .rotate_left(23)
            .wrapping_mul(PRIME_2)
            .wrapping_add(PRIME_3);
    }
    for byte in tail {
        hash = (hash ^ u64::from(*byte).wrapping_mul(PRIME_5))
            .rotate_left(11)
            .wrapping_mul(PRIME_1);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(PRIME_2);
    hash = (hash ^ (hash >> 29)).wrapping_mul(PRIME_3);
    hash ^ (hash >> 32)
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2))
        .rotate_left(31)
        .wrapping_mul(PRIME_1)
}

/// The key of a client address: the four octets of IPv4, the first eight of IPv6.
///
/// One household or host has a whole /64 and changes its address within it as it likes. IPv4 in IPv6 counts as IPv4, so
/// that the kind of listening socket makes no difference.
pub fn hash_ip(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => hash_bytes(&ip.octets()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            hash_bytes(&[a, b, c, d, e, f, g, h])
        }
    }
}

/// The key of an endpoint: all octets of its address, then its port, highest byte first.
pub(crate) fn hash_address(address: SocketAddr) -> u64 {
    let [high, low] = address.port().to_be_bytes();
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            hash_bytes(&[a, b, c, d, high, low])
        }
        IpAddr::V6(ip) => {
            let mut bytes = [0; 18];
            bytes[..16].copy_from_slice(&ip.octets());
            bytes[16] = high;
            bytes[17] = low;
            hash_bytes(&bytes)
        }
    }
}

/// Derives word `n` of an unlimited row of unrelated words from one key (the generator SplitMix64).
#[inline]
pub(super) fn word(key: u64, n: u64) -> u64 {
    mix(key.wrapping_add(n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A bijection in which every bit of the result depends on every bit of `x`.
#[inline]
pub(super) fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_values_of_xxh64() {
        let sequence: Vec<u8> = (0..=255).collect();
        for (bytes, expected) in [
            (&b""[..], 0xef46_db37_51d8_e999),
            (b"a", 0xd24e_c4f1_a98c_6e5b),
            (b"abc", 0x44bc_2cf5_ad77_0999),
            (
                b"Nobody inspects the spammish repetition",
                0xfbce_a83c_8a37_8bf1,
            ),
        ] {
            assert_eq!(hash_bytes(bytes), expected, "{bytes:?}");
        }
        // One value over all lengths up to 256, so that no path can change unnoticed.
        let all = (0..=sequence.len()).fold(0u64, |sum, n| {
            sum.rotate_left(5) ^ hash_bytes(&sequence[..n])
        });
        assert_eq!(all, 0xcdc7_f5b3_a858_3d8f);
    }

    #[test]
    fn addresses_by_table() {
        let ip = |text: &str| hash_ip(text.parse().unwrap());
        // The same /64 is the same user, whatever follows.
        assert_eq!(
            ip("2001:db8:1:2::1"),
            ip("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(ip("2001:db8:1:2::1"), ip("2001:db8:1:3::1"));
        assert_eq!(ip("::ffff:192.0.2.1"), ip("192.0.2.1"));
        assert_ne!(ip("192.0.2.1"), ip("192.0.2.2"));
        assert_eq!(ip("192.0.2.1"), hash_bytes(&[192, 0, 2, 1]));

        let address = |text: &str| hash_address(text.parse().unwrap());
        assert_ne!(address("192.0.2.1:80"), address("192.0.2.1:81"));
        assert_ne!(address("[2001:db8::1]:80"), address("[2001:db8::2]:80"));
        assert_eq!(address("[::ffff:192.0.2.1]:80"), address("192.0.2.1:80"));
        assert_eq!(address("192.0.2.1:80"), hash_bytes(&[192, 0, 2, 1, 0, 80]));
    }
}
