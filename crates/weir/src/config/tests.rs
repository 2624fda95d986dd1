//! The whole config: examples, references between its parts, and that schema and parser say the same.

mod docs;
mod examples;
mod references;
mod schema;
mod slips;
mod stages;

use super::{Config, parse};

fn environment(_: &str) -> Option<String> {
    None
}

/// The config, which has no problem.
fn good(text: &str) -> Config {
    match parse("weir.yaml", text, &environment) {
        Ok(loaded) => loaded.value,
        Err(problems) => panic!("{text}\n{problems}"),
    }
}

/// What is told about a config that has problems.
fn told(text: &str) -> String {
    match parse("weir.yaml", text, &environment) {
        Ok(loaded) => panic!("{text}\n{:?}", loaded.value),
        Err(problems) => problems.to_string(),
    }
}
