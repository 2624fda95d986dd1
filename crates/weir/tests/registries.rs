//! Endpoints that are found in registries: Consul and etcd.

#[path = "common/found.rs"]
mod found;
#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use found::{config, endpoints, names, shares, wait_addresses, wait_failure, weir};
use running::{start, wait_event};
use serde_json::json;
use weir_testkit::{
    Consul, Echo, Etcd, Instance, Origin, Step, TempDir, Weir, free_addr, send, wait_until,
};

#[test]
fn consul_is_watched() {
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let consul = Consul::start();
    consul.register([
        Instance::new("web", a.addr())
            .tag("v1")
            .meta("zone", "eu-1"),
        Instance::new("web", b.addr()).tag("v1").weight(3),
        Instance::new("web", c.addr()).tag("v2"),
        Instance::new("other", c.addr()).tag("v1"),
    ]);
    let entry = "{ consul: { service: web, address: '@consul@', tag: v1, hold: 2s } }";
    let weir = weir(entry, &[("consul", consul.addr())]);
    wait_addresses(&weir, &[&a, &b]);
    assert_eq!(
        shares(&weir, 8),
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 6)])
    );
    let (connections, queries) = (a.connections(), consul.queries());

    consul.register([Instance::new("web", c.addr()).tag("v1")]);
    wait_addresses(&weir, &[&a, &b, &c]);
    consul.deregister("web", b.addr());
    wait_addresses(&weir, &[&a, &c]);
    consul.register([Instance::new("web", c.addr()).tag("v1").status("critical")]);
    wait_addresses(&weir, &[&a]);
    assert_eq!(names(&weir), ["a"]);
    assert_eq!(
        a.connections(),
        connections,
        "who stays keeps its connections"
    );
    assert!(consul.queries() <= queries + 6, "one query for each change");

    // An outage: all that was known stays.
    consul.fail(true);
    wait_event(&weir, "endpoint source failed", |event| {
        let error = event["error"].as_str();
        event["source"] == "consul web" && error.is_some_and(|e| e.contains("No cluster leader"))
    });
    assert_eq!(names(&weir), ["a"]);
    consul.register([Instance::new("web", b.addr()).tag("v1")]);
    consul.fail(false);
    wait_addresses(&weir, &[&a, &b]);

    // All leave: believed after a while, and not before.
    let before = Instant::now();
    consul.deregister("web", a.addr());
    wait_addresses(&weir, &[&b]);
    consul.deregister("web", b.addr());
    wait_failure(&weir, "it lists 0 endpoints");
    assert_eq!(names(&weir), ["b"]);
    wait_addresses(&weir, &[]);
    assert!(before.elapsed() >= Duration::from_secs(2));
    consul.register([Instance::new("web", c.addr()).tag("v1")]);
    wait_addresses(&weir, &[&c]);
}

#[test]
fn a_consul_that_lost_its_data_takes_nothing_away() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let consul = Consul::start();
    let instance = |echo: &Echo| Instance::new("web", echo.addr());
    consul.register([instance(&a), instance(&b)]);
    let weir = weir(
        "{ consul: { service: web, address: '@consul@', hold: 3s } }",
        &[("consul", consul.addr())],
    );
    wait_addresses(&weir, &[&a, &b]);
    consul.wait_for_a_query();
    consul.forget();
    consul.register([instance(&b)]);
    wait_failure(&weir, "more that it listed before");
    assert_eq!(
        names(&weir),
        ["a", "b"],
        "the other had no time to come back"
    );
    wait_addresses(&weir, &[&b]);

    // The same over a restart at the same address, in which all come back.
    let addr = consul.addr();
    drop(consul);
    wait_failure(&weir, "cannot connect");
    assert_eq!(names(&weir), ["b"]);
    let consul = Consul::start_at(addr);
    consul.register([instance(&a), instance(&b)]);
    wait_addresses(&weir, &[&a, &b]);
}

