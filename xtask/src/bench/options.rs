//! The command line of `bench http`.

use std::time::Duration;

use super::SCENARIOS;
use super::words::{self, Common};
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) common: Common,
    pub(super) rounds: usize,
    pub(super) turn: Duration,
    pub(super) without_weir: bool,
    only: Vec<&'static str>,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let (mut rounds, mut turn) = (5, Duration::from_secs(4));
        let mut without_weir = false;
        let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
        let mut only = names.clone();
        let common = words::read("http", args, |option, value| {
            match option {
                "--rounds" => rounds = value.number(1..=1000)?,
                "--seconds" => turn = value.seconds(1..=1000)?,
                "--only" => only = value.some_of(&names, |name| name)?,
                "--without-weir" => without_weir = true,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(Self {
            common,
            rounds,
            turn,
            without_weir,
            only,
        })
    }

    pub(super) fn wants(&self, scenario: &str) -> bool {
        self.only.contains(&scenario)
    }
}
