//! Files, directories, names and types.

use std::{fs, time::Duration};

use super::*;

use super::super::{FilesError, FilesMethod, media, path};

#[test]
fn a_file_is_sent_whole_with_its_fields() {
    let site = Site::new().with("css/site.css", "a { b: c }");
    let reply = site.get("css/site.css");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body, b"a { b: c }");
    assert_eq!(reply.length, Some(10));
    assert_eq!(reply.field("Content-Type"), Some("text/css; charset=utf-8"));
    assert_eq!(reply.field("Accept-Ranges"), Some("bytes"));
    assert_eq!(reply.field("Vary"), None);
    assert_eq!(reply.field("Content-Encoding"), None);
    let modified = reply.field("Last-Modified").expect("a date");
    assert!(httpdate::parse_http_date(modified).is_ok(), "{modified}");
    assert_eq!(site.get("/css/site.css"), reply);
    assert_eq!(site.get("%63ss/site%2Ecss").etag(), reply.etag());
}

#[test]
fn head_has_the_fields_of_get_and_no_body() {
    let site = Site::new().with("a.txt", "hello");
    let get = site.get("a.txt");
    let head = site.ask("a.txt", |request| FilesRequest {
        method: FilesMethod::Head,
        // Range is not defined for HEAD.
        range: Some(b"bytes=0-1"),
        ..request
    });
    assert_eq!(
        (head.status, &head.fields, head.length),
        (200, &get.fields, Some(5))
    );
    assert!(head.body.is_empty());
}

#[test]
fn an_empty_file_is_sent_whole_whatever_the_range() {
    let site = Site::new().with("empty", "");
    for range in [None, Some(b"bytes=0-1".as_slice()), Some(b"bytes=-1")] {
        let reply = site.ask("empty", |request| FilesRequest { range, ..request });
        assert_eq!((reply.status, reply.length), (200, Some(0)));
        assert!(reply.body.is_empty());
    }
}

#[test]
fn other_methods_are_not_allowed() {
    let site = Site::new().with("a.txt", "hello");
    for path in ["a.txt", "absent", "%2e%2e/x"] {
        let reply = site.ask(path, |request| FilesRequest {
            method: FilesMethod::Other,
            ..request
        });
        assert_eq!(reply.status, 405);
        assert_eq!(reply.field("Allow"), Some("GET, HEAD"));
    }
}

