//! Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, 2016).
//!
//! Hashing alone sends a popular key, and everything that shares its endpoint, to one place however full that is. With a
//! bound no endpoint holds more than `factor` times its fair share of the requests in flight: a key that finds its endpoint
//! full goes to the next one in its own order of preference, and comes back when there is room.

/// May an endpoint that holds `active` requests take one more?
///
/// Its bound is ⌈factor × fair share⌉, where the fair share is by weight and of all requests in flight *including* the one
/// that asks. With a factor of at least 100 % somebody always has room, because not everybody can hold more than its share.
#[inline]
pub(crate) fn has_room(
    active: u32,
    weight: u32,
    total_active: u64,
    total_weight: u64,
    factor_percent: u32,
) -> bool {
    // active + 1 <= ⌈x⌉ is active < x for an integer: nothing to divide, nothing to round.
    let held = u128::from(active) * u128::from(total_weight) * 100;
    let bound = u128::from(factor_percent) * (u128::from(total_active) + 1) * u128::from(weight);
    held < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_by_table() {
        for (active, weight, total, weights, factor, expected) in [
            // Nobody has anything: everybody has room.
            (0, 1, 0, 10, 125, true),
            // ⌈1.25 × (9 + 1) / 10⌉ = 2.
            (1, 1, 9, 10, 125, true),
            (2, 1, 9, 10, 125, false),
            // ⌈1.25 × (99 + 1) / 10⌉ = 13.
            (12, 1, 99, 10, 125, true),
            (13, 1, 99, 10, 125, false),
            // Weight 3 of 10: ⌈1.25 × 30⌉ = 38.
            (37, 3, 99, 10, 125, true),
            (38, 3, 99, 10, 125, false),
            // Exactly the fair share.
            (9, 1, 99, 10, 100, true),
            (10, 1, 99, 10, 100, false),
            // Far beyond anything real: no overflow.
            (u32::MAX, u32::MAX, u64::MAX, u64::MAX, u32::MAX, true),
            (u32::MAX, 1, 0, u64::MAX, 100, false),
        ] {
            assert_eq!(
                has_room(active, weight, total, weights, factor),
                expected,
                "{active} {weight} {total} {weights} {factor}"
            );
        }
    }
}
