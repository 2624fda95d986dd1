//! The shortest way through everything: config, a request, its log line, its metrics, and a clean end.

use std::time::Duration;

use weir_testkit::{Echo, Signal, Weir};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

#[test]
fn a_request_passes_and_leaves_its_traces() {
    let app = Echo::start("app");
    let config = format!(
        "
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: ['{}'] }}
",
        app.addr()
    );
    let mut weir = Weir::start(WEIR, &config);

    let response = weir.client("web").get("/hello?name=world");
    assert_eq!(response.status, 200);
    let seen = response.json();
    assert_eq!(seen["name"], "app");
    assert_eq!(seen["target"], "/hello?name=world");

    let line = weir.wait_log("the request's", |line| line.to_string().contains("/hello"));
    assert_eq!(line["status"], 200);
    assert_eq!(line["service"], "app");

    let metrics = weir.metrics();
    assert_eq!(
        metrics.sum("weir_service_requests_total", &[("service", "app")]),
        1.0
    );

    weir.signal(Signal::TERM);
    let exit = weir.wait_exit(Duration::from_secs(5));
    assert!(exit.success(), "{exit}");
}
