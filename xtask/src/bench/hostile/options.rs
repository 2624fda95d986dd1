//! The command line of `bench hostile`.

use std::time::Duration;

use super::super::words::{self, Common};
use super::attack::Attack;
use super::subject::Subject;
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) common: Common,
    pub(super) attacks: Vec<Attack>,
    pub(super) subjects: Vec<Subject>,
    pub(super) connections: usize,
    pub(super) duration: Duration,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            common: Common::default(),
            attacks: Attack::ALL.into(),
            subjects: Subject::ALL.into(),
            connections: 3000,
            duration: Duration::from_secs(40),
        };
        options.common = words::read("hostile", args, |option, value| {
            match option {
                "--quick" => {
                    options.connections = 500;
                    options.duration = Duration::from_secs(8);
                }
                "--only" => options.attacks = value.some_of(&Attack::ALL, Attack::name)?,
                "--subjects" => options.subjects = value.some_of(&Subject::ALL, Subject::key)?,
                "--connections" => options.connections = value.number(1..=20_000)?,
                "--seconds" => options.duration = value.seconds(1..=20_000)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(options)
    }
}
