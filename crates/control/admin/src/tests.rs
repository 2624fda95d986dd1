//! The server through real sockets, and the client against it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_config::{Cx, Diagnostics, Secret, Span};
use weir_service::{Balance, Service};

use crate::{
    ClientError, Control, DrainTarget, Drained, LastReload, Limits, ListenerStatus, Refused,
    ReloadFuture, Reloaded, Response, SourceFailure, Status, request, serve,
};

/// A Weir that only remembers.
#[derive(Default)]
struct Fake {
    not_ready: AtomicBool,
    reloads: Arc<AtomicU64>,
    /// Delays reloads until it is sent.
    gate: Mutex<Option<oneshot::Receiver<()>>>,
    broken: AtomicBool,
    drained: Mutex<Vec<DrainTarget>>,
}

fn problems() -> Diagnostics {
    let mut cx = Cx::from_text("weir.yaml", "routes: 1", &|_| None);
    cx.error(Span::default(), "there is no service `usres`")
        .nearest(Some("users"));
    cx.finish(None::<()>).expect_err("an error")
}

impl Control for Fake {
    fn metrics(&self) -> String {
        "# HELP weir_up Always 1.\nweir_up 1\n".to_owned()
    }

    fn is_ready(&self) -> bool {
        !self.not_ready.load(Relaxed)
    }

    fn status(&self) -> Status {
        let address = SocketAddr::from(([127, 0, 0, 1], 3001));
        Status {
            version: "1.2.3",
            pid: 7,
            uptime: Duration::from_millis(1500),
            config: "weir.yaml".to_owned(),
            generation: 2,
            draining: false,
            last_reload: Some(LastReload {
                ago: Duration::from_secs(1),
                ok: true,
                message: "done".to_owned(),
            }),
            workers: 2,
            connections: 3,
            listeners: vec![ListenerStatus {
                name: "web".to_owned(),
                address,
                protocol: "http",
            }],
            routes: 4,
            services: vec![Service::fixed("users", Balance::P2c, &[(address, 2)]).snapshot(0)],
            checked: vec!["users".to_owned()],
            engines: Vec::new(),
            source_failures: vec![SourceFailure {
                service: "users".into(),
                source: "users.test".into(),
                error: "no answer".to_owned(),
                ago: Duration::from_secs(4),
            }],
            now_ms: 1000,
        }
    }

    fn config(&self) -> Json {
        json!({ "admin": { "token": Secret::new("hidden").to_string() } })
    }

    fn reload(&self) -> ReloadFuture {
        let gate = self.gate.lock().unwrap().take();
        let (reloads, broken) = (Arc::clone(&self.reloads), self.broken.load(Relaxed));
        Box::pin(async move {
            if let Some(gate) = gate {
                let _ = gate.await;
            }
            if broken {
                return Err(Refused {
                    message: "1 problem".to_owned(),
                    diagnostics: problems(),
                });
            }
            let generation = reloads.fetch_add(1, Relaxed) + 1;
            Ok(Reloaded {
                generation,
                message: "done".to_owned(),
                warnings: Diagnostics::default(),
            })
        })
    }

    fn drain(&self, target: &DrainTarget) -> Result<Drained, String> {
        let address: SocketAddr = target
            .endpoint
            .parse()
            .map_err(|_| "no such endpoint".to_owned())?;
        self.drained.lock().unwrap().push(target.clone());
        Ok(Drained {
            endpoints: vec![("users".into(), address)],
        })
    }
}

struct Server {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Server {
    fn start(control: &Arc<Fake>, token: Option<&str>, limits: Limits) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let control: Arc<dyn Control> = Arc::<Fake>::clone(control);
        let task = tokio::spawn(serve(
            listener,
            token.map(Secret::new),
            control,
            limits,
            async {
                let _ = ended.await;
            },
        ));
        Self {
            address,
            end: Some(end),
            task,
        }
    }

    fn plain() -> Self {
        Self::start(&Arc::default(), None, Limits::default())
    }