#[test]
fn a_directory_is_its_index_and_has_a_slash() {
    let site = Site::new()
        .with("index.html", "root")
        .with("docs/index.html", "docs")
        .with("bare/file", "")
        .with("odd/index.html/file", "");
    assert_eq!(site.get("/").body, b"root");
    assert_eq!(site.get("docs/").body, b"docs");
    assert_eq!(
        site.get("docs/").field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    // No listings, and an index that is a directory is none.
    for path in ["bare/", "odd/"] {
        assert_eq!(site.get(path).status, 403, "{path}");
    }
    for path in [
        "absent/",
        "absent",
        "docs/index.html/",
        "docs/index.html/x",
        "docs//index.html",
    ] {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
    let moved = site.get("/docs");
    assert_eq!((moved.status, moved.length), (301, None));
    assert_eq!(moved.field("Location"), Some("/docs/"));
    // Whether or not there is an index to see.
    assert_eq!(site.get("/bare").status, 301);
}

#[test]
fn without_an_index_directories_are_forbidden() {
    let mut site = Site::new().with("index.html", "root");
    site.spec.index = None;
    assert_eq!(site.get("/").status, 403);
    assert_eq!(site.get("index.html").status, 200);
}

#[test]
fn the_full_path_decides_on_the_slash() {
    let site = Site::new()
        .with("index.html", "root")
        .with("a/index.html", "a");
    let at = |path: &'static str, full: &'static str| {
        site.ask(path, move |request| FilesRequest {
            full_path: full.as_bytes(),
            query: Some(b"v=1"),
            ..request
        })
    };
    assert_eq!(at("", "/assets").field("Location"), Some("/assets/?v=1"));
    assert_eq!(at("", "/assets/").body, b"root");
    assert_eq!(
        at("a", "/assets/a").field("Location"),
        Some("/assets/a/?v=1")
    );
    // A redirect to itself would go on for ever.
    assert_eq!(at("a", "/assets/a/").body, b"a");
}

#[test]
fn a_redirect_stays_on_this_host_and_in_its_field() {
    let cases: &[(&str, Option<&str>, &str)] = &[
        ("/a", None, "/a/"),
        ("/a/b", Some("c=d&e=%20"), "/a/b/?c=d&e=%20"),
        ("//evil.example", None, "/evil.example/"),
        ("///evil.example/a", None, "/evil.example/a/"),
        ("/\\evil.example", None, "/evil.example/"),
        ("\\\\evil.example", None, "/evil.example/"),
        ("/\t/evil.example", None, "/%09/evil.example/"),
        ("evil.example", None, "/evil.example/"),
        ("https://evil.example", None, "/https://evil.example/"),
        ("/a\r\nSet-Cookie: b", None, "/a%0D%0ASet-Cookie:%20b/"),
        ("/a", Some("b\r\nc: d"), "/a/?b%0D%0Ac:%20d"),
        ("/%2F/evil", None, "/%2F/evil/"),
        ("/caf\u{e9}", None, "/caf%C3%A9/"),
        ("/a#b", None, "/a%23b/"),
        ("", None, "/"),
        ("/", None, "/"),
        ("//", None, "/"),
    ];
    for &(full, query, expected) in cases {
        let location = path::with_slash(full.as_bytes(), query.map(str::as_bytes));
        assert_eq!(String::from_utf8_lossy(&location), expected, "{full:?}");
    }
}

#[test]
fn dotfiles_are_hidden_unless_asked_for() {
    let mut site = Site::new()
        .with(".env", "secret")
        .with(".git/config", "secret")
        .with("a/.b/c", "secret")
        .with(".well-known/security.txt", "public")
        .with("a/.well-known/x", "secret")
        .with(".well-known/.x", "secret")
        .with("..dots", "secret")
        .with("a.b", "public");
    let hidden = [
        ".env",
        "%2eenv",
        "%2Eenv",
        ".git/config",
        ".git/",
        ".git",
        "a/.b/c",
        "a/.well-known/x",
        ".well-known/.x",
        "..dots",
    ];
    for path in hidden {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
    for path in [".well-known/security.txt", "a.b"] {
        assert_eq!(site.get(path).body, b"public", "{path}");
    }
    site.spec.dotfiles = true;
    for path in [".env", "%2eenv", ".git/config", "a/.b/c", "..dots"] {
        assert_eq!(site.get(path).body, b"secret", "{path}");
    }
    assert_eq!(site.get("a/%2e/.b/c").status, 400);
}

#[test]
fn types_follow_the_extension() {
    let cases = [
        ("index.html", "text/html; charset=utf-8"),
        ("INDEX.HTM", "text/html; charset=utf-8"),
        ("app.min.js", "text/javascript; charset=utf-8"),
        ("app.mjs", "text/javascript; charset=utf-8"),
        ("a.wasm", "application/wasm"),
        ("data.json", "application/json"),
        ("a.webmanifest", "application/manifest+json"),
        ("logo.svg", "image/svg+xml"),
        ("favicon.ico", "image/vnd.microsoft.icon"),
        ("font.woff2", "font/woff2"),
        ("photo.JPEG", "image/jpeg"),
        ("notes.txt", "text/plain; charset=utf-8"),
        ("a.tar.gz", "application/gzip"),
        ("3.3gp", "video/3gpp"),
        ("z.zst", "application/zstd"),
        ("none", "application/octet-stream"),
        ("html", "application/octet-stream"),
        ("dot.", "application/octet-stream"),
        ("a.webmanifestt", "application/octet-stream"),
        ("a.unheardof", "application/octet-stream"),
        ("a.h\u{fc}", "application/octet-stream"),
    ];
    for (name, expected) in cases {
        assert_eq!(media::type_of(name.as_bytes()), expected, "{name}");
    }
    assert_eq!(media::type_of(b""), "application/octet-stream");
}

#[test]
fn entity_tags_change_with_the_file_and_only_then() {
    let site = Site::new().with("a", "one");
    let first = site.get("a").etag();
    assert!(
        first.starts_with('"') && first.ends_with('"') && first.len() > 8,
        "{first}"
    );
    assert_eq!(site.get("a").etag(), first);
    assert_eq!(reply(&site.plan(), request("a")).etag(), first);

    // Same length, same second.
    let file = fs::File::options()
        .write(true)
        .open(site.at("a"))
        .expect("open");
    let modified = file
        .metadata()
        .and_then(|metadata| metadata.modified())
        .expect("a time");
    file.set_modified(modified + Duration::from_nanos(1))
        .expect("set the time");
    let second = site.get("a").etag();
    assert_ne!(second, first);
    file.set_modified(modified).expect("set the time");
    assert_eq!(site.get("a").etag(), first);

    // Another file with the same time and length, renamed over it.
    site.write("b", "two");
    let other = fs::File::options()
        .write(true)
        .open(site.at("b"))
        .expect("open");
    other.set_modified(modified).expect("set the time");
    fs::rename(site.at("b"), site.at("a")).expect("rename");
    assert_ne!(site.get("a").etag(), first);
}

#[test]
fn dates_are_never_in_the_future_and_always_have_four_digits() {
    let site = Site::new().with("a", "one");
    let file = fs::File::options()
        .write(true)
        .open(site.at("a"))
        .expect("open");
    let epoch = std::time::SystemTime::UNIX_EPOCH;
    let cases = [
        (
            epoch + Duration::from_secs(NOW + 500),
            "Wed, 18 May 2033 03:33:20 GMT",
        ),
        (
            epoch - Duration::from_secs(500),
            "Thu, 01 Jan 1970 00:00:00 GMT",
        ),
        (
            epoch + Duration::from_secs(784_111_777),
            "Sun, 06 Nov 1994 08:49:37 GMT",
        ),
    ];
    for (time, expected) in cases {
        file.set_modified(time).expect("set the time");
        assert_eq!(site.get("a").field("Last-Modified"), Some(expected));
    }
    let far = site.ask("a", |request| FilesRequest {
        now: u64::MAX,
        ..request
    });
    assert_eq!(far.status, 200);
}

#[test]
fn a_root_must_be_a_directory_and_an_index_a_name() {
    let site = Site::new().with("file", "");
    let with = |root: PathBuf, index: &str| {
        FilesPlan::compile(FilesSpec {
            root,
            index: Some(index.to_owned()),
            ..site.spec.clone()
        })
    };
    assert!(with(site.at(""), "index.html").is_ok());
    for index in ["", ".", "..", "a/b", "/a", "a\0"] {
        let error = with(site.at(""), index).expect_err(index);
        assert!(
            matches!(error, FilesError::Index { .. }),
            "{index:?}: {error}"
        );
    }
    let error = with(site.at("file"), "a").expect_err("a file");
    assert!(matches!(error, FilesError::NotDirectory { .. }), "{error}");
    let error = with(site.at("absent"), "a").expect_err("absent");
    assert!(matches!(error, FilesError::Root { .. }), "{error}");
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_root_that_is_moved_or_built_anew_is_followed() {
    let mut site = Site::new();
    for release in ["one", "two"] {
        fs::create_dir(site.outside(release)).expect("create a release");
        fs::write(site.outside(release).join("a"), release).expect("write");
    }
    let current = site.outside("current");
    std::os::unix::fs::symlink("one", &current).expect("link");
    site.spec.root = current.clone();
    let plan = site.plan();
    // One blocking thread works in order, so what is asked of it last tells that all before is done.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    let mut now = NOW;
    let mut expect = |expected: &str| {
        now += 1;
        let later = FilesRequest {
            now,
            ..request("a")
        };
        runtime.block_on(async {
            // The first request of a second starts a look, the next one sees what it found.
            plan.resolve(&later).await;
            tokio::task::spawn_blocking(|| ()).await.expect("a thread");
            let seen = plan.resolve(&later).await.body.map(drain);
            assert_eq!(seen.unwrap_or_default(), expected.as_bytes());
        });
    };
    expect("one");
    std::os::unix::fs::symlink("two", site.outside("next")).expect("link");
    fs::rename(site.outside("next"), &current).expect("rename");
    expect("two");
    fs::remove_dir_all(site.outside("two")).expect("remove");
    expect("");
    fs::create_dir(site.outside("two")).expect("create again");
    fs::write(site.outside("two").join("a"), "again").expect("write");
    expect("again");
}

#[test]
fn a_path_is_bounded_by_what_the_system_opens() {
    let site = Site::new();
    for len in [255, 256, 4094, 4095, 4096, 5000, 100_000] {
        let name = "x".repeat(len);
        assert_eq!(site.get(&name).status, 404, "{len}");
        let path = "x/".repeat(len / 2);
        assert_eq!(site.get(&path).status, 404, "{len}");
    }
    // The index does not fit behind it either.
    assert_eq!(site.get(&"%78/".repeat(2046)).status, 404);
}
