#[path = "../../../crates/base/service/src/discovery/consul/answer.rs"]
mod answer;

use super::{check, check_error};

/// An answer of Consul's health API.
pub fn consul_answer(input: &[u8]) {
    let (all, passing) = (answer::parse(input, false), answer::parse(input, true));
    match (&all, &passing) {
        (Ok(all), Ok(passing)) => {
            check(all);
            check(passing);
            // Asked for without those that do not pass, Consul has left out what is in maintenance.
            assert!(all.entries.len() <= passing.entries.len());
            assert!(
                all.entries
                    .iter()
                    .all(|entry| passing.entries.contains(entry))
            );
        }
        (Err(one), Err(other)) => {
            assert_eq!(one, other);
            check_error(one);
        }
        _ => panic!("{all:?} but {passing:?}"),
    }
}
