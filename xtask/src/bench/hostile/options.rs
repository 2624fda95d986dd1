//! The command line of `bench hostile`.

use std::path::PathBuf;
use std::time::Duration;

use super::attack::Attack;
use super::subject::Subject;
use crate::Result;

#[derive(Debug)]
pub(super) struct Options {
    pub(super) attacks: Vec<Attack>,
    pub(super) subjects: Vec<Subject>,
    pub(super) connections: usize,
    pub(super) duration: Duration,
    pub(super) weir: Option<PathBuf>,
    pub(super) record: bool,
}

impl Options {
    pub(super) fn parse(args: &[&str]) -> Result<Self> {
        let mut options = Self {
            attacks: Attack::ALL.into(),
            subjects: Subject::ALL.into(),
            connections: 3000,
            duration: Duration::from_secs(40),
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
                "--quick" => {
                    options.connections = 500;
                    options.duration = Duration::from_secs(8);
                }
                "--only" => options.attacks = choose(value()?, &Attack::ALL, Attack::name)?,
                "--subjects" => {
                    options.subjects = choose(value()?, &Subject::ALL, Subject::key)?;
                }
                "--connections" => options.connections = number(value()?)?,
                "--seconds" => options.duration = Duration::from_secs(number(value()?)? as u64),
                "--weir" => options.weir = Some(value()?.into()),
                "--record" => options.record = true,
                _ => return Err(format!("unknown option {arg}; {SEE}")),
            }
        }
        Ok(options)
    }
}

const SEE: &str = "`cargo xtask bench hostile --help`";

fn number(text: &str) -> Result<usize> {
    text.parse()
        .ok()
        .filter(|number| (1..=20_000).contains(number))
        .ok_or_else(|| format!("not a number from 1 to 20000: {text}"))
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
