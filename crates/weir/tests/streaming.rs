//! Bodies of any size at any pace: both directions stream, each side waits for the other, and memory stays where it is.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use common::{PLAIN, get, one_service, serve};
use weir_testkit::{Origin, RawClient, Step, Weir, pattern, send, wait_until};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// One more than this many bytes is the period of large bodies: no power of two, so that a lost or doubled buffer shows.
const PERIOD: usize = 1_000_003;

const LARGE: usize = 200_000_000;

/// `size` bytes that repeat every `PERIOD`, written in pieces that `frame` may wrap.
fn write_large(stream: &mut TcpStream, size: usize, chunked: bool) -> std::io::Result<()> {
    let pattern = pattern(PERIOD);
    let mut sent = 0;
    while sent < size {
        let at = sent % PERIOD;
        let n = (PERIOD - at).min(100_000).min(size - sent);
        if chunked {
            let mut piece = format!("{n:x}\r\n").into_bytes();
            piece.extend_from_slice(&pattern[at..at + n]);
            piece.extend_from_slice(b"\r\n");
            stream.write_all(&piece)?;
        } else {
            stream.write_all(&pattern[at..at + n])?;
        }
        sent += n;
    }
    if chunked {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(())
}

/// Reads the whole of it, checks every byte, and says how many there were.
struct Checker {
    pattern: Vec<u8>,
    seen: usize,
}

impl Checker {
    fn new() -> Self {
        Self {
            pattern: pattern(PERIOD),
            seen: 0,
        }
    }

    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let at = self.seen % PERIOD;
            let n = bytes.len().min(PERIOD - at);
            assert!(
                bytes[..n] == self.pattern[at..at + n],
                "the body differs within {n} bytes of {}",
                self.seen
            );
            self.seen += n;
            bytes = &bytes[n..];
        }
    }

    fn read_exactly(&mut self, stream: &mut impl Read, size: usize) {
        let mut buffer = vec![0; 256 * 1024];
        let end = self.seen + size;
        while self.seen < end {
            let most = buffer.len().min(end - self.seen);
            let n = stream.read(&mut buffer[..most]).expect("more of the body");
            assert!(n > 0, "the body ended after {} bytes", self.seen);
            self.take(&buffer[..n]);
        }
    }

    fn read_chunked(&mut self, stream: &mut impl Read) {
        loop {
            let line = line(stream);
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            if size == 0 {
                assert_eq!(crate::line(stream), "\r\n");
                return;
            }
            self.read_exactly(stream, size);
            assert_eq!(crate::line(stream), "\r\n");
        }
    }
}

fn line(stream: &mut impl Read) -> String {
    let mut line = String::new();
    let mut byte = [0];
    while !line.ends_with('\n') {
        stream.read_exact(&mut byte).expect("a line");
        line.push(byte[0].into());
    }
    line
}

fn head(stream: &mut impl Read) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head += &line(stream);
    }
    head
}

fn connect(weir: &Weir) -> TcpStream {
    let stream = TcpStream::connect(weir.addr("web")).expect("connect");
    for set in [TcpStream::set_read_timeout, TcpStream::set_write_timeout] {
        set(&stream, Some(Duration::from_secs(20))).expect("a timeout");
    }
    stream
}

/// An origin for bodies too large to keep: `/length`, `/chunked` and `/close` answer with `LARGE` bytes, and what is sent
/// to it is checked and counted.
fn large_origin() -> SocketAddr {
    serve(|stream, _| {
        let mut reader = std::io::BufReader::with_capacity(
            256 * 1024,
            stream.try_clone().expect("a second handle"),
        );
        let mut stream = stream;
        loop {
            let head = head(&mut reader);
            let mut checker = Checker::new();
            if head.contains("chunked\r\n") {
                checker.read_chunked(&mut reader);
            } else if head.contains("Content-Length: ") {
                checker.read_exactly(&mut reader, LARGE);
            }
            let (fields, chunked) = match head.split(' ').nth(1) {
                Some("/length") => (format!("Content-Length: {LARGE}"), false),
                Some("/chunked") => ("Transfer-Encoding: chunked".into(), true),
                Some("/close") => ("Connection: close".into(), false),
                _ => {
                    let seen = checker.seen.to_string();
                    let length = seen.len();
                    write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{seen}"
                    )
                    .expect("an answer");
                    continue;
                }
            };
            write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").expect("a head");
            write_large(&mut stream, LARGE, chunked).expect("a body");
            if fields.contains("close") {
                return;
            }
        }
    })
}

