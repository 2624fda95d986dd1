//! Static files through the real binary: what a browser, a download manager and an attacker ask for.

#[path = "common/running.rs"]
mod running;

use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use running::WEIR;
use weir_testkit::{Browser, RawClient, Response, Weir, curl, fnv1a, pattern, wait_until};

const CONFIG: &str = "
workers: 2
listeners: { web: { address: '@web@', http: { send_timeout: 2s } } }
routes:
  - { path: /*, files: { root: '@dir@/www', precompressed: [br, gzip] } }
  - { path: /sub/*, files: '@dir@/www/docs' }
";

/// A Weir in front of a folder of its own.
fn site() -> Weir {
    let launch = Weir::launch(WEIR, CONFIG)
        .file("www/index.html", "<h1>home</h1>")
        .file("www/docs/index.html", "<h1>docs</h1>")
        .file("www/docs/plain.txt", "abcdefghijklmnopqrstuvwxyz")
        .file("www/empty.txt", "")
        .file("www/app.js", "console.log('plain')")
        .file("www/app.js.gz", "gzip bytes")
        .file("www/app.js.br", "brotli bytes")
        .file("www/with space.txt", "spaced")
        .file("www/.hidden", "hidden")
        .file("www/no-index/file.txt", "here")
        .file("secret.txt", "outside");
    Weir::from_launch(launch)
}

fn www(weir: &Weir) -> PathBuf {
    weir.dir().join("www")
}

fn ask(weir: &Weir, method: &str, path: &str, fields: &str) -> Response {
    let mut client = weir.client("web");
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"
    ));
    client.response_to(method)
}

fn get(weir: &Weir, path: &str) -> Response {
    ask(weir, "GET", path, "")
}

#[test]
fn pages_indexes_types_and_head() {
    let weir = site();
    for (path, status, body) in [
        ("/", 200, "<h1>home</h1>"),
        ("/index.html", 200, "<h1>home</h1>"),
        ("/docs/", 200, "<h1>docs</h1>"),
        ("/sub/", 200, "<h1>docs</h1>"),
        ("/sub/plain.txt", 200, "abcdefghijklmnopqrstuvwxyz"),
        ("/with%20space.txt", 200, "spaced"),
        ("/empty.txt", 200, ""),
        (
            "/docs/plain.txt?query=ignored",
            200,
            "abcdefghijklmnopqrstuvwxyz",
        ),
    ] {
        let response = get(&weir, path);
        assert_eq!(
            (response.status, response.text().as_str()),
            (status, body),
            "{path}"
        );
        assert!(
            response.header("etag").is_some() && response.header("last-modified").is_some(),
            "{path}"
        );
        assert_eq!(response.header("accept-ranges"), Some("bytes"), "{path}");
        let head = ask(&weir, "HEAD", path, "");
        assert_eq!((head.status, head.body.len()), (status, 0), "{path}");
        for name in ["content-length", "content-type", "etag", "last-modified"] {
            assert_eq!(head.header(name), response.header(name), "{name} of {path}");
        }
    }
    assert!(
        get(&weir, "/")
            .header("content-type")
            .is_some_and(|t| t.starts_with("text/html"))
    );
    assert!(
        get(&weir, "/docs/plain.txt")
            .header("content-type")
            .is_some_and(|t| t.starts_with("text/plain"))
    );
    let redirect = get(&weir, "/docs");
    assert!(matches!(redirect.status, 301 | 308), "{redirect:?}");
    assert_eq!(redirect.header("location"), Some("/docs/"));
    // By way of another route's prefix it is still the path that the client knows.
    assert_eq!(
        get(&weir, "/no-index?x=y").header("location"),
        Some("/no-index/?x=y")
    );

    for (path, status) in [
        ("/missing", 404),
        ("/docs/plain.txt/", 404),
        ("/.hidden", 404),
        ("/no-index/", 403),
    ] {
        let response = get(&weir, path);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
    }
    let post = ask(&weir, "POST", "/", "Content-Length: 0\r\n");
    assert_eq!(
        (post.status, post.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[test]
fn conditional_requests() {
    let weir = site();
    let path = "/docs/plain.txt";
    let first = get(&weir, path);
    let etag = first.header("etag").expect("an ETag").to_owned();
    let modified = first.header("last-modified").expect("a date").to_owned();
    for (fields, status) in [
        (format!("If-None-Match: {etag}\r\n"), 304),
        (format!("If-None-Match: \"other\", {etag}\r\n"), 304),
        ("If-None-Match: *\r\n".to_owned(), 304),
        ("If-None-Match: \"other\"\r\n".to_owned(), 200),
        (format!("If-Modified-Since: {modified}\r\n"), 304),
        (
            "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
            200,
        ),
        ("If-Modified-Since: nonsense\r\n".to_owned(), 200),
        (
            format!("If-None-Match: \"other\"\r\nIf-Modified-Since: {modified}\r\n"),
            200,
        ),
        (format!("If-Match: {etag}\r\n"), 200),
        ("If-Match: \"other\"\r\n".to_owned(), 412),
        (
            "If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(),
            412,
        ),
    ] {
        let mut client = weir.client("web");
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\nGET /empty.txt HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = client.response();
        assert_eq!(response.status, status, "{fields}");
        if status == 304 {
            assert_eq!(response.header("etag"), Some(etag.as_str()), "{fields}");
            assert_eq!(response.header("content-length"), None, "{fields}");
        }
        assert_eq!(client.response().status, 200, "the request behind {fields}");
    }
    // Another content is another ETag.
    fs::write(www(&weir).join("docs/plain.txt"), "changed").expect("written");
    let changed = ask(&weir, "GET", path, &format!("If-None-Match: {etag}\r\n"));
    assert_eq!((changed.status, changed.text().as_str()), (200, "changed"));
    let browser = Browser::new(weir.addr("web"), "site.example");
    assert_eq!(
        browser.load("/app.js").expect("a page").response.status,
        200
    );
    let again = browser.load("/app.js").expect("a page");
    assert_eq!(
        (again.response.status, again.body.as_slice()),
        (304, b"gzip bytes".as_slice())
    );
}

/// Parts of a multipart body: their range and their bytes.
fn parts(response: &Response) -> Vec<(String, Vec<u8>)> {
    let kind = response.header("content-type").expect("a type");
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .expect("multipart")
        .trim_matches('"');
    let text = response.text();
    let inner = text
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .expect("the end");
    inner
        .split(&format!("--{boundary}\r\n"))
        .skip(1)
        .map(|part| {
            let part = part.strip_suffix("\r\n").unwrap_or(part);
            let (head, body) = part.split_once("\r\n\r\n").expect("a head");
            let range = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Range: "))
                .expect("a range");
            assert!(head.contains("Content-Type: text/plain"), "{head}");
            (range.to_owned(), body.as_bytes().to_vec())
        })
        .collect()
}

#[test]
fn ranges() {
    let weir = site();
    let path = "/docs/plain.txt";
    let part = |range: &str| ask(&weir, "GET", path, &format!("Range: {range}\r\n"));
    for (range, body, content_range) in [
        ("bytes=0-0", "a", "bytes 0-0/26"),
        ("bytes=3-5", "def", "bytes 3-5/26"),
        ("bytes=20-", "uvwxyz", "bytes 20-25/26"),
        ("bytes=-3", "xyz", "bytes 23-25/26"),
        ("bytes=24-99", "yz", "bytes 24-25/26"),
        ("bytes=-99", "abcdefghijklmnopqrstuvwxyz", "bytes 0-25/26"),
    ] {
        let response = part(range);
        assert_eq!(
            (response.status, response.text().as_str()),
            (206, body),
            "{range}"
        );
        assert_eq!(
            response.header("content-range"),
            Some(content_range),
            "{range}"
        );
    }
    for range in ["bytes=26-", "bytes=-0", "bytes=99-100"] {
        let response = part(range);
        assert_eq!(
            (response.status, response.header("content-range")),
            (416, Some("bytes */26")),
            "{range}"
        );
    }
    for ignored in ["bytes=b-c", "lines=1-2", "bytes=5-3", "bytes="] {
        assert_eq!(part(ignored).status, 200, "{ignored}");
    }
    let several = part("bytes=0-1, 10-12, -2");
    assert_eq!(several.status, 206);
    let expected = [
        ("bytes 0-1/26", "ab"),
        ("bytes 10-12/26", "klm"),
        ("bytes 24-25/26", "yz"),
    ];
    let expected: Vec<(String, Vec<u8>)> = expected
        .iter()
        .map(|(range, body)| ((*range).to_owned(), body.as_bytes().to_vec()))
        .collect();
    assert_eq!(parts(&several), expected);
    // Each with its head, many small parts would be more than the whole.
    let many: String = (0..200).map(|_| "0-0,").collect();
    let response = part(&format!("bytes={many}1-1"));
    assert!(
        matches!(response.status, 200 | 206 | 416),
        "{}",
        response.status
    );
    assert!(response.body.len() < 2000, "{} bytes", response.body.len());

    let etag = get(&weir, path).header("etag").expect("an ETag").to_owned();
    let with = |fields: String| ask(&weir, "GET", path, &fields).status;
    assert_eq!(
        with(format!("Range: bytes=0-1\r\nIf-Range: {etag}\r\n")),
        206
    );
    assert_eq!(
        with("Range: bytes=0-1\r\nIf-Range: \"other\"\r\n".to_owned()),
        200
    );
    assert_eq!(
        ask(&weir, "HEAD", path, "Range: bytes=0-1\r\n").body.len(),
        0
    );
}

