//! The command line of `bench faults`.

use std::time::Duration;

use super::super::words::{self, Common};
use super::endpoint::Fault;
use super::figures::Spans;
use super::subject::Subject;
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) common: Common,
    pub(super) faults: Vec<Fault>,
    pub(super) subjects: Vec<Subject>,
    pub(super) rate: u32,
    pub(super) spans: Spans,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            common: Common::default(),
            faults: Fault::ALL.into(),
            subjects: Subject::ALL.into(),
            rate: 1000,
            spans: spans(2, 10, 10),
        };
        options.common = words::read("faults", args, |option, value| {
            match option {
                "--quick" => options.spans = spans(1, 3, 5),
                "--only" => options.faults = value.some_of(&Fault::ALL, Fault::name)?,
                "--subjects" => options.subjects = value.some_of(&Subject::ALL, Subject::key)?,
                // Beyond this the load would be limited by the core that it shares with the endpoints.
                "--rate" => options.rate = value.number(1..=5000)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(options)
    }
}

/// Seconds of warming up, of the fault, and after it.
fn spans(warm: u64, fault: u64, after: u64) -> Spans {
    Spans {
        strike: Duration::from_secs(warm),
        heal: Duration::from_secs(warm + fault),
        end: Duration::from_secs(warm + fault + after),
    }
}