#[test]
fn large_bodies_stream_in_bounded_memory() {
    let weir = one_service(large_origin(), "max_body: off", "");
    let warm = RawClient::exchange(weir.addr("web"), get("warm"));
    assert_eq!(warm.text(), "0");
    let before = weir.usage().peak;
    // Each in its own thread: several large bodies at once share what there is.
    thread::scope(|scope| {
        for path in ["/length", "/chunked", "/close"] {
            let weir = &weir;
            scope.spawn(move || {
                let mut stream = connect(weir);
                stream
                    .write_all(get(path.trim_start_matches('/')).as_bytes())
                    .expect("a request");
                let mut reader = std::io::BufReader::with_capacity(256 * 1024, stream);
                let head = head(&mut reader);
                let mut checker = Checker::new();
                if path == "/length" {
                    assert!(
                        head.contains(&format!("\r\nContent-Length: {LARGE}\r\n")),
                        "{head}"
                    );
                    checker.read_exactly(&mut reader, LARGE);
                } else {
                    assert!(
                        head.contains("\r\nTransfer-Encoding: chunked\r\n"),
                        "{head}"
                    );
                    checker.read_chunked(&mut reader);
                }
                assert_eq!(checker.seen, LARGE, "{path}");
            });
        }
    });
    thread::scope(|scope| {
        for (framing, chunked) in [
            (format!("Content-Length: {LARGE}"), false),
            ("Transfer-Encoding: chunked".into(), true),
        ] {
            let weir = &weir;
            scope.spawn(move || {
                let mut stream = connect(weir);
                write!(stream, "POST /up HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n")
                    .expect("a head");
                write_large(&mut stream, LARGE, chunked).expect("a body");
                let head = head(&mut stream);
                assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
                let mut seen = vec![0; LARGE.to_string().len()];
                stream.read_exact(&mut seen).expect("an answer");
                assert_eq!(seen, LARGE.to_string().into_bytes(), "{framing}");
            });
        }
    });
    let growth = weir.usage().peak - before;
    assert!(growth < 20_000_000, "{growth} bytes more at the peak");
}

/// Waits until a counter has stood still for a while, and returns it.
fn settled(counter: &AtomicU64) -> u64 {
    let mut last = (counter.load(Ordering::Relaxed), Instant::now());
    wait_until("a counter to settle", || {
        let now = counter.load(Ordering::Relaxed);
        if now != last.0 {
            last = (now, Instant::now());
        }
        now > 0 && last.1.elapsed() > Duration::from_millis(300)
    });
    last.0
}

/// Socket buffers on three hops, a pipe, and Weir's own buffers hold this much at most.
const IN_FLIGHT: u64 = 48_000_000;

#[test]
fn a_client_that_does_not_read_stops_the_endpoint() {
    for answer in ["Content-Length: 1000000000", "Transfer-Encoding: chunked"] {
        let sent = Arc::new(AtomicU64::new(0));
        let (ended, has_ended) = mpsc::sync_channel(1);
        let counter = Arc::clone(&sent);
        let addr = serve(move |mut stream, _| {
            let _ = head(&mut stream);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\n{answer}\r\n\r\n");
            let piece = if answer.starts_with('T') {
                format!("10000\r\n{}\r\n", "x".repeat(65_536))
            } else {
                "x".repeat(65_536)
            };
            while counter.load(Ordering::Relaxed) < 900_000_000
                && stream.write_all(piece.as_bytes()).is_ok()
            {
                counter.fetch_add(65_536, Ordering::Relaxed);
            }
            let _ = ended.send(());
        });
        let weir = one_service(addr, PLAIN, "");
        let before = weir.usage().peak;
        let mut client = connect(&weir);
        client.write_all(get("").as_bytes()).expect("a request");
        let stalled = settled(&sent);
        assert!(
            stalled < IN_FLIGHT,
            "{answer}: the endpoint wrote {stalled} bytes to nobody"
        );
        let growth = weir.usage().peak - before;
        assert!(
            growth < 20_000_000,
            "{answer}: {growth} bytes more at the peak"
        );
        // Reading goes on where it stood.
        let mut rest = vec![0; 1 << 20];
        while sent.load(Ordering::Relaxed) < stalled + 50_000_000 {
            assert!(client.read(&mut rest).expect("more") > 0, "{answer}");
        }
        // And when the client goes, so does the endpoint's connection.
        drop(client);
        has_ended
            .recv_timeout(Duration::from_secs(10))
            .expect("the endpoint was let go");
        assert!(sent.load(Ordering::Relaxed) < 900_000_000, "{answer}");
        let line = weir.wait_log("the client left", |line| line["reason"] == "client_gone");
        assert_eq!(line["status"], 200, "{line}");
    }
}

