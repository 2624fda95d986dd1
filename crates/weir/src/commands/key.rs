//! `weir key`: API keys, and the hashes that stand in a config in place of secrets.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde_json::json;
use weir_auth::{KeyEntry, KeyHash, NewKey, Scope, Timestamp, hash_password};
use weir_config::{Cx, Decode, Duration, Map, Name, Spanned, Text};

use crate::cli::{Key, KeyCommand, NewKeyArguments};
use crate::terminal::{Exit, Output};

/// Longer secrets are not read.
const LONGEST: u64 = 4096;
/// Fewer characters cannot hold the 128 random bits that nobody guesses.
const SHORTEST_KEY: usize = 22;

pub(super) fn run(arguments: &Key) -> Output {
    let done = match &arguments.command {
        KeyCommand::New(arguments) => new(arguments),
        KeyCommand::Hash => secret("Key: ").map(|key| hash(&key)),
        KeyCommand::Password => secret("Password: ").and_then(|password| {
            let hash = hash_password(&password).map_err(|error| error.to_string())?;
            Ok(Output::fine(format!("{hash}\n")))
        }),
    };
    done.unwrap_or_else(|problem| Output::error(Exit::Wrong, problem))
}

/// The hash of a key. It is a fast one, which protects only what cannot be guessed.
fn hash(key: &str) -> Output {
    let length = key.chars().count();
    let stderr = if length < SHORTEST_KEY {
        format!(
            "warning: a key of {length} characters can be guessed, by whoever sees its hash within seconds\n\
             help: at least {SHORTEST_KEY} random characters; `weir key new` makes a key\n"
        )
    } else {
        String::new()
    };
    Output {
        stdout: format!("{}\n", KeyHash::of(key.as_bytes()).to_text()),
        stderr,
        exit: Exit::Fine,
    }
}

fn new(arguments: &NewKeyArguments) -> Result<Output, String> {
    let new = NewKey::generate(arguments.id.as_deref()).map_err(|error| error.to_string())?;
    let entry = entry(arguments, &new)?;
    if let Some(file) = &arguments.file {
        append(file, &entry)?;
    }
    // Nothing can go wrong any more: the key is shown only to whom it belongs, and only if it works.
    if arguments.json.wanted {
        let shown = json!({ "key": new.key, "entry": entry.to_json() });
        return Ok(Output::fine(format!("{shown:#}\n")));
    }
    let place = match &arguments.file {
        Some(file) => format!("It is in {} now", file.display()),
        None => format!(
            "Add this to the list of keys:\n\n{}\n\nIt is stored as a hash",
            entry.to_line()
        ),
    };
    Ok(Output {
        stdout: format!("{}\n", new.key),
        stderr: format!("\n{place}. The key itself is shown only this once.\n"),
        exit: Exit::Fine,
    })
}

fn entry(arguments: &NewKeyArguments, new: &NewKey) -> Result<KeyEntry, String> {
    let named = |what: &str, text: &str| {
        Name::new(text).ok_or_else(|| format!("`{text}` cannot be the {what} of a key"))
    };
    let scopes = arguments.scopes.iter().map(|scope| {
        Scope::from_text(scope).map_err(|hint| format!("`{scope}` is no scope: {hint}"))
    });
    let metadata = arguments.metadata.iter().map(|(name, value)| {
        let name = named("metadata", name)?;
        Ok((name, value.clone()))
    });
    let plan = arguments.plan.as_deref();
    Ok(KeyEntry {
        id: named("id", &new.id)?,
        hash: new.hash(),
        subject: arguments.subject.clone(),
        plan: plan.map(|plan| named("plan", plan)).transpose()?,
        scopes: scopes.collect::<Result<_, String>>()?,
        expires: arguments.expires.as_deref().map(moment).transpose()?,
        disabled: false,
        metadata: metadata.collect::<Result<Map<String>, String>>()?,
    })
}

