use super::*;
use crate::sink::{Sink, Target};
use crate::writer::LogWriter;
use serde_json::json;
use std::io::Read;
use std::os::fd::AsRawFd;

fn record(level: Level, format: Format, log: impl FnOnce(&Events)) -> (Vec<String>, u64) {
    let (mut reader, end) = std::io::pipe().unwrap();
    let sink = Sink::open(Target::File(
        format!("/proc/self/fd/{}", end.as_raw_fd()).into(),
    ))
    .unwrap();
    drop(end);
    let writer = LogWriter::start("events", sink, 1000).unwrap();
    let stats = writer.stats();
    log(&Events::new(writer.queue(), level, format));
    assert!(writer.shutdown(Duration::from_secs(20)));
    let mut text = String::new();
    // The writer's end closes with its thread.
    reader.read_to_string(&mut text).unwrap();
    (
        text.lines().map(str::to_owned).collect(),
        stats.suppressed(),
    )
}

#[test]
fn json_holds_every_kind_of_value() {
    let (lines, _) = record(Level::Info, Format::Json, |events| {
        events.warn(
            "endpoint is unhealthy",
            &[
                ("service", "us\"ers".into()),
                ("peer", (&b"\xff\n"[..]).into()),
                ("weight", Value::Int(-3)),
                ("failures", 3u32.into()),
                ("ejected", false.into()),
                ("took_ms", Duration::from_micros(1500).into()),
                (
                    "error",
                    Value::Display(&std::io::Error::from_raw_os_error(111)),
                ),
            ],
        );
    });
    let mut object: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    let time = object.as_object_mut().unwrap().remove("time").unwrap();
    assert_eq!(time.as_str().unwrap().len(), 24);
    assert_eq!(
        object,
        json!({
            "level": "warn",
            "message": "endpoint is unhealthy",
            "service": "us\"ers",
            "peer": "\u{ff}\n",
            "weight": -3,
            "failures": 3,
            "ejected": false,
            "took_ms": 1.5,
            "error": "Connection refused (os error 111)",
        })
    );
}

#[test]
fn text_quotes_only_what_it_must() {
    let (lines, _) = record(Level::Debug, Format::Text, |events| {
        events.debug(
            "took a turn",
            &[
                ("plain", "10.0.0.1:80".into()),
                ("spaced", "a b".into()),
                ("empty", "".into()),
                ("equals", "a=b".into()),
                ("broken", "a\nb".into()),
                ("n", 5u64.into()),
            ],
        );
    });
    let (_, rest) = lines[0].split_once(' ').unwrap();
    assert_eq!(
        rest,
        r#"DEBUG took a turn plain=10.0.0.1:80 spaced="a b" empty="" equals="a=b" broken="a\nb" n=5"#
    );
}

#[test]
fn levels_filter_and_can_change() {
    let (lines, _) = record(Level::Warn, Format::Text, |events| {
        events.error("one", &[]);
        events.warn("two", &[]);
        events.info("three", &[]);
        let clone = events.clone();
        clone.configure(Level::Debug, Format::Json);
        events.debug("four", &[]);
    });
    assert_eq!(lines.len(), 3);
    assert!(lines[0].ends_with("ERROR one") && lines[1].ends_with("WARN two"));
    assert!(lines[2].contains("\"message\":\"four\""));
}

#[test]
fn a_storm_is_held_back_and_reported() {
    let (lines, suppressed) = record(Level::Info, Format::Json, |events| {
        for _ in 0..500 {
            events.error("connect failed", &[]);
        }
        events.info("something else", &[]);
        events.tick(Instant::now() + Duration::from_secs(60));
    });
    assert_eq!(lines.len(), 52);
    assert_eq!(suppressed, 450);
    assert!(lines[50].contains("something else"));
    let report: serde_json::Value = serde_json::from_str(&lines[51]).unwrap();
    assert_eq!(
        (&report["kind"], &report["suppressed"]),
        (&json!("connect failed"), &json!(450))
    );
}

#[test]
fn words_are_distinct() {
    assert_eq!(
        Level::ALL.map(Level::as_str),
        ["error", "warn", "info", "debug"]
    );
    assert_eq!(Format::ALL.map(Format::as_str), ["json", "text"]);
    assert!(Level::Error < Level::Debug);
}
