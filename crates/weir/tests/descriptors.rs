//! A process has only so many descriptors: clients get no more than leave some for what serves them.

#[path = "common/running.rs"]
mod running;

use std::os::unix::fs::PermissionsExt;

use running::{WEIR, wait_event};
use weir_testkit::{Echo, RawClient, TempDir, Weir};

/// Descriptors that the process may have, and connections that it then takes.
const DESCRIPTORS: usize = 300;
const CONNECTIONS: usize = DESCRIPTORS - 64;

fn config(connections: usize) -> String {
    format!(
        "
workers: 2
limits: {{ connections: {connections} }}
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }}, {{ path: /file/*, files: '@dir@' }} ]
services: {{ app: ['@app@'] }}
"
    )
}

/// Weir with a hard limit on its descriptors.
fn limited(folder: &TempDir, app: &Echo, connections: usize) -> Weir {
    let script = folder.path().join("limited");
    let text = format!("#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec '{WEIR}' \"$@\"\n");
    std::fs::write(&script, text).expect("written");
    let runnable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&script, runnable).expect("allowed");
    let script = script.to_str().expect("a path of ASCII");
    Weir::from_launch(Weir::launch(script, &config(connections)).value("app", app.addr()))
}

#[test]
fn clients_leave_descriptors_for_what_serves_them() {
    let (folder, app) = (TempDir::new("limited"), Echo::start("app"));
    let weir = limited(&folder, &app, 1000);
    let said = wait_event(
        &weir,
        "fewer connections than `limits.connections` fit into the descriptor limit",
        |_| true,
    );
    assert_eq!(said["level"], "warn", "{said}");
    let numbers = ["wanted", "allowed", "descriptors"].map(|name| said[name].as_u64());
    let expected = [1000, CONNECTIONS, DESCRIPTORS].map(|number| Some(number as u64));
    assert_eq!(numbers, expected, "{said}");

    let web = weir.addr("web");
    let mut inside: Vec<RawClient> = (0..CONNECTIONS).map(|_| RawClient::connect(web)).collect();
    for client in &mut inside {
        assert_eq!(client.get("/file/weir.yaml").status, 200);
    }
    for _ in 0..3 {
        // It is reset, maybe before connecting is over.
        if let Ok(mut client) = RawClient::try_connect(web) {
            client.expect_close();
        }
    }
    // With every place taken there is still a descriptor for an endpoint, a file, the admin API and a reload.
    for client in inside.iter_mut().take(20) {
        client.send("GET /slow/300 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for client in inside.iter_mut().take(20) {
        assert_eq!(client.response().status, 200);
    }
    assert_eq!(inside[0].get("/file/weir.yaml").status, 200);
    assert_eq!(weir.reload().status, 200);
    let refused = weir.metrics().sum(
        "weir_listener_connections_refused_total",
        &[("reason", "limit")],
    );
    assert!(refused >= 3.0, "{refused}");
}

#[test]
fn who_did_not_ask_for_so_many_is_not_warned() {
    let (folder, app) = (TempDir::new("limited"), Echo::start("app"));
    let weir = limited(&folder, &app, 65_536);
    let said = wait_event(
        &weir,
        "fewer connections than `limits.connections` fit into the descriptor limit",
        |_| true,
    );
    assert_eq!(said["level"], "info", "{said}");
    assert_eq!(said["allowed"], CONNECTIONS as u64, "{said}");
}

#[test]
fn a_reload_that_asks_for_too_many_says_so() {
    let (folder, app) = (TempDir::new("limited"), Echo::start("app"));
    let mut weir = limited(&folder, &app, CONNECTIONS);
    assert_eq!(weir.reload_with(&config(CONNECTIONS - 1)).status, 200);
    assert!(!weir.stderr().contains("descriptor limit"));
    assert_eq!(weir.reload_with(&config(CONNECTIONS + 1)).status, 200);
    let said = wait_event(
        &weir,
        "fewer connections than `limits.connections` fit into the descriptor limit",
        |_| true,
    );
    assert_eq!(said["wanted"], CONNECTIONS as u64 + 1, "{said}");
}
