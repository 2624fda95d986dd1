use std::{
    io::Write,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};

use weir_testkit::TempDir;

use super::*;
use crate::prefix_set::PrefixSet;

/// A list, and a watcher whose seconds pass as the test likes.
struct Watched {
    folder: TempDir,
    file: Live<PrefixSet>,
    start: Moment,
    seconds: AtomicU32,
}

impl Watched {
    fn new(text: &str) -> Self {
        let folder = TempDir::new("firewall");
        let path = folder.path().join("deny.txt");
        fs::write(&path, text).expect("written");
        Self {
            file: Live::open(&path).expect("a list"),
            folder,
            start: Moment::now(),
            seconds: AtomicU32::new(0),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deny.txt")
    }

    fn now(&self) -> Moment {
        let passed = Duration::from_secs(self.seconds.load(Ordering::Relaxed).into());
        Moment {
            steady: self.start.steady + passed,
            wall: self.start.wall + passed,
        }
    }

    /// Writes to a file now, whatever its clock says.
    fn write(&self, path: &Path, how: &mut fs::OpenOptions, text: &str) {
        let mut file = how.open(path).expect("a file");
        file.write_all(text.as_bytes()).expect("written");
        file.set_modified(self.now().wall).expect("stamped");
    }

    fn rewrite(&self, text: &str) {
        let how = &mut fs::OpenOptions::new();
        self.write(
            &self.path(),
            how.write(true).truncate(true).create(true),
            text,
        );
    }

    fn append(&self, text: &str) {
        self.write(&self.path(), fs::OpenOptions::new().append(true), text);
    }

    /// What is told while this many seconds pass.
    fn pass(&self, seconds: u32) -> Vec<String> {
        let told = Mutex::new(Vec::new());
        for _ in 0..seconds {
            self.seconds.fetch_add(1, Ordering::Relaxed);
            self.file.look(self.now(), &|event| {
                let text = match event {
                    FileEvent::Loaded { entries, .. } => format!("loaded {entries}"),
                    FileEvent::Kept { error, .. } => format!("kept: {error}"),
                };
                told.lock().expect("not poisoned").push(text);
            });
        }
        told.into_inner().expect("not poisoned")
    }

    fn holds(&self, address: &str) -> bool {
        let address = address.parse().expect("an address");
        self.file.load().contains(address)
    }
}

#[test]
fn a_change_is_taken_once_it_is_at_rest() {
    let list = Watched::new("10.0.0.1\n");
    assert!(list.pass(5).is_empty());
    list.rewrite("10.0.0.1\n10.0.0.2\n");
    assert!(list.pass(1).is_empty(), "it may still be written to");
    assert!(!list.holds("10.0.0.2"));
    assert_eq!(list.pass(1), ["loaded 2"]);
    assert!(list.holds("10.0.0.2"));
    assert!(list.pass(30).is_empty(), "told once");
}

#[test]
fn a_slow_writer_is_let_finish() {
    let whole: String = (1..=100).map(|n| format!("10.0.0.{n}\n")).collect();
    let list = Watched::new(&whole);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    list.rewrite("");
    assert_eq!(list.pass(9).len(), 1, "that it is empty");
    for (at, part) in lines.chunks(10).enumerate() {
        list.append(&part.concat());
        if at < 9 {
            assert_eq!(list.pass(9), [""; 0], "after {at} of ten parts");
        }
        assert!(list.holds("10.0.0.100"), "after {at} of ten parts");
    }
    list.append("10.0.0.200\n");
    assert_eq!(list.pass(2), ["loaded 101"]);
    assert!(list.holds("10.0.0.100") && list.holds("10.0.0.200"));

    // One that is meant to be short is taken, if later.
    list.rewrite("10.0.0.1\n");
    assert!(list.pass(9).is_empty());
    assert_eq!(list.pass(1), ["loaded 1"]);
    // And it is what the next one is compared with.
    list.rewrite("10.0.0.2\n");
    assert_eq!(list.pass(2), ["loaded 1"]);
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let list = Watched::new("10.0.0.1\n");
    list.rewrite("10.0.0.2\nnonsense\n");
    let told = list.pass(5);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kept: line 2"), "{told:?}");
    assert!(list.holds("10.0.0.1") && !list.holds("10.0.0.2"));
    let error = list.file.status().error;
    assert!(error.is_some_and(|error| error.contains("line 2")));
    assert!(list.pass(5).is_empty(), "told once");

    fs::remove_file(list.path()).expect("removed");
    let told = list.pass(5);
    assert!(told[0].contains("cannot read it"), "{told:?}");
    assert!(list.holds("10.0.0.1"));

    // What was written long ago and moved into place is taken at once.
    let new = list.folder.path().join("new");
    fs::write(&new, "10.0.0.3\n").expect("written");
    let file = File::options().append(true).open(&new).expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("stamped");
    fs::rename(&new, list.path()).expect("renamed");
    assert_eq!(list.pass(2), ["loaded 1"]);
    assert!(list.holds("10.0.0.3") && !list.holds("10.0.0.1"));
    assert_eq!(list.file.status().error, None);

    list.rewrite("");
    let told = list.pass(5);
    assert!(
        told.len() == 1 && told[0].contains("kept: it is empty"),
        "{told:?}"
    );
    assert!(list.holds("10.0.0.3"));
}

#[test]
fn only_files_are_read() {
    let folder = TempDir::new("firewall");
    let error = Live::<PrefixSet>::open(folder.path()).expect_err("a folder");
    assert_eq!(error, "it is not a file");
    let missing = Live::<PrefixSet>::open(&folder.path().join("x")).expect_err("nothing there");
    assert!(missing.starts_with("cannot read it"), "{missing}");
}
