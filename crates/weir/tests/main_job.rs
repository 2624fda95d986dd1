//! What Weir is for, on real input: nginx instances as endpoints, curl, wrk and a browser before them, and one endpoint
//! that dies under load.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use running::{start, status, wait_event};
use weir_testkit::{Browser, Load, Nginx, RawClient, Wrk, curl, pattern, wait_until};

const CONFIG: &str = "
workers: 2
listeners: { web: '@web@' }
routes:
  - { path: /*, service: shop }
  - { host: checked.example, path: /*, service: checked }
  - { path: /old/*, redirect: '/{rest}' }
services:
  shop: ['@one@', '@two@', '@three@']
  checked:
    endpoints: ['@one@', '@two@', '@three@']
    health: { http: /, interval: 100ms, timeout: 1s, healthy_after: 1, unhealthy_after: 1 }
";

fn three() -> Vec<Nginx> {
    ["one", "two", "three"].map(Nginx::origin).into()
}

#[test]
fn curl_wrk_and_a_browser_are_served_by_all_three() {
    let origins = three();
    let names = ["one", "two", "three"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(origins.iter().map(|o| o.addr("web")))
        .collect();
    let weir = start(CONFIG, &addresses);
    let web = weir.addr("web");
    let url = |path: &str| format!("http://{web}{path}");

    let seen = curl(&["-H", "X-Forwarded-For: 192.0.2.1", &url("/echo?a=b")])
        .ok()
        .json();
    assert_eq!(seen["target"], "/echo?a=b");
    assert_eq!(seen["host"], web.to_string());
    assert_eq!(seen["forwarded_for"], "127.0.0.1");
    assert_eq!(seen["forwarded_proto"], "http");
    assert_eq!(seen["forwarded_host"], web.to_string());
    assert_eq!(seen["via"], "1.1 weir");
    assert_eq!(seen["request_id"].as_str().map(str::len), Some(32));
    assert_eq!(seen["traceparent"].as_str().map(str::len), Some(55));
    assert_eq!(curl(&[&url("/1m")]).ok().body, pattern(1_000_000));
    assert_eq!(
        curl(&[&url("/chunked")]).ok().text(),
        "abcdefghijklmnopqrstuvwxyz"
    );
    assert_eq!(
        curl(&["--http1.0", &url("/chunked")]).ok().text(),
        "abcdefghijklmnopqrstuvwxyz"
    );
    assert_eq!(
        curl(&["-I", &url("/small.txt")])
            .ok()
            .header("content-length"),
        Some("26")
    );
    let part = curl(&["-r", "3-5", &url("/small.txt")]).ok();
    assert_eq!((part.status, part.text().as_str()), (206, "def"));
    assert_eq!(curl(&[&url("/status/503")]).ok().status, 503);
    let followed = curl(&["-L", &url("/old/small.txt")]).ok();
    assert_eq!((followed.status, followed.interim.len()), (200, 1));

    let browser = Browser::new(web, "shop.example");
    let paths = [
        "/",
        "/small.txt",
        "/1m",
        "/chunked",
        "/old/small.txt",
        "/echo",
    ]
    .repeat(5);
    for (path, page) in paths.iter().zip(browser.load_all(&paths)) {
        let page = page.unwrap_or_else(|e| panic!("{path}: {e}"));
        assert!(
            matches!(page.response.status, 200 | 304),
            "{path}: {}",
            page.response.status
        );
    }
    // What it has seen it asks for conditionally; every nginx has its own file times, so either answer is right.
    let again = browser.load("/small.txt").expect("a page");
    assert_eq!(again.body, b"abcdefghijklmnopqrstuvwxyz");

    let report = Wrk::new(web, "/small.txt")
        .connections(32)
        .duration(Duration::from_secs(1))
        .run()
        .expect("wrk");
    assert!(report.requests > 0, "{report:?}");
    assert_eq!(report.errors(), 0, "{report:?}");

    let metrics = weir.metrics();
    for (_, addr) in &addresses {
        let endpoint = addr.to_string();
        let labels = [
            ("service", "shop"),
            ("endpoint", endpoint.as_str()),
            ("class", "2xx"),
        ];
        assert!(
            metrics.value("weir_endpoint_requests_total", &labels) > 0.0,
            "{endpoint}"
        );
    }
}

/// Kills the second endpoint under load, brings it back, and wants every answer to be right all the while.
fn an_endpoint_dies_and_returns(host: &str, kill: impl Fn(&mut Nginx)) {
    let mut origins = three();
    let names = ["one", "two", "three"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(origins.iter().map(|o| o.addr("web")))
        .collect();
    let weir = start(CONFIG, &addresses);
    let web = weir.addr("web");
    let request =
        |method: &str, path: &str| format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let load = Load::new(web)
        .connections(8)
        .request(&request("GET", "/"))
        .request(&request("GET", "/small.txt"))
        .request(&request("OPTIONS", "/echo"))
        .request(&request("GET", "/chunked"))
        .start();
    let mut client = weir.client("web");
    let mut origins_seen = |count: usize| {
        (0..count)
            .map(|_| {
                client.send(request("GET", "/"));
                client
                    .response()
                    .header("x-origin")
                    .expect("a name")
                    .to_owned()
            })
            .collect::<BTreeSet<String>>()
    };
    load.wait_more(300);
    // wrk and a browser meet the failure as well.
    let wrk = Wrk::new(web, "/small.txt")
        .header("Host", host)
        .connections(8)
        .duration(Duration::from_secs(2));
    let wrk = thread::spawn(move || wrk.run().expect("wrk"));
    let browser = Browser::new(web, host);

    let two = origins[1].addr("web");
    kill(&mut origins[1]);
    wait_until("the dead endpoint to refuse", || {
        RawClient::try_connect(two).is_err()
    });
    for page in browser.load_all(&["/", "/echo", "/chunked"].repeat(6)) {
        assert_eq!(page.expect("a page").response.status, 200);
    }
    load.wait_more(1500);
    wait_until("only two to serve", || !origins_seen(12).contains("two"));
    load.wait_more(300);

    origins[1] = Nginx::from_launch(Nginx::launch_origin("two").value("web", two));
    wait_until("traffic to return", || origins_seen(12).contains("two"));
    load.wait_more(300);

    let report = wrk.join().expect("wrk does not panic");
    assert!(
        report.requests > 0 && report.errors() == 0,
        "wrk: {report:?}"
    );
    let report = load.stop();
    report.assert_all_ok();
    assert_eq!(report.origins.len(), 3, "{}", report.summary());
    let metrics = weir.metrics();
    let labels = [("endpoint", &*two.to_string()), ("class", "2xx")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let labels: Vec<(&str, &str)> = labels
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    assert!(metrics.sum("weir_endpoint_requests_total", &labels) > 0.0);
}

#[test]
fn an_endpoint_killed_under_load_fails_no_request() {
    an_endpoint_dies_and_returns("shop.example", |nginx| nginx.kill());
}

#[test]
fn an_endpoint_killed_under_load_fails_no_request_with_health_checks() {
    an_endpoint_dies_and_returns("checked.example", |nginx| nginx.kill());
}

#[test]
fn an_endpoint_that_restarts_gently_fails_no_request() {
    an_endpoint_dies_and_returns("shop.example", |nginx| {
        nginx.signal(weir_testkit::Signal::QUIT);
    });
}

#[test]
fn all_endpoints_dead_is_502_and_alive_again_is_200() {
    let mut origins = three();
    let names = ["one", "two", "three"];
    let addresses: Vec<_> = names
        .into_iter()
        .zip(origins.iter().map(|o| o.addr("web")))
        .collect();
    let weir = start(CONFIG, &addresses);
    let mut client = weir.client("web");
    assert_eq!(client.get("/").status, 200);
    for origin in &mut origins {
        origin.kill();
    }
    wait_until("502", || client.get("/").status == 502);
    // The sockets of a process that was killed may live a moment longer than it.
    for addr in addresses.iter().map(|(_, addr)| *addr) {
        running::wait_refused(addr);
    }
    assert_eq!(client.get("/").status, 502);
    let line = weir.wait_log("a refusal", |line| line["reason"] == "connect_refused");
    // The first attempt and two more.
    assert_eq!(line["attempts"], 3, "{line}");
    wait_event(&weir, "endpoint health changed", |event| {
        event["to"] == "unhealthy"
    });
    assert_eq!(status(&weir)["services"][1]["name"], "shop");
    let one = addresses[0].1;
    let _back = Nginx::from_launch(Nginx::launch_origin("one").value("web", one));
    wait_until("200", || client.get("/").status == 200);
}
