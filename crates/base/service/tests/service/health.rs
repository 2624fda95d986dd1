//! Active checks against real servers on the loopback.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use weir_service::{CheckKind, Event, Health, HttpCheck, Picker, ServiceSpec, Wish};

use crate::support::{House, checked, spec};

/// Answers every request with `reply`, remembers the last request head, counts connections.
struct Server {
    address: SocketAddr,
    reply: Arc<Mutex<Vec<u8>>>,
    last: Arc<Mutex<String>>,
    connections: Arc<AtomicU32>,
}

impl Server {
    async fn start(reply: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            reply: Arc::new(Mutex::new(reply.to_vec())),
            last: Arc::default(),
            connections: Arc::default(),
        };
        let (reply, last, connections) = (
            Arc::clone(&this.reply),
            Arc::clone(&this.last),
            Arc::clone(&this.connections),
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (reply, last) = (Arc::clone(&reply), Arc::clone(&last));
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        match stream.read_u8().await {
                            Ok(byte) => head.push(byte),
                            Err(_) => return,
                        }
                    }
                    *last.lock().unwrap() = String::from_utf8(head).unwrap();
                    let reply = reply.lock().unwrap().clone();
                    // The other side may have seen enough already.
                    let _ = stream.write_all(&reply).await;
                });
            }
        });
        this
    }

    fn reply(&self, reply: &[u8]) {
        *self.reply.lock().unwrap() = reply.to_vec();
    }
}

fn reply(status: u16, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn one(address: SocketAddr, kind: CheckKind) -> ServiceSpec {
    checked(spec("s", &[&address.to_string()]), kind)
}

fn became(health: Health) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::HealthChanged { to, .. } if *to == health)
}

fn reason(event: Event) -> String {
    match event {
        Event::HealthChanged {
            reason: Some(reason),
            ..
        } => reason.to_string(),
        other => panic!("no reason in {other:?}"),
    }
}

#[tokio::test]
async fn http_checks_follow_the_answers() {
    let server = Server::start(&reply(200, "ok")).await;
    let house = House::new();
    let mut http = HttpCheck::new("/healthz?full");
    http.headers.push(("x-probe".into(), "1".into()));
    let service = &house
        .apply(&[one(server.address, CheckKind::Http(http))])
        .await["s"];
    let first = house.event(became(Health::Healthy)).await;
    assert!(
        matches!(
            first,
            Event::HealthChanged {
                from: Health::Unknown,
                reason: None,
                ..
            }
        ),
        "{first:?}"
    );
    let head = server.last.lock().unwrap().to_lowercase();
    assert!(head.starts_with("get /healthz?full http/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nhost: {}\r\n", server.address))
            && head.contains("\r\nx-probe: 1\r\n")
    );

    server.reply(&reply(503, ""));
    assert_eq!(
        reason(house.event(became(Health::Unhealthy)).await),
        "status 503, expected 200-399"
    );
    let status = service.snapshot(0);
    assert_eq!(status.endpoints[0].state, Health::Unhealthy);
    assert!(
        status.panic && status.endpoints[0].reason.is_some() && status.endpoints[0].since_ms > 0
    );
    let mut picker = Picker::new(Arc::clone(service), 1);
    assert!(
        picker.pick(&Wish::at(0)).is_ok(),
        "the last one is never taken out"
    );

    server.reply(&reply(204, ""));
    house.event(became(Health::Healthy)).await;
    assert!(!service.snapshot(0).panic);
}

#[tokio::test]
async fn the_first_answer_decides_and_then_several_do() {
    let server = Server::start(&reply(500, "")).await;
    let house = House::new();
    house
        .apply(&[one(server.address, CheckKind::Http(HttpCheck::new("/")))])
        .await;
    house.event(became(Health::Unhealthy)).await;
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
    server.reply(&reply(200, ""));
    house.event(became(Health::Healthy)).await;
    let events = house.take_events();
    assert!(events.is_empty(), "the event is the last one: {events:?}");
    let checks = server.connections.load(Ordering::Relaxed);
    assert!(checks >= 3, "healthy_after is 2: {checks}");
}

#[tokio::test]
async fn traffic_follows_health() {
    let (good, bad) = (
        Server::start(&reply(200, "")).await,
        Server::start(&reply(200, "")).await,
    );
    let house = House::new();
    let targets = [good.address.to_string(), bad.address.to_string()];
    let spec = checked(
        spec("s", &[&targets[0], &targets[1]]),
        CheckKind::Http(HttpCheck::new("/")),
    );
    let service = &house.apply(&[spec]).await["s"];
    house.event(became(Health::Healthy)).await;
    house.event(became(Health::Healthy)).await;
    let mut picker = Picker::new(Arc::clone(service), 1);
    let mut share = |address| {
        (0..100)
            .filter(|_| picker.pick(&Wish::at(0)).unwrap().address() == address)
            .count()
    };
    assert_eq!(share(bad.address), 50);
    bad.reply(&reply(500, ""));
    house.event(became(Health::Unhealthy)).await;
    assert_eq!(share(bad.address), 0);
    bad.reply(&reply(200, ""));
    house.event(became(Health::Healthy)).await;
    assert_eq!(share(bad.address), 50);
    assert_eq!(house.services.set_draining("s", &targets[1], true), 1);
    assert_eq!(share(bad.address), 0);
    assert_eq!(service.snapshot(0).endpoints[1].state, Health::Draining);
    assert_eq!(house.services.set_draining("s", &targets[1], false), 1);
    assert_eq!(share(bad.address), 50);
}

