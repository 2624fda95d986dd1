//! How much memory a million keys take, by the resident size of this process.

use weir_bench_guard::{Keys, cases, limiter};
use weir_limit::Plan;

const KEYS: usize = 1_000_000;

fn main() {
    println!("| limits | keys | bytes a key |\n|---|---:|---:|");
    // All stay, as what one gives back another would take unseen.
    let mut all = Vec::new();
    for (name, mut spec) in cases(KEYS) {
        // Room for all of them, however they fall on the shards.
        spec.max_keys = KEYS + KEYS / 20;
        let before = resident();
        let limiter = limiter(&spec);
        for key in Keys::new(1).take(KEYS) {
            limiter.check(key, Plan::NONE, 1, 1);
        }
        let bytes = (resident() - before) as f64 / KEYS as f64;
        println!("| {name} | {} | {bytes:.1} |", limiter.stats().keys);
        all.push(limiter);
    }
}

/// Resident pages, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
