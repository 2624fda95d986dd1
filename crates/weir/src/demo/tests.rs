//! The shop without Weir in front, through sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::*;

fn raw(address: SocketAddr, method: &str, path: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Json) {
    let text = raw(address, method, path, body).unwrap();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or_else(|| panic!("{text}"));
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

fn of(demo: &Demo, name: &str) -> SocketAddr {
    demo.instances
        .iter()
        .find(|instance| instance.name == name)
        .unwrap()
        .address
}

#[test]
fn instances_share_the_shop() {
    let demo = Demo::start().unwrap();
    let (status, order) = ask(
        of(&demo, "orders-1"),
        "POST",
        "/orders",
        r#"{"user":1,"product":2,"quantity":3}"#,
    );
    assert_eq!((status, &order["served_by"]), (201, &json!("orders-1")));
    let (status, order) = ask(of(&demo, "orders-2"), "GET", "/orders/1001", "");
    assert_eq!(
        (status, &order["served_by"], &order["cents"]),
        (200, &json!("orders-2"), &json!(11_700))
    );
    let (status, _) = ask(of(&demo, "users-3"), "GET", "/healthz", "");
    assert_eq!(status, 200);
    let large = "x".repeat(64 << 10);
    assert_eq!(ask(of(&demo, "orders-1"), "POST", "/orders", &large).0, 400);
}

#[test]
fn instances_stop_and_start() {
    let demo = Demo::start().unwrap();
    let address = of(&demo, "users-1");
    assert_eq!(ask(address, "GET", "/users/1", "").0, 200);
    assert_eq!(
        ask(demo.panel, "POST", "/users-1/stop", "").1["running"],
        false
    );
    eventually("it refuses connections", || {
        TcpStream::connect(address).is_err()
    });
    assert_eq!(ask(of(&demo, "users-2"), "GET", "/users/1", "").0, 200);
    assert_eq!(
        ask(demo.panel, "POST", "/users-1/start", "").1["running"],
        true
    );
    eventually("it takes connections", || {
        raw(address, "GET", "/users/1", "").is_ok_and(|text| text.contains("users-1"))
    });
    let (_, all) = ask(demo.panel, "GET", "/instances", "");
    assert_eq!(all["instances"].as_array().unwrap().len(), 7);
    assert_eq!(ask(demo.panel, "GET", "/users-1/stop", "").0, 405);
    assert_eq!(ask(demo.panel, "POST", "/users-9/stop", "").0, 404);
}

#[test]
fn orders_are_streamed() {
    let demo = Demo::start().unwrap();
    let mut stream = TcpStream::connect(of(&demo, "orders-1")).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(stream, "GET /orders/events HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
    let mut text = String::new();
    let mut read_until = |wanted: &str| {
        let mut buffer = [0; 1024];
        while !text.contains(wanted) {
            let n = stream.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "{text}");
            text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
    };
    read_until("event: hello");
    ask(
        of(&demo, "orders-2"),
        "POST",
        "/orders",
        r#"{"user":1,"product":1}"#,
    );
    read_until("\"id\":1001");
}

#[test]
fn it_ends_when_it_is_dropped() {
    let demo = Demo::start().unwrap();
    let address = of(&demo, "users-1");
    let mut open = TcpStream::connect(address).unwrap();
    drop(demo);
    assert!(TcpStream::connect(address).is_err());
    open.set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert!(matches!(open.read(&mut [0]), Ok(0) | Err(_)));
}
