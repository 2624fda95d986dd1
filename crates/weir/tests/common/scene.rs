//! A Weir with an endpoint for every kind of failure, for tests of what it says about requests.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use serde_json::Value;
use weir_testkit::{Echo, Origin, Step, Weir, free_addr};

use crate::running::start;

// One worker, so that what it keeps for reuse is there for the next request.
const CONFIG: &str = "
workers: 1
listeners: { web: { address: '@web@', http: { head_timeout: 500ms } } }
routes:
  - { path: /*, service: app }
  - { name: own, path: /own, respond: { body: '0123456789' } }
  - { path: /moved, redirect: /own }
  - { path: /post-only, methods: POST, respond: 200 }
  - { path: /down, service: down, retries: 0 }
  - { path: /bad, service: bad }
  - { path: /short, service: short }
  - { path: /silent, service: silent, timeout: { first_byte: 200ms } }
  - { path: /file/*, files: '@dir@' }
services: { app: ['@app@'], down: ['@down@'], bad: ['@bad@'], short: ['@short@'], silent: ['@silent@'] }
";

/// A Weir with an endpoint for every kind of failure.
pub struct Scene {
    pub weir: Weir,
    pub app: Echo,
    _failing: [Origin; 3],
}

pub fn scene() -> Scene {
    let app = Echo::start("app");
    let failing = [
        Origin::answering_once("HTTP/1.1 2x0 what\r\n\r\n"),
        Origin::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
        Origin::script([Step::ReadRequest, Step::Hold]),
    ];
    let weir = start(
        CONFIG,
        &[
            ("app", app.addr()),
            ("down", free_addr()),
            ("bad", failing[0].addr()),
            ("short", failing[1].addr()),
            ("silent", failing[2].addr()),
        ],
    );
    Scene {
        weir,
        app,
        _failing: failing,
    }
}

impl Scene {
    /// Sends on a connection of its own, reads whatever comes back, and returns the log line with this id.
    pub fn logged(&self, id: &str, request: &str) -> Value {
        let request = request.replacen(
            "\r\n",
            &format!("\r\nX-Request-Id: {id}\r\nConnection: close\r\n"),
            1,
        );
        let mut client = self.weir.client("web");
        client.send(request).read_to_end();
        self.weir.wait_log(id, |line| line["id"] == id)
    }
}
