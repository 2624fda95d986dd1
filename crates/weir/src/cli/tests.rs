//! What can be typed, and what comes of it.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
}

#[test]
fn the_definition_holds_together() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_teaches_by_example() {
    for command in Cli::command().get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let example = format!("\n  weir {}", command.get_name());
        assert!(help.contains(&example), "{}", command.get_name());
        assert!(command.get_about().is_some(), "{}", command.get_name());
    }
}

#[test]
fn examples_in_the_help_parse() {
    for command in Cli::command().get_subcommands() {
        let help = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        for line in help
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("weir "))
        {
            // What follows is the shell's, or explanation.
            let typed = line.split("  ").next().unwrap_or_default();
            let typed = typed.split(['|', '>', '&']).next().unwrap_or_default();
            let words = shell_words(typed);
            if let Err(error) = Cli::try_parse_from(&words) {
                panic!("{words:?}\n{error}");
            }
        }
    }
}

/// Enough of a shell: words, and single quotes.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![];
    for (at, part) in line.split('\'').enumerate() {
        if at % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[test]
fn up_takes_ports() {
    let Ok(Command::Up(up)) = parse("weir up 3000 3001 --listen :80") else {
        panic!("up")
    };
    assert_eq!(
        (
            up.ports,
            up.listen.map(|listen| listen.to_string()).as_deref()
        ),
        (vec![3000, 3001], Some(":80"))
    );
    let Ok(Command::Up(up)) = parse("weir up") else {
        panic!("up")
    };
    assert!(up.ports.is_empty());
    for wrong in ["weir up 0", "weir up 65536", "weir up app", "weir up -1"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn drain_takes_an_endpoint() {
    let Ok(Command::Drain(drain)) =
        parse("weir drain 127.0.0.1:3001 --service users --undo --admin 10.0.0.1:9900 --json")
    else {
        panic!("drain")
    };
    assert_eq!(drain.endpoint, "127.0.0.1:3001");
    assert_eq!(drain.service.as_deref(), Some("users"));
    assert_eq!(drain.admin.address.as_deref(), Some("10.0.0.1:9900"));
    assert!(drain.undo && drain.json.wanted);
    assert!(parse("weir drain").is_err());
}

#[test]
fn wrong_usage_is_told_apart_from_questions() {
    for (line, kind) in [
        ("weir", ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        ("weir statis", ErrorKind::InvalidSubcommand),
        ("weir run --nothing", ErrorKind::UnknownArgument),
        ("weir --version", ErrorKind::DisplayVersion),
        ("weir help run", ErrorKind::DisplayHelp),
        ("weir run --help", ErrorKind::DisplayHelp),
    ] {
        assert_eq!(
            parse(line).err().map(|error| error.kind()),
            Some(kind),
            "{line}"
        );
    }
}
