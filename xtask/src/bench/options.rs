//! The command line of `bench http`.

use std::path::PathBuf;
use std::time::Duration;

use super::SCENARIOS;
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) rounds: usize,
    pub(super) turn: Duration,
    pub(super) weir: Option<PathBuf>,
    pub(super) without_weir: bool,
    pub(super) record: bool,
    only: Vec<String>,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            rounds: 5,
            turn: Duration::from_secs(4),
            weir: None,
            without_weir: false,
            record: false,
            only: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(&arg) = args.next() {
            let mut value = || {
                args.next()
                    .copied()
                    .ok_or_else(|| format!("{arg} needs a value"))
            };
            match arg {
                "--rounds" => options.rounds = number(value()?)? as usize,
                "--seconds" => options.turn = Duration::from_secs(number(value()?)?),
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--weir" => options.weir = Some(value()?.into()),
                "--without-weir" => options.without_weir = true,
                "--record" => options.record = true,
                _ => {
                    return Err(format!(
                        "unknown option {arg}; `cargo xtask bench http --help`"
                    ));
                }
            }
        }
        match options
            .only
            .iter()
            .find(|name| SCENARIOS.iter().all(|(known, _)| known != name))
        {
            Some(unknown) => Err(format!(
                "unknown scenario {unknown}; `cargo xtask bench http --help`"
            )),
            None => Ok(options),
        }
    }

    pub(super) fn wants(&self, scenario: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == scenario)
    }
}

fn number(text: &str) -> Result<u64> {
    text.parse()
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| format!("not a number above 0: {text}"))
}
