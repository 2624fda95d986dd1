//! A set of addresses that was given as prefixes, made for being asked.
//!
//! Of prefixes that lie in one another only the widest count, and the others never overlap: so an address is in the set
//! if it lies in the last prefix that begins at or below it. Sorted first addresses and one byte each for the length are
//! the whole set, some 5 bytes for a prefix of IPv4 and 10 for one of IPv6: a lookup among a million costs what its cache
//! misses cost, so little memory is what makes it fast.
//!
//! The place comes from a table by the leading bits of the number, counted from the first prefix, with an entry for
//! a few prefixes; among those it is searched for. Addresses that are spread evenly are found with two cache
//! misses, and those that crowd together cost some steps more. Nobody gives out less than a /64 of IPv6, so prefixes up
//! to there have a table of their own, of half the numbers' size.

use std::net::IpAddr;

use weir_config::Cidr;

/// How many bytes of numbers there are for each slot of a table, if they are spread evenly: half a cache line, since
/// they begin anywhere in one.
const SLOT_BYTES: usize = 32;
/// The largest table takes up a megabyte.
const MOST_BITS: u32 = 18;

/// A set of addresses. An IPv4 address that is written as IPv6 (`::ffff:10.0.0.1`) is the IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixSet {
    v4: Prefixes<u32>,
    /// The upper halves of prefixes of at most 64 bits.
    v6: Prefixes<u64>,
    /// Longer ones.
    v6_long: Prefixes<u128>,
    prefixes: usize,
}

impl PrefixSet {
    /// Whether the address is in the set.
    #[inline]
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.v4.contains(v4.to_bits()),
            IpAddr::V6(v6) => {
                let bits = v6.to_bits();
                self.v6.contains((bits >> 64) as u64) || self.v6_long.contains(bits)
            }
        }
    }

    /// How many prefixes it was made of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.prefixes
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.prefixes == 0
    }

    /// Bytes of memory that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.v6_long.bytes()
    }
}

impl FromIterator<Cidr> for PrefixSet {
    fn from_iter<I: IntoIterator<Item = Cidr>>(prefixes: I) -> Self {
        let (mut v4, mut v6, mut v6_long) = (Vec::new(), Vec::new(), Vec::new());
        let mut count = 0;
        for prefix in prefixes {
            count += 1;
            let length = u32::from(prefix.prefix());
            let first = match prefix.address() {
                IpAddr::V4(first) => {
                    v4.push((first.to_bits(), length as u8));
                    continue;
                }
                IpAddr::V6(first) => first,
            };
            // `::ffff:0:0/96` is all of IPv4; a shorter prefix holds no IPv6 address that is asked for in its place.
            match (first.to_ipv4_mapped(), length.checked_sub(96)) {
                (Some(first), Some(length)) => {
                    v4.push((first.to_bits(), length as u8));
                }
                _ if length <= 64 => {
                    let upper = (first.to_bits() >> 64) as u64;
                    v6.push((upper, length as u8));
                }
                _ => v6_long.push((first.to_bits(), length as u8)),
            }
        }
        Self {
            v4: Prefixes::new(v4),
            v6: Prefixes::new(v6),
            v6_long: Prefixes::new(v6_long),
            prefixes: count,
        }
    }
}

/// An address, or half of one, as a number.
trait Number: Copy + Ord {
    /// Whether both begin with the same `length` bits.
    fn agrees(self, other: Self, length: u8) -> bool;
    /// Its place in a table that begins at `least`, if it does not lie before it.
    fn slot(self, least: Self, shift: u32) -> Option<usize>;
    /// How many of the last bits to leave out, so that what is left of the distance from `least` fits into so many.
    fn shift(self, least: Self, bits: u32) -> u32;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            #[inline]
            fn agrees(self, other: Self, length: u8) -> bool {
                let free = Self::BITS - u32::from(length);
                // Of no bits at all, all agree.
                (self ^ other).checked_shr(free).unwrap_or(0) == 0
            }

            #[inline]
            fn slot(self, least: Self, shift: u32) -> Option<usize> {
                let slot = self.checked_sub(least)? >> shift;
                Some(usize::try_from(slot).unwrap_or(usize::MAX))
            }