#[test]
fn compressed_siblings() {
    let weir = site();
    for (accept, coding, body) in [
        ("", None, "console.log('plain')"),
        ("Accept-Encoding: gzip\r\n", Some("gzip"), "gzip bytes"),
        ("Accept-Encoding: gzip, br\r\n", Some("br"), "brotli bytes"),
        (
            "Accept-Encoding: br;q=0, gzip;q=0.1\r\n",
            Some("gzip"),
            "gzip bytes",
        ),
        (
            "Accept-Encoding: identity\r\n",
            None,
            "console.log('plain')",
        ),
        (
            "Accept-Encoding: deflate\r\nAccept-Encoding: gzip\r\n",
            Some("gzip"),
            "gzip bytes",
        ),
    ] {
        let response = ask(&weir, "GET", "/app.js", accept);
        assert_eq!(
            (
                response.header("content-encoding"),
                response.text().as_str()
            ),
            (coding, body),
            "{accept}"
        );
        assert!(
            response.headers.has_token("vary", "accept-encoding"),
            "{accept}"
        );
        assert!(
            response
                .header("content-type")
                .is_some_and(|t| t.contains("javascript")),
            "{accept}"
        );
    }
    let plain = get(&weir, "/app.js").header("etag").map(str::to_owned);
    let gzip = ask(&weir, "GET", "/app.js", "Accept-Encoding: gzip\r\n")
        .header("etag")
        .map(str::to_owned);
    assert_ne!(plain, gzip);
    // The other route has none.
    assert_eq!(
        ask(&weir, "GET", "/sub/plain.txt", "Accept-Encoding: gzip\r\n").header("content-encoding"),
        None
    );
}