#[test]
fn an_endpoint_that_does_not_read_stops_the_client() {
    for framing in ["Content-Length: 400000000", "Transfer-Encoding: chunked"] {
        let (go, may_go) = mpsc::sync_channel::<()>(1);
        let may_go = std::sync::Mutex::new(may_go);
        let addr = serve(move |mut stream, _| {
            let head = head(&mut stream);
            let _ = may_go.lock().expect("one at a time").recv();
            let mut total = 0_u64;
            let mut buffer = vec![0; 1 << 20];
            while total < 400_000_000 {
                match stream.read(&mut buffer) {
                    Ok(n) if n > 0 => total += n as u64,
                    _ => return,
                }
                if head.contains("chunked") && buffer[..8].ends_with(b"0\r\n\r\n") {
                    break;
                }
            }
            let _ = stream.write_all(OK.as_bytes());
        });
        let weir = one_service(addr, &format!("{PLAIN}, max_body: off"), "");
        let before = weir.usage().peak;
        let mut client = connect(&weir);
        write!(client, "POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n").expect("a head");
        let sent = Arc::new(AtomicU64::new(0));
        let writer = thread::spawn({
            let (sent, mut client) = (
                Arc::clone(&sent),
                client.try_clone().expect("a second handle"),
            );
            let chunked = framing.starts_with('T');
            move || {
                let piece = if chunked {
                    format!("61a80\r\n{}\r\n", "x".repeat(400_000))
                } else {
                    "x".repeat(400_000)
                };
                for _ in 0..1000 {
                    client
                        .write_all(piece.as_bytes())
                        .expect("it goes on in the end");
                    sent.fetch_add(400_000, Ordering::Relaxed);
                }
                if chunked {
                    client.write_all(b"0\r\n\r\n").expect("the end");
                }
            }
        });
        let stalled = settled(&sent);
        assert!(
            stalled < IN_FLIGHT,
            "{framing}: Weir took {stalled} bytes that the endpoint did not"
        );
        let growth = weir.usage().peak - before;
        assert!(
            growth < 20_000_000,
            "{framing}: {growth} bytes more at the peak"
        );
        go.send(()).expect("the endpoint waits");
        assert!(head(&mut client).starts_with("HTTP/1.1 200 "), "{framing}");
        writer.join().expect("all was sent");
    }
}

#[test]
fn a_client_that_takes_too_long_to_read_is_let_go() {
    let (ended, has_ended) = mpsc::sync_channel(1);
    let addr = serve(move |mut stream, _| {
        let _ = head(&mut stream);
        let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n");
        let _ = ended.send(write_large(&mut stream, LARGE, false).is_err());
    });
    let weir = one_service(addr, &format!("{PLAIN}, send_timeout: 300ms"), "");
    let mut client = connect(&weir);
    client.write_all(get("").as_bytes()).expect("a request");
    assert!(
        has_ended
            .recv_timeout(Duration::from_secs(10))
            .expect("an end"),
        "the endpoint could not send all"
    );
    let line = weir.wait_log("the slow reader", |line| line["target"] == "/");
    assert_eq!(line["reason"], "send_timeout", "{line}");
}

#[test]
fn a_slow_upload_takes_the_time_it_needs() {
    let origin = Origin::answering(OK);
    let weir = one_service(
        origin.addr(),
        &format!("{PLAIN}, body_timeout: 1500ms, min_rate: off"),
        "timeout: { first_byte: 1500ms, idle: 1500ms }",
    );
    let slowly = Duration::from_millis(25);
    let mut client = weir.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 80\r\n\r\n");
    client.send_bytewise("x".repeat(80), slowly);
    assert_eq!(
        client.response().text(),
        "ok",
        "longer in all than any pause may be"
    );
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_bytewise(format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(16)), slowly);
    assert_eq!(client.response().text(), "ok");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_upload_reaches_the_endpoint_while_it_comes() {
    let origin = Origin::script([Step::ReadRequest, send(OK)]);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
    origin.wait_received(0, "one");
    client.send("3\r\ntw");
    origin.wait_received(0, "tw");
    client.send("o\r\n0\r\n\r\n");
    assert_eq!(client.response().text(), "ok");
}

/// Segments with data that this socket has received.
fn segments(stream: &TcpStream) -> usize {
    let here = stream.local_addr().expect("connected");
    let shown = std::process::Command::new("ss")
        .args(["-tinH", &format!("sport = :{}", here.port())])
        .output()
        .expect("ss");
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    text.split_whitespace()
        .find_map(|word| word.strip_prefix("data_segs_in:")?.parse().ok())
        .unwrap_or_else(|| panic!("no count of segments: {text:?}"))
}

#[test]
fn tiny_pieces_leave_together() {
    const PIECES: usize = 4000;
    let mut answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned();
    answer += &"1\r\nx\r\n".repeat(PIECES);
    answer += "0\r\n\r\n";
    let origin = Origin::answering(answer);
    let weir = one_service(origin.addr(), PLAIN, "");
    let mut client = weir.client("web");
    client.send(get("tiny"));
    assert_eq!(client.response().body.len(), PIECES);
    let segments = segments(client.stream());
    assert!(segments < PIECES / 50, "{segments} segments");
}

#[test]
fn a_download_reaches_the_client_while_it_comes() {
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let may_go = std::sync::Mutex::new(may_go);
    let addr = serve(move |mut stream, _| {
        let _ = head(&mut stream);
        for part in [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\none\r\n",
            "5\r\ntw",
            "o34\r\n0\r\n\r\n",
        ] {
            let _ = stream.write_all(part.as_bytes());
            let _ = may_go.lock().expect("one at a time").recv();
        }
        let _ = stream.shutdown(Shutdown::Both);
    });
    let weir = one_service(addr, PLAIN, "");
    let mut client = weir.client("web");
    client.send(get(""));
    client.read_until(b"\r\n\r\n");
    for part in ["one", "tw", "o34\r\n0\r\n\r\n"] {
        go.send(()).expect("the endpoint waits");
        client.read_until(part.as_bytes());
    }
}
