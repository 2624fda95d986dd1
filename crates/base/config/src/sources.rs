//! The files that a config is read from: one file, or a folder whose files are merged.
//!
//! Everything that is read on the way is remembered, secrets too, so that a change of any of it can be noticed.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cx::SCHEMA;
use crate::expand::Environment;
use crate::node::{Entry, Node, Value, shorten};
use crate::problem::{Level, Problem};
use crate::span::Span;
use crate::tree::{Builder, Entries, Region, after};
use crate::{json, yaml};

/// How much all config files may hold together.
const MOST_BYTES: u64 = 64 << 20;

/// The files that a config came from, and the tree they hold.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub(crate) files: Vec<Source>,
    pub(crate) root: Option<Arc<Node>>,
    /// What must never be shown.
    pub(crate) hidden: Vec<Region>,
    watched: Vec<PathBuf>,
}

/// One file and its text.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
}

/// What reading found wrong. After a `fatal` problem there is no tree worth decoding.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) problems: Vec<Problem>,
    pub(crate) fatal: bool,
}

impl Sources {
    /// All that was read: the config's files, its folder, the files of its secrets. A change of any of them may change
    /// the config; see [`fingerprint`](crate::fingerprint).
    pub fn paths(&self) -> &[PathBuf] {
        &self.watched
    }

    /// Adds a file that the config refers to, such as a certificate, to [`paths`](Self::paths).
    pub fn watch(&mut self, path: PathBuf) {
        if !self.watched.contains(&path) {
            self.watched.push(path);
        }
    }

    /// The path that a value at `span` means by `path`: relative to the folder of its config file.
    pub fn resolve(&self, span: Span, path: &Path) -> PathBuf {
        let folder = self
            .files
            .get(span.file as usize)
            .and_then(|source| source.path.parent());
        match folder {
            Some(folder) => folder.join(path),
            None => path.to_owned(),
        }
    }

    pub(crate) fn read(path: &Path, environment: Environment<'_>) -> (Self, Findings) {
        let mut sources = Self::default();
        let mut findings = Findings::default();
        sources.watch(path.to_owned());
        let files = if path.is_dir() {
            match list(path) {
                Ok(files) if !files.is_empty() => files,
                Ok(_) => {
                    sources.fail(path, "no config file is in this folder", &mut findings);
                    findings.help("it reads *.yaml, *.yml and *.json, not those of folders inside");
                    Vec::new()
                }
                Err(error) => {
                    let message = format!("cannot read this folder: {error}");
                    sources.fail(path, &message, &mut findings);
                    Vec::new()
                }
            }
        } else {
            vec![path.to_owned()]
        };
        let mut left = MOST_BYTES;
        for path in files {
            sources.watch(path.clone());
            match contents(&path, left) {
                Ok(bytes) => {
                    left -= bytes.len() as u64;
                    sources.add(path, &bytes, environment, &mut findings);
                }
                Err(message) => sources.fail(&path, &message, &mut findings),
            }
        }
        (sources, findings)
    }

    pub(crate) fn text(name: &Path, text: &str, environment: Environment<'_>) -> (Self, Findings) {
        let mut sources = Self::default();
        let mut findings = Findings::default();
        sources.add(name.to_owned(), text.as_bytes(), environment, &mut findings);
        (sources, findings)
    }

    /// A problem with a file that has no text to point at.
    fn fail(&mut self, path: &Path, message: &str, findings: &mut Findings) {
        let file = self.push(path, "");
        findings.fatal = true;
        findings
            .problems
            .push(Problem::new(Level::Error, Span::file_only(file), message));
    }

    fn push(&mut self, path: &Path, text: &str) -> u32 {
        self.files.push(Source {
            path: path.to_owned(),
            text: text.into(),
        });
        (self.files.len() - 1) as u32
    }

    /// Reads one more file into the tree.
    fn add(
        &mut self,
        path: PathBuf,
        bytes: &[u8],
        environment: Environment<'_>,
        findings: &mut Findings,
    ) {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = match str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
                let file = self.push(&path, &valid);
                findings.stop(end_of(file, &valid), "not UTF-8 from here on");
                return;
            }
        };
        let file = self.push(&path, text);
        // The YAML scanner takes NUL for the end of the file.
        if let Some(at) = text.find('\0') {
            findings.stop(
                end_of(file, &text[..at]),
                "a NUL character cannot stand here",
            );
            return;
        }
        let is_json = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        let mut builder = Builder::new(file, environment, &mut findings.problems, &mut self.hidden);
        let read = if is_json {
            json::read(text, &mut builder).map(Some)
        } else {
            yaml::read(text, &mut builder)
        };
        match read {
            Ok(Some(node)) => self.merge(node, findings),
            Ok(None) => {}
            Err(stop) => {
                self.hidden.extend(suspicion(text, stop.span));
                findings.fatal = true;
                findings.problems.push(*stop);
            }
        }
    }

    /// Takes a further file into the tree: mappings by key, lists one after the other. Anything else can stand only once.
    fn merge(&mut self, node: Node, findings: &mut Findings) {
        let root = match self.root.take() {
            None => node,
            Some(root) => {
                let mut root = Arc::unwrap_or_clone(root);
                merge(&mut root, node, findings, &mut self.hidden);
                root
            }
        };
        self.root = Some(Arc::new(root));
    }
}

