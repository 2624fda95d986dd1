//! A well-behaved HTTP/1.1 origin inside the test: keep-alive, a thread per connection, and answers that tell what
//! arrived.
//!
//! | target | answer |
//! |---|---|
//! | `/bytes/N` | N bytes of [`pattern`](crate::pattern), with Content-Length |
//! | `/chunked/N` | the same, chunked in pieces of 1000 bytes, with the trailer `X-Trailer: end` |
//! | `/until-close/N` | the same, ended by the close of the connection |
//! | `/status/N` | that status, no body |
//! | `/slow/MS` | the JSON below, after that many milliseconds |
//! | with `Upgrade:` | 101, then every byte comes back until the client closes |
//! | anything else | JSON: `name`, `method`, `target`, `version`, `headers` (pairs), `body_length`, `body_hash`, `trailers`, `connection` and `request` (numbers from 1) |

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::acceptor::Acceptor;
use crate::message::{Headers, Request};
use crate::wire::Wire;
use crate::{fnv1a, pattern};

/// Connections between Weir and an origin may idle for long.
const IDLE: Duration = Duration::from_secs(60);

/// A running echo origin; dropped, it stops and cuts its connections.
#[derive(Debug)]
pub struct Echo {
    acceptor: Acceptor,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: String,
    requests: AtomicUsize,
}

impl Echo {
    /// Starts one on a free address.
    pub fn start(name: &str) -> Self {
        Self::start_at(name, crate::free_addr())
    }

    /// Starts one on this address: the same as another had before it, to play a restart.
    pub fn start_at(name: &str, addr: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            requests: AtomicUsize::new(0),
        });
        let acceptor = Acceptor::start(addr, Arc::default(), {
            let shared = Arc::clone(&shared);
            move |stream, number| serve(stream, number, &shared)
        });
        Self { acceptor, shared }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.acceptor.addr()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.acceptor.connections()
    }

    /// How many requests it has read.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Relaxed)
    }
}

fn serve(stream: TcpStream, number: usize, shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream, IDLE)?;
    let mut count = 0;
    while let Some(mut request) = wire.request_head()? {
        if request.headers.has_token("expect", "100-continue") {
            wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        wire.request_body(&mut request)?;
        count += 1;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(protocol) = request.header("upgrade") {
            return tunnel(&mut wire, protocol);
        }
        let closes = answer(&mut wire, &request, shared, number, count)?;
        if closes || !request.keeps_alive() {
            break;
        }
    }
    wire.stream().shutdown(Shutdown::Both)
}

/// Answers one request; true when the connection must close after it.
fn answer(
    wire: &mut Wire,
    request: &Request,
    shared: &Shared,
    connection: usize,
    count: usize,
) -> io::Result<bool> {
    let mut parts = request.target.trim_start_matches('/').split('/');
    let kind = parts.next().unwrap_or_default();
    let number = parts.next().and_then(|text| text.parse::<usize>().ok());
    let head = format!("X-Origin: {}\r\n", shared.name);
    let is_head = request.method == "HEAD";
    match (kind, number) {
        ("bytes", Some(size)) => {
            wire.write(
                format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {size}\r\n\r\n").as_bytes(),
            )?;
            if !is_head {
                wire.write(&pattern(size))?;
            }
        }
        ("chunked", Some(size)) => {
            wire.write(format!("HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\nTrailer: X-Trailer\r\n\r\n").as_bytes())?;
            if !is_head {
                wire.write(&chunked(&pattern(size)))?;
            }
        }
        ("until-close", Some(size)) => {
            wire.write(format!("HTTP/1.1 200 OK\r\n{head}Connection: close\r\n\r\n").as_bytes())?;
            if !is_head {
                wire.write(&pattern(size))?;
            }
            return Ok(true);
        }
        ("status", Some(status)) => {
            let length = if status == 204 || status == 304 {
                ""
            } else {
                "Content-Length: 0\r\n"
            };
            wire.write(format!("HTTP/1.1 {status} Status\r\n{head}{length}\r\n").as_bytes())?;
        }
        _ => {
            if let ("slow", Some(millis)) = (kind, number) {
                thread::sleep(Duration::from_millis(millis as u64));
            }
            let body = describe(request, &shared.name, connection, count);
            let length = body.len();
            let mut bytes =
                format!("HTTP/1.1 200 OK\r\n{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            if !is_head {
                bytes.extend_from_slice(body.as_bytes());
            }
            wire.write(&bytes)?;
        }
    }
    Ok(false)
}

fn describe(request: &Request, name: &str, connection: usize, count: usize) -> String {
    let pairs = |headers: &Headers| {
        headers
            .0
            .iter()
            .map(|(key, value)| json!([key, value]))
            .collect::<Vec<_>>()
    };
    json!({
        "name": name,
        "method": request.method,
        "target": request.target,
        "version": format!("HTTP/1.{}", request.minor),
        "headers": pairs(&request.headers),
        "body_length": request.body.len(),
        "body_hash": fnv1a(&request.body),
        "trailers": pairs(&request.trailers),
        "connection": connection,
        "request": count,
    })
    .to_string()
}

fn chunked(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 100 + 64);
    for piece in body.chunks(1000) {
        out.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\nX-Trailer: end\r\n\r\n");
    out
}

fn tunnel(wire: &mut Wire, protocol: &str) -> io::Result<()> {
    wire.write(
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\r\n"
        )
        .as_bytes(),
    )?;
    loop {
        let bytes = wire.take_unread();
        wire.write(&bytes)?;
        if wire.fill()? == 0 {
            return wire.stream().shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawClient;

    #[test]
    fn it_tells_what_arrived() {
        let echo = Echo::start("app");
        let mut client = RawClient::connect(echo.addr());
        client.send("POST /a?b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n");
        let seen = client.response().json();
        assert_eq!(
            (seen["name"].as_str(), seen["target"].as_str()),
            (Some("app"), Some("/a?b"))
        );
        assert_eq!(seen["body_hash"], fnv1a(b"abc"));
        assert_eq!(seen["trailers"], json!([["T", "1"]]));
        assert_eq!(client.get("/").json()["request"], 2);
        assert_eq!((echo.connections(), echo.requests()), (1, 2));
    }

    #[test]
    fn its_bodies_come_in_every_framing() {
        let echo = Echo::start("app");
        let mut client = RawClient::connect(echo.addr());
        assert_eq!(client.get("/bytes/5000").body, pattern(5000));
        let chunked = client.get("/chunked/2500");
        assert_eq!(chunked.body, pattern(2500));
        assert_eq!(chunked.trailers.first("x-trailer"), Some("end"));
        assert_eq!(client.get("/status/204").status, 204);
        assert_eq!(client.get("/until-close/10").body, pattern(10));
        client.expect_close();
    }

    #[test]
    fn an_upgrade_echoes() {
        let echo = Echo::start("app");
        let mut client = RawClient::connect(echo.addr());
        client.send(
            "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly",
        );
        assert_eq!(client.response().status, 101);
        assert_eq!(client.read_exactly(5), b"early");
        client.send("late");
        assert_eq!(client.read_exactly(4), b"late");
        client.half_close().expect_close();
    }

    #[test]
    fn it_restarts_on_its_address() {
        let echo = Echo::start("first");
        let addr = echo.addr();
        let mut client = RawClient::connect(addr);
        assert_eq!(client.get("/").header("x-origin"), Some("first"));
        drop(echo);
        client.expect_close();
        let _second = Echo::start_at("second", addr);
        assert_eq!(
            RawClient::connect(addr).get("/").header("x-origin"),
            Some("second")
        );
    }
}
