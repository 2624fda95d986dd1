//! Connections behind a PROXY header, through real workers and sockets.

use std::{
    future::poll_fn,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpStream},
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use weir_config::Cx;
use weir_net::{
    Buffer, Connection, ConnectionLimits, Gate, Incident, Listening, Preamble, Protocol,
    ProxyProtocol, ProxyProtocolConfig, Refusal, Settings, Worker, Workers, bind,
};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n";

/// Tells every client its address, then sends back what it gets.
struct Teller {
    worker: Rc<Worker>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    proxy: Mutex<Option<ProxyProtocol>>,
    asked: Mutex<Vec<IpAddr>>,
    refused: Mutex<Vec<Refusal>>,
    served: AtomicUsize,
}

impl Protocol for Teller {
    async fn serve(self: Rc<Self>, connection: Connection) {
        self.seen.served.fetch_add(1, Ordering::Relaxed);
        let mut stream = connection.stream;
        let mut out = format!("{}\n", connection.peer).into_bytes();
        let mut input = Buffer::default();
        loop {
            while !out.is_empty() {
                match poll_fn(|cx| stream.poll_write(cx, &out)).await {
                    Ok(n) => drop(out.drain(..n)),
                    Err(_) => return,
                }
            }
            match poll_fn(|cx| stream.poll_fill(cx, &mut input, &self.worker.buffers)).await {
                Ok(0) | Err(_) => return,
                Ok(n) => {
                    out.extend(input.unread());
                    input.consume(n);
                }
            }
        }
    }

    fn preamble(&self, _: &Listening, peer: IpAddr) -> Preamble {
        let proxy = self.seen.proxy.lock().expect("not poisoned");
        proxy
            .as_ref()
            .map_or(Preamble::None, |proxy| proxy.preamble(peer))
    }

    fn admit(&self, _: &Listening, client: IpAddr) -> bool {
        self.seen.asked.lock().expect("not poisoned").push(client);
        client != IpAddr::from([192, 0, 2, 66])
    }

    fn refused(&self, _: &Listening, refusal: Refusal) {
        self.seen
            .refused
            .lock()
            .expect("not poisoned")
            .push(refusal);
    }
}

struct Server {
    address: SocketAddr,
    seen: Arc<Seen>,
    gate: Arc<Gate>,
    workers: Option<Workers<Teller>>,
    runtime: tokio::runtime::Runtime,
}

impl Server {
    fn start(config: &str, limits: ConnectionLimits) -> Self {
        let seen = Arc::<Seen>::default();
        let mut cx = Cx::from_text("weir.yaml", config, &|_| None);
        let config = cx.decode::<ProxyProtocolConfig>();
        let config = cx.finish(config).expect("a config").value;
        *seen.proxy.lock().expect("not poisoned") = Some(ProxyProtocol::new(&config));
        let gate = Gate::new(limits);
        let settings = Settings {
            workers: 2,
            buffer: 4096,
            spare_buffers: 8,
        };
        let workers = Workers::start(settings, Arc::clone(&gate), {
            let seen = Arc::clone(&seen);
            move |worker| {
                Rc::new(Teller {
                    worker,
                    seen: Arc::clone(&seen),
                })
            }
        })
        .expect("threads start");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let bound = bind(([127, 0, 0, 1], 0).into(), 2, 64).expect("binds");
        let address = bound.address;
        runtime.block_on(workers.listen(&Arc::from("web"), bound));
        Self {
            address,
            seen,
            gate,
            workers: Some(workers),
            runtime,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connects");
        stream.set_nodelay(true).expect("takes the option");
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("takes the option");
        stream
    }

    /// What comes back for `bytes`, sent at once, up to its length.
    fn says(&self, bytes: &[u8], expected: &str) {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("sent");
        assert_eq!(
            read(&mut stream, expected.len()).expect("an answer"),
            expected
        );
    }

    /// `bytes` are answered by a close, counted as `refusal`.
    fn refuses(&self, bytes: &[u8], refusal: Refusal) {
        let mut stream = self.connect();
        // The other side may already be gone.
        let _ = stream.write_all(bytes);
        let closed = read(&mut stream, 1);
        assert!(
            matches!(&closed, Err(error) if error.kind() != io::ErrorKind::WouldBlock),
            "{closed:?}"
        );
        until(|| self.refusals() == [refusal]);
        self.seen.refused.lock().expect("not poisoned").clear();
        until(|| self.gate.open() == 0);
    }

    fn refusals(&self) -> Vec<Refusal> {
        self.seen.refused.lock().expect("not poisoned").clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            let report = self
                .runtime
                .block_on(workers.shutdown(Duration::from_millis(200)));
            let _ = report;
        }
    }
}