fn merge(into: &mut Node, from: Node, findings: &mut Findings, hidden: &mut Vec<Region>) {
    if from.is_null() {
        return;
    }
    if into.is_null() {
        *into = from;
        return;
    }
    let (first, second) = (into.span, from.span);
    match (&mut into.value, from.value) {
        (Value::Map(entries), Value::Map(more)) => {
            let mut all: Entries = std::mem::take(entries).into_iter().collect();
            for entry in more {
                merge_entry(&mut all, entry, findings, hidden);
            }
            *entries = all.into_list();
        }
        (Value::List(items), Value::List(more)) => items.extend(more),
        (Value::Broken, _) | (_, Value::Broken) => {}
        _ => {
            let mut problem = Problem::new(
                Level::Error,
                second,
                "this file does not fit the others of the folder",
            );
            problem
                .expected("a mapping at the top of each")
                .also(first, "the first one");
            findings.problems.push(problem);
        }
    }
}

fn merge_entry(all: &mut Entries, entry: Entry, findings: &mut Findings, hidden: &mut Vec<Region>) {
    let Some(at) = all.position(&entry.key) else {
        all.push(entry);
        return;
    };
    let Some(first) = all.get_mut(at) else { return };
    let mergeable = matches!(
        (&first.node.value, &entry.node.value),
        (Value::Map(_), Value::Map(_)) | (Value::List(_), Value::List(_))
    );
    // Each file may tell an editor what it is.
    if *entry.key == *SCHEMA {
        return;
    }
    // Nouns of the top level are merged; what stands below a name belongs to one file.
    if mergeable || first.node.is_null() || entry.node.is_null() {
        merge_noun(first, entry, findings, hidden);
        return;
    }
    duplicate(first, &entry, findings, hidden);
}

/// `services:` in two files: their names are put together, and no name may stand in both.
fn merge_noun(first: &mut Entry, entry: Entry, findings: &mut Findings, hidden: &mut Vec<Region>) {
    if !matches!(first.node.value, Value::Map(_)) || !matches!(entry.node.value, Value::Map(_)) {
        merge(&mut first.node, entry.node, findings, hidden);
        return;
    }
    let Value::Map(entries) = &mut first.node.value else {
        return;
    };
    let mut all: Entries = std::mem::take(entries).into_iter().collect();
    if let Value::Map(more) = entry.node.value {
        for entry in more {
            match all.find(&entry.key) {
                Some(first) => duplicate(first, &entry, findings, hidden),
                None => all.push(entry),
            }
        }
    }
    *entries = all.into_list();
}

fn duplicate(first: &Entry, second: &Entry, findings: &mut Findings, hidden: &mut Vec<Region>) {
    let message = format!("`{}` is defined twice", shorten(&second.key));
    let mut problem = Problem::new(Level::Error, second.key_span, message);
    problem
        .path_of(first.key_span)
        .also(first.key_span, "first defined here");
    findings.problems.push(problem);
    for entry in [first, second] {
        hidden.push(Region::of(&entry.node, after(entry.key_span)));
    }
}

impl Findings {
    fn stop(&mut self, span: Span, message: &str) {
        self.fatal = true;
        self.problems
            .push(Problem::new(Level::Error, span, message));
    }

    fn help(&mut self, help: &str) {
        if let Some(problem) = self.problems.last_mut() {
            problem.help(help);
        }
    }
}

/// What may be a secret near a place from which on a file cannot be read: nobody knows what is a key there, so words decide.
fn suspicion(text: &str, stop: Span) -> Option<Region> {
    const LINES: usize = 8;
    const WORDS: [&str; 7] = [
        "token",
        "secret",
        "passw",
        "passphrase",
        "credential",
        "private",
        "api_key",
    ];
    let upto = stop.line as usize;
    let near: Vec<(u32, &str)> = (1..)
        .zip(text.lines())
        .take(upto)
        .skip(upto.saturating_sub(LINES))
        .collect();
    near.iter().find_map(|(number, line)| {
        let line = line.to_ascii_lowercase();
        let word = WORDS.iter().filter_map(|word| line.find(word)).min()?;
        let end = word
            + line[word..]
                .find([':', '=', ' '])
                .unwrap_or(line.len() - word);
        let column = line[..end].chars().count() as u32 + 2;
        Some(Region {
            file: stop.file,
            start: (*number, column),
            end: (stop.line, u32::MAX),
        })
    })
}

/// The place just behind `text`.
fn end_of(file: u32, text: &str) -> Span {
    let line = text.matches('\n').count() + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    Span::new(file, line as u32, last.chars().count() as u32 + 1, 1)
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let known = path.extension().is_some_and(|extension| {
            ["yaml", "yml", "json"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        });
        if known && !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Opens a file for reading, and never waits: opening a pipe would, for somebody to write to it.
pub(crate) fn open(path: &Path) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    /// `O_NONBLOCK` on Linux.
    const NONBLOCK: i32 = 0o4000;
    std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(NONBLOCK)
        .open(path)
}

/// The bytes of a file that must not be larger than `most`.
fn contents(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    use std::os::unix::fs::FileTypeExt;
    let cannot = |error| format!("cannot read this file: {error}");
    let mut bytes = Vec::new();
    let file = open(path).map_err(cannot)?;
    let kind = file.metadata().map_err(cannot)?.file_type();
    if kind.is_fifo() {
        // What it would give now it does not give to a reload.
        return Err("this is a pipe; a config is read from a file, again with each reload".into());
    }
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(cannot)?;
    if bytes.len() as u64 > most {
        let mib = MOST_BYTES >> 20;
        return Err(format!("the config files hold more than {mib} MiB"));
    }
    Ok(bytes)
}
