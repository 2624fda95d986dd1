use super::*;
use crate::sink::{Sink, Target};
use crate::writer::{LogStats, LogWriter};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;

/// A log whose lines can be read back once it is shut down.
struct Logged {
    writer: LogWriter,
    stats: Arc<LogStats>,
    lines: JoinHandle<Vec<String>>,
}

impl Logged {
    fn new(batches: usize) -> Self {
        let (reader, end) = std::io::pipe().unwrap();
        let sink = Sink::open(Target::File(
            format!("/proc/self/fd/{}", end.as_raw_fd()).into(),
        ))
        .unwrap();
        let writer = LogWriter::start("log", sink, batches).unwrap();
        let lines = std::thread::spawn(move || {
            BufReader::new(reader).lines().map(Result::unwrap).collect()
        });
        Self {
            stats: writer.stats(),
            writer,
            lines,
        }
    }

    fn lines(self) -> Vec<String> {
        assert!(self.writer.shutdown(Duration::from_secs(20)));
        self.lines.join().unwrap()
    }
}

fn parse(record: &AccessRecord<'_>) -> Map<String, Value> {
    let mut out = Vec::new();
    push_record(
        &mut out,
        Timestamp::default().at(record.unix_millis),
        record,
    );
    assert_eq!(
        out.iter().position(|byte| *byte == b'\n'),
        Some(out.len() - 1),
        "one line"
    );
    match serde_json::from_slice(&out) {
        Ok(Value::Object(object)) => object,
        other => panic!("{other:?} from {:?}", String::from_utf8_lossy(&out)),
    }
}

fn typical() -> AccessRecord<'static> {
    AccessRecord {
        unix_millis: 1_798_761_599_123,
        request_id: "0af7651916cd43dd8448eb211c80319c",
        listener: "web",
        client: "192.0.2.7",
        method: b"GET",
        host: b"api.example.com",
        target: b"/api/v1/users/42?full=1",
        protocol: "HTTP/1.1",
        user: Some("alice"),
        route: Some("users"),
        service: Some("users"),
        endpoint: Some("10.0.0.1:8000"),
        status: Some(200),
        bytes_in: 0,
        bytes_out: 5120,
        duration: Duration::from_micros(1234),
        head: Some(Duration::from_micros(5)),
        connect: Some(Duration::from_millis(1)),
        first_byte: Some(Duration::from_micros(900)),
        attempts: 1,
        reused: Some(false),
        user_agent: Some(b"curl/8.5.0"),
        referer: Some(b"https://example.com/"),
        reason: Some(Reason::ClientGone),
        rule: Some("chunk_size"),
        policy: Some("per_ip"),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
    }
}

