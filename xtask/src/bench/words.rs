//! What the command lines of all benchmarks have in common.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::Result;

/// Options that every benchmark has.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// This binary instead of a fresh release build.
    pub(super) weir: Option<PathBuf>,
    /// The report is appended to `bench/RESULTS.md`.
    pub(super) record: bool,
}

/// The value of an option, for the benchmark that wants one.
pub(super) struct Value<'a, 'w> {
    option: &'a str,
    see: &'a str,
    rest: &'a mut std::slice::Iter<'w, &'w str>,
}

/// Whether a command line asks for help, which is then printed.
pub(super) fn asks_for_help(args: &[&str], help: &str) -> bool {
    let asks = args.contains(&"--help") || args.contains(&"-h");
    if asks {
        print!("{help}");
    }
    asks
}

/// Reads the command line of `bench NAME`. `own` is shown each option that is not common; false says that it is not one of
/// its own either.
pub(super) fn read(
    name: &str,
    args: &[&str],
    mut own: impl FnMut(&str, Value<'_, '_>) -> Result<bool>,
) -> Result<Common> {
    let see = format!("`cargo xtask bench {name} --help`");
    let mut common = Common::default();
    let mut rest = args.iter();
    while let Some(&option) = rest.next() {
        let value = Value {
            option,
            see: &see,
            rest: &mut rest,
        };
        match option {
            "--weir" => common.weir = Some(value.text()?.into()),
            "--record" => common.record = true,
            _ if own(option, value)? => {}
            _ => return Err(format!("unknown option {option}; {see}")),
        }
    }
    Ok(common)
}

impl<'w> Value<'_, 'w> {
    pub(super) fn text(self) -> Result<&'w str> {
        let value = self.rest.next().copied();
        value.ok_or_else(|| format!("{} needs a value", self.option))
    }

    pub(super) fn number<N>(self, range: RangeInclusive<N>) -> Result<N>
    where
        N: std::str::FromStr + PartialOrd + std::fmt::Display,
    {
        let text = self.text()?;
        text.parse()
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| {
                let (least, most) = (range.start(), range.end());
                format!("not a number from {least} to {most}: {text}")
            })
    }

    pub(super) fn seconds(self, range: RangeInclusive<u64>) -> Result<Duration> {
        self.number(range).map(Duration::from_secs)
    }

    /// Those of `all` that a list names.
    pub(super) fn some_of<T: Copy>(
        self,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Result<Vec<T>> {
        let see = self.see;
        let list = self.text()?.split(',');
        list.map(|wanted| {
            all.iter()
                .copied()
                .find(|&one| name(one) == wanted)
                .ok_or_else(|| format!("unknown: {wanted}; {see}"))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq)]
    struct Own {
        quick: bool,
        rate: u32,
        turn: Duration,
        only: Vec<&'static str>,
    }

    fn parse(args: &[&str]) -> Result<(Common, Own)> {
        let mut options = Own::default();
        let common = read("thing", args, |option, value| {
            match option {
                "--quick" => options.quick = true,
                "--rate" => options.rate = value.number(1..=50)?,
                "--seconds" => options.turn = value.seconds(1..=9)?,
                "--only" => options.only = value.some_of(&["a", "b", "c"], |one| one)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok((common, options))
    }

    #[test]
    fn options_are_read_in_any_order() {
        let args = "--rate 50 --weir /a/weir --quick --only c,a --record --seconds 2";
        let args: Vec<&str> = args.split(' ').collect();
        let (common, own) = parse(&args).expect("good");
        assert_eq!(common.weir, Some(PathBuf::from("/a/weir")));
        assert!(common.record);
        let expected = Own {
            quick: true,
            rate: 50,
            turn: Duration::from_secs(2),
            only: vec!["c", "a"],
        };
        assert_eq!(own, expected);
        let (common, own) = parse(&[]).expect("nothing is fine");
        assert_eq!(
            (common.weir, common.record, own),
            (None, false, Own::default())
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (args, why) in [
            (
                "--rat 5",
                "unknown option --rat; `cargo xtask bench thing --help`",
            ),
            ("--quick --rate", "--rate needs a value"),
            ("--weir", "--weir needs a value"),
            ("--rate 51", "not a number from 1 to 50: 51"),
            ("--seconds x", "not a number from 1 to 9: x"),
            ("--only a,d", "unknown: d; `cargo xtask bench thing --help`"),
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            assert_eq!(parse(&args).expect_err(why), why);
        }
    }
}
