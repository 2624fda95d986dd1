//! Connections to endpoints are used again only while they are clean, and requests are sent again only if that is safe.

mod common;

use std::io::{Read, Write};
use std::sync::mpsc;

use common::{
    PLAIN, assert_problem, get, in_front_of, line_of, lines, one_service, serve, start, text,
};
use weir_testkit::{Origin, RawClient, Step, send};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

#[test]
fn a_request_is_repeated_only_if_that_is_safe() {
    // Both endpoints answer their first request, and close on their second without a word.
    let script = [Step::ReadRequest, send(OK), Step::ReadRequest];
    #[rustfmt::skip] // One case a line.
    let cases: &[(&str, &str, bool)] = &[
        ("GET", "GET /r HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("HEAD", "HEAD /r HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("OPTIONS", "OPTIONS /r HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("DELETE", "DELETE /r HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("PUT without a body", "PUT /r HTTP/1.1\r\nHost: a\r\n\r\n", true),
        ("POST", "POST /r HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("POST with a body", "POST /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", false),
        ("PUT with a body", "PUT /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", true),
        ("GET with a body", "GET /r HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", true),
        ("PATCH", "PATCH /r HTTP/1.1\r\nHost: a\r\n\r\n", false),
        ("an unknown method", "FROB /r HTTP/1.1\r\nHost: a\r\n\r\n", false),
    ];
    let origins: Vec<Origin> = cases
        .iter()
        .map(|_| Origin::script(script.clone()))
        .collect();
    let weir = in_front_of(&origins, "");
    for (number, (name, request, repeated)) in cases.iter().enumerate() {
        let origin = &origins[number];
        let mut client = weir.client("web");
        assert_eq!(
            client.send(get(number)).response().text(),
            "ok",
            "{name}: the first, which warms the connection"
        );
        let request = request.replace("/r", &format!("/{number}?again"));
        let response = client
            .send(&request)
            .response_to(request.split(' ').next().unwrap_or_default());
        let times = text(&origin.received_anywhere())
            .matches(&format!("/{number}?again"))
            .count();
        if *repeated {
            assert_eq!(response.status, 200, "{name}");
            assert_eq!((times, origin.connections()), (2, 2), "{name}");
        } else {
            assert_problem(name, &response, 502);
            assert_eq!((times, origin.connections()), (1, 1), "{name}");
        }
    }
    for (number, line) in lines(&weir, 2 * cases.len()).iter().enumerate() {
        let (name, _, repeated) = cases[number / 2];
        let broke = number % 2 == 1 && !repeated;
        let reason = if broke {
            "upstream_closed".into()
        } else {
            serde_json::Value::Null
        };
        assert_eq!(line["reason"], reason, "{name}: {line}");
    }
}

#[test]
fn another_endpoint_answers_what_may_be_repeated() {
    let bad = Origin::script([Step::ReadRequest]);
    let half = Origin::script([Step::ReadRequest, send("HTTP/1.1 2")]);
    let hopeful = Origin::script([Step::ReadRequest, send("HTTP/1.1 100 Continue\r\n\r\n")]);
    let good = Origin::answering(OK);
    let config = format!(
        "
workers: 1
listeners: {{ web: '@web@' }}
routes:
- {{ path: /closes, service: closes }}
- {{ path: /half, service: half }}
- {{ path: /hopeful, service: hopeful }}
- {{ path: /never, service: closes, retries: 0 }}
services:
  closes: ['{}', '{good}']
  half: ['{}', '{good}']
  hopeful: ['{}', '{good}']
",
        bad.addr(),
        half.addr(),
        hopeful.addr(),
        good = good.addr()
    );
    let weir = start(&config);
    let mut client = weir.client("web");
    let ask = |client: &mut RawClient, method: &str, path: &str| {
        client
            .send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .response()
            .status
    };
    // Round robin: of two requests in a row, one meets the endpoint that closes.
    for _ in 0..4 {
        assert_eq!(ask(&mut client, "GET", "/closes"), 200);
    }
    assert!(bad.connections() >= 1);
    let line = weir.wait_log("a second attempt", |line| line["attempts"] == 2);
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&200.into(), &serde_json::Value::Null),
        "{line}"
    );

    let posts: Vec<u16> = (0..4)
        .map(|_| ask(&mut client, "POST", "/closes"))
        .collect();
    assert!(posts.contains(&502) && posts.contains(&200), "{posts:?}");
    let never: Vec<u16> = (0..4).map(|_| ask(&mut client, "GET", "/never")).collect();
    assert!(never.contains(&502) && never.contains(&200), "{never:?}");
    // Part of an answer has come: the request was seen, and what it did is unknown.
    let halves: Vec<u16> = (0..4).map(|_| ask(&mut client, "GET", "/half")).collect();
    assert!(halves.contains(&502) && halves.contains(&200), "{halves:?}");
    // An interim answer is no part of it.
    for _ in 0..4 {
        let mut client = weir.client("web");
        client.send("PUT /hopeful HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(client.response().status, 200);
    }
    assert!(hopeful.connections() >= 1);
}

#[test]
fn bytes_after_an_answer_are_nobodys() {
    // Together with the answer, right behind it, and for answers that have no body.
    #[rustfmt::skip] // One case a line.
    let cases: Vec<(&str, &str, String)> = vec![
        ("length", "GET", format!("{OK}{EVIL}")),
        ("one byte", "GET", format!("{OK}\n")),
        ("chunked", "GET", format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n{EVIL}")),
        ("204", "GET", format!("HTTP/1.1 204 No Content\r\n\r\n{EVIL}")),
        ("204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil".into()),
        ("304", "GET", format!("HTTP/1.1 304 Not Modified\r\nContent-Length: 40\r\n\r\n{EVIL}")),
        ("HEAD", "HEAD", format!("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil{EVIL}")),
        ("HEAD, chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n".into()),
    ];
    let origins: Vec<Origin> = cases
        .iter()
        .map(|(_, _, answer)| {
            Origin::scripts(vec![
                vec![Step::ReadRequest, send(answer), Step::Hold],
                vec![Step::ReadRequest, send(OK), Step::Again],
            ])
        })
        .collect();
    let weir = in_front_of(&origins, "");
    for (number, (name, method, _)) in cases.iter().enumerate() {
        let mut client = weir.client("web");
        let first = client
            .send(format!("{method} /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
            .response_to(method);
        assert!(!text(&first.body).contains("evil"), "{name}: {first:?}");
        assert_eq!(
            RawClient::exchange(weir.addr("web"), get(number)).text(),
            "ok",
            "{name}: another client's"
        );
        assert_eq!(
            client.send(get(number)).response().text(),
            "ok",
            "{name}: the client's next"
        );
        assert_eq!(
            origins[number].connections(),
            2,
            "{name}: the connection was not used again"
        );
    }
}

#[test]
fn what_comes_unasked_on_an_idle_connection_is_nobodys() {
    for (name, unasked) in [
        ("an answer", EVIL),
        ("a byte", "\n"),
        (
            "a request for time",
            "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
        ),
        ("the end", ""),
    ] {
        let (go, gone) = mpsc::sync_channel::<()>(1);
        let (done, is_done) = mpsc::sync_channel::<()>(1);
        let gone = std::sync::Mutex::new(gone);
        let addr = serve(move |mut stream, number| {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).is_ok_and(|n| n > 0) {
                let _ = stream.write_all(OK.as_bytes());
                if number == 0 {
                    let _ = gone.lock().expect("one at a time").recv();
                    let _ = stream.write_all(unasked.as_bytes());
                    if unasked.is_empty() {
                        let _ = stream.shutdown(std::net::Shutdown::Write);
                    }
                    let _ = done.send(());
                }
            }
        });
        let weir = one_service(addr, PLAIN, "");
        let mut client = weir.client("web");
        assert_eq!(client.send(get("first")).response().text(), "ok", "{name}");
        go.send(()).expect("the origin waits");
        is_done.recv().expect("the origin speaks");
        // A POST shows that nothing had to be repeated.
        let post = "POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(client.send(post).response().text(), "ok", "{name}");
        assert_eq!(line_of(&weir, "/second")["reused"], false, "{name}");
    }
}
