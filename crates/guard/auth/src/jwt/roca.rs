//! Keys of a generator that was broken (ROCA, CVE-2017-15361; Nemec et al., CCS 2017).
//!
//! Its primes are powers of 65537 modulo a product of small primes, so their product is one as well, modulo each of them.
//! A key that was made well looks like that once in two hundred million times.

/// Primes modulo which the powers of 65537 are few enough to tell something.
const PRIMES: [u32; 17] = [
    11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157,
];

/// Whether a modulus, the greatest octet first, has the mark of that generator.
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| {
        let rest = modulus
            .iter()
            .fold(0, |rest, byte| (rest << 8 | u32::from(*byte)) % prime);
        let mut power = 1;
        (0..prime).any(|_| {
            power = power * 65_537 % prime;
            power == rest
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_the_generator_have_the_mark() {
        // 65537 to the 8th, as octets.
        let mut power = vec![1_u8];
        for _ in 0..8 {
            // Times 65537 = 2^16 + 1.
            let mut sum = vec![0; power.len() + 3];
            let mut carry = 0;
            for at in (0..sum.len()).rev() {
                let from_end = sum.len() - 1 - at;
                let digit = |back: usize| {
                    let index = power.len().checked_sub(back + 1);
                    index.map_or(0, |index| u32::from(power[index]))
                };
                let shifted = from_end.checked_sub(2).map_or(0, digit);
                let value = digit(from_end) + shifted + carry;
                sum[at] = value as u8;
                carry = value >> 8;
            }
            power = sum.into_iter().skip_while(|byte| *byte == 0).collect();
        }
        assert!(is_weak(&power));
        let mut other = power.clone();
        let last = other.len() - 1;
        other[last] ^= 2;
        assert!(!is_weak(&other));
        assert!(!is_weak(&[0xff; 256]));
    }
}