/// A moment that is to come, or so long from now.
fn moment(text: &str) -> Result<Timestamp, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |now| now.as_secs());
    if let Ok(moment) = Timestamp::from_text(text) {
        if moment.unix() <= now {
            return Err(format!(
                "`{text}` is over: a key that ends then would never be good"
            ));
        }
        return Ok(moment);
    }
    let Ok(duration) = Duration::from_text(text) else {
        return Err(format!(
            "`{text}` is no moment: write `2027-01-31`, `2027-01-31T12:00:00Z`, or `90d` from now"
        ));
    };
    Ok(Timestamp::from_unix(now + duration.get().as_secs()))
}

/// Adds an entry at the end of a file of keys. The file is replaced as a whole, so that a running Weir sees the old keys or the
/// new ones, and it is looked at before, so that it does not see a file it cannot read.
fn append(path: &Path, entry: &KeyEntry) -> Result<(), String> {
    let cannot =
        |what: &str, error: std::io::Error| format!("cannot {what} `{}`: {error}", path.display());
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(cannot("read", error)),
    };
    let before = if text.trim().is_empty() {
        0
    } else {
        entries(path, &text)?.len()
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&entry.to_line());
    text.push('\n');
    let after = entries(path, &text).ok();
    let fits = after.as_ref().is_some_and(|after| {
        after.len() == before + 1 && after.last().map(|last| &last.value) == Some(entry)
    });
    if !fits {
        return Err(format!(
            "`{}` is not a list with a `- ` at the beginning of each line, so nothing can be added at its end",
            path.display()
        ));
    }
    let known = after.iter().flatten().filter(|known| known.id == entry.id);
    if known.count() > 1 {
        return Err(format!(
            "`{}` has a key with the id `{}` already",
            path.display(),
            entry.id
        ));
    }

    // Beside the file, so that the rename stays within a file system. That it must not exist keeps out a second `weir key`.
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(|error| format!("cannot create `{}`: {error}", beside.display()))?;
    let replaced = write(&mut file, path, &text).and_then(|()| std::fs::rename(&beside, path));
    replaced.map_err(|error| {
        let _ = std::fs::remove_file(&beside);
        cannot("write", error)
    })
}

fn write(file: &mut File, path: &Path, text: &str) -> std::io::Result<()> {
    file.write_all(text.as_bytes())?;
    if let Ok(old) = std::fs::metadata(path) {
        file.set_permissions(old.permissions())?;
    }
    file.sync_all()
}

/// The entries of a file of keys.
fn entries(path: &Path, text: &str) -> Result<Vec<Spanned<KeyEntry>>, String> {
    let name = path.to_string_lossy();
    let mut cx = Cx::from_text(&name, text, &|_| None);
    let entries = cx.decode();
    cx.finish(entries)
        .map(|loaded| loaded.value)
        .map_err(|problems| format!("`{name}` has problems\n{problems}"))
}

/// One line of standard input, not shown if somebody types it.
fn secret(prompt: &str) -> Result<String, String> {
    let stdin = std::io::stdin();
    let typed = stdin.is_terminal();
    let restore = typed.then(|| hide_typing(prompt)).flatten();
    let mut line = String::new();
    let read = stdin.lock().take(LONGEST).read_line(&mut line);
    if let Some(modes) = restore {
        let _ = tcsetattr(stdin, OptionalActions::Now, &modes);
        eprintln!();
    }
    read.map_err(|error| format!("cannot read standard input: {error}"))?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err("there is nothing on standard input".to_owned());
    }
    Ok(line.to_owned())
}