#[test]
fn a_full_record_has_every_key() {
    let expected = json!({
        "time": "2026-12-31T23:59:59.123Z",
        "id": "0af7651916cd43dd8448eb211c80319c",
        "listener": "web",
        "client": "192.0.2.7",
        "method": "GET",
        "host": "api.example.com",
        "target": "/api/v1/users/42?full=1",
        "protocol": "HTTP/1.1",
        "route": "users",
        "service": "users",
        "endpoint": "10.0.0.1:8000",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5120,
        "duration_ms": 1.234,
        "head_ms": 0.005,
        "connect_ms": 1.0,
        "first_byte_ms": 0.9,
        "attempts": 1,
        "reused": false,
        "user_agent": "curl/8.5.0",
        "referer": "https://example.com/",
        "reason": "client_gone",
        "rule": "chunk_size",
        "policy": "per_ip",
        "user": "alice",
        "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    assert_eq!(Value::Object(parse(&typical())), expected);
}

#[test]
fn every_key_is_documented() {
    let source = include_str!("../access_log.rs");
    let documentation: String = source
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .collect();
    for key in parse(&typical()).keys() {
        assert!(documentation.contains(&format!("`{key}`")), "{key}");
    }
}

#[test]
fn what_does_not_apply_is_absent() {
    let object = parse(&AccessRecord::default());
    let keys: Vec<_> = object.keys().map(String::as_str).collect();
    let mut expected = [
        "time",
        "id",
        "listener",
        "client",
        "method",
        "host",
        "target",
        "protocol",
        "bytes_in",
        "bytes_out",
        "duration_ms",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
}

/// What a reader should get for bytes that may not be UTF-8.
fn model(text: &[u8]) -> String {
    text.utf8_chunks()
        .flat_map(|chunk| {
            chunk
                .valid()
                .chars()
                .chain(chunk.invalid().iter().map(|byte| char::from(*byte)))
        })
        .collect()
}

proptest! {
    #[test]
    fn any_bytes_make_one_valid_line(
        (method, host, target) in any::<(Vec<u8>, Vec<u8>, Vec<u8>)>(),
        (agent, referer) in any::<(Option<Vec<u8>>, Option<Vec<u8>>)>(),
        (request_id, route, client) in any::<(String, Option<String>, String)>(),
        (unix_millis, status, bytes_in, micros) in any::<(u64, Option<u16>, u64, u32)>(),
    ) {
        let object = parse(&AccessRecord {
            unix_millis,
            request_id: &request_id,
            client: &client,
            method: &method,
            host: &host,
            target: &target,
            route: route.as_deref(),
            status,
            bytes_in,
            duration: Duration::from_micros(micros.into()),
            user_agent: agent.as_deref(),
            referer: referer.as_deref(),
            ..typical()
        });
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        prop_assert_eq!(text("id"), Some(request_id));
        prop_assert_eq!(text("client"), Some(client));
        prop_assert_eq!(text("method"), Some(model(&method)));
        prop_assert_eq!(text("host"), Some(model(&host)));
        prop_assert_eq!(text("target"), Some(model(&target)));
        prop_assert_eq!(text("user_agent"), agent.map(|agent| model(&agent)));
        prop_assert_eq!(text("referer"), referer.map(|referer| model(&referer)));
        prop_assert_eq!(text("route"), route);
        prop_assert_eq!(object.get("status").and_then(Value::as_u64), status.map(u64::from));
        prop_assert_eq!(object["bytes_in"].as_u64(), Some(bytes_in));
        prop_assert_eq!(object["duration_ms"].as_f64(), Some(f64::from(micros) / 1000.0));
    }
}

#[test]
fn batches_go_when_full_and_the_rest_at_the_end() {
    let logged = Logged::new(1000);
    let mut log = AccessLog::new(logged.writer.queue());
    for status in 0..2000 {
        log.write(&AccessRecord {
            status: Some(status),
            ..typical()
        });
        assert!(log.batch.len() < MOST);
    }
    drop(log);
    let stats = Arc::clone(&logged.stats);
    let lines = logged.lines();
    assert_eq!((stats.lines(), stats.dropped()), (2000, 0));
    let statuses: Vec<_> = lines
        .iter()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["status"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(statuses, (0..2000).collect::<Vec<_>>());
}

#[test]
fn a_batch_goes_when_it_is_old() {
    let logged = Logged::new(10);
    let mut log = AccessLog::new(logged.writer.queue());
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    log.tick(at(0));
    log.write(&typical());
    log.tick(at(100));
    assert_eq!(log.lines, 1);
    log.write(&typical());
    log.tick(at(199));
    assert_eq!(log.lines, 2);
    // The writer may be at the queue for a moment.
    while log.lines > 0 {
        log.tick(at(200));
    }
    log.write(&typical());
    log.tick(at(300));
    assert_eq!(log.lines, 1, "the next batch has its own age");
    drop(log);
    assert_eq!(logged.lines().len(), 3);
}

#[test]
fn a_stalled_writer_costs_lines_and_they_are_counted() {
    let (reader, end) = std::io::pipe().unwrap();
    let sink = Sink::open(Target::File(
        format!("/proc/self/fd/{}", end.as_raw_fd()).into(),
    ))
    .unwrap();
    drop(end);
    let writer = LogWriter::start("log", sink, 4).unwrap();
    let stats = writer.stats();
    let mut log = AccessLog::new(writer.queue());
    for _ in 0..5000 {
        log.write(&typical());
    }
    drop(log);
    assert!(stats.dropped() > 0);
    let lines = std::thread::spawn(move || {
        BufReader::new(reader)
            .lines()
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    assert!(writer.shutdown(Duration::from_secs(20)));
    let lines = lines.join().unwrap();
    assert_eq!(lines.len() as u64, stats.lines());
    assert_eq!(stats.lines() + stats.dropped(), 5000);
    assert!(
        lines
            .iter()
            .all(|line| serde_json::from_str::<Value>(line).is_ok())
    );
}

#[test]
fn an_enormous_record_is_bounded() {
    let text = vec![0xff; 1 << 20];
    let mut out = Vec::new();
    let record = AccessRecord {
        method: &text,
        host: &text,
        target: &text,
        user_agent: Some(&text),
        referer: Some(&text),
        ..typical()
    };
    push_record(&mut out, Timestamp::default().at(0), &record);
    assert!(out.len() < 300_000);
    assert!(serde_json::from_slice::<Value>(&out).is_ok());
}

#[test]
fn off_makes_no_lines() {
    let writer = LogWriter::start("log", Sink::open(Target::Off).unwrap(), 4).unwrap();
    let mut log = AccessLog::new(writer.queue());
    log.write(&typical());
    assert!(!log.is_on());
    assert_eq!((log.lines, log.batch.capacity()), (0, 0));
}