#[test]
fn consul_wants_its_token() {
    let a = Echo::start("a");
    let consul = Consul::start();
    consul.require_token("right");
    consul.register([Instance::new("web", a.addr())]);
    let dead = free_addr();
    let entry = "{ consul: { service: web, address: ['@dead@', '@consul@'], token: TOKEN } }";
    let addresses = [("dead", dead), ("consul", consul.addr())];
    let mut weir = start(&config(&entry.replace("TOKEN", "wrong-token")), &addresses);
    let event = wait_event(&weir, "endpoint source failed", |_| true);
    assert!(
        event["error"]
            .as_str()
            .is_some_and(|error| error.contains("status 403")),
        "{event}"
    );
    assert!(
        !weir.stderr().contains("wrong-token")
            && !weir.admin("/config").text().contains("wrong-token")
    );

    // Without one, Consul says 200 and nothing; that is not an empty service.
    assert_eq!(
        weir.reload_with(&config(&entry.replace("TOKEN", "right")))
            .status,
        200
    );
    wait_addresses(&weir, &[&a]);
    assert_eq!(
        weir.reload_with(&config(&entry.replace(", token: TOKEN", "")))
            .status,
        200
    );
    wait_failure(&weir, "may not read this service");
}

#[test]
fn five_thousand_instances_in_consul() {
    let consul = Consul::start();
    let at = |number: u16| SocketAddr::from(([127, 1, (number >> 8) as u8, number as u8], 9));
    consul.register((0..5_000).map(|number| Instance::new("web", at(number))));
    let weir = weir(
        "{ consul: { service: web, address: '@consul@' } }",
        &[("consul", consul.addr())],
    );
    wait_until("all", || endpoints(&weir).len() == 5_000);
    let id = |weir: &Weir| endpoints(weir)[17]["id"].clone();
    let (before, queries) = (id(&weir), consul.queries());
    consul.register([Instance::new("web", at(5_000))]);
    wait_until("one more", || endpoints(&weir).len() == 5_001);
    consul.deregister("web", at(5_000));
    wait_until("one less", || endpoints(&weir).len() == 5_000);
    assert_eq!(id(&weir), before, "the others do not notice");

    // An index that moves all the time makes nobody spin.
    let moved = Instant::now();
    while moved.elapsed() < Duration::from_secs(2) {
        consul.touch("web");
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked = consul.queries() - queries;
    assert!(asked <= 8 + 2 + 4 * 3, "{asked} queries");
    assert_eq!(
        weir.client("web").get("/").status,
        502,
        "nobody listens there, but all are known"
    );
}

#[test]
fn etcd_is_watched() {
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let data = TempDir::new("etcd-data");
    let mut etcd = Etcd::start(data.path());
    let addr = etcd.addr("client");
    etcd.put("/web/a", &a.addr().to_string());
    etcd.put("/web2/x", "10.9.9.9:9");
    let entry = "{ etcd: { prefix: /web/, address: '@etcd@', hold: 2s } }";
    let weir = weir(entry, &[("etcd", addr)]);
    wait_addresses(&weir, &[&a]);
    let connections = {
        assert_eq!(names(&weir), ["a"]);
        a.connections()
    };

    let value = format!(r#"{{"address":"{}","weight":3,"zone":"eu-1"}}"#, b.addr());
    etcd.put("/web/b", &value);
    wait_addresses(&weir, &[&a, &b]);
    assert_eq!(
        shares(&weir, 8),
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 6)])
    );
    etcd.put(
        "/web/c",
        &format!(r#"{{"Op":0,"Addr":"{}","Metadata":null}}"#, c.addr()),
    );
    wait_addresses(&weir, &[&a, &b, &c]);

    // A broken value is left out, and nothing else with it.
    etcd.put("/web/broken", "no address");
    wait_failure(&weir, "/web/broken");
    etcd.delete("/web/broken");
    etcd.delete("/web/c");
    wait_addresses(&weir, &[&a, &b]);

    // A lease that is not kept alive ends.
    etcd.put_for("/web/leased", &c.addr().to_string(), 1);
    wait_addresses(&weir, &[&a, &b, &c]);
    wait_addresses(&weir, &[&a, &b]);

    // An outage takes nothing away; what happens while the watch is broken is not lost, even if its history is.
    etcd.kill();
    wait_failure(&weir, "cannot connect");
    assert_eq!(names(&weir), ["a", "b"]);
    let elsewhere = free_addr();
    let etcd = Etcd::start_at(data.path(), elsewhere);
    etcd.delete("/web/b");
    etcd.put("/web/c", &c.addr().to_string());
    etcd.compact();
    drop(etcd);
    let etcd = Etcd::start_at(data.path(), addr);
    wait_addresses(&weir, &[&a, &c]);
    assert_eq!(
        a.connections(),
        connections,
        "who stays keeps its connections"
    );

    // Another cluster at the same address, without any data.
    drop(etcd);
    let fresh = TempDir::new("etcd-fresh");
    let etcd = Etcd::start_at(fresh.path(), addr);
    wait_failure(&weir, "it lists 0 endpoints; 2 more");
    assert_eq!(names(&weir), ["a", "c"]);
    etcd.put("/web/b", &b.addr().to_string());
    wait_addresses(&weir, &[&b]);
}

