//! The client against servers that behave, break off, talk too much, or say nothing.

use std::time::{Duration, Instant};

use weir_client::{Client, ClientError, Request, Response, StatusCode, Url, form};
use weir_testkit::{App, Origin, Reply, Step, send};

const LONG: Duration = Duration::from_secs(10);

fn url(origin: &Origin, path: &str) -> Url {
    Url::parse(&format!("http://{}{path}", origin.addr())).expect("a URL")
}

async fn get(client: &Client, url: Url) -> Result<Response, ClientError> {
    client.send(Request::get(url), LONG, 1024).await
}

#[tokio::test]
async fn a_get_and_a_form() {
    let origin =
        Origin::answering("HTTP/1.1 201 Created\r\nContent-Length: 8\r\nX-A: b\r\n\r\n{\"a\": 1}");
    let client = Client::default();
    let response = get(&client, url(&origin, "/path?query"))
        .await
        .expect("an answer");
    assert_eq!(response.status, StatusCode::CREATED);
    assert_eq!(
        response.field(&weir_client::header::HeaderName::from_static("x-a")),
        Some("b")
    );
    assert_eq!(response.json().expect("JSON")["a"], 1);

    let request = Request::post_form(url(&origin, "/form"), form([("token", "a b")]))
        .authorization("Basic abc");
    client.send(request, LONG, 1024).await.expect("an answer");
    let first = String::from_utf8(origin.received(0)).expect("text");
    assert!(first.starts_with("GET /path?query HTTP/1.1\r\n"), "{first}");
    assert!(
        first.contains(&format!("host: {}\r\n", origin.addr())),
        "{first}"
    );
    let second = String::from_utf8(origin.received(1)).expect("text");
    assert!(second.starts_with("POST /form HTTP/1.1\r\n"), "{second}");
    assert!(second.contains("authorization: Basic abc\r\n"), "{second}");
    assert!(
        second.ends_with("content-length: 11\r\n\r\ntoken=a%20b"),
        "{second}"
    );
}

#[tokio::test]
async fn connections_are_used_again_by_what_may_be_repeated() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let client = Client::default();
    for _ in 0..5 {
        get(&client.clone(), url(&origin, "/"))
            .await
            .expect("an answer");
    }
    assert_eq!(origin.connections(), 1);
    let post = Request::post_form(url(&origin, "/"), String::new());
    client.send(post.clone(), LONG, 9).await.expect("an answer");
    assert_eq!(origin.connections(), 2);
    client
        .send(post.repeatable(), LONG, 9)
        .await
        .expect("an answer");
    assert_eq!(origin.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_no_error() {
    // Each connection answers once, says nothing about closing, and breaks off at the next request.
    let origin = Origin::script([
        Step::ReadRequest,
        send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        Step::ReadHead,
        Step::Reset,
    ]);
    let client = Client::default();
    for count in 1..=4 {
        get(&client, url(&origin, "/")).await.expect("an answer");
        assert_eq!(origin.connections(), count);
    }
}

#[tokio::test]
async fn the_deadline_holds_wherever_it_stalls() {
    let scripts: [Vec<Step>; 3] = [
        vec![Step::Hold],
        vec![
            Step::ReadRequest,
            send("HTTP/1.1 200 OK\r\nContent-Le"),
            Step::Hold,
        ],
        vec![
            Step::ReadRequest,
            send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
            Step::SendBytewise(vec![b'x'; 100], Duration::from_millis(50)),
        ],
    ];
    for script in scripts {
        let origin = Origin::script(script);
        let client = Client::default();
        let before = Instant::now();
        let request = Request::get(url(&origin, "/"));
        let answer = client.send(request, Duration::from_millis(100), 1024).await;
        assert!(
            matches!(answer, Err(ClientError::Deadline { .. })),
            "{answer:?}"
        );
        assert!(before.elapsed() < Duration::from_secs(4));
    }
}

#[tokio::test]
async fn a_body_is_bounded_with_and_without_a_length() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (response, fits) in [
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n{}",
                "x".repeat(1024)
            ),
            true,
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1025\r\n\r\n{}",
                "x".repeat(1025)
            ),
            false,
        ),
        (
            format!("{chunked}400\r\n{}\r\n0\r\n\r\n", "x".repeat(1024)),
            true,
        ),
        (
            format!(
                "{chunked}400\r\n{}\r\n1\r\nx\r\n0\r\n\r\n",
                "x".repeat(1024)
            ),
            false,
        ),
    ] {
        let origin = Origin::answering(response);
        let answer = get(&Client::default(), url(&origin, "/")).await;
        match answer {
            Ok(response) => assert!(fits && response.body.len() == 1024),
            Err(error) => {
                assert!(
                    !fits && matches!(error, ClientError::TooLarge { most: 1024, .. }),
                    "{error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn redirects_are_answers() {
    let elsewhere = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let origin = Origin::answering(format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n",
        elsewhere.addr()
    ));
    let response = get(&Client::default(), url(&origin, "/"))
        .await
        .expect("an answer");
    assert_eq!(response.status, StatusCode::FOUND);
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn what_is_no_http_is_an_error() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.9\r\n".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort".to_owned(),
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxy".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_owned(),
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(400 << 10)),
        String::new(),
    ] {
        let origin = Origin::answering_once(&bytes);
        let answer = get(&Client::default(), url(&origin, "/")).await;
        assert!(
            matches!(answer, Err(ClientError::Exchange { .. })),
            "{bytes}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there() {
    let addr = weir_testkit::free_addr();
    let nobody = Url::parse(&format!("http://{addr}/")).expect("a URL");
    let answer = get(&Client::default(), nobody).await;
    assert!(
        matches!(answer, Err(ClientError::Connect { .. })),
        "{answer:?}"
    );
    // RFC 6761, section 6.4: `invalid` never exists.
    let nobody = Url::parse("http://nobody.invalid/").expect("a URL");
    let answer = get(&Client::default(), nobody).await;
    let failed = matches!(
        answer,
        Err(ClientError::Lookup { .. } | ClientError::Deadline { .. })
    );
    assert!(failed, "{answer:?}");
}

#[tokio::test]
async fn a_name_with_several_addresses() {
    // `localhost` may be ::1 first, where nobody listens.
    let origin = Origin::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let url = format!("http://localhost:{}/", origin.addr().port());
    let response = get(&Client::default(), Url::parse(&url).expect("a URL")).await;
    assert_eq!(response.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn many_at_once_wait_for_their_turn() {
    let app = App::start("many", |_| Reply::ok().after(Duration::from_millis(5)));
    let client = Client::default();
    let url = Url::parse(&format!("http://{}/", app.addr())).expect("a URL");
    let tasks: Vec<_> = (0..300)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { get(&client, url).await })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic").expect("an answer");
    }
    assert!(app.most_at_once() <= 64, "{}", app.most_at_once());
}
