//! The cost of one pick, by algorithm and number of endpoints, and of a new endpoint set: that is when tables are computed.
//!
//! A pick is to cost at most 100 ns of 100 endpoints, and 200 ns of 1,000.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_bench_picks::{balances, endpoints, picker};
use weir_service::{Service, Wish};

/// The weight of each endpoint.
type Weights = fn(usize) -> u32;

fn equal(_: usize) -> u32 {
    1
}

fn one_to_ten(i: usize) -> u32 {
    1 + i as u32 % 10
}

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for (name, balance) in balances() {
        // Only rendezvous hashing looks at every weight.
        let weighted = name == "hash rendezvous";
        let sizes = [10, 100, 1_000].map(|n| (n, "", equal as fn(usize) -> u32));
        let more = [100, 1_000].map(|n| (n, ", weights 1 to 10", one_to_ten as fn(usize) -> u32));
        for (n, weights, weight) in sizes
            .into_iter()
            .chain(more)
            .take(if weighted { 5 } else { 3 })
        {
            let (mut picker, keys) = picker(&balance, n, weight);
            let mut keys = keys.iter().cycle();
            group.bench_function(BenchmarkId::new(&name, format!("{n}{weights}")), |b| {
                b.iter(|| {
                    let wish = Wish {
                        key: keys.next().copied(),
                        ..Wish::at(2)
                    };
                    // With the end of the request, which takes back what the pick counted in.
                    black_box(picker.pick(&wish)).is_ok()
                });
            });
        }
    }
    group.finish();
}

fn new_set(c: &mut Criterion) {
    let mut group = c.benchmark_group("new set");
    group.sample_size(10);
    for (name, balance) in balances() {
        if name.ends_with("bounded") {
            continue;
        }
        let weights: [(&str, Weights); 2] = [("equal", equal), ("1 to 10", one_to_ten)];
        for (weights, weight) in weights {
            let n = 1_000;
            let endpoints = endpoints(n, weight);
            group.bench_function(
                BenchmarkId::new(&name, format!("{n}, weights {weights}")),
                |b| {
                    b.iter(|| black_box(Service::fixed("bench", balance.clone(), &endpoints)));
                },
            );
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000));
    targets = pick, new_set
}
criterion_main!(benches);
