//! Listeners in another config: they come, go, move and change, and connections go on.

#[path = "common/running.rs"]
mod running;

use std::net::TcpListener;

use running::{WEIR, echoes, start, status, tunnel, wait_refused};
use weir_testkit::{Echo, RawClient, Weir, wait_until};

const TWO_LISTENERS: &str = "
workers: 2
listeners: { web: '@web@', extra: '@extra@' }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
";

const ONE_LISTENER: &str = "
workers: 2
listeners: { web: '@web@' }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
";

#[test]
fn listeners_come_and_go() {
    let app = Echo::start("app");
    let mut weir = start(TWO_LISTENERS, &[("app", app.addr())]);
    let extra = weir.addr("extra");
    let mut stays = weir.client("web");
    assert_eq!(stays.get("/").status, 200);
    let mut idle: Vec<RawClient> = (0..4).map(|_| RawClient::connect(extra)).collect();
    for client in &mut idle {
        assert_eq!(client.get("/").status, 200);
    }
    let mut silent = RawClient::connect(extra);
    let mut busy: Vec<RawClient> = (0..4).map(|_| RawClient::connect(extra)).collect();
    let mut tunnel = tunnel(extra);
    let before = app.requests();
    for client in &mut busy {
        client.send("GET /slow/1500 HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    wait_until("slow requests at the app", || {
        app.requests() == before + busy.len()
    });

    assert_eq!(weir.reload_with(ONE_LISTENER).status, 200);
    for client in &mut idle {
        client.expect_close();
    }
    wait_refused(extra);
    for client in &mut busy {
        let response = client.response();
        assert_eq!(response.status, 200);
        assert!(
            response.headers.has_token("connection", "close"),
            "{response:?}"
        );
        client.expect_close();
    }
    silent.expect_close();
    echoes(&mut tunnel, "a tunnel outlives its listener");
    assert_eq!(stays.get("/").status, 200);
    assert_eq!(status(&weir)["listeners"].as_array().map(Vec::len), Some(1));

    assert_eq!(weir.reload_with(TWO_LISTENERS).status, 200);
    wait_until("the listener to be back", || {
        RawClient::try_connect(extra).is_ok()
    });
    assert_eq!(RawClient::connect(extra).get("/").status, 200);
    echoes(&mut tunnel, "and its return");
    assert_eq!(stays.get("/").status, 200);
}

#[test]
fn what_a_listener_says_changes_for_connections_that_are_open() {
    let config = |max_body: u32| {
        format!(
            "
listeners: {{ web: {{ address: '@web@', http: {{ max_body: {max_body} }} }} }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: ['@app@'] }}
"
        )
    };
    let app = Echo::start("app");
    let mut weir = start(&config(5), &[("app", app.addr())]);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(weir.reload_with(&config(50)).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().json()["body_length"], 10);
    assert_eq!(weir.reload_with(&config(5)).status, 200);
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789");
    assert_eq!(client.response().status, 413);
}

#[test]
fn a_start_on_an_address_that_is_taken_fails_with_its_place() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("its address");
    let launch = Weir::launch(
        WEIR,
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, respond: 200 } ]\n",
    )
    .value("web", addr);
    let why = Weir::try_launch(launch).expect_err("it cannot start");
    assert!(
        why.contains("weir.yaml:3:19") && why.contains("already in use"),
        "{why}"
    );
}

#[test]
fn a_listener_may_widen_and_narrow_its_address() {
    let config = |address: &str| {
        format!("listeners: {{ web: '{address}' }}\nroutes: [ {{ path: /*, respond: 200 }} ]\n")
    };
    let mut weir = start(&config("@web@"), &[]);
    let web = weir.addr("web");
    let any = format!(":{}", web.port());
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    let answer = weir.reload_with(&config(&any));
    assert_eq!(answer.status, 200, "{}", answer.text());
    // A connection that the kernel has given to a socket just as it closes is lost, so the first may be.
    let serves = || {
        RawClient::try_connect(web).is_ok_and(|mut client| {
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            client
                .try_response()
                .is_ok_and(|response| response.status == 200)
        })
    };
    wait_until("the wide one", serves);
    // Another way to write it, and back to the narrow one.
    let v6 = format!("[::]:{}", web.port());
    let answer = weir.reload_with(&config(&v6));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mut through_v6 = RawClient::connect(([0, 0, 0, 0, 0, 0, 0, 1], web.port()).into());
    assert_eq!(through_v6.get("/").status, 200);
    let answer = weir.reload_with(&config("@web@"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    through_v6.expect_close();
    wait_until("the narrow one", serves);
}

#[test]
fn a_listener_that_went_can_come_back_at_once() {
    let app = Echo::start("app");
    let mut weir = start(TWO_LISTENERS, &[("app", app.addr())]);
    let extra = weir.addr("extra");
    for _ in 0..15 {
        assert_eq!(weir.reload_with(ONE_LISTENER).status, 200);
        assert!(
            RawClient::try_connect(extra).is_err(),
            "it is closed by now"
        );
        let answer = weir.reload_with(TWO_LISTENERS);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(RawClient::connect(extra).get("/").status, 200);
    }
}