#[test]
fn nothing_outside_the_root_is_served() {
    let weir = site();
    let www = www(&weir);
    symlink("docs/plain.txt", www.join("inside")).expect("a link");
    symlink("docs", www.join("inside-folder")).expect("a link");
    symlink("../secret.txt", www.join("outside")).expect("a link");
    symlink(weir.dir().join("secret.txt"), www.join("absolute")).expect("a link");
    symlink("..", www.join("up")).expect("a link");
    symlink("outside", www.join("chain")).expect("a link");
    symlink("loop", www.join("loop")).expect("a link");
    symlink("/proc/self/environ", www.join("proc")).expect("a link");
    assert_eq!(get(&weir, "/inside").text(), "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(get(&weir, "/inside-folder/plain.txt").status, 200);
    for path in [
        "/outside",
        "/absolute",
        "/up/secret.txt",
        "/chain",
        "/loop",
        "/proc",
        "/../secret.txt",
        "/..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "/docs/../../secret.txt",
        "/docs/..%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..;/secret.txt",
        "/sub/../../secret.txt",
        "/sub/..%2findex.html",
        "/%00",
        "/docs/plain.txt%00.html",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/docs%2fplain.txt",
        "/etc/passwd",
        "/.%2e/secret.txt",
        "/index.html/../../secret.txt",
    ] {
        let response = get(&weir, path);
        assert!(
            matches!(response.status, 400 | 403 | 404),
            "{path}: {} {:?}",
            response.status,
            response.text()
        );
        assert!(!response.text().contains("outside"), "{path}");
    }
    // The client learns nothing; whoever reads the log learns that a link leads out.
    for (path, reason) in [
        ("/outside", "file_forbidden"),
        ("/absolute", "file_forbidden"),
        ("/up/secret.txt", "file_forbidden"),
        ("/chain", "file_forbidden"),
        ("/loop", "file_not_found"),
        ("/none", "file_not_found"),
    ] {
        assert_eq!(get(&weir, path).status, 404, "{path}");
        let line = weir.wait_log(path, |line| line["target"] == path);
        assert_eq!(line["reason"], reason, "{line}");
    }
}

#[test]
fn a_large_file_arrives_whole_by_any_client() {
    let weir = site();
    let size = 40_000_000;
    let large = pattern(size);
    let hash = fnv1a(&large);
    fs::write(www(&weir).join("large.bin"), &large).expect("written");
    let response = get(&weir, "/large.bin");
    assert_eq!((response.body.len(), fnv1a(&response.body)), (size, hash));
    let url = format!("http://{}/large.bin", weir.addr("web"));
    assert_eq!(fnv1a(&curl(&[&url]).ok().body), hash);
    assert_eq!(fnv1a(&curl(&["--limit-rate", "40M", &url]).ok().body), hash);
    let part = ask(
        &weir,
        "GET",
        "/large.bin",
        "Range: bytes=1000001-30000000\r\n",
    );
    assert!(part.body == large[1_000_001..=30_000_000]);
    let several = ask(
        &weir,
        "GET",
        "/large.bin",
        "Range: bytes=0-999999,20000000-21000000\r\n",
    );
    assert!(
        several
            .body
            .windows(100)
            .any(|window| *window == large[20_999_900..21_000_000])
    );
    assert!(several.body.len() > 2_000_000 && several.body.len() < 2_001_000);
    // And the connection goes on behind it.
    let mut client = weir.client("web");
    client.send("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(fnv1a(&client.response().body), hash);
    assert_eq!(client.response().text(), "<h1>home</h1>");
    let line = weir.wait_log("the large one", |line| {
        line["target"] == "/large.bin" && line["status"] == 200
    });
    assert_eq!(line["bytes_out"], size, "{line}");
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_gives_no_whole_answer() {
    let weir = site();
    let path = www(&weir).join("shrinks.bin");
    let size: usize = 64 << 20;
    let file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(&path)
        .expect("created");
    file.set_len(size as u64).expect("grown");
    let mut client = weir.client("web");
    client.send("GET /shrinks.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    assert!(String::from_utf8_lossy(&head).contains(&format!("Content-Length: {size}")));
    // The client takes its time; much of the file is still to come.
    file.set_len(1000).expect("shrunk");
    let body = client.read_to_end();
    assert!(body.len() < size, "all of it came");
    let line = weir.wait_log("the broken one", |line| line["target"] == "/shrinks.bin");
    assert_eq!(line["reason"], "file_failed", "{line}");
}

#[test]
fn a_client_that_stops_reading_is_let_go() {
    let weir = site();
    let path = www(&weir).join("big.bin");
    fs::File::create(&path)
        .and_then(|file| file.set_len(256 << 20))
        .expect("created");
    let mut client = weir.client("web");
    client.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    let line = weir.wait_log("the abandoned one", |line| line["reason"] == "send_timeout");
    assert_eq!(line["target"], "/big.bin");
    let mut rest = Vec::new();
    let end = client.stream().read_to_end(&mut rest);
    assert!(end.is_err() && rest.len() < 256 << 20, "{end:?}");
    // One that goes away by itself is noticed, too.
    let mut client: RawClient = weir.client("web");
    client.send("GET /big.bin?gone HTTP/1.1\r\nHost: x\r\n\r\n");
    client.read_exactly(100_000);
    client.reset();
    weir.wait_log("the reset one", |line| {
        line["target"] == "/big.bin?gone" && line["reason"] == "client_gone"
    });
}

#[test]
fn a_folder_that_is_replaced_is_seen() {
    // Deployments switch a link from one release to the next.
    let weir = site();
    assert_eq!(get(&weir, "/").text(), "<h1>home</h1>");
    let dir = weir.dir();
    fs::create_dir(dir.join("next")).expect("created");
    fs::write(dir.join("next/index.html"), "<h1>next</h1>").expect("written");
    fs::rename(dir.join("www"), dir.join("previous")).expect("renamed");
    fs::rename(dir.join("next"), dir.join("www")).expect("renamed");
    wait_until("the new folder", || {
        get(&weir, "/").text() == "<h1>next</h1>"
    });
}

#[test]
fn a_missing_root_is_an_error_at_its_place() {
    let launch = Weir::launch(
        WEIR,
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, files: '@dir@/nowhere' } ]\n",
    );
    let why = Weir::try_launch(launch).expect_err("no such folder");
    assert!(
        why.contains("weir.yaml:4:") && why.contains("nowhere"),
        "{why}"
    );
}
