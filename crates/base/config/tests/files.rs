//! Files, folders and secrets on disk.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use weir_config::{Cx, Diagnostics, FilePath, Loaded, Map, Secret, object};

object! {
    /// All of it.
    pub struct Config {
        /// Text.
        pub name: Option<String>,
        /// Secret.
        pub token: Option<Secret>,
        /// A file.
        pub root: Option<FilePath>,
        /// A list.
        pub routes: Vec<String> = Vec::new(),
        /// Named things.
        pub services: Map<String> = Map::default(),
    }
}

/// A folder that is gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weir-config-{}-{next}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> &Self {
        std::fs::write(self.0.join(name), text).expect("written");
        self
    }

    /// What is told, with the folder's own path left out.
    fn told(&self, path: &Path) -> String {
        let folder = format!("{}/", self.0.display());
        load(path)
            .expect_err("a problem")
            .to_string()
            .replace(&folder, "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn load(path: &Path) -> Result<Loaded<Config>, Diagnostics> {
    let mut cx = Cx::load(path, &|_| None);
    let config = cx.decode();
    cx.finish(config)
}

#[test]
fn the_files_of_a_folder_are_put_together() {
    let folder = Folder::new();
    folder
        .write("20.yml", "routes: [c]\nservices: { users: u }\n")
        .write(
            "10.yaml",
            "name: weir\nroutes:\n  - a\n  - b\nservices: { shop: s }\n",
        )
        .write("30.json", "{\"routes\": [\"d\"]}")
        .write("40.yaml", "# nothing\n")
        .write("50.yaml", "routes:\n")
        .write("notes.txt", "not: [read")
        .write(".hidden.yaml", "not: [read");
    let loaded = load(&folder.0).expect("loaded");
    assert_eq!(loaded.value.name.as_deref(), Some("weir"));
    assert_eq!(loaded.value.routes, ["a", "b", "c", "d"]);
    assert_eq!(
        loaded.value.services.keys().collect::<Vec<_>>(),
        ["shop", "users"]
    );
    let watched: Vec<_> = loaded
        .sources
        .paths()
        .iter()
        .filter_map(|path| path.file_name())
        .collect();
    assert_eq!(
        watched[1..],
        ["10.yaml", "20.yml", "30.json", "40.yaml", "50.yaml"]
    );
    assert_eq!(loaded.sources.paths()[0], folder.0);
}

#[test]
fn every_file_may_name_its_schema() {
    let folder = Folder::new();
    folder
        .write("1.json", r#"{"$schema": "./weir.json", "name": "weir"}"#)
        .write("2.json", r#"{"$schema": "../other.json", "routes": ["a"]}"#)
        .write("3.yaml", "$schema: weir.json\nroutes: [b]\n");
    let loaded = load(&folder.0).expect("loaded");
    assert_eq!(loaded.value.name.as_deref(), Some("weir"));
    assert_eq!(loaded.value.routes, ["a", "b"]);
    folder.write("4.json", r#"{"$schema": "a", "$schema": "b"}"#);
    let told = folder.told(&folder.0);
    assert!(
        told.contains("the key `$schema` stands here twice"),
        "{told}"
    );
}

/// Opening a pipe waits for somebody to write to it, and reading for what that is.
#[test]
fn a_pipe_is_an_error_and_no_wait() {
    let folder = Folder::new();
    let pipe = folder.0.join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let told = folder.told(&pipe);
    assert!(told.contains("this is a pipe"), "{told}");
    // Nor with a writer that writes nothing.
    let _writer = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    assert_eq!(folder.told(&pipe), told);
    // In a folder, it is none of the files.
    let told = folder.told(&folder.0);
    assert!(told.contains("no config file is in this folder"), "{told}");
    // A secret comes from no pipe either.
    folder.write("config.yaml", "token: file:pipe.yaml\n");
    let told = folder.told(&folder.0.join("config.yaml"));
    assert!(told.contains("pipe.yaml"), "{told}");
}

#[test]
fn a_name_in_two_files_names_both_places() {
    let folder = Folder::new();
    folder
        .write("a.yaml", "name: x\nservices:\n  shop: s\n  users: u\n")
        .write("b.yaml", "name: y\nroutes: {}\nservices:\n  users: v\n")
        .write("c.yaml", "routes: [a]\n");
    assert_eq!(
        folder.told(&folder.0),
        "\
error: `name` is defined twice
 --> b.yaml:1:1
  |
1 | name: ***
  | ^^^^
 ::: a.yaml:1:1
  |
1 | name: ***
  | ---- first defined here
  = at: name

error: expected a list, found a mapping
 --> b.yaml:2:1
  |
2 | routes: ***
  | ^^^^^^
  = at: routes
  = help: each item begins with a dash, or all stand in brackets: `[...]`

error: `users` is defined twice
 --> b.yaml:4:3
  |
4 |   users: ***
  |   ^^^^^
 ::: a.yaml:4:3
  |
4 |   users: ***
  |   ----- first defined here
  = at: services.users

error: `routes` is defined twice
 --> c.yaml:1:1
  |
1 | routes: ***
  | ^^^^^^
 ::: b.yaml:2:1
  |
2 | routes: ***
  | ------ first defined here
  = at: routes
"
    );
}

#[test]
fn every_file_that_cannot_be_read_is_told() {
    let folder = Folder::new();
    folder
        .write("a.yaml", "routes: [\n")
        .write("b.json", "{,}")
        .write("c.yaml", b"name: \xff\n")
        .write("d.yaml", "unknown: 1\n");
    let told = folder.told(&folder.0);
    for (file, message) in [
        ("a.yaml:2:1", "not YAML"),
        ("b.json:1:2", "expected a key in double quotes"),
        ("c.yaml:1:7", "not UTF-8 from here on"),
    ] {
        assert!(
            told.contains(file) && told.contains(message),
            "{file}\n{told}"
        );
    }
    let empty = Folder::new();
    assert!(
        empty
            .told(&empty.0)
            .contains("no config file is in this folder")
    );
    assert_eq!(
        empty.told(&empty.0.join("none.yaml")),
        "error: cannot read this file: No such file or directory (os error 2)\n --> none.yaml\n"
    );
}

#[test]
fn files_that_are_too_large_are_refused() {
    let folder = Folder::new();
    let file = std::fs::File::create(folder.0.join("a.yaml")).expect("made");
    file.set_len((64 << 20) + 1).expect("grown");
    assert!(
        folder
            .told(&folder.0)
            .contains("the config files hold more than 64 MiB")
    );
}

#[test]
fn secrets_come_from_files() {
    let folder = Folder::new();
    folder
        .write("token", "hunter2\n")
        .write("weir.yaml", "token: file:token\nroot: ./public\n");
    let loaded = load(&folder.0.join("weir.yaml")).expect("loaded");
    let token = loaded.value.token.expect("a token");
    assert_eq!(token.expose(), "hunter2");
    assert!(token.matches(b"hunter2") && !token.matches(b"hunter") && !token.matches(b"hunter3"));
    assert_eq!(
        (token.to_string(), format!("{token:?}")),
        ("***".into(), "***".into())
    );
    assert_eq!(
        loaded.value.root.expect("a root").path(),
        folder.0.join("./public")
    );
    assert!(loaded.sources.paths().contains(&folder.0.join("token")));

    folder.write("weir.yaml", "token: file:none\n");
    let told = folder.told(&folder.0.join("weir.yaml"));
    assert!(
        told.contains("cannot read the secret file `none`: No such file"),
        "{told}"
    );
    folder
        .write("token", "\n")
        .write("weir.yaml", "token: file:token\n");
    assert!(
        folder
            .told(&folder.0.join("weir.yaml"))
            .contains("this secret is empty")
    );
}