fn read(stream: &mut TcpStream, length: usize) -> io::Result<String> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn until(mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "waited for too long");
        thread::sleep(Duration::from_millis(1));
    }
}

/// How many bytes that were sent wait in the kernel for the server to read them.
fn unread(sent: &TcpStream) -> usize {
    let place = |address: io::Result<SocketAddr>| match address.expect("an address") {
        SocketAddr::V4(v4) => {
            let bits = u32::from_ne_bytes(v4.ip().octets());
            format!("{bits:08X}:{:04X}", v4.port())
        }
        v6 => panic!("{v6}"),
    };
    // The socket of the server: what is local to it is remote to us.
    let wanted = [place(sent.peer_addr()), place(sent.local_addr())];
    let sockets = std::fs::read_to_string("/proc/net/tcp").expect("a list");
    let mut sockets = sockets.lines().map(|line| line.split_whitespace());
    let queues = sockets.find_map(|mut fields| {
        let found = fields.nth(1) == Some(&wanted[0]) && fields.next() == Some(&wanted[1]);
        found.then(|| fields.nth(1)).flatten()
    });
    let waiting = queues.and_then(|queues| queues.split_once(':'));
    let (_, waiting) = waiting.expect("a connection");
    usize::from_str_radix(waiting, 16).expect("a number")
}

const OPEN: ConnectionLimits = ConnectionLimits {
    total: 100,
    per_address: usize::MAX,
    rate: None,
};

fn v2(version: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([version, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

#[test]
fn the_header_says_who_the_client_is() {
    let server = Server::start("from: [127.0.0.0/8]", OPEN);
    server.says(&[V1, b"hello"].concat(), "192.0.2.1:56324\nhello");
    let mut body = vec![203, 0, 113, 9, 10, 0, 0, 1, 0, 7, 0, 80];
    // Larger than what is looked at at once.
    body.extend([0x04; 3000]);
    server.says(
        &[&v2(0x21, 0x11, &body), &b"hello"[..]].concat(),
        "203.0.113.9:7\nhello",
    );
    for local in [b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, &[])] {
        let mut stream = server.connect();
        let own = stream.local_addr().expect("an address");
        stream.write_all(&local).expect("sent");
        let expected = format!("{own}\n");
        assert_eq!(
            read(&mut stream, expected.len()).expect("an answer"),
            expected
        );
    }
    let asked = server.seen.asked.lock().expect("not poisoned").clone();
    let expected = ["192.0.2.1", "203.0.113.9", "127.0.0.1", "127.0.0.1"];
    assert_eq!(
        asked,
        expected.map(|ip| ip.parse::<IpAddr>().expect("an address"))
    );
}

#[test]
fn the_header_may_come_in_pieces() {
    let server = Server::start("from: [127.0.0.1]", OPEN);
    let bytes = [V1, b"hi"].concat();
    thread::scope(|scope| {
        for cut in 1..bytes.len() {
            let (server, bytes) = (&server, &bytes);
            scope.spawn(move || {
                let mut stream = server.connect();
                stream.write_all(&bytes[..cut]).expect("sent");
                until(|| unread(&stream) == 0);
                stream.write_all(&bytes[cut..]).expect("sent");
                let answer = read(&mut stream, 18).expect("an answer");
                assert_eq!(answer, "192.0.2.1:56324\nhi", "cut at {cut}");
            });
        }
    });
}

#[test]
fn without_its_header_a_proxy_is_not_served() {
    let server = Server::start("{ from: [127.0.0.1], timeout: 100ms }", OPEN);
    for (bytes, refusal) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Refusal::PlainHttp),
        (b"POST / HTTP/1.1\r\n\r\n", Refusal::PlainHttp),
        (b"\x16\x03\x01\x02\x00\x01", Refusal::NoProxyHeader),
        (b"PROXY TCP4 1.2.3.4\r\n", Refusal::BadProxyHeader),
        (b"P", Refusal::LateProxyHeader),
        (b"", Refusal::LateProxyHeader),
        (&v2(0x21, 0x11, &[0; 20_000]), Refusal::BadProxyHeader),
    ] {
        server.refuses(bytes, refusal);
    }
    // A check whether the port is open.
    drop(server.connect());
    until(|| server.gate.open() == 0);
    assert_eq!(server.refusals(), []);
    assert_eq!(server.seen.served.load(Ordering::Relaxed), 0);
}