    async fn ask(&self, method: &str, path: &str) -> Response {
        request(&self.address.to_string(), None, method, path)
            .await
            .unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the server closes.
    async fn raw(&self, bytes: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        read_all(&mut stream).await
    }

    async fn end(mut self) {
        drop(self.end.take());
        timeout(Duration::from_secs(10), self.task)
            .await
            .expect("the server ends")
            .unwrap()
            .unwrap();
    }
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset after the answer is as good an end as any.
    let read = stream.read_to_end(&mut text);
    let _ = timeout(Duration::from_secs(10), read)
        .await
        .expect("the server closes");
    String::from_utf8(text).unwrap()
}

fn parse(response: &Response) -> Json {
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn what_there_is_to_read() {
    let server = Server::plain();
    let index = parse(&server.ask("GET", "/").await);
    for endpoint in index["endpoints"].as_array().unwrap() {
        let path = endpoint["path"].as_str().unwrap();
        if endpoint["method"] == "GET" {
            assert_eq!(server.ask("GET", path).await.status, 200, "{path}");
        }
    }
    assert_eq!(
        server.ask("GET", "/metrics").await.body,
        "# HELP weir_up Always 1.\nweir_up 1\n"
    );
    let status = parse(&server.ask("GET", "/status").await);
    assert_eq!(status["uptime_seconds"], 1.5);
    assert_eq!(status["listeners"][0]["address"], "127.0.0.1:3001");
    let service = &status["services"][0];
    assert_eq!(
        (&service["name"], &service["balance"]),
        (&json!("users"), &json!("p2c"))
    );
    assert_eq!(service["health_check"], true);
    assert_eq!(
        service["source_failures"],
        json!([{ "source": "users.test", "error": "no answer", "seconds_ago": 4.0 }])
    );
    assert_eq!(
        service["endpoints"][0],
        json!({
            "name": "127.0.0.1:3001", "address": "127.0.0.1:3001", "state": "unknown", "reason": null,
            "state_seconds": null, "active": 0, "weight": 2, "priority": 0, "zone": null, "share_percent": 100, "breaker": null,
        })
    );
    assert_eq!(
        parse(&server.ask("GET", "/config").await)["admin"]["token"],
        "***"
    );
    server.end().await;
}

#[tokio::test]
async fn readiness_and_life_are_two_things() {
    let control = Arc::<Fake>::default();
    let server = Server::start(&control, None, Limits::default());
    assert_eq!(server.ask("GET", "/readyz").await.status, 200);
    control.not_ready.store(true, Relaxed);
    assert_eq!(server.ask("GET", "/readyz").await.status, 503);
    assert_eq!(server.ask("GET", "/healthz").await.status, 200);
}

#[tokio::test]
async fn methods_and_paths() {
    let server = Server::plain();
    for (method, path, status) in [
        ("GET", "/nothing", 404),
        ("GET", "/status/", 404),
        ("POST", "/status", 405),
        ("GET", "/reload", 405),
        ("DELETE", "/reload", 405),
        ("HEAD", "/reload", 405),
        ("POST", "/drain", 400),
        ("POST", "/drain?endpoint=nowhere", 404),
    ] {
        let answer = server.ask(method, path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        if method != "HEAD" {
            assert_eq!(parse(&answer)["status"], status, "{method} {path}");
        }
    }
    let close = "Host: localhost\r\nConnection: close\r\n\r\n";
    let head = server
        .raw(&format!("HEAD /metrics HTTP/1.1\r\n{close}"))
        .await;
    assert!(
        head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"),
        "{head}"
    );
    let refused = server
        .raw(&format!("POST /metrics HTTP/1.1\r\n{close}"))
        .await
        .to_lowercase();
    assert!(refused.contains("\r\nallow: get, head\r\n"), "{refused}");
    assert!(
        refused.contains("\r\ncontent-type: application/problem+json\r\n"),
        "{refused}"
    );
    assert!(
        refused.contains("\r\ncache-control: no-store\r\n"),
        "{refused}"
    );
}

#[tokio::test]
async fn reloads_report() {
    let control = Arc::<Fake>::default();
    let server = Server::start(&control, None, Limits::default());
    let done = server.ask("POST", "/reload").await;
    assert_eq!((done.status, &parse(&done)["generation"]), (200, &json!(1)));
    control.broken.store(true, Relaxed);
    let refused = server.ask("POST", "/reload").await;
    let body = parse(&refused);
    assert_eq!(refused.status, 422);
    assert_eq!(body["diagnostics"][0]["nearest"], "users");
    assert!(
        body["report"]
            .as_str()
            .unwrap()
            .starts_with("error: there is no service `usres`")
    );
    assert_eq!(control.reloads.load(Relaxed), 1);
}

#[tokio::test]
async fn a_reload_survives_whoever_asked_for_it() {
    let control = Arc::<Fake>::default();
    let (open, gate) = oneshot::channel();
    *control.gate.lock().unwrap() = Some(gate);
    let server = Server::start(&control, None, Limits::default());
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        .await
        .unwrap();
    let begun = async {
        while control.gate.lock().unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), begun)
        .await
        .expect("the reload begins");
    drop(stream);
    // The server has noticed once it answers on other connections and has nothing else to do.
    assert_eq!(server.ask("GET", "/healthz").await.status, 200);
    open.send(()).expect("the reload still waits");
    let finished = async {
        while control.reloads.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), finished)
        .await
        .expect("the reload finishes");
}

#[tokio::test]
async fn drains_reach_the_right_endpoint() {
    let control = Arc::<Fake>::default();
    let server = Server::start(&control, None, Limits::default());
    let answer = parse(
        &server
            .ask(
                "POST",
                "/drain?endpoint=127.0.0.1%3A3001&service=users&undo=true",
            )
            .await,
    );
    assert_eq!(
        answer,
        json!({ "draining": false, "endpoints": [{ "service": "users", "address": "127.0.0.1:3001" }] })
    );
    let expected = DrainTarget {
        service: Some("users".to_owned()),
        endpoint: "127.0.0.1:3001".to_owned(),
        on: false,
    };
    assert_eq!(*control.drained.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn a_token_is_asked_for() {
    let control = Arc::<Fake>::default();
    let server = Server::start(&control, Some("s3cret"), Limits::default());
    let address = server.address.to_string();
    for (token, path, status) in [
        (None, "/healthz", 200),
        (None, "/status", 401),
        (None, "/readyz", 401),
        // Without the token not even which paths exist.
        (None, "/nothing", 401),
        (Some("wrong"), "/status", 401),
        (Some("s3cret"), "/status", 200),
        (Some("s3cret"), "/nothing", 404),
    ] {
        let secret = token.map(Secret::new);
        let answer = request(&address, secret.as_ref(), "GET", path)
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{token:?} {path}");
    }
    let raw = server
        .raw("POST /reload HTTP/1.1\r\nHost: weir.example\r\nConnection: close\r\n\r\n")
        .await;
    assert!(
        raw.starts_with("HTTP/1.1 401 ") && raw.to_lowercase().contains("www-authenticate: bearer"),
        "{raw}"
    );
    assert_eq!(control.reloads.load(Relaxed), 0);
}

#[tokio::test]
async fn pages_in_browsers_get_nowhere() {
    let control = Arc::<Fake>::default();
    let server = Server::start(&control, None, Limits::default());
    let address = server.address;
    for (head, status) in [
        (
            "GET /status HTTP/1.1\r\nHost: rebound.example".to_owned(),
            403,
        ),
        (
            "POST /reload HTTP/1.1\r\nHost: rebound.example\r\nOrigin: http://rebound.example"
                .to_owned(),
            403,
        ),
        (
            format!("POST /reload HTTP/1.1\r\nHost: {address}\r\nOrigin: https://evil.example"),
            403,
        ),
        (
            format!("POST /reload HTTP/1.1\r\nHost: {address}\r\nSec-Fetch-Site: cross-site"),
            403,
        ),
        ("GET /status HTTP/1.1".to_owned(), 400),
        (
            "GET /status HTTP/1.1\r\nHost: localhost\r\nHost: localhost".to_owned(),
            400,
        ),
        (
            format!("POST /reload HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}"),
            200,
        ),
    ] {
        let answer = server
            .raw(&format!("{head}\r\nConnection: close\r\n\r\n"))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{head}\n{answer}"
        );
    }
    assert_eq!(control.reloads.load(Relaxed), 1);
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let server = Server::plain();
    let long = "a".repeat(64 << 10);
    let answer = server
        .raw(&format!(
            "GET /status HTTP/1.1\r\nHost: localhost\r\nX: {long}\r\n\r\n"
        ))
        .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    let many = "a: b\r\n".repeat(1000);
    let answer = server
        .raw(&format!(
            "GET /status HTTP/1.1\r\nHost: localhost\r\n{many}\r\n"
        ))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = server
        .raw("POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1000000\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn silent_and_slow_clients_are_closed() {
    let limits = Limits {
        head_timeout: Duration::from_millis(100),
        ..Limits::default()
    };
    let server = Server::start(&Arc::default(), None, limits);
    for part in [
        "",
        "GET /sta",
        "GET /status HTTP/1.1\r\nHost: localhost\r\n",
    ] {
        let answer = server.raw(part).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
            "{answer}"
        );
    }
    // An idle connection too, after its answer.
    let answer = server
        .raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn connections_are_bounded_in_number_and_age() {
    let limits = Limits {
        connections: 2,
        lifetime: Duration::from_millis(300),
        ..Limits::default()
    };
    let control = Arc::<Fake>::default();
    let (open, gate) = oneshot::channel();
    *control.gate.lock().unwrap() = Some(gate);
    let server = Server::start(&control, None, limits);
    let mut idle = server.connect().await;
    let mut reload = server.connect().await;
    reload
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    while control.gate.lock().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    // Whoever asks nothing makes room, and only that one.
    assert_eq!(server.ask("GET", "/healthz").await.status, 200);
    assert_eq!(read_all(&mut idle).await, "");
    open.send(()).unwrap();
    let answer = read_all(&mut reload).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    // Nobody displaces the last, but its time is up.
    let mut last = server.connect().await;
    assert_eq!(read_all(&mut last).await, "");
}

#[tokio::test]
async fn an_operator_gets_in_whoever_holds_connections() {
    let server = Server::start(&Arc::default(), None, Limits::default());
    let mut held = Vec::new();
    for number in 0..200 {
        let mut stream = server.connect().await;
        // Silent ones, and ones in the midst of a head.
        if number % 2 == 0 {
            // It may be displaced by now.
            let _ = stream.write_all(b"GET /status HT").await;
        }
        held.push(stream);
    }
    for _ in 0..10 {
        assert_eq!(server.ask("GET", "/status").await.status, 200);
    }
}

#[tokio::test]
async fn the_end_lets_answers_finish() {
    let control = Arc::<Fake>::default();
    let (open, gate) = oneshot::channel();
    *control.gate.lock().unwrap() = Some(gate);
    let mut server = Server::start(&control, None, Limits::default());
    let mut stream = server.connect().await;
    stream
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await
        .unwrap();
    while control.gate.lock().unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    drop(server.end.take());
    tokio::task::yield_now().await;
    open.send(()).unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    server.end().await;
}

#[tokio::test]
async fn the_client_says_why_there_is_no_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let speaks_otherwise = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-something\r\n").unwrap();
    });
    let answer = request(&address, None, "GET", "/status").await;
    assert!(
        matches!(answer, Err(ClientError::Protocol { .. })),
        "{answer:?}"
    );
    speaks_otherwise.join().unwrap();
    let answer = request(&address, None, "GET", "/status").await;
    assert!(
        matches!(answer, Err(ClientError::Connect { .. })),
        "{answer:?}"
    );
    let answer = request(&address, Some(&Secret::new("a\nb")), "GET", "/status").await;
    assert!(matches!(answer, Err(ClientError::Request(_))), "{answer:?}");
}
