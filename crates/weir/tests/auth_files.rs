//! Files of keys and authorities that are none, or too much of one: what is wrong is told at once, and nothing waits for them.

#[path = "common/keys.rs"]
mod keys;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use keys::{WEIR, mirror, new_key};
use weir_testkit::{RawClient, TempDir, Weir, run_cli, wait_until};

/// What cannot be read, and a word of what is to be said about it.
fn unreadable(dir: &TempDir) -> Vec<(PathBuf, &'static str)> {
    let place = |name: &str| dir.path().join(name);
    let made = Command::new("mkfifo").arg(place("pipe")).status();
    assert!(made.expect("mkfifo").success());
    fs::create_dir(place("folder")).expect("a folder");
    let large = File::create(place("large")).expect("a file");
    large.set_len(1 << 30).expect("a hole");
    let mut all = vec![
        (place("pipe"), "this is not a file"),
        (place("folder"), "this is not a file"),
        (place("large"), "it holds more than 64 MiB"),
        (place("absent"), "No such file"),
        ("/dev/zero".into(), "this is not a file"),
        // It may be opened, but not read.
        ("/proc/self/mem".into(), "os error 5"),
    ];
    let closed = dir.write("closed", "[]");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).expect("closed");
    // To some users nothing is closed.
    if File::open(&closed).is_err() {
        all.push((closed, "Permission denied"));
    }
    all
}

/// Everything that reads a file, with this one.
fn readers(path: &str) -> [String; 5] {
    let secret = "0123456789abcdef0123456789abcdef";
    [
        format!("api_key: {{ keys: 'file:{path}' }}"),
        format!("jwt: {{ jwks: 'file:{path}', audience: api }}"),
        format!("jwt: {{ jwks: 'https://id.example/keys', ca: '{path}', audience: api }}"),
        format!("introspection: {{ url: 'https://id.example/ask', bearer: x, ca: '{path}' }}"),
        format!(
            "oidc: {{ issuer: 'https://id.example', client_id: x, session_secrets: {secret}, ca: '{path}' }}"
        ),
    ]
}

fn config(app: &str, method: &str) -> String {
    format!(
        "
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /closed/*, service: app, auth: {{ {method} }} }}
  - {{ path: /*, service: app }}
services: {{ app: ['{app}'] }}
"
    )
}

#[test]
fn a_check_says_what_is_wrong() {
    let dir = TempDir::new("unreadable");
    for (path, problem) in unreadable(&dir) {
        let path = path.display().to_string();
        for method in readers(&path) {
            let text = config("127.0.0.1:1", &method).replace("@web@", "127.0.0.1:0");
            dir.write("weir.yaml", text);
            let output = run_cli(WEIR, &["check", "-c", "weir.yaml"], dir.path());
            assert_eq!(output.code, Some(1), "{method}: {output:?}");
            assert!(
                output.stderr.contains("weir.yaml:4:")
                    && output.stderr.contains(&path)
                    && output.stderr.contains(problem),
                "{method}: {}",
                output.stderr
            );
        }
    }
}

#[test]
fn a_check_says_what_is_wrong_with_a_secret() {
    let dir = TempDir::new("unreadable");
    for (path, _) in unreadable(&dir) {
        let path = path.display().to_string();
        for method in [
            format!("jwt: {{ secret: 'file:{path}', audience: api }}"),
            format!(
                "introspection: {{ url: 'https://id.example/ask', client_id: x, client_secret: 'file:{path}' }}"
            ),
        ] {
            let text = config("127.0.0.1:1", &method).replace("@web@", "127.0.0.1:0");
            dir.write("weir.yaml", text);
            let output = run_cli(WEIR, &["check", "-c", "weir.yaml"], dir.path());
            assert_eq!(output.code, Some(1), "{method}: {output:?}");
            let said = &output.stderr;
            let problem = ["secret is empty", "cannot read the secret file", "64 KiB"];
            assert!(
                problem.iter().any(|problem| said.contains(problem)),
                "{method}: {said}"
            );
        }
    }
}

#[test]
fn a_reload_says_what_is_wrong_and_changes_nothing() {
    let dir = TempDir::new("unreadable");
    let app = mirror();
    let address = app.addr().to_string();
    let (key, hash) = new_key("acme");
    let good = format!("api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }}");
    let mut weir = Weir::start(WEIR, &config(&address, &good));
    let web = weir.addr("web");
    let ask = |fields: &str| {
        let request = format!("GET /closed/x HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        RawClient::exchange(web, request).status
    };
    let field = format!("X-Api-Key: {key}\r\n");
    let text = fs::read_to_string(weir.config()).expect("the config");
    for (path, problem) in unreadable(&dir) {
        let path = path.display().to_string();
        for method in readers(&path) {
            let answer = weir.reload_with(&text.replace(&good, &method));
            let said = answer.text();
            assert!((400..500).contains(&answer.status), "{method}: {said}");
            assert!(
                said.contains(&path) && said.contains(problem),
                "{method}: {said}"
            );
            assert_eq!((ask(&field), ask("")), (200, 401), "{method}");
        }
    }
}

#[test]
fn keys_outlast_what_takes_the_place_of_their_file() {
    let dir = TempDir::new("replaced");
    let app = mirror();
    let (key, hash) = new_key("acme");
    let entry = format!("[ {{ id: acme, hash: '{hash}' }} ]\n");
    let file = dir.write("keys.yaml", &entry);
    let method = format!("api_key: {{ keys: 'file:{}' }}", file.display());
    let weir = Weir::start(WEIR, &config(&app.addr().to_string(), &method));
    let ask = |key: &str| {
        let request = format!("GET /closed/x HTTP/1.1\r\nHost: a\r\nX-Api-Key: {key}\r\n\r\n");
        RawClient::exchange(weir.addr("web"), request).status
    };
    assert_eq!(ask(&key), 200);
    let replace = |with: &dyn Fn()| {
        if fs::remove_file(&file).is_err() {
            fs::remove_dir(&file).expect("removed");
        }
        let before = weir
            .stderr()
            .matches("a file of keys cannot be used")
            .count();
        with();
        wait_until("a line of the event log", || {
            weir.stderr()
                .matches("a file of keys cannot be used")
                .count()
                > before
        });
        assert_eq!(ask(&key), 200);
    };
    replace(&|| {
        let made = Command::new("mkfifo").arg(&file).status();
        assert!(made.expect("mkfifo").success());
    });
    replace(&|| fs::create_dir(&file).expect("a folder"));
    replace(&|| {
        let large = File::create(&file).expect("a file");
        large.set_len(1 << 30).expect("a hole");
    });
    // What is a file again is read again.
    let (other, hash) = new_key("other");
    dir.write("new.yaml", format!("[ {{ id: other, hash: '{hash}' }} ]\n"));
    fs::rename(dir.path().join("new.yaml"), &file).expect("renamed");
    wait_until("the new keys", || ask(&other) == 200);
    assert_eq!(ask(&key), 401);
}
