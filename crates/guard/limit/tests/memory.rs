//! What a million keys take, by the resident size of this process. Alone in its program, as other tests would grow it, too.

use weir_limit::{Algorithm, Key, LimitSpec, Limiter, Plan, Seed, Tier};

const KEYS: u64 = 1_000_000;

#[test]
fn a_million_keys_take_a_hundred_bytes_each_and_more_take_no_more() {
    let minute = 60_000;
    let tiers = [
        Tier::new(1, 1_000),
        Tier::new(5, 10_000),
        Tier::new(10, minute),
    ];
    let cases: [(Algorithm, &[Tier]); 4] = [
        (Algorithm::SlidingLog, &tiers[2..]),
        (Algorithm::SlidingLog, &tiers),
        (Algorithm::SlidingWindow, &[Tier::new(1_000, minute)]),
        (Algorithm::TokenBucket, &[Tier::new(1_000, minute)]),
    ];
    // All stay: what one gives back, the next would take unseen.
    let mut all = Vec::new();
    for (algorithm, tiers) in cases {
        let mut spec = LimitSpec::new(algorithm, tiers);
        // However keys fall on shards, a million find room.
        spec.max_keys = KEYS as usize * 21 / 20;
        let before = resident();
        let limiter = Limiter::new("memory", spec, Seed::new(1));
        let mut keys = keys();
        let mut come = |many: u64| {
            for key in keys.by_ref().take(many as usize) {
                limiter.check(key, Plan::NONE, 1, 1);
            }
        };
        come(KEYS);
        let bytes = (resident() - before) / KEYS;
        assert_eq!(limiter.stats().keys, KEYS);
        assert!(bytes <= 100, "{algorithm} {tiers:?}: {bytes} bytes a key");

        come(KEYS);
        let stats = limiter.stats();
        assert!(stats.keys <= limiter.spec().max_keys as u64);
        assert_eq!(stats.keys + stats.evicted, 2 * KEYS);
        let most = limiter.spec().max_keys as u64 * 100;
        assert!(resident() - before <= most, "{algorithm} {tiers:?}");
        all.push(limiter);
    }
}

/// Keys as good as random.
fn keys() -> impl Iterator<Item = Key> {
    const BY: u128 = 0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645;
    let mut state = 1u128;
    let mut half = move || {
        state = state.wrapping_mul(BY).wrapping_add(1);
        state >> 64
    };
    std::iter::repeat_with(move || Key::new(half() << 64 | half()))
}

/// Resident memory in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok()).expect("a size") * 1024
}
