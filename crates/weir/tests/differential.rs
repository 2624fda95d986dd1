//! Ambiguous messages, sent alike to nginx, HAProxy and Weir, each in front of an endpoint that records what it gets.
//!
//! A request is smuggled where two servers in a row read the same bytes differently. So whatever Weir passes on must have
//! one reading by the letter of RFC 9112, and must be what others read in the same bytes: Weir refuses a message, or both
//! peers take it, and take it for the same. `--nocapture` prints the whole table.

mod common;

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use common::{PLAIN, start, text};
use weir_testkit::{Haproxy, Nginx, Origin, RawClient, Step, send};

/// Asked behind every message, on the same connection: whoever misreads the message's end shows it here.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const CLOSING: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";

/// A message, and whether Weir takes it.
type Case = (&'static str, &'static [u8], bool);

#[rustfmt::skip] // One case a line.
const CASES: &[Case] = &[
    ("plain GET", b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("plain POST", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true),
    ("chunked POST", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
    ("chunk extension", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n", true),
    ("chunk extension that looks like a chunk", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;\nxx\r\n4c\r\n0\r\n\r\n", false),
    ("trailer", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", true),
    ("coding in upper case", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
    ("space around a value", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \t5 \t\r\n\r\nhello", true),
    ("no space before a value", b"POST /x HTTP/1.1\r\nHost:a\r\nContent-Length:5\r\n\r\nhello", true),
    ("leading empty line", b"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("absolute form", b"GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("body of GET", b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true),
    ("body of DELETE", b"DELETE /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true),
    ("large chunk size with zeros", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000005\r\nhello\r\n00\r\n\r\n", true),
    ("CL.TE", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", false),
    ("TE.CL", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n8\r\nSMUGGLED\r\n0\r\n\r\n", false),
    ("TE.TE, second unknown", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n", false),
    ("TE.TE, first unknown", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
    ("coding xchunked", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", false),
    ("coding identity", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", false),
    ("coding chunked, identity", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", false),
    ("coding identity, chunked", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", false),
    ("coding after a tab", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\tchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", true),
    ("coding after a vertical tab", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", false),
    ("coding on HTTP/1.0", b"POST /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
    ("coding, space before colon", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", false),
    ("coding, folded", b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
    ("coding behind a bare CR", b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
    ("coding behind a bare LF", b"POST /x HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", false),
    ("coding with a NUL", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", false),
    ("two lengths, equal", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello", false),
    ("two lengths, different", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello", false),
    ("length list", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", false),
    ("length with plus", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", false),
    ("length with zeros", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello", false),
    ("length hexadecimal", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", false),
    ("length with inner space", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\nhello", false),
    ("length empty", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\nhello", false),
    ("length above 2^64", b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello", false),
    ("length nominated by Connection", b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello", false),
    ("chunk size with 0x", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", false),
    ("chunk size beyond 2^64", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", false),
    ("chunk size with bare LF", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\n0\n\n", false),
    ("chunk without its end", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n", false),
    ("space before a chunk size", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n", false),
    ("space after a chunk size", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n", false),
    ("trailer Content-Length", b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 50\r\n\r\n", false),
    ("head with bare LF", b"GET /x HTTP/1.1\nHost: a\n\n", false),
    ("space before the first field", b"GET /x HTTP/1.1\r\n X: y\r\nHost: a\r\n\r\n", false),
    ("no colon", b"GET /x HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", false),
    ("space in a name", b"GET /x HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", false),
    ("NUL in a value", b"GET /x HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", false),
    ("no Host", b"GET /x HTTP/1.1\r\nX: y\r\n\r\n", false),
    ("two Hosts", b"GET /x HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", false),
    ("Host list", b"GET /x HTTP/1.1\r\nHost: a, b\r\n\r\n", false),
    ("Host is not the target's", b"GET http://a/x HTTP/1.1\r\nHost: b\r\n\r\n", false),
    ("Host with a path", b"GET /x HTTP/1.1\r\nHost: a/../b\r\n\r\n", false),
    ("Host with a user", b"GET /x HTTP/1.1\r\nHost: a@b\r\n\r\n", false),
    ("tabs in the request line", b"GET\t/x\tHTTP/1.1\r\nHost: a\r\n\r\n", false),
    ("more spaces in the request line", b"GET  /x  HTTP/1.1\r\nHost: a\r\n\r\n", false),
    ("space in the target", b"GET /x y HTTP/1.1\r\nHost: a\r\n\r\n", false),
    ("fragment in the target", b"GET /x#y HTTP/1.1\r\nHost: a\r\n\r\n", false),
    ("8-bit target", b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", false),
    ("version 1.2", b"GET /x HTTP/1.2\r\nHost: a\r\n\r\n", false),
    ("no version", b"GET /x\r\n", false),
    ("method in lower case", b"get /x HTTP/1.1\r\nHost: a\r\n\r\n", true),
    ("unknown method", b"FROB /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", true),
];

/// Messages that are beyond doubt in RFC 9110 (5.6.3: white space may be a tab; 9.1: methods are tokens that tell upper
/// from lower case), and that nginx refuses all the same.
const NOT_BY_NGINX: &[&str] = &[
    "space around a value",
    "coding after a tab",
    "method in lower case",
];

/// One request as an endpoint reads it: method, target, body.
type Reading = (String, String, String);

/// What came of a message: the statuses that the client saw, and what the endpoint got.
#[derive(Debug)]
struct Outcome {
    statuses: Vec<u16>,
    /// Complete requests, without [`LAST`].
    read: Vec<Reading>,
    /// Something arrived that has no reading by the letter, and is not just a request broken off.
    ambiguous: bool,
}

impl Outcome {
    fn show(&self) -> String {
        let mut parts: Vec<String> = self
            .read
            .iter()
            .map(|(method, target, body)| format!("{method} {target} {:?}", body))
            .collect();
        if self.ambiguous {
            parts.push("ambiguous".into());
        }
        format!("{:?} {}", self.statuses, parts.join(" + "))
    }
}

fn send_to(proxy: SocketAddr, origin: &Origin, message: &[u8]) -> Outcome {
    let before = origin.connections();
    let mut client = RawClient::connect(proxy);
    client.send([message, LAST.as_bytes()].concat());
    let answers = String::from_utf8_lossy(&read_to_end(client.stream())).into_owned();
    drop(client);
    let mut outcome = Outcome {
        statuses: statuses(&answers),
        read: Vec::new(),
        ambiguous: false,
    };
    for number in before..origin.connections() {
        let _ = origin.wait_end(number);
        match strictly(&origin.received(number)) {
            Ok(readings) => outcome.read.extend(readings),
            Err(()) => outcome.ambiguous = true,
        }
    }
    outcome.read.retain(|reading| reading.1 != "/last");
    outcome
}

/// Reads until the proxy closes; it does so by its timeouts at the latest.
fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while let Ok(n) = stream.read(&mut buffer)
        && n > 0
    {
        bytes.extend_from_slice(&buffer[..n]);
        assert!(
            Instant::now() < deadline,
            "the connection stays open: {}",
            text(&bytes)
        );
    }
    bytes
}

fn statuses(answers: &str) -> Vec<u16> {
    answers
        .match_indices("HTTP/1.1 ")
        .filter_map(|(at, start)| answers.get(at + start.len()..)?.get(..3)?.parse().ok())
        .collect()
}

/// Reads requests by the letter of RFC 9112. A request that is broken off at the end is nothing; whatever else does not
/// parse is an error.
fn strictly(bytes: &[u8]) -> Result<Vec<Reading>, ()> {
    let bytes: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let mut rest = bytes.as_str();
    let mut readings = Vec::new();
    while let Some((head, after)) = rest.split_once("\r\n\r\n") {
        let mut lines = head.split("\r\n");
        let line: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
        let [method, target, "HTTP/1.0" | "HTTP/1.1"] = line[..] else {
            return Err(());
        };
        let token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        };
        let (mut lengths, mut codings, mut hosts) = (Vec::new(), Vec::new(), BTreeSet::new());
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(())?;
            let value = value.trim_matches([' ', '\t']);
            if !token(name) || value.contains(|c: char| c.is_ascii_control() && c != '\t') {
                return Err(());
            }
            match name.to_ascii_lowercase().as_str() {
                "content-length" => lengths.push(value),
                "transfer-encoding" => codings.push(value.to_ascii_lowercase()),
                "host" if !hosts.insert(value) || hosts.len() > 1 => return Err(()),
                _ => {}
            }
        }
        if !token(method) || target.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err(());
        }
        let read = match (&lengths[..], &codings[..]) {
            ([], []) => Some((String::new(), after)),
            ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
                let length: usize = length.parse().map_err(|_| ())?;
                after
                    .get(..length)
                    .map(|body| (body.to_owned(), &after[length..]))
            }
            ([], [coding]) if coding == "chunked" => chunks(after)?,
            _ => return Err(()),
        };
        let Some((body, next)) = read else {
            return Ok(readings);
        };
        let target = target.strip_prefix("http://a").unwrap_or(target);
        readings.push((method.to_owned(), target.to_owned(), body));
        rest = next;
    }
    // A head that is not complete is no request yet.
    Ok(readings)
}

/// The content of a chunked body and what follows it; `None` if it is broken off.
fn chunks(mut rest: &str) -> Result<Option<(String, &str)>, ()> {
    let mut body = String::new();
    loop {
        let Some((size, after)) = rest.split_once("\r\n") else {
            return Ok(None);
        };
        let digits = size.split(';').next().unwrap_or_default();
        if digits.is_empty()
            || !digits.bytes().all(|b| b.is_ascii_hexdigit())
            || size.contains(['\r', '\n'])
        {
            return Err(());
        }
        let size = usize::from_str_radix(digits, 16).map_err(|_| ())?;
        if size == 0 {
            return Ok(match after.strip_prefix("\r\n") {
                Some(next) => Some((body, next)),
                None => after.split_once("\r\n\r\n").map(|(_, next)| (body, next)),
            });
        }
        let Some(piece) = after.get(..size) else {
            return Ok(None);
        };
        body.push_str(piece);
        rest = match after[size..].strip_prefix("\r\n") {
            Some(rest) => rest,
            None if after.len() < size + 2 => return Ok(None),
            None => return Err(()),
        };
    }
}

#[test]
fn weir_reads_what_others_read_or_refuses() {
    let origins: Vec<Origin> = (0..3)
        .map(|_| Origin::script([Step::ReadRequest, send(CLOSING)]))
        .collect();
    let nginx = Nginx::from_launch(
        Nginx::launch_http(
            "client_body_timeout 1s; client_header_timeout 1s; keepalive_timeout 1s; lingering_timeout 1s; lingering_time 1s;
             server { listen @web@; location / { proxy_pass http://@origin@; proxy_http_version 1.1; proxy_set_header Host $http_host; } }",
        )
        .value("origin", origins[0].addr()),
    );
    let haproxy = Haproxy::from_launch(
        Haproxy::launch(
            "defaults\n mode http\n timeout connect 5s\n timeout client 1s\n timeout server 5s\n timeout http-request 1s\n timeout http-keep-alive 1s\n\
             frontend web\n bind @web@\n default_backend app\nbackend app\n server one @origin@\n",
        )
        .value("origin", origins[1].addr()),
    );
    let limits = "first_byte_timeout: 1s, head_timeout: 1s, body_timeout: 1s, idle_timeout: 1s";
    let weir = start(&format!(
        "
listeners: {{ web: {{ address: '@web@', http: {{ {PLAIN}, {limits} }} }} }}
routes: [ {{ service: app }} ]
services: {{ app: ['{}'] }}
",
        origins[2].addr()
    ));
    let proxies = [nginx.addr("web"), haproxy.addr("web"), weir.addr("web")];
    let columns: Vec<Vec<Outcome>> = std::thread::scope(|scope| {
        let running: Vec<_> = proxies
            .into_iter()
            .zip(&origins)
            .map(|(proxy, origin)| {
                scope.spawn(move || {
                    CASES
                        .iter()
                        .map(|case| send_to(proxy, origin, case.1))
                        .collect()
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().expect("a column"))
            .collect()
    });

    let mut wrong = Vec::new();
    for (number, (name, _, accepts)) in CASES.iter().enumerate() {
        let [nginx, haproxy, weir] = [0, 1, 2].map(|column: usize| &columns[column][number]);
        println!(
            "{name}\n    nginx    {}\n    HAProxy  {}\n    Weir     {}",
            nginx.show(),
            haproxy.show(),
            weir.show()
        );
        if weir.ambiguous {
            wrong.push(format!(
                "{name}: Weir forwards what has more than one reading"
            ));
        }
        if weir.read.is_empty() == *accepts {
            wrong.push(format!(
                "{name}: Weir {} it",
                if *accepts { "refuses" } else { "takes" }
            ));
        }
        if weir.read.is_empty() {
            if weir.statuses.first().is_none_or(|status| *status < 400) || weir.statuses.len() != 1
            {
                wrong.push(format!("{name}: refused, yet answered {:?}", weir.statuses));
            }
            continue;
        }
        let takers: Vec<&&Outcome> = [&nginx, &haproxy]
            .into_iter()
            .filter(|peer| !peer.read.is_empty())
            .collect();
        if nginx.read.is_empty() != NOT_BY_NGINX.contains(name) || haproxy.read.is_empty() {
            wrong.push(format!("{name}: Weir takes it, but not both others"));
        }
        if takers
            .iter()
            .any(|peer| peer.read != weir.read || peer.ambiguous)
        {
            wrong.push(format!("{name}: Weir reads it in another way"));
        }
        if weir.statuses != [200, 200] {
            wrong.push(format!("{name}: taken, yet answered {:?}", weir.statuses));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
