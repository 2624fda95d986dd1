use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use weir_testkit::TempDir;

use super::*;
use crate::prefix_set::PrefixSet;

/// Looks twice, as the watcher does in two seconds.
fn look(file: &Live<PrefixSet>) -> Vec<String> {
    let told = Mutex::new(Vec::new());
    for _ in 0..2 {
        file.look(&|event| {
            let text = match event {
                FileEvent::Loaded { entries, .. } => format!("loaded {entries}"),
                FileEvent::Kept { error, .. } => format!("kept: {error}"),
            };
            told.lock().expect("not poisoned").push(text);
        });
    }
    told.into_inner().expect("not poisoned")
}

fn holds(file: &Live<PrefixSet>, address: &str) -> bool {
    file.load().contains(address.parse().expect("an address"))
}

#[test]
fn a_change_is_taken_once_it_is_at_rest() {
    let folder = TempDir::new("firewall");
    let path = folder.path().join("deny.txt");
    fs::write(&path, "10.0.0.1\n").expect("written");
    let file = Live::<PrefixSet>::open(&path).expect("a list");
    assert!(look(&file).is_empty());

    fs::write(&path, "10.0.0.1\n10.0.0.2\n").expect("written");
    let looks = AtomicUsize::new(0);
    let count = |_: FileEvent<'_>| {
        looks.fetch_add(1, Ordering::Relaxed);
    };
    file.look(&count);
    assert_eq!(
        looks.load(Ordering::Relaxed),
        0,
        "it may still be written to"
    );
    assert!(!holds(&file, "10.0.0.2"));
    file.look(&count);
    assert_eq!(looks.load(Ordering::Relaxed), 1);
    assert!(holds(&file, "10.0.0.2"));
    assert!(look(&file).is_empty(), "told once");
}

#[test]
fn what_cannot_be_read_changes_nothing() {
    let folder = TempDir::new("firewall");
    let path = folder.path().join("deny.txt");
    fs::write(&path, "10.0.0.1\n").expect("written");
    let file = Live::<PrefixSet>::open(&path).expect("a list");

    fs::write(&path, "10.0.0.2\nnonsense\n").expect("written");
    let told = look(&file);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kept: line 2"), "{told:?}");
    assert!(holds(&file, "10.0.0.1") && !holds(&file, "10.0.0.2"));
    assert!(
        file.status()
            .error
            .is_some_and(|error| error.contains("line 2"))
    );
    assert!(look(&file).is_empty(), "told once");

    fs::remove_file(&path).expect("removed");
    let told = look(&file);
    assert!(told[0].contains("cannot read it"), "{told:?}");
    assert!(holds(&file, "10.0.0.1"));

    fs::write(folder.path().join("new"), "10.0.0.3\n").expect("written");
    fs::rename(folder.path().join("new"), &path).expect("renamed");
    assert_eq!(look(&file), ["loaded 1"]);
    assert!(holds(&file, "10.0.0.3") && !holds(&file, "10.0.0.1"));
    assert_eq!(file.status().error, None);
}

#[test]
fn only_files_are_read() {
    let folder = TempDir::new("firewall");
    let error = Live::<PrefixSet>::open(folder.path()).expect_err("a folder");
    assert_eq!(error, "it is not a file");
    let missing = Live::<PrefixSet>::open(&folder.path().join("x")).expect_err("nothing there");
    assert!(missing.starts_with("cannot read it"), "{missing}");
}
