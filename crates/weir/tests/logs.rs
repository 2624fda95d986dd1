//! Where the two logs go, and what becomes of requests when nobody reads them.

#[path = "common/running.rs"]
mod running;

use std::fs;

use running::{SOON, WEIR, start};
use weir_testkit::{Signal, Weir, wait_until};

#[test]
fn the_log_can_be_off_or_standard_output() {
    let config = |access: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: {access} }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("off"), &[]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/while-off").status, 200);
    assert_eq!(weir.reload_with(&config("stdout")).status, 200);
    assert_eq!(client.get("/to-standard-output").status, 200);
    wait_until("the line", || weir.stdout().contains("/to-standard-output"));
    assert_eq!(weir.reload_with(&config("off")).status, 200);
    assert_eq!(client.get("/off-again").status, 200);
    assert_eq!(weir.reload_with(&config("stderr")).status, 200);
    assert_eq!(client.get("/to-standard-error").status, 200);
    wait_until("the line", || weir.stderr().contains("/to-standard-error"));
    weir.signal(Signal::TERM);
    assert!(weir.wait_exit(SOON).success());
    let all = format!("{}{}", weir.stdout(), weir.stderr());
    assert!(
        !all.contains("/while-off") && !all.contains("/off-again"),
        "{all}"
    );
    assert!(!weir.log_path().exists());
}

#[test]
fn a_log_nobody_reads_costs_lines_and_no_request() {
    // A pipe that nobody empties is full at some point.
    let dir = weir_testkit::TempDir::new("pipe");
    let pipe = dir.path().join("log");
    let made = std::process::Command::new("mkfifo")
        .arg(&pipe)
        .status()
        .expect("mkfifo");
    assert!(made.success());
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("the pipe");
    let config = "admin: '@admin@'\nlog: { access: '@pipe@', queue: 2 }\nlisteners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n";
    let launch = Weir::launch(WEIR, config).value("pipe", pipe.display());
    let weir = Weir::from_launch(launch);
    let load = weir_testkit::Load::new(weir.addr("web"))
        .connections(4)
        .path(&format!("/{}", "long".repeat(500)))
        .start();
    wait_until("lines to be dropped", || {
        weir.metrics().sum(
            "weir_log_lines_dropped_total",
            &[("log", "access"), ("reason", "queue_full")],
        ) > 0.0
    });
    load.wait_more(200);
    load.stop().assert_all_ok();
    drop(reader);
}

#[test]
fn events_are_json_or_text_and_have_a_level() {
    let config = |format: &str, level: &str| {
        format!(
            "admin: '@admin@'\nlog: {{ access: off, format: {format}, level: {level} }}\nlisteners: {{ web: '@web@' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n"
        )
    };
    let mut weir = start(&config("json", "info"), &[]);
    assert_eq!(weir.reload_with(&config("text", "info")).status, 200);
    assert_eq!(weir.reload_with(&config("text", "error")).status, 200);
    wait_until("a line of text", || {
        weir.stderr()
            .lines()
            .any(|line| line.contains("INFO config reloaded"))
    });
    assert_eq!(weir.reload_with("nonsense: 1\n").status, 422);
    wait_until("an error", || {
        weir.stderr().contains("ERROR config refused")
    });
    let infos = weir.stderr().matches("config reloaded").count();
    assert_eq!(weir.reload_with(&config("text", "error")).status, 200);
    weir.signal(Signal::TERM);
    assert!(weir.wait_exit(SOON).success());
    assert_eq!(weir.stderr().matches("config reloaded").count(), infos);
}
