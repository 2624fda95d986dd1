//! Nothing outside the root is ever sent, and nothing that is no file.

use std::{
    fs,
    os::unix::net::UnixListener,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use rustix::fs::{CWD, FileType, Mode, mkfifoat, mknodat};

use super::*;

const SECRET: &[u8] = b"secret";

fn site() -> Site {
    let site = Site::new()
        .with("inside/file", "inside")
        .with("file", "top");
    fs::create_dir(site.outside("private")).expect("create");
    fs::write(site.outside("private/key"), SECRET).expect("write");
    fs::write(site.outside("key"), SECRET).expect("write");
    // A name that the root's name is a prefix of.
    fs::create_dir(site.outside("public-not")).expect("create");
    fs::write(site.outside("public-not/key"), SECRET).expect("write");
    site
}

#[test]
fn dot_segments_and_slashes_are_refused_however_they_are_spelled() {
    let site = site();
    let malformed = [
        "../key",
        "..",
        "../",
        "inside/../../key",
        "inside/../file",
        "./file",
        "inside/./file",
        "%2e%2e/key",
        "%2E%2e/key",
        ".%2e/key",
        "%2e./key",
        "%2e/file",
        "inside/%2e%2e/%2e%2e/key",
        "..%2fkey",
        "..%2Fkey",
        "%2e%2e%2fkey",
        "inside%2ffile",
        "%2fetc%2fpasswd",
        "..%5ckey",
        "..%5Ckey",
        "inside%5cfile",
        "inside\\file",
        "..\\key",
        "file%00",
        "file%00.txt",
        "%00",
        "%",
        "%2",
        "file%",
        "file%4",
        "file%zz",
        "file%+1",
        "%u002e%u002e/key",
    ];
    for path in malformed {
        let reply = site.get(path);
        assert_eq!(reply.status, 400, "{path}");
        assert!(reply.body.is_empty());
    }
    // Decoded once only; overlong UTF-8 is no dot, and an absolute path is below the root too.
    let absent = [
        "%252e%252e/key",
        "%252e%252e%252fkey",
        "%c0%ae%c0%ae/key",
        "%c0%ae%c0%ae%c0%afkey",
        "%e0%80%ae%e0%80%ae/key",
        "//etc/passwd",
        "/etc/passwd",
        "///etc/passwd",
        "etc/passwd",
        "inside//file",
        "file\0",
    ];
    for path in &absent[..absent.len() - 1] {
        assert_eq!(site.get(path).status, 404, "{path}");
    }
    assert_eq!(site.get(absent[absent.len() - 1]).status, 400);
}

#[test]
fn links_inside_the_root_are_followed() {
    let site = site();
    site.link("inside/file", "relative");
    site.link("../file", "inside/up");
    site.link(".././inside/../file", "inside/winding");
    site.link(site.at("inside/file"), "absolute");
    site.link(site.at("inside"), "folder");
    site.link("relative", "twice");
    site.link("absolute", "mixed");
    site.link(site.at("mixed"), "inside/thrice");
    site.link(site.at(""), "self");
    let cases: &[(&str, &[u8])] = &[
        ("relative", b"inside"),
        ("inside/up", b"top"),
        ("inside/winding", b"top"),
        ("absolute", b"inside"),
        ("folder/file", b"inside"),
        ("folder/up", b"top"),
        ("twice", b"inside"),
        ("mixed", b"inside"),
        ("inside/thrice", b"inside"),
        ("self/self/folder/up", b"top"),
    ];
    for &(path, content) in cases {
        let reply = site.get(path);
        assert_eq!((reply.status, &*reply.body), (200, content), "{path}");
    }
    assert_eq!(site.get("folder").status, 301);
    assert_eq!(site.get("self").status, 301);
    assert_eq!(site.get("folder/").status, 403);
}

#[test]
fn links_out_of_the_root_lead_nowhere() {
    let site = site();
    site.link("../key", "relative");
    site.link("../../key", "inside/relative");
    site.link("../private", "folder");
    site.link(site.outside("key"), "absolute");
    site.link(site.outside("private"), "absolute-folder");
    site.link("/", "everything");
    site.link("/etc/passwd", "passwd");
    site.link("relative", "nested");
    site.link(site.at("absolute"), "nested-absolute");
    site.link("inside/../../public-not/key", "prefix");
    site.link(site.outside("public-not"), "prefix-folder");
    site.link(site.outside("."), "parent");
    // Out and in again: the way leads through what is not ours.
    site.link("../public/file", "round");
    site.link("/proc/self/root/etc/passwd", "magic");
    site.link("/proc/self/cwd", "cwd");
    site.link("/proc/self/exe", "exe");
    site.link("loop", "loop");
    site.link("pong", "ping");
    site.link("ping", "pong");
    site.link("absent", "dangling");
    site.link(site.outside("absent"), "dangling-outside");
    let paths = [
        "relative",
        "inside/relative",
        "folder/key",
        "folder",
        "folder/",
        "absolute",
        "absolute-folder/key",
        "absolute-folder",
        "everything/etc/passwd",
        "everything",
        "everything/",
        "passwd",
        "nested",
        "nested-absolute",
        "prefix",
        "prefix-folder/key",
        "parent/key",
        "magic",
        "cwd/Cargo.toml",
        "exe",
        "loop",
        "loop/file",
        "ping",
        "dangling",
        "dangling-outside",
    ];
    for path in paths {
        let reply = site.get(path);
        assert_eq!(reply.status, 404, "{path}");
        assert!(reply.body.is_empty());
    }
    // It leads to a file inside in the end, by name; what matters is that it is that file.
    assert_eq!(site.get("round").body, b"top");
    assert_eq!(site.get("parent/public/file").body, b"top");
}

#[test]
fn siblings_and_indexes_are_kept_inside_too() {
    let mut site = site().precompressed(&Encoding::ALL);
    site.link("../key", "file.br");
    site.link(site.outside("key"), "file.gz");
    site.link("../../key", "inside/index.html");
    let reply = site.ask("file", |request| FilesRequest {
        accept_encoding: Some(b"br, gzip, zstd"),
        ..request
    });
    assert_eq!((reply.status, &*reply.body), (200, b"top".as_slice()));
    assert_eq!(reply.field("Content-Encoding"), None);
    assert_eq!(site.get("inside/").status, 403);
    site.spec.dotfiles = true;
    assert_eq!(site.get("%2e%2e/key").status, 400);
}

#[test]
fn what_is_no_file_is_not_found_and_never_waited_for() {
    let site = site();
    // Nobody writes into it: opening it for reading would wait for ever.
    mkfifoat(CWD, site.at("pipe"), Mode::RUSR).expect("make a pipe");
    mkfifoat(CWD, site.at("file.br"), Mode::RUSR).expect("make a pipe");
    let _listener = UnixListener::bind(site.at("socket")).expect("make a socket");
    site.link("/dev/zero", "zero");
    site.link("/dev/tty", "tty");
    let mut paths = vec!["pipe", "socket", "zero", "tty", "pipe/", "pipe/x"];
    // Only root may make devices; where tests may, the device is tried as well.
    let device = rustix::fs::makedev(1, 5);
    if mknodat(
        CWD,
        site.at("device"),
        FileType::CharacterDevice,
        Mode::RUSR,
        device,
    )
    .is_ok()
    {
        paths.push("device");
    }
    for path in paths {
        let reply = site.get(path);
        // A container may forbid the device altogether.
        assert!(
            matches!(reply.status, 403 | 404),
            "{path}: {}",
            reply.status
        );
        assert!(reply.body.is_empty());
    }
    let site = site.precompressed(&[Encoding::Brotli]);
    let reply = site.ask("file", |request| FilesRequest {
        accept_encoding: Some(b"br"),
        ..request
    });
    assert_eq!(reply.body, b"top");
}

#[test]
fn a_link_that_changes_all_the_time_never_leads_out() {
    let site = site();
    let stop = AtomicBool::new(false);
    let plans = KERNELS.map(|kernel| FilesPlan::through(&site.spec, kernel).expect("a plan"));
    thread::scope(|scope| {
        scope.spawn(|| {
            // The same name is a folder, a link inside and a link outside in turn.
            let targets = [
                site.at("inside"),
                site.outside("private"),
                "../private".into(),
            ];
            for (round, target) in (0_usize..).zip(targets.iter().cycle()) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let next = format!("next-{}", round % 2);
                site.link(target, &next);
                fs::rename(site.at(&next), site.at("swap")).expect("rename");
            }
        });
        for _ in 0..300 {
            for plan in &plans {
                for path in ["swap/key", "swap/file"] {
                    let reply = reply(plan, request(path));
                    assert!(matches!(reply.status, 200 | 404), "{}", reply.status);
                    assert_ne!(reply.body, SECRET);
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}
