//! Names: TTL and failures under virtual time, and one walk through real packets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use weir_service::{DnsResolver, Event, Picker, Resolve, ResolveError, Wish};

use crate::support::{FakeDns, House, addresses, spec};

fn changed(event: &Event) -> bool {
    matches!(event, Event::EndpointsChanged { .. })
}

fn failed(event: &Event) -> bool {
    matches!(event, Event::ResolveFailed { .. })
}

#[tokio::test(start_paused = true)]
async fn names_are_asked_again_when_their_ttl_ends() {
    let house = House::new();
    house.dns.set("app", &["10.0.0.1", "10.0.0.2"], 30);
    let services = house.apply(&[spec("s", &["app:80"])]).await;
    let service = &services["s"];
    assert_eq!(
        addresses(service),
        ["10.0.0.1:80", "10.0.0.2:80"],
        "known before the first request"
    );
    let first = Arc::clone(&service.endpoints().all()[0].endpoint);
    let mut picker = Picker::new(Arc::clone(service), 1);
    let held = picker.pick(&Wish::at(0)).unwrap();

    house.dns.set("app", &["10.0.0.3", "10.0.0.1"], 30);
    let Event::EndpointsChanged {
        added,
        removed,
        total,
        ..
    } = house.event(changed).await
    else {
        panic!()
    };
    assert_eq!((added, removed, total), (1, 1, 2));
    assert_eq!(addresses(service), ["10.0.0.1:80", "10.0.0.3:80"]);
    assert!(
        Arc::ptr_eq(&first, &service.endpoints().all()[0].endpoint),
        "who stays keeps identity"
    );
    assert_eq!(picker.endpoints().all().len(), 2);
    let ports: Vec<_> = (0..2)
        .map(|_| {
            picker
                .pick(&Wish::at(0))
                .unwrap()
                .address()
                .ip()
                .to_string()
        })
        .collect();
    assert!(
        ports.contains(&"10.0.0.3".to_owned()),
        "workers follow: {ports:?}"
    );
    drop(held); // of an endpoint that may be gone

    tokio::time::sleep(Duration::from_secs(300)).await;
    let queries = house.dns.queries("app");
    let waits: Vec<_> = queries
        .windows(2)
        .map(|w| (w[1] - w[0]).as_secs_f64())
        .collect();
    assert!(
        waits.len() >= 9 && waits.iter().all(|w| (30.0..=33.1).contains(w)),
        "{waits:?}"
    );
    assert!(waits.iter().any(|w| *w != waits[0]), "jittered: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn failures_keep_the_last_answer() {
    let house = House::new();
    house.dns.set("app", &["10.0.0.1"], 5);
    let service = &house.apply(&[spec("s", &["app:80"])]).await["s"];
    house.dns.fail("app");
    for expected in 1..=4 {
        let Event::ResolveFailed {
            failures, error, ..
        } = house.event(failed).await
        else {
            panic!()
        };
        assert_eq!(
            (failures, error),
            (expected, ResolveError::Failed("SERVFAIL".into()))
        );
        assert_eq!(addresses(service), ["10.0.0.1:80"]);
    }
    house.dns.set("app", &["10.0.0.9"], 5);
    house.event(changed).await;
    assert_eq!(addresses(service), ["10.0.0.9:80"]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_name_server_holds_nobody_up() {
    let house = House::new();
    house.dns.set("fine", &["10.0.0.1"], 5);
    let before = tokio::time::Instant::now();
    let services = house
        .apply(&[
            spec("a", &["silent:80", "10.9.9.9:1"]),
            spec("b", &["fine:80"]),
        ])
        .await;
    assert!(
        before.elapsed() <= Duration::from_millis(201),
        "as long as apply was told to wait"
    );
    assert_eq!(addresses(&services["a"]), ["10.9.9.9:1"]);
    assert_eq!(addresses(&services["b"]), ["10.0.0.1:80"]);
    // A lookup that hangs is given up and asked again.
    let Event::ResolveFailed { error, .. } = house.event(failed).await else {
        panic!()
    };
    assert_eq!(error, ResolveError::Timeout);
    house.dns.set("silent", &["10.0.0.7"], 5);
    house.event(changed).await;
    assert_eq!(
        addresses(&services["a"]),
        ["10.0.0.7:80", "10.9.9.9:1"],
        "in configuration order"
    );
}

#[tokio::test(start_paused = true)]
async fn names_of_vanished_services_are_not_asked_again() {
    let house = House::new();
    house.dns.set("app", &["10.0.0.1"], 5);
    house.apply(&[spec("s", &["app:80"])]).await;
    house.apply(&[]).await;
    let asked = house.dns.queries("app").len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(house.dns.queries("app").len(), asked);
    assert!(house.services.status().is_empty());
}

#[tokio::test]
async fn hosts_file_and_localhost_need_no_name_server() {
    // Port 9 of the loopback answers nobody: if it were asked, the test would fail with an error.
    let resolver = DnsResolver::with_name_servers(vec![([127, 0, 0, 1], 9).into()]).unwrap();
    for host in ["localhost", "localhost.", "app.localhost"] {
        let answer = resolver.resolve(host).await;
        let v4 = answer.v4.unwrap().addresses;
        assert!(v4.iter().all(|ip| ip.is_loopback()), "{host}: {v4:?}");
        assert!(!v4.is_empty() || !answer.v6.unwrap().addresses.is_empty());
    }
    assert!(DnsResolver::with_name_servers(Vec::new()).is_err());
}

/// A name server that knows `app.test.`: A with these addresses, no AAAA; NXDOMAIN for all else.
async fn name_server(known: Arc<Mutex<Vec<[u8; 4]>>>, asked: Arc<AtomicU32>) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            let query = &buffer[..len];
            asked.fetch_add(1, Ordering::Relaxed);
            let end_of_name = 12 + query[12..].iter().position(|b| *b == 0).unwrap() + 1;
            let question = &query[12..end_of_name + 4];
            let is_a = question[question.len() - 4..] == [0, 1, 0, 1];
            let is_known =
                question[..question.len() - 4].eq_ignore_ascii_case(b"\x03app\x04test\x00");
            let answers = if is_known && is_a {
                known.lock().unwrap().clone()
            } else {
                Vec::new()
            };
            let mut reply = query[..2].to_vec();
            reply.extend([
                0x81,
                if is_known { 0x80 } else { 0x83 },
                0,
                1,
                0,
                answers.len() as u8,
                0,
                0,
                0,
                0,
            ]);
            reply.extend(question);
            for ip in answers {
                reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]); // TTL 1 s
                reply.extend(ip);
            }
            socket.send_to(&reply, from).await.unwrap();
        }
    });
    address
}