            fn shift(self, least: Self, bits: u32) -> u32 {
                let span = Self::BITS - (self - least).leading_zeros();
                span.saturating_sub(bits)
            }
        }
    )*};
}

numbers!(u32, u64, u128);

/// Prefixes that do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefixes<T> {
    /// The first number of each, in order.
    firsts: Box<[T]>,
    /// How many bits each fixes; only one number if it is the same for all, as in a list of addresses.
    lengths: Box<[u8]>,
    /// The least of them: what does not agree so far lies in no prefix, and nothing more has to be fetched.
    shortest: u8,
    /// For each slot, how many prefixes begin before it; and at the end, how many there are.
    before: Box<[u32]>,
    shift: u32,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self {
            firsts: [].into(),
            lengths: [].into(),
            shortest: 0,
            before: [].into(),
            shift: 0,
        }
    }
}

impl<T: Number> Prefixes<T> {
    /// Of prefixes as their first number and length.
    fn new(mut prefixes: Vec<(T, u8)>) -> Self {
        // The widest of those that begin together comes first.
        prefixes.sort_unstable();
        prefixes.dedup_by(|next, kept| next.0.agrees(kept.0, kept.1));
        let (Some((least, _)), Some((most, _))) = (prefixes.first(), prefixes.last()) else {
            return Self::default();
        };
        let lengths = || prefixes.iter().map(|(_, length)| *length);
        let shortest = lengths().min().unwrap_or_default();
        let lengths = if lengths().all(|length| length == shortest) {
            [shortest].into()
        } else {
            lengths().collect()
        };
        let bits = (prefixes.len() * size_of::<T>() / SLOT_BYTES)
            .max(1)
            .ilog2();
        let shift = most.shift(*least, bits.clamp(1, MOST_BITS));
        let mut before = Vec::new();
        for (index, (first, _)) in prefixes.iter().enumerate() {
            // The distances grow, and none of them is too large for a slot.
            let slot = first.slot(*least, shift).unwrap_or_default();
            before.resize((slot + 1).max(before.len()), index as u32);
        }
        before.push(prefixes.len() as u32);
        Self {
            firsts: prefixes.iter().map(|(first, _)| *first).collect(),
            lengths,
            shortest,
            before: before.into(),
            shift,
        }
    }

    #[inline]
    fn contains(&self, number: T) -> bool {
        let Some(at) = self.last_before(number) else {
            return false;
        };
        let first = self.firsts.get(at);
        let Some(first) = first.filter(|first| number.agrees(**first, self.shortest)) else {
            return false;
        };
        let length = self.lengths.get(at).or_else(|| self.lengths.first());
        length.is_some_and(|length| number.agrees(*first, *length))
    }

    /// The last prefix that begins at or before `number`.
    #[inline]
    fn last_before(&self, number: T) -> Option<usize> {
        let slot = number.slot(*self.firsts.first()?, self.shift)?;
        // Beyond the last slot lies nothing but what the last prefix may reach to.
        let slot = slot.min(self.before.len() - 2);
        let (start, end) = (self.before[slot] as usize, self.before[slot + 1] as usize);
        let inside = self.firsts[start..end].partition_point(|first| *first <= number);
        (start + inside).checked_sub(1)
    }

