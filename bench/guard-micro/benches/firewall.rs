//! Lists of a million networks: what it takes to read one, and to look an address up.

use std::fmt::Write;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_firewall::{PrefixSet, parse_list};

const NETWORKS: u64 = 1_000_000;

/// Addresses that are looked up in turn: more than stay in a near cache with what they lead to.
const ADDRESSES: usize = 1 << 16;

/// What a list is made of.
struct Kind {
    name: &'static str,
    v6: bool,
    /// The shortest prefix, and by how many bits the longest is longer.
    bits: (u32, u64),
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "ipv4 /32",
        v6: false,
        bits: (32, 0),
    },
    Kind {
        name: "ipv4 /16 to /32",
        v6: false,
        bits: (16, 16),
    },
    Kind {
        name: "ipv6 /32 to /64",
        v6: true,
        bits: (32, 32),
    },
    Kind {
        name: "ipv6 /48 to /128",
        v6: true,
        bits: (48, 80),
    },
];

/// Bits as good as random (SplitMix64).
const fn mix(number: u64) -> u64 {
    let x = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

impl Kind {
    fn address(&self, number: u64) -> IpAddr {
        let random = u128::from(mix(number)) << 64 | u128::from(mix(!number));
        if self.v6 {
            // Global unicast, 2000::/3.
            Ipv6Addr::from_bits(1 << 125 | random >> 3).into()
        } else {
            Ipv4Addr::from_bits(random as u32).into()
        }
    }

    fn text(&self) -> String {
        let (shortest, more) = self.bits;
        let mut text = String::new();
        for number in 0..NETWORKS {
            let bits = shortest + (mix(number ^ 1 << 40) % (more + 1)) as u32;
            let network: IpAddr = match self.address(number) {
                IpAddr::V4(ip) => {
                    Ipv4Addr::from_bits(ip.to_bits() & u32::MAX << (32 - bits)).into()
                }
                IpAddr::V6(ip) => {
                    Ipv6Addr::from_bits(ip.to_bits() & u128::MAX << (128 - bits)).into()
                }
            };
            // Text has no other end than memory.
            let _: std::fmt::Result = writeln!(text, "{network}/{bits}");
        }
        text
    }

    /// Addresses that are listed, or that are not.
    fn addresses(&self, set: &PrefixSet, listed: bool) -> Vec<IpAddr> {
        let first = if listed { 0 } else { NETWORKS };
        let numbers = (first..).map(|number| self.address(number));
        let those = numbers.filter(|address| set.contains(*address) == listed);
        those.take(ADDRESSES).collect()
    }
}

fn lists(c: &mut Criterion) {
    for kind in KINDS {
        let text = kind.text();
        let Ok(set) = parse_list(text.as_bytes()) else {
            panic!("{}: not a list", kind.name);
        };
        let bytes = set.bytes() as f64 / set.len() as f64;
        println!("{}: {bytes:.1} bytes a network", kind.name);
        c.bench_function(&format!("read/{}", kind.name), |b| {
            b.iter(|| parse_list(black_box(text.as_bytes())).is_ok());
        });
        for (name, listed) in [("hit", true), ("miss", false)] {
            let addresses = kind.addresses(&set, listed);
            let mut addresses = addresses.iter().cycle();
            c.bench_function(&format!("{name}/{}", kind.name), |b| {
                b.iter(|| {
                    let address = addresses.next().copied();
                    address.is_some_and(|address| set.contains(black_box(address)))
                });
            });
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(10);
    targets = lists
}
criterion_main!(benches);
