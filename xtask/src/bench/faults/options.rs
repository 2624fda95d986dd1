//! The command line of `bench faults`.

use std::path::PathBuf;
use std::time::Duration;

use super::endpoint::Fault;
use super::figures::Spans;
use super::subject::Subject;
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) faults: Vec<Fault>,
    pub(super) subjects: Vec<Subject>,
    pub(super) rate: u32,
    pub(super) spans: Spans,
    pub(super) weir: Option<PathBuf>,
    pub(super) record: bool,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            faults: Fault::ALL.into(),
            subjects: Subject::ALL.into(),
            rate: 1000,
            spans: spans(2, 10, 10),
            weir: None,
            record: false,
        };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || {
                args.next()
                    .copied()
                    .ok_or_else(|| format!("{arg} needs a value"))
            };
            match arg {
                "--quick" => options.spans = spans(1, 3, 5),
                "--only" => options.faults = choose(value()?, &Fault::ALL, Fault::name)?,
                "--subjects" => {
                    options.subjects = choose(value()?, &Subject::ALL, Subject::key)?;
                }
                "--rate" => {
                    let value = value()?;
                    // Beyond this the load would be limited by the core that it shares with the endpoints.
                    options.rate = value
                        .parse()
                        .ok()
                        .filter(|rate| (1..=5000).contains(rate))
                        .ok_or_else(|| format!("not a rate from 1 to 5000: {value}"))?;
                }
                "--weir" => options.weir = Some(value()?.into()),
                "--record" => options.record = true,
                _ => return Err(format!("unknown option {arg}; {SEE}")),
            }
        }
        Ok(options)
    }
}

const SEE: &str = "`cargo xtask bench faults --help`";

/// Seconds of warming up, of the fault, and after it.
fn spans(warm: u64, fault: u64, after: u64) -> Spans {
    Spans {
        strike: Duration::from_secs(warm),
        heal: Duration::from_secs(warm + fault),
        end: Duration::from_secs(warm + fault + after),
    }
}

/// Those of `all` that a list names.
fn choose<T: Copy>(list: &str, all: &[T], name: impl Fn(T) -> &'static str) -> Result<Vec<T>> {
    list.split(',')
        .map(|wanted| {
            all.iter()
                .copied()
                .find(|&one| name(one) == wanted)
                .ok_or_else(|| format!("unknown: {wanted}; {SEE}"))
        })
        .collect()
}