    fn bytes(&self) -> usize {
        size_of_val(&*self.firsts) + size_of_val(&*self.lengths) + size_of_val(&*self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use weir_config::Text;

    fn cidr(text: &str) -> Cidr {
        Cidr::from_text(text).expect(text)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    fn set(prefixes: &[&str]) -> PrefixSet {
        prefixes.iter().map(|text| cidr(text)).collect()
    }

    #[test]
    fn ends_of_the_address_space_belong_to_it() {
        let all = set(&["0.0.0.0/0"]);
        assert!(all.contains(ip("0.0.0.0")) && all.contains(ip("255.255.255.255")));
        assert!(!all.contains(ip("::")) && !all.contains(ip("2001:db8::1")));
        let all = set(&["::/0"]);
        assert!(all.contains(ip("::")));
        assert!(all.contains(ip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
        assert!(!all.contains(ip("10.0.0.1")) && !all.contains(ip("::ffff:10.0.0.1")));
        let last = set(&["255.255.255.255", "255.255.255.254"]);
        assert!(last.contains(ip("255.255.255.255")) && last.contains(ip("255.255.255.254")));
        assert!(!last.contains(ip("255.255.255.253")));
        assert!(!PrefixSet::default().contains(ip("0.0.0.0")));
    }

    #[test]
    fn of_nested_prefixes_only_the_widest_is_kept() {
        let merged = set(&["10.0.0.0/9", "10.128.0.0/9", "10.1.2.3", "10.0.0.0/8"]);
        assert_eq!(&*merged.v4.lengths, [8]);
        assert_eq!(merged.len(), 4);
        assert!(merged.contains(ip("10.255.255.255")) && !merged.contains(ip("11.0.0.0")));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let plain = set(&["10.0.0.0/8"]);
        assert!(plain.contains(ip("::ffff:10.1.2.3")));
        let mapped = set(&["::ffff:10.0.0.0/104"]);
        assert!(mapped.contains(ip("10.1.2.3")) && mapped.contains(ip("::ffff:10.1.2.3")));
        assert!(!mapped.contains(ip("11.1.2.3")));
        assert!(set(&["::ffff:0:0/96"]).contains(ip("203.0.113.9")));
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        // Few distinct bits, so that prefixes meet, nest and touch.
        let v4 = (0..64_u32).prop_map(|n| IpAddr::V4(Ipv4Addr::from_bits(n << 26 | n >> 3)));
        let v6 = (0..64_u128).prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits(n << 122 | n >> 3)));
        let mapped = (0..64_u128)
            .prop_map(|n| IpAddr::V6(Ipv6Addr::from_bits(0xffff << 32 | n << 26 | n >> 3)));
        let any4 = any::<[u8; 4]>().prop_map(IpAddr::from);
        let any6 = any::<[u8; 16]>().prop_map(IpAddr::from);
        prop_oneof![4 => v4, 3 => v6, 1 => mapped, 1 => any4, 1 => any6]
    }

    fn any_prefix() -> impl Strategy<Value = Cidr> {
        (any_address(), 0..=128_u32).prop_map(|(address, length)| {
            let address = address.to_canonical();
            let text = match address {
                IpAddr::V4(v4) => {
                    let length = length % 33;
                    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                    format!("{}/{length}", Ipv4Addr::from_bits(v4.to_bits() & mask))
                }
                IpAddr::V6(v6) => {
                    let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                    format!("{}/{length}", Ipv6Addr::from_bits(v6.to_bits() & mask))
                }
            };
            cidr(&text)
        })
    }

    /// The addresses beside the ends of a prefix.
    fn around(prefix: Cidr) -> Vec<IpAddr> {
        let length = u32::from(prefix.prefix());
        match prefix.address() {
            IpAddr::V4(first) => {
                let first = first.to_bits();
                let last = first | u32::MAX.checked_shr(length).unwrap_or(0);
                let near = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                near.map(|n| IpAddr::V4(Ipv4Addr::from_bits(n))).to_vec()
            }
            IpAddr::V6(first) => {
                let first = first.to_bits();
                let last = first | u128::MAX.checked_shr(length).unwrap_or(0);
                let near = [first, last, first.wrapping_sub(1), last.wrapping_add(1)];
                near.map(|n| IpAddr::V6(Ipv6Addr::from_bits(n))).to_vec()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn it_answers_as_a_walk_over_the_prefixes_would(
            prefixes in proptest::collection::vec(any_prefix(), 0..400),
            others in proptest::collection::vec(any_address(), 0..64),
        ) {
            let set: PrefixSet = prefixes.iter().copied().collect();
            let near = prefixes.iter().take(40).flat_map(|prefix| around(*prefix));
            for address in near.chain(others) {
                let naive = prefixes.iter().any(|prefix| prefix.contains(address));
                prop_assert_eq!(set.contains(address), naive, "{}", address);
            }
        }
    }
}
