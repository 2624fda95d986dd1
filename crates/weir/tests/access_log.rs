//! The line that every request leaves in the access log.

#[path = "common/running.rs"]
mod running;
#[path = "common/scene.rs"]
mod scene;

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use running::{echoes, tunnel};
use scene::scene;
use serde_json::{Value, json};
use weir_testkit::wait_until;

/// The line must have these fields, and exactly these further ones with any value.
fn assert_line(line: &Value, fields: Value, any: &[&str]) {
    let mut expected: BTreeMap<&str, Option<&Value>> =
        any.iter().map(|name| (*name, None)).collect();
    for (name, value) in fields.as_object().expect("an object") {
        expected.insert(name, Some(value));
    }
    for (name, value) in line.as_object().expect("an object") {
        match expected.remove(name.as_str()) {
            Some(Some(wanted)) => assert_eq!(value, wanted, "{name} in {line:#}"),
            Some(None) => {}
            None => panic!("{name} in {line:#}"),
        }
    }
    assert!(expected.is_empty(), "{expected:?} not in {line:#}");
}

/// What every line has.
const ALWAYS: [&str; 5] = ["time", "id", "client", "duration_ms", "trace"];

fn always(more: &[&'static str]) -> Vec<&'static str> {
    ALWAYS.iter().copied().chain(more.iter().copied()).collect()
}

#[test]
fn a_line_says_what_a_request_met() {
    let scene = scene();
    let app = scene.app.addr().to_string();
    let line = scene.logged(
        "success-1",
        "POST /some/path?q=1 HTTP/1.1\r\nHost: Shop.Example:80\r\nUser-Agent: tester/1.0\r\nReferer: http://a.example/\r\nContent-Length: 5\r\n\r\nhello",
    );
    assert_line(
        &line,
        json!({
            "listener": "web", "client": "127.0.0.1", "method": "POST", "host": "Shop.Example:80", "target": "/some/path?q=1",
            "protocol": "HTTP/1.1", "route": "/*", "service": "app", "endpoint": app, "status": 200, "bytes_in": 5, "attempts": 1,
            "reused": false, "user_agent": "tester/1.0", "referer": "http://a.example/",
        }),
        &always(&["bytes_out", "connect_ms", "first_byte_ms"]),
    );
    let time = line["time"].as_str().expect("a time");
    assert!(
        time.len() == 24 && time.ends_with('Z') && time.as_bytes()[10] == b'T',
        "{time}"
    );
    assert!(line["bytes_out"].as_u64().is_some_and(|bytes| bytes > 100));
    let ms = |name: &str| line[name].as_f64().expect("a duration");
    assert!(
        ms("duration_ms") >= ms("first_byte_ms") + ms("connect_ms"),
        "{line}"
    );

    let line = scene.logged("success-2", "GET /bytes/70000 HTTP/1.0\r\nHost: x\r\n\r\n");
    assert_eq!(
        (&line["protocol"], &line["bytes_out"], &line["reused"]),
        (&json!("HTTP/1.0"), &json!(70_000), &json!(true)),
        "{line}"
    );
    assert!(line["connect_ms"].is_null(), "{line}");
    let line = scene.logged("success-3", "GET /slow/120 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        line["first_byte_ms"].as_f64().is_some_and(|ms| ms >= 120.0),
        "{line}"
    );
}

#[test]
fn a_line_says_what_weir_answered_itself() {
    let scene = scene();
    let base = |method: &str, target: &str, more: Value| {
        let mut line = json!({
            "listener": "web", "method": method, "host": "x", "target": target, "protocol": "HTTP/1.1", "bytes_in": 0,
        });
        let all = line.as_object_mut().expect("an object");
        all.extend(more.as_object().expect("an object").clone());
        line
    };
    let get = |id: &str, target: &str| {
        scene.logged(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    };

    assert_line(
        &get("own-1", "/own"),
        base(
            "GET",
            "/own",
            json!({ "route": "own", "status": 200, "bytes_out": 10 }),
        ),
        &ALWAYS,
    );
    assert_line(
        &get("own-2", "/moved"),
        base(
            "GET",
            "/moved",
            json!({ "route": "/moved", "status": 308, "bytes_out": 0 }),
        ),
        &ALWAYS,
    );
    let file = get("own-3", "/file/weir.yaml");
    let size = fs::metadata(scene.weir.config()).expect("the config").len();
    assert_line(
        &file,
        base(
            "GET",
            "/file/weir.yaml",
            json!({ "route": "/file/*", "status": 200, "bytes_out": size }),
        ),
        &ALWAYS,
    );
    let head = scene.logged("own-4", "HEAD /own HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_line(
        &head,
        base(
            "HEAD",
            "/own",
            json!({ "route": "own", "status": 200, "bytes_out": 0 }),
        ),
        &ALWAYS,
    );

    let refused = get("own-5", "/post-only");
    // The catch-all takes every method.
    assert_eq!(refused["service"], "app", "{refused}");
    let bad = get("own-6", "/..");
    assert_line(
        &bad,
        base(
            "GET",
            "/..",
            json!({ "status": 400, "reason": "bad_request", "rule": "bad_path" }),
        ),
        &always(&["bytes_out"]),
    );
}

#[test]
fn a_line_says_why_it_failed() {
    let scene = scene();
    let get = |id: &str, target: &str| {
        scene.logged(id, &format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
    };
    for (id, target, status, reason) in [
        ("fail-1", "/down", 502, "connect_refused"),
        ("fail-2", "/bad", 502, "upstream_bad_response"),
        ("fail-3", "/short", 200, "upstream_truncated"),
        ("fail-4", "/silent", 504, "first_byte_timeout"),
        ("fail-5", "/file/none", 404, "file_not_found"),
    ] {
        let line = get(id, target);
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason)),
            "{line}"
        );
        assert!(line["route"].is_string(), "{line}");
    }
    let bad = get("fail-6", "/bad");
    assert!(bad["rule"].is_string(), "the rule that was broken: {bad}");
    // What is no HTTP has a line as well, with what could be read of it.
    for (bytes, status, reason) in [
        ("GET /a/path HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            400,
            "bad_request",
        ),
        (
            "GET / HTTP/3.0\r\nHost: x\r\n\r\n",
            505,
            "unsupported_version",
        ),
        (
            "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
            501,
            "unsupported_method",
        ),
    ] {
        let before = scene.weir.access_log().len();
        let mut client = scene.weir.client("web");
        assert_eq!(client.send(bytes).response().status, status, "{bytes:?}");
        wait_until("the line", || scene.weir.access_log().len() > before);
        let line = scene.weir.access_log().pop().expect("a line");
        assert_eq!(
            (&line["status"], &line["reason"]),
            (&json!(status), &json!(reason)),
            "{bytes:?}: {line}"
        );
    }
}

#[test]
fn a_line_of_a_refused_head_says_what_could_be_read() {
    let scene = scene();
    let line = |bytes: &[u8], status: u16| {
        let before = scene.weir.access_log().len();
        let mut client = scene.weir.client("web");
        assert_eq!(client.send(bytes).response().status, status);
        wait_until("the line", || scene.weir.access_log().len() > before);
        scene.weir.access_log().pop().expect("a line")
    };
    let long = format!("PUT /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(40_000));
    #[rustfmt::skip] // One case a line.
    let cases: [(&[u8], u16, [&str; 5]); 9] = [
        // The rule, and method, host, target and protocol as far as they are known.
        (b"PUT /p?q HTTP/1.1\r\nHost: a:1\r\nHost: b\r\n\r\n", 400, ["duplicate_host", "PUT", "a:1", "/p?q", "HTTP/1.1"]),
        (b"PUT /p?q HTTP/1.0\r\nX : y\r\nHost: a\r\n\r\n", 400, ["space_before_colon", "PUT", "", "/p?q", "HTTP/1.0"]),
        (b"GET http://h/p HTTP/1.1\r\nHost: other\r\n\r\n", 400, ["host_mismatch", "GET", "h", "http://h/p", "HTTP/1.1"]),
        (b"GET /p HTTP/3.0\r\nHost: a\r\n\r\n", 505, ["unsupported_version", "GET", "", "/p", ""]),
        (b"\r\nGET /p#f HTTP/1.1\r\nHost: a\r\n\r\n", 400, ["invalid_target", "GET", "", "/p#f", ""]),
        (b"GET /p\n", 400, ["bare_lf", "GET", "", "/p", ""]),
        (b"\x16\x03\x01\x02\x00\x01", 400, ["invalid_method", "", "", "", ""]),
        (long.as_bytes(), 414, ["target_too_long", "PUT", "", "/x", ""]),
        // Too slow rather than wrong.
        (b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Y", 408, ["", "GET", "a", "/slow", "HTTP/1.1"]),
    ];
    for (bytes, status, [rule, method, host, target, protocol]) in cases {
        let line = line(bytes, status);
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            ["rule", "method", "host", "protocol"].map(text),
            [rule, method, host, protocol],
            "{line}"
        );
        let logged = text("target");
        if status == 414 {
            assert!(
                logged.starts_with(target) && logged.len() < 10_000,
                "{line}"
            );
        } else {
            assert_eq!(logged, target, "{line}");
        }
    }
}

#[test]
fn a_client_that_goes_away_is_logged_as_such() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    client.send("GET /slow/3000/gone HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_until("the request at the app", || scene.app.requests() == 1);
    client.reset();
    let line = scene.weir.wait_log("the one that went", |line| {
        line["target"] == "/slow/3000/gone"
    });
    assert_eq!(
        (&line["reason"], &line["status"]),
        (&json!("client_gone"), &json!(499)),
        "{line}"
    );
    assert!(
        line["duration_ms"].as_f64().is_some_and(|ms| ms < 2500.0),
        "it did not wait for the answer: {line}"
    );
}

#[test]
fn a_head_in_pieces_counts_from_its_first_byte() {
    let scene = scene();
    let mut client = scene.weir.client("web");
    client.send("GET /own?pieces HTTP/1.1\r\nHo");
    client.expect_silence(Duration::from_millis(150));
    client.send("st: x\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let line = scene
        .weir
        .wait_log("the pieces", |line| line["target"] == "/own?pieces");
    let ms = |name: &str| {
        line[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {line}"))
    };
    // On a busy machine Weir sees the first piece late.
    assert!(
        ms("head_ms") >= 20.0 && ms("duration_ms") >= ms("head_ms"),
        "{line}"
    );
}

#[test]
fn a_tunnel_has_its_line_when_it_ends() {
    let scene = scene();
    let mut socket = tunnel(scene.weir.addr("web"));
    echoes(&mut socket, "hello");
    echoes(&mut socket, "again!");
    scene.weir.client("web").get("/own");
    scene
        .weir
        .wait_log("another line", |line| line["target"] == "/own");
    assert!(
        scene
            .weir
            .access_log()
            .iter()
            .all(|line| line["status"] != 101),
        "the tunnel is still open"
    );
    socket.half_close().expect_close();
    let line = scene
        .weir
        .wait_log("the tunnel's", |line| line["status"] == 101);
    assert_eq!(
        (&line["bytes_in"], &line["bytes_out"]),
        (&json!(11), &json!(11)),
        "{line}"
    );
    assert_eq!(
        (&line["service"], &line["reason"]),
        (&json!("app"), &Value::Null),
        "{line}"
    );
}

#[test]
fn lines_are_json_whatever_a_client_sends() {
    let scene = scene();
    let agents: [&[u8]; 5] = [
        b"quote \" backslash \\ tab \t end",
        b"\xff\xfe not UTF-8 \xc3\x28",
        "emoji \u{1f980} and \u{2028}".as_bytes(),
        b"</script>{\"a\":1}",
        b"%00%0a\\n\\u0000",
    ];
    let mut client = scene.weir.client("web");
    for (number, agent) in agents.iter().enumerate() {
        let mut request =
            format!("GET /own?n={number}&\"'<>\\%0A%22 HTTP/1.1\r\nHost: x\r\nUser-Agent: ")
                .into_bytes();
        request.extend_from_slice(agent);
        request.extend_from_slice(b"\r\n\r\n");
        client.send(&request);
        let status = client.response().status;
        if status != 200 {
            client = scene.weir.client("web");
        }
    }
    // Refused ones as well: their target is the client's.
    for bytes in [
        &b"GET /\x01\x02\" HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\"\\\r\n\r\n",
        b"{\"a\":\r\n\r\n",
    ] {
        scene.weir.client("web").send(bytes).read_to_end();
    }
    // `access_log` panics on a line that is no JSON.
    wait_until("all lines", || {
        scene.weir.access_log().len() == agents.len() + 4
    });
    let text = fs::read(scene.weir.log_path()).expect("the log");
    assert!(std::str::from_utf8(&text).is_ok(), "the log is UTF-8");
    assert!(
        text.iter().all(|byte| *byte == b'\n' || *byte >= b' '),
        "a control character in the log"
    );
}

#[test]
fn ids_and_traces_are_passed_on_or_made() {
    let scene = scene();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let mut client = scene.weir.client("web");
    client.send(format!("GET /id HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine-1\r\ntraceparent: 00-{trace}-b7ad6b7169203331-01\r\n\r\n"));
    let headers = |response: &weir_testkit::Response| -> BTreeMap<String, String> {
        let pairs: Vec<(String, String)> =
            serde_json::from_value(response.json()["headers"].clone()).expect("pairs");
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), value))
            .collect()
    };
    let seen = headers(&client.response());
    assert_eq!(seen["x-request-id"], "mine-1");
    assert!(
        seen["traceparent"].starts_with(&format!("00-{trace}-")),
        "{seen:?}"
    );
    let line = scene.weir.wait_log("mine", |line| line["id"] == "mine-1");
    assert_eq!(line["trace"], trace);

    let seen = headers(&client.get("/made"));
    let line = scene
        .weir
        .wait_log("made", |line| line["target"] == "/made");
    assert_eq!(line["id"], seen["x-request-id"].as_str());
    assert!(
        seen["traceparent"].contains(line["trace"].as_str().expect("a trace")),
        "{line} {seen:?}"
    );
}