#[test]
fn nobody_else_is_believed() {
    let server = Server::start("from: [10.0.0.0/8]", OPEN);
    server.refuses(V1, Refusal::NotAProxy);
    let server = Server::start("{ from: [10.0.0.0/8], others: serve }", OPEN);
    let mut stream = server.connect();
    let own = stream.local_addr().expect("an address");
    stream.write_all(V1).expect("sent");
    // The header is what the client says, and no more.
    let expected = format!("{own}\nPROXY TCP4 192.0.2.1");
    assert_eq!(
        read(&mut stream, expected.len()).expect("an answer"),
        expected
    );
}

#[test]
fn the_real_address_is_what_is_judged_and_counted() {
    let limits = ConnectionLimits {
        per_address: 1,
        ..OPEN
    };
    let server = Server::start("from: [127.0.0.1]", limits);
    server.refuses(b"PROXY TCP4 192.0.2.66 10.0.0.1 1 2\r\n", Refusal::Denied);
    // Three clients of one proxy, each with its own place.
    let clients = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|client| {
        let mut stream = server.connect();
        let header = format!("PROXY TCP4 {client} 10.0.0.1 1 2\r\n");
        stream.write_all(header.as_bytes()).expect("sent");
        assert_eq!(read(&mut stream, 9).expect("an answer"), client);
        stream
    });
    let mut again = server.connect();
    again
        .write_all(b"PROXY TCP4 192.0.2.2 10.0.0.1 1 2\r\n")
        .expect("sent");
    assert!(read(&mut again, 1).is_err());
    assert_eq!(server.refusals(), [Refusal::PerAddress]);
    drop(clients);
    until(|| server.gate.open() == 0);
}

#[test]
fn who_was_turned_away_is_told_to_who_asks() {
    let server = Server::start("from: [127.0.0.1]", OPEN);
    for _ in 0..20 {
        server.refuses(b"PROXY TCP4 192.0.2.66 10.0.0.1 1 2\r\n", Refusal::Denied);
    }
    let workers = server.workers.as_ref().expect("they run");
    let mut told = 0;
    until(|| {
        for incidents in workers.incidents() {
            assert_eq!(&*incidents.listener, "web");
            assert_eq!(incidents.incident, Incident::Refused(Refusal::Denied));
            assert_eq!(incidents.last, Some(IpAddr::from([192, 0, 2, 66])));
            told += incidents.count;
        }
        told == 20
    });
}

#[test]
fn silent_connections_are_bounded_and_end_with_the_listener() {
    let limits = ConnectionLimits { total: 3, ..OPEN };
    let mut server = Server::start("{ from: [127.0.0.1], timeout: 60s }", limits);
    let silent: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    until(|| server.gate.open() == 3);
    let mut fourth = server.connect();
    assert!(read(&mut fourth, 1).is_err());
    assert_eq!(server.refusals(), [Refusal::Total]);
    let workers = server.workers.take().expect("they run");
    let began = Instant::now();
    let report = server
        .runtime
        .block_on(workers.shutdown(Duration::from_secs(10)));
    assert_eq!(report.aborted, 0);
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    drop(silent);
}