#[tokio::test]
async fn what_fails_a_check_by_table() {
    let big = "x".repeat(100_000);
    let endless = format!("HTTP/1.1 200 X\r\nX: {}", "y".repeat(200_000)).into_bytes();
    for (answer, body, expected) in [
        (reply(200, "all is ready now"), Some("ready"), None),
        (
            reply(200, "nope"),
            Some("ready"),
            Some("the body does not contain the expected text"),
        ),
        (
            reply(200, &format!("{big}ready")),
            Some("ready"),
            Some("the body does not contain the expected text"),
        ),
        (reply(404, ""), None, Some("status 404, expected 200-399")),
        (b"SSH-2.0-OpenSSH\r\n\r\n".to_vec(), None, Some("")),
        (Vec::new(), None, Some("")),
        (endless, None, Some("")),
    ] {
        let server = Server::start(&answer).await;
        let house = House::new();
        let mut http = HttpCheck::new("/");
        http.body = body.map(Into::into);
        house
            .apply(&[one(server.address, CheckKind::Http(http))])
            .await;
        match expected {
            None => drop(house.event(became(Health::Healthy)).await),
            Some(expected) => {
                let reason = reason(house.event(became(Health::Unhealthy)).await);
                assert!(
                    !reason.is_empty() && (expected.is_empty() || reason == expected),
                    "{reason}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_body_in_pieces_is_searched_as_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await.unwrap();
            for letter in "is ready".chars() {
                stream
                    .write_all(format!("1\r\n{letter}\r\n").as_bytes())
                    .await
                    .unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    let house = House::new();
    let mut http = HttpCheck::new("/");
    http.body = Some("ready".into());
    house.apply(&[one(address, CheckKind::Http(http))]).await;
    house.event(became(Health::Healthy)).await;
}

#[tokio::test]
async fn tcp_checks_and_silence() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let house = House::new();
    house.apply(&[one(address, CheckKind::Tcp)]).await;
    house.event(became(Health::Healthy)).await;
    // The same server never says a word: fine for TCP, a timeout for HTTP.
    let mut http = one(address, CheckKind::Http(HttpCheck::new("/")));
    http.health.as_mut().unwrap().timeout = Duration::from_millis(50);
    house.apply(&[http]).await;
    assert_eq!(
        reason(house.event(became(Health::Unhealthy)).await),
        "no answer within 50ms"
    );
    house.apply(&[one(address, CheckKind::Tcp)]).await;
    house.event(became(Health::Healthy)).await;
    drop(listener);
    assert_eq!(
        reason(house.event(became(Health::Unhealthy)).await),
        "connect: connection refused"
    );
}

#[tokio::test]
async fn checks_end_with_their_service() {
    let server = Server::start(&reply(200, "")).await;
    let house = House::new();
    let spec = one(server.address, CheckKind::Tcp);
    let service = Arc::clone(&house.apply(std::slice::from_ref(&spec)).await["s"]);
    house.event(became(Health::Healthy)).await;
    house.apply(&[]).await;
    // What may still be on its way arrives before a check of another service that starts afterwards.
    let marker = Server::start(&reply(200, "")).await;
    let mut other = one(marker.address, CheckKind::Tcp);
    other.name = "other".into();
    house.apply(&[other]).await;
    house.event(became(Health::Healthy)).await;
    house.take_events();
    for _ in 0..5 {
        let event = house.event(|e| matches!(e, Event::Checked { .. })).await;
        let Event::Checked { service, .. } = event else {
            panic!()
        };
        assert_eq!(&*service, "other");
    }
    assert_eq!(
        service.endpoints().candidates().len(),
        1,
        "whoever still holds the service can use it"
    );
}

#[tokio::test]
async fn many_endpoints_are_all_checked() {
    let server = Server::start(&reply(200, "")).await;
    let house = House::new();
    let targets: Vec<String> = (1..=200)
        .map(|i| format!("127.0.1.{i}:{}", server.address.port()))
        .collect();
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    // Nobody listens there but all are asked, and all are found dead, so all are used.
    let mut spec = checked(spec("s", &targets), CheckKind::Tcp);
    spec.health.as_mut().unwrap().interval = Duration::from_secs(60);
    let service = &house.apply(&[spec]).await["s"];
    for _ in 0..200 {
        house.event(became(Health::Unhealthy)).await;
    }
    assert!(service.endpoints().is_panic());
    assert_eq!(service.endpoints().candidates().len(), 200);
}