/// Asks, and gives back how the terminal was before.
fn hide_typing(prompt: &str) -> Option<rustix::termios::Termios> {
    eprint!("{prompt}");
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).ok()?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Now, &hidden).ok()?;
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Json;

    fn arguments(id: &str, file: Option<PathBuf>) -> NewKeyArguments {
        NewKeyArguments {
            id: Some(id.to_owned()),
            subject: Some("acme \"corp\"".to_owned()),
            plan: Some("gold".to_owned()),
            scopes: vec!["orders:read".to_owned(), "true".to_owned()],
            expires: Some("2127-01-31".to_owned()),
            metadata: vec![("team".to_owned(), "a: b # c".to_owned())],
            file,
            json: Json { wanted: true },
        }
    }

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("weir-key-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    #[test]
    fn what_is_printed_and_what_is_stored_belong_together() {
        let folder = folder("file");
        let file = folder.join("keys.yaml");
        for (count, id) in (1..).zip(["first", "7", "true", "last"]) {
            let output = new(&arguments(id, Some(file.clone()))).expect("a key");
            let shown: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
            let key = shown["key"].as_str().expect("a key");
            let text = std::fs::read_to_string(&file).expect("text");
            assert!(!text.contains(key), "only its hash is stored");
            let stored = entries(&file, &text).expect("entries");
            assert_eq!(stored.len(), count);
            let stored = &stored.last().expect("the new one").value;
            assert_eq!(stored.hash, KeyHash::of(key.as_bytes()));
            assert_eq!(stored.id.as_str(), id);
            assert_eq!(stored.subject.as_deref(), Some("acme \"corp\""));
            assert_eq!(
                stored.expires.map(|at| at.to_text()).as_deref(),
                Some("2127-01-31T00:00:00Z")
            );
        }
        let left = std::fs::read_dir(&folder).expect("a folder").count();
        assert_eq!(left, 1, "nothing lies beside it");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_file_that_cannot_take_it_stays_as_it_is() {
        let folder = folder("stays");
        let file = folder.join("keys.yaml");
        let one = "- { id: one, hash: \"sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\" }";
        for (text, problem) in [
            (one, "has a key with the id `one` already"),
            ("[]", "not a list with a `- `"),
            ("  - { id: one", "has problems"),
            ("keys: []", "has problems"),
            (&one.replace("- ", "  - "), "not a list with a `- `"),
        ] {
            std::fs::write(&file, text).expect("written");
            let seen = new(&arguments("one", Some(file.clone()))).expect_err("a problem");
            assert!(seen.contains(problem), "{text}: {seen}");
            assert_eq!(std::fs::read_to_string(&file).expect("text"), text);
        }
        std::fs::write(&file, format!("# ours\n{one} # no newline")).expect("written");
        new(&arguments("two", Some(file.clone()))).expect("added");
        std::fs::write(folder.join("keys.yaml.new"), "").expect("written");
        let seen = new(&arguments("three", Some(file))).expect_err("somebody is at it");
        assert!(seen.contains("keys.yaml.new"), "{seen}");
        std::fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn moments_are_given_or_counted_from_now() {
        assert!(moment("2127-01-31").is_ok());
        let (soon, later) = (
            moment("1h").expect("a moment"),
            moment("90d").expect("a moment"),
        );
        // They are counted one after the other.
        let apart = later.unix() - soon.unix() - (90 * 86_400 - 3600);
        assert!(apart < 60, "{apart}");
        for text in ["", "tomorrow", "2127-02-30", "90"] {
            assert!(moment(text).is_err(), "{text}");
        }
        for text in ["2020-01-31", "2020-01-31T12:00:00Z"] {
            let problem = moment(text).expect_err("the past");
            assert!(problem.contains("is over"), "{problem}");
        }
    }

    #[test]
    fn a_key_that_can_be_guessed_is_told_of() {
        let short = hash("hello");
        assert!(
            short.stderr.contains("a key of 5 characters"),
            "{}",
            short.stderr
        );
        assert!(!short.stderr.contains("hello") && matches!(short.exit, Exit::Fine));
        assert!(
            short.stdout.starts_with("sha256:2cf24dba"),
            "{}",
            short.stdout
        );
        assert_eq!(hash("cm1rY2dHT0l3ZnBkWWJ4Vg").stderr, "");
    }
}