#[test]
fn a_reload_in_an_outage_keeps_what_is_known() {
    let a = Echo::start("a");
    let consul = Consul::start();
    consul.register([Instance::new("web", a.addr())]);
    let entry = "{ consul: { service: web, address: '@consul@', token: old } }";
    let mut weir = weir(entry, &[("consul", consul.addr())]);
    wait_addresses(&weir, &[&a]);
    let addr = consul.addr();
    drop(consul);
    let other = config(&entry.replace("old", "new"));
    assert_eq!(weir.reload_with(&other).status, 200);
    assert_eq!(names(&weir), ["a"]);
    // Consul comes back empty: still nothing to believe at once.
    let _consul = Consul::start_at(addr);
    wait_failure(&weir, "it lists 0 endpoints");
    assert_eq!(names(&weir), ["a"]);
}

#[test]
fn etcd_wants_a_login() {
    let (a, b) = (Echo::start("a"), Echo::start("b"));
    let data = TempDir::new("etcd-login");
    let etcd = Etcd::start(data.path());
    etcd.put("/web/a", &a.addr().to_string());
    etcd.put_for("/web/b", &b.addr().to_string(), 2);
    let root = json!({ "name": "root", "password": "secret-word" });
    etcd.call("/v3/auth/role/add", &root);
    etcd.call("/v3/auth/user/add", &root);
    etcd.call(
        "/v3/auth/user/grant",
        &json!({ "user": "root", "role": "root" }),
    );
    etcd.call("/v3/auth/enable", &json!({}));
    let entry = "{ etcd: { prefix: /web/, address: '@etcd@', user: root, password: WORD } }";
    let addresses = [("etcd", etcd.addr("client"))];
    let mut weir = start(&config(&entry.replace("WORD", "wrong-word")), &addresses);
    let event = wait_event(&weir, "endpoint source failed", |_| true);
    assert!(
        event["error"]
            .as_str()
            .is_some_and(|error| error.contains("authentication failed")),
        "{event}"
    );
    let config = config(&entry.replace("WORD", "secret-word"));
    assert_eq!(weir.reload_with(&config).status, 200);
    wait_until("a", || names(&weir).contains(&"a".to_owned()));
    wait_addresses(&weir, &[&a]);
    for text in [weir.stderr(), weir.admin("/config").text()] {
        assert!(!text.contains("-word"), "{text}");
    }
}

#[test]
fn what_makes_no_sense_hurts_nobody() {
    let a = Echo::start("a");
    let answer = |head: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 200 OK\r\n{head}Content-Length: {length}\r\n\r\n{body}")
    };
    let index = "X-Consul-Index: 5\r\n";
    let endless = "HTTP/1.1 200 OK\r\nX-Consul-Index: 5\r\nContent-Length: 100000000\r\n\r\n";
    let much = vec![b'['; 40 << 20];
    for (steps, told) in [
        (vec![send(answer("", "[]"))], "no X-Consul-Index"),
        (
            vec![send(answer("X-Consul-Index: x\r\n", "[]"))],
            "no X-Consul-Index",
        ),
        (vec![send(answer(index, "{"))], "not what Consul sends"),
        (vec![send(answer(index, "<html>"))], "not what Consul sends"),
        (
            vec![send(
                "HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
            )],
            "status 301",
        ),
        (
            vec![send(
                "HTTP/1.1 404 Not\r\nContent-Length: 5\r\n\r\n\x1b[31m",
            )],
            "status 404",
        ),
        (vec![send("SSH-2.0-OpenSSH_9.2\r\n")], "127.0.0.1:"),
        (vec![send(endless), send("[")], "127.0.0.1:"),
        (
            vec![send(endless), send(&much), Step::Hold],
            "larger than 32 MiB",
        ),
        (vec![Step::Reset], "127.0.0.1:"),
    ] {
        let mut script = vec![Step::ReadHead];
        script.extend(steps);
        let origin = Origin::script(script);
        let entries = "'@a@', { consul: { service: web, address: '@consul@' } }";
        let weir = weir(entries, &[("a", a.addr()), ("consul", origin.addr())]);
        let event = wait_failure(&weir, told);
        let error = event["error"].as_str().expect("a text");
        assert!(!error.contains('\u{1b}') && error.len() < 400, "{error}");
        assert_eq!(names(&weir), ["a"]);
    }
}