#[tokio::test]
async fn real_packets() {
    let (known, asked) = (
        Arc::new(Mutex::new(vec![[10, 0, 0, 1], [10, 0, 0, 2]])),
        Arc::default(),
    );
    let server = name_server(Arc::clone(&known), Arc::clone(&asked)).await;
    let resolver = Arc::new(DnsResolver::with_name_servers(vec![server]).unwrap());
    assert_eq!(
        resolver.resolve("nobody.test").await.v4,
        Err(ResolveError::NoSuchName)
    );
    let answer = resolver.resolve("app.test").await;
    assert_eq!(
        answer.v6.map(|r| r.addresses),
        Ok(Vec::new()),
        "a name without AAAA records"
    );
    assert!(answer.v4.is_ok_and(|r| r.ttl <= Duration::from_secs(1)));

    let house = House::with_resolver(Arc::new(FakeDns::default()), resolver);
    let specs = [spec("s", &["app.test:80"])];
    let service = &house
        .services
        .apply(specs.to_vec(), Duration::from_secs(5))
        .await
        .unwrap()["s"];
    assert_eq!(addresses(service), ["10.0.0.1:80", "10.0.0.2:80"]);
    *known.lock().unwrap() = vec![[10, 0, 0, 2], [10, 0, 0, 3]];
    house.event(changed).await;
    assert_eq!(addresses(service), ["10.0.0.2:80", "10.0.0.3:80"]);
    assert!(asked.load(Ordering::Relaxed) >= 4);
}
