#[path = "../../../crates/base/service/src/discovery/srv/records.rs"]
mod records;

use super::check;
use crate::dns::Srv;

/// SRV records: for each a priority, a weight, a port, and a target up to a line end.
pub fn srv_records(input: &[u8]) {
    let mut all = Vec::new();
    for line in input.split(|byte| *byte == b'\n') {
        let Some((&[a, b, c, d, e, f], target)) = line.split_first_chunk::<6>() else {
            continue;
        };
        all.push(Srv {
            priority: u16::from_be_bytes([a, b]),
            weight: u16::from_be_bytes([c, d]),
            port: u16::from_be_bytes([e, f]),
            target: String::from_utf8_lossy(target).into_owned(),
        });
    }
    let listing = records::listing(all.clone());
    check(&listing);
    assert!(listing.entries.len() <= all.len());
    let ranks: Vec<u8> = listing.entries.iter().map(|entry| entry.priority).collect();
    assert!(ranks.is_sorted(), "{ranks:?}");
    // Name servers change the order from answer to answer.
    all.reverse();
    assert_eq!(records::listing(all), listing);
}
