//! Services of any size for measuring what it costs to choose one of their endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_service::{Balance, HashBy, HashMethod, HashOn, Outcome, Picker, Rng, Service, Wish};

/// Every algorithm, with the name that the results carry.
pub fn balances() -> Vec<(String, Balance)> {
    let plain = [
        Balance::RoundRobin,
        Balance::Random,
        Balance::P2c,
        Balance::LeastConnections,
        Balance::LeastResponseTime,
        Balance::IpHash,
    ];
    let plain = plain.map(|balance| (balance.to_string(), balance));
    let methods = [HashMethod::Maglev, HashMethod::Ring, HashMethod::Rendezvous];
    let hashes = methods.into_iter().flat_map(|method| {
        [None, Some(125)].map(|bounded| {
            let on = HashOn::Ip;
            let end = if bounded.is_some() { ", bounded" } else { "" };
            let hash = HashBy {
                on,
                method,
                bounded,
            };
            (
                format!("hash {}{end}", method.as_str()),
                Balance::Hash(hash),
            )
        })
    });
    plain.into_iter().chain(hashes).collect()
}

/// The addresses of `n` endpoints, with these weights.
pub fn endpoints(n: usize, weight: impl Fn(usize) -> u32) -> Vec<(SocketAddr, u32)> {
    let address = |i: usize| SocketAddr::from(([10, 0, (i >> 8) as u8, i as u8], 80));
    (0..n).map(|i| (address(i), weight(i))).collect()
}

/// A worker's picker for a service whose endpoints, of these weights, have all been used, and a row of random keys for it.
pub fn picker(balance: &Balance, n: usize, weight: fn(usize) -> u32) -> (Picker, Vec<u64>) {
    let service = Service::fixed("bench", balance.clone(), &endpoints(n, weight));
    let mut picker = Picker::new(Arc::clone(&service), 1);
    let mut rng = Rng::new(2);
    let keys: Vec<u64> = (0..4096).map(|_| rng.next_u64()).collect();
    for key in keys.iter().cycle().take(n * 20) {
        let wish = Wish {
            key: Some(*key),
            ..Wish::at(1)
        };
        if let Ok(mut picked) = picker.pick(&wish) {
            picked.report(Outcome::Success, 1_000 + key % 1_000, 1);
        }
    }
    (picker, keys)
}
