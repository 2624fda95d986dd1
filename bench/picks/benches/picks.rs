//! The cost of one pick, by algorithm and number of endpoints, and of a new endpoint set: that is when tables are computed.
//!
//! A pick is to cost at most 100 ns of 100 endpoints, and 200 ns of 1,000.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_bench_picks::{balances, endpoints, picker};
use weir_service::{Service, Wish};

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for (name, balance) in balances() {
        for n in [10, 100, 1_000] {
            let (mut picker, keys) = picker(&balance, n);
            let mut keys = keys.iter().cycle();
            group.bench_function(BenchmarkId::new(&name, n), |b| {
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
        for (weights, n) in [("equal", 1_000), ("1 to 10", 1_000)] {
            let weight = |i| {
                if weights == "equal" {
                    1
                } else {
                    1 + i as u32 % 10
                }
            };
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
