//! What endpoints are told about a request besides what the client said, and what is kept from them.

mod common;

use common::{PLAIN, one_service};
use weir_testkit::{Echo, Headers, Origin, RawClient, Response, Step, Weir, send};

/// The fields that an echo origin got.
fn seen(response: &Response) -> Headers {
    let pairs = response.json()["headers"]
        .as_array()
        .expect("an echo")
        .clone();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    Headers(
        pairs
            .iter()
            .map(|pair| (text(&pair[0]), text(&pair[1])))
            .collect(),
    )
}

fn ask(weir: &Weir, fields: &str) -> Headers {
    seen(&RawClient::exchange(
        weir.addr("web"),
        format!("GET / HTTP/1.1\r\nHost: shop.example:81\r\n{fields}\r\n"),
    ))
}

fn all(fields: &Headers, name: &str) -> Vec<String> {
    fields.all(name).map(str::to_owned).collect()
}

const CLAIMS: &str = "X-Forwarded-For: 1.2.3.4\r\nx-forwarded-for: 5.6.7.8, 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Port: 1\r\nX-Real-IP: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\n";

#[test]
fn what_clients_claim_about_themselves_is_replaced() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    for claims in ["", CLAIMS] {
        let got = ask(&weir, claims);
        assert_eq!(all(&got, "x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(all(&got, "x-forwarded-proto"), ["http"]);
        assert_eq!(all(&got, "x-forwarded-host"), ["shop.example:81"]);
        for name in ["x-forwarded-port", "x-real-ip", "forwarded"] {
            assert_eq!(all(&got, name), [""; 0], "{name}");
        }
    }
}

#[test]
fn what_trusted_proxies_say_is_extended() {
    let echo = Echo::start("app");
    let weir = one_service(
        echo.addr(),
        "forwarded: { trusted: [127.0.0.0/8], send: both }",
        "",
    );
    let got = ask(&weir, CLAIMS);
    assert_eq!(
        all(&got, "x-forwarded-for"),
        ["1.2.3.4, 5.6.7.8, 9.9.9.9, 127.0.0.1"]
    );
    assert_eq!(all(&got, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&got, "x-forwarded-host"), ["evil"]);
    assert_eq!(all(&got, "x-forwarded-port"), ["1"]);
    assert_eq!(
        all(&got, "forwarded"),
        [
            "for=1.2.3.4;host=\"evil\";proto=https, for=5.6.7.8, for=9.9.9.9, \
          for=127.0.0.1;host=\"shop.example:81\";proto=http"
        ]
    );
    let got = ask(&weir, "");
    assert_eq!(all(&got, "x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(all(&got, "x-forwarded-proto"), ["http"]);
    assert_eq!(all(&got, "x-forwarded-host"), ["shop.example:81"]);
}

#[test]
fn only_the_fields_that_trusted_proxies_write_are_believed() {
    let echo = Echo::start("app");
    let weir = one_service(
        echo.addr(),
        "forwarded: { trusted: [127.0.0.0/8], read: forwarded }",
        "",
    );
    // The proxy passes on what its client wrote in the fields that it does not write itself.
    let got = ask(
        &weir,
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nForwarded: for=192.0.2.1;proto=https\r\n",
    );
    assert_eq!(all(&got, "x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
    assert_eq!(all(&got, "x-forwarded-proto"), ["https"]);
    assert_eq!(all(&got, "x-forwarded-host"), ["shop.example:81"]);
    assert_eq!(all(&got, "forwarded"), [""; 0]);
}

#[test]
fn fields_can_be_chosen() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "forwarded: { send: forwarded }", "");
    let got = ask(&weir, CLAIMS);
    assert_eq!(
        all(&got, "forwarded"),
        ["for=127.0.0.1;host=\"shop.example:81\";proto=http"]
    );
    assert_eq!(all(&got, "x-forwarded-for"), [""; 0]);
    let weir = one_service(echo.addr(), PLAIN, "");
    let got = ask(&weir, CLAIMS);
    let names: Vec<&str> = got.0.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host"], "none at all");
}

#[test]
fn via_tells_the_versions_of_the_way() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    assert_eq!(all(&ask(&weir, ""), "via"), ["1.1 weir"]);
    assert_eq!(
        all(&ask(&weir, "Via: 1.0 fred, 2 p.example\r\n"), "via"),
        ["1.0 fred, 2 p.example", "1.1 weir"]
    );
    let got = seen(&RawClient::exchange(
        weir.addr("web"),
        "GET / HTTP/1.0\r\n\r\n",
    ));
    assert_eq!(all(&got, "via"), ["1.0 weir"]);
    assert_eq!(
        all(&got, "host"),
        [""],
        "RFC 9112, 3.2: an empty Host where there is none to tell"
    );
}

#[test]
fn a_request_id_is_kept_or_made() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    for id in ["abc-123", "A_z.9", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(
            all(
                &ask(&weir, &format!("X-Request-ID: {id}\r\n")),
                "x-request-id"
            ),
            [id]
        );
        weir.wait_log(id, |line| line["id"] == id);
    }
    let mut made = Vec::new();
    let long = "x".repeat(300);
    for bad in [
        "",
        "two words",
        "quote\"",
        "back\\slash",
        "<b>",
        "caf\u{e9}",
        &long,
    ] {
        let got = all(
            &ask(&weir, &format!("X-Request-Id: {bad}\r\n")),
            "x-request-id",
        );
        assert_eq!(got.len(), 1, "{bad:?}");
        assert!(got[0] != bad && got[0].len() >= 16, "{bad:?}: {got:?}");
        weir.wait_log(&got[0], |line| line["id"] == got[0].as_str());
        made.extend(got);
    }
    made.extend(all(&ask(&weir, ""), "x-request-id"));
    let count = made.len();
    made.sort();
    made.dedup();
    assert_eq!(made.len(), count, "each is another");
}

#[test]
fn a_problem_tells_the_request_id() {
    let origin = Origin::script([Step::ReadRequest]);
    let weir = one_service(origin.addr(), "", "");
    let response = RawClient::exchange(
        weir.addr("web"),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: find-me\r\n\r\n",
    );
    assert_eq!(
        (response.status, &response.json()["request_id"]),
        (502, &"find-me".into())
    );
    // A head that is refused has no id that could be trusted, and gets one.
    let response = RawClient::exchange(
        weir.addr("web"),
        "GET / HTTP/1.1\r\nX-Request-Id: not-me\r\n\r\n",
    );
    let id = response.json()["request_id"].clone();
    assert!(
        response.status == 400 && id.is_string() && id != "not-me",
        "{response:?}"
    );
    weir.wait_log("the refusal", |line| {
        line["id"] == id && line["rule"] == "missing_host"
    });
}

#[test]
fn a_trace_is_kept_or_begun() {
    let echo = Echo::start("app");
    let weir = one_service(echo.addr(), "", "");
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let got = ask(
        &weir,
        &format!("traceparent: {parent}\r\ntracestate: a=b\r\ntracestate: c=d\r\n"),
    );
    assert_eq!(all(&got, "traceparent"), [parent]);
    assert_eq!(all(&got, "tracestate"), ["a=b", "c=d"]);
    weir.wait_log("the trace", |line| {
        line["trace"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    });
    for bad in [
        "",
        "traceparent: 00-00000000000000000000000000000000-00f067aa0ba902b7-01\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01\r\n",
        "traceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x\r\n",
        "traceparent: ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
        "traceparent: nonsense\r\n",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
    ] {
        let got = ask(&weir, &format!("{bad}tracestate: a=b\r\n"));
        let parents = all(&got, "traceparent");
        assert_eq!(parents.len(), 1, "{bad:?}");
        let parts: Vec<&str> = parents[0].split('-').collect();
        assert_eq!(
            parts.iter().map(|part| part.len()).collect::<Vec<_>>(),
            [2, 32, 16, 2],
            "{parents:?}"
        );
        assert!(
            parts[1] != "4bf92f3577b34da6a3ce929d0e0e4736" && parts[0] == "00",
            "{bad:?}: {parents:?}"
        );
        assert_eq!(
            all(&got, "tracestate"),
            [""; 0],
            "{bad:?}: it belongs to a trace that is not there"
        );
        let id = parts[1].to_owned();
        weir.wait_log("the trace begun", |line| line["trace"] == id.as_str());
    }
}

#[test]
fn what_is_for_this_hop_goes_no_further() {
    let hop = "Connection: x-one, Keep-Alive ,, X-Two\r\nX-One: 1\r\nx-two: 2\r\nX-TWO: 3\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nProxy-Authenticate: Basic\r\nTE: gzip\r\nUpgrade: x\r\nX-Three: 3\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\n{hop}Content-Length: 2\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\nServer: app\r\n\r\nok"
    );
    let origin = Origin::answering(answer);
    let weir = one_service(origin.addr(), PLAIN, "");
    let response = RawClient::exchange(
        weir.addr("web"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{hop}Cookie: a=b\r\n\r\n"),
    );
    assert_eq!(
        origin.received_text(0),
        "GET / HTTP/1.1\r\nHost: a\r\nX-Three: 3\r\nCookie: a=b\r\n\r\n"
    );
    let got: Vec<(&str, &str)> = response
        .headers
        .0
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|(name, _)| *name != "Date")
        .collect();
    assert_eq!(
        got,
        [
            ("X-Three", "3"),
            ("Content-Length", "2"),
            ("Set-Cookie", "a=b"),
            ("set-cookie", "c=d"),
            ("Server", "app")
        ]
    );
    assert!(
        response.header("date").is_some(),
        "RFC 9110, 6.6.1: whoever forwards an answer without Date adds it"
    );
}

#[test]
fn what_end_to_end_fields_say_stays_as_it_is() {
    let date = "Date: Tue, 15 Nov 1994 08:12:31 GMT\r\n";
    let origin = Origin::script([
        Step::ReadHead,
        send(
            [
                b"HTTP/1.1 299 Quite \xe4\r\n",
                date.as_bytes(),
                b"X-Latin: caf\xe9\r\nX-Tab: a\tb\r\nContent-Length: 0\r\n\r\n",
            ]
            .concat(),
        ),
        Step::Again,
    ]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send(b"GET /a%2Fb//c?q=%zz&<> HTTP/1.1\r\nHost: A.B:080\r\nx-latin: caf\xe9\r\nX-Tab: a\tb\r\nACCEPT: */*\r\naccept: x\r\n\r\n");
    let answer = client.read_until(b"\r\n\r\n");
    assert_eq!(
        answer,
        [
            b"HTTP/1.1 299 Quite \xe4\r\n",
            date.as_bytes(),
            b"X-Latin: caf\xe9\r\nX-Tab: a\tb\r\nContent-Length: 0\r\n\r\n"
        ]
        .concat()
    );
    let got = origin.received(0);
    let (line, fields) = got.split_at(got.iter().position(|byte| *byte == b'\r').expect("a line"));
    assert!(
        line.ends_with(b"?q=%zz&<> HTTP/1.1"),
        "{}",
        String::from_utf8_lossy(line)
    );
    assert_eq!(
        fields,
        b"\r\nHost: A.B:080\r\nx-latin: caf\xe9\r\nX-Tab: a\tb\r\nACCEPT: */*\r\naccept: x\r\n\r\n"
    );
}
