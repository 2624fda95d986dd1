//! What SRV records say about endpoints.

use weir_config::{Host, HostPort};

use super::super::listing::{Listed, Listing};
use crate::dns;

/// Most records of one name. More are ignored.
const MAX_RECORDS: usize = 4096;

/// The records as endpoints, in an order that does not depend on theirs.
pub(super) fn listing(mut records: Vec<dns::Srv>) -> Listing {
    records.sort_unstable();
    records.dedup();
    records.truncate(MAX_RECORDS);
    let mut listing = Listing::default();
    let mut rank = 0;
    let mut last = None;
    for record in records {
        if record.target == "." {
            continue;
        }
        let entry = match Host::parse(&record.target) {
            Some(host) if record.port > 0 => {
                // Priorities are any numbers; the balancer counts groups from 0.
                rank += u16::from(last.is_some_and(|last| last < record.priority));
                last = Some(record.priority);
                Ok(Listed {
                    weight: u32::from(record.weight.max(1)),
                    priority: u8::try_from(rank).unwrap_or(u8::MAX),
                    ..Listed::at(HostPort {
                        host,
                        port: record.port,
                    })
                })
            }
            Some(_) => Err(format!("`{}` has the port 0", record.target)),
            None => Err(format!("`{}` is not a host", record.target.escape_debug())),
        };
        listing.push(entry);
    }
    listing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(records: &[(u16, u16, u16, &str)]) -> Vec<(String, u32, u8)> {
        let record = |(priority, weight, port, target): &(u16, u16, u16, &str)| dns::Srv {
            priority: *priority,
            weight: *weight,
            target: (*target).to_owned(),
            port: *port,
        };
        let listing = listing(records.iter().map(record).collect());
        let entry = |entry: Listed| (entry.at.to_string(), entry.weight, entry.priority);
        listing.entries.into_iter().map(entry).collect()
    }

    #[test]
    fn priorities_become_ranks_and_no_weight_is_none() {
        let found = records(&[
            (20, 0, 80, "c.test."),
            (10, 5, 81, "B.test."),
            (10, 0, 80, "a.test."),
            (65_535, 9, 80, "d.test."),
        ]);
        let expected = [
            ("a.test:80", 1, 0),
            ("b.test:81", 5, 0),
            ("c.test:80", 1, 1),
            ("d.test:80", 9, 2),
        ];
        let expected = expected.map(|(at, weight, rank)| (at.to_owned(), weight, rank));
        assert_eq!(found, expected);
    }

    #[test]
    fn what_names_nobody_is_left_out() {
        assert!(records(&[(0, 0, 0, ".")]).is_empty());
        assert!(records(&[(0, 0, 0, "a.test."), (0, 0, 80, "bad host.")]).is_empty());
        assert_eq!(records(&[(0, 0, 80, "."), (7, 1, 80, "a.test.")]).len(), 1);
        let many: Vec<_> = (1..=60_000)
            .map(|port| (port, 1, port, "a.test."))
            .collect();
        let found = records(&many);
        assert_eq!(found.len(), MAX_RECORDS);
        assert_eq!(found.last().map(|(_, _, rank)| *rank), Some(255));
    }
}
