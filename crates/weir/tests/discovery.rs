//! Endpoints that are found: in files and in DNS.

#[path = "common/found.rs"]
mod found;
#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use found::{addresses, config, endpoints, names, shares, wait_addresses, wait_failure, weir};
use running::wait_event;
use weir_testkit::{Echo, NameServer, TempDir, Weir, free_addr, run_cli, wait_until};

/// Replaces a file as careful tools do: beside it, then moved.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("written");
    fs::rename(&beside, path).expect("renamed");
}

#[test]
fn a_file_is_followed() {
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let config = config("{ file: endpoints.yaml }");
    let launch =
        Weir::launch(running::WEIR, &config).file("endpoints.yaml", format!("- {}\n", a.addr()));
    let mut weir = Weir::from_launch(launch);
    let path = weir.dir().join("endpoints.yaml");
    assert_eq!(names(&weir), ["a"], "known before the first request");
    let connections = a.connections();

    // Replaced by a rename, with weights.
    replace(
        &path,
        &format!(
            "- {}\n- {{ address: '{}', weight: 3 }}\n",
            a.addr(),
            b.addr()
        ),
    );
    wait_addresses(&weir, &[&a, &b]);
    assert_eq!(
        shares(&weir, 8),
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 6)])
    );
    assert_eq!(
        a.connections(),
        connections,
        "who stays keeps its connections"
    );

    // Half of a file, written in place, is not a list.
    fs::write(
        &path,
        format!("- {}\n- {{ address: '{}'", a.addr(), b.addr()),
    )
    .expect("written");
    let event = wait_event(&weir, "endpoint source failed", |_| true);
    assert_eq!(event["source"], "file endpoints.yaml");
    let error = event["error"].as_str().expect("a text");
    assert!(error.starts_with("endpoints.yaml:"), "{error}");
    assert_eq!(names(&weir), ["a", "b"]);
    fs::write(&path, "").expect("written");
    wait_failure(&weir, "there is nothing in it");
    fs::remove_file(&path).expect("removed");
    wait_event(&weir, "endpoint source failed", |event| {
        event["error"] == "endpoints.yaml does not exist"
    });
    assert_eq!(
        names(&weir),
        ["a", "b"],
        "a file that is gone is no empty list"
    );

    // As Prometheus has it, written in place.
    fs::write(
        &path,
        format!("[{{\"targets\": [\"{}\", \"{}\"]}}]", b.addr(), c.addr()),
    )
    .expect("written");
    wait_addresses(&weir, &[&b, &c]);
    assert_eq!(names(&weir), ["b", "c"]);

    // A list without endpoints says so.
    replace(&path, "[]");
    wait_addresses(&weir, &[]);
    assert_eq!(weir.client("web").get("/").status, 503);
    replace(&path, &format!("[{}]", c.addr()));
    wait_addresses(&weir, &[&c]);

    // A reload, with another weight, keeps what is known.
    let connections = c.connections();
    assert_eq!(names(&weir), ["c"]);
    fs::write(&path, "- broken: [").expect("written");
    let heavier = config.replace("endpoints.yaml", "endpoints.yaml, weight: 5");
    assert_eq!(weir.reload_with(&heavier).status, 200);
    assert_eq!(names(&weir), ["c"]);
    assert_eq!(endpoints(&weir)[0]["weight"], 5);
    assert!(c.connections() <= connections + 1);
}

#[test]
fn thousands_of_lines_of_a_file() {
    let weir = Weir::from_launch(
        Weir::launch(running::WEIR, &config("{ file: endpoints.json }"))
            .file("endpoints.json", many(20_000)),
    );
    wait_until("all", || endpoints(&weir).len() == 20_000);
    replace(&weir.dir().join("endpoints.json"), &many(19_999));
    wait_until("one less", || endpoints(&weir).len() == 19_999);
}

fn many(count: u32) -> String {
    let address = |number: u32| {
        format!(
            "\"127.{}.{}.{}:9\"",
            1 + number / 65_536,
            number / 256 % 256,
            number % 256
        )
    };
    format!(
        "[{}]",
        (0..count).map(address).collect::<Vec<_>>().join(",")
    )
}

#[test]
fn srv_records_are_followed() {
    let (a, b, c) = (Echo::start("a"), Echo::start("b"), Echo::start("c"));
    let dns = NameServer::start();
    let port = |echo: &Echo| echo.addr().port();
    dns.set_a("one.test", &[[127, 0, 0, 1].into()]);
    dns.set_a("two.test", &[[127, 0, 0, 1].into()]);
    let name = "_http._tcp.app.test";
    dns.set_srv(
        name,
        &[
            (10, 1, port(&a), "one.test"),
            (10, 3, port(&b), "two.test"),
            (20, 0, port(&c), "one.test"),
        ],
    );
    let weir = weir(
        "{ srv: { name: _http._tcp.app.test, servers: '@dns@' } }",
        &[("dns", dns.addr())],
    );
    wait_addresses(&weir, &[&a, &b, &c]);
    assert_eq!(
        shares(&weir, 8),
        BTreeMap::from([("a".to_owned(), 2), ("b".to_owned(), 6)]),
        "by weight, and the second priority is in reserve"
    );
    let shown = endpoints(&weir);
    let of = |echo: &Echo| {
        shown
            .iter()
            .find(|e| e["address"] == echo.addr().to_string())
            .expect("shown")
    };
    assert_eq!(of(&b)["name"], format!("two.test:{}", port(&b)));

    // A failure, an answer without the name, and an empty one change nothing.
    dns.fail(true);
    wait_event(&weir, "endpoint source failed", |event| {
        event["source"] == "srv _http._tcp.app.test"
    });
    dns.forget();
    dns.fail(false);
    wait_event(&weir, "endpoint source failed", |event| {
        event["error"] == "there is no such name"
    });
    dns.set_srv(name, &[(0, 0, 0, ".")]);
    wait_failure(&weir, "no usable SRV record");
    assert_eq!(addresses(&weir).len(), 3);

    dns.set_a("three.test", &[[127, 0, 0, 1].into()]);
    dns.set_srv(name, &[(0, 0, port(&c), "three.test")]);
    wait_addresses(&weir, &[&c]);
    assert_eq!(names(&weir), ["c"]);
}

#[test]
fn registries_that_cannot_be_reached_hold_nobody_up() {
    let a = Echo::start("a");
    let entries = "'@a@', { consul: { service: web, address: '@none@' } }, { etcd: { prefix: /x/, address: '@none@' } }, \
        { file: missing.yaml }";
    let weir = weir(entries, &[("a", a.addr()), ("none", free_addr())]);
    assert_eq!(names(&weir), ["a"]);
    for source in ["consul web", "etcd /x/", "file missing.yaml"] {
        wait_event(&weir, "endpoint source failed", |event| {
            event["source"] == source
        });
    }
}

#[test]
fn mistakes_are_told_before_anything_runs() {
    for (entry, told) in [
        (
            "{ consul: { service: web, address: 'https://consul:8501' } }",
            "TLS",
        ),
        (
            "{ consul: { address: '127.0.0.1:8500' } }",
            "the key `service` is missing",
        ),
        ("{ etcd: '' }", "an empty prefix"),
        (
            "{ etcd: { prefix: /web/, user: root } }",
            "the key `password` is missing",
        ),
        ("{ srv: 'a b' }", "is not a DNS name"),
        (
            "{ srv: { name: _http._tcp.a, servers: dns.internal:53 } }",
            "is not an address",
        ),
        ("{ file: '' }", "this path is empty"),
        (
            "{ file: a.yaml, etcd: /b/ }",
            "`etcd` cannot stand beside `file`",
        ),
    ] {
        let dir = TempDir::new("mistake");
        dir.write(
            "weir.yaml",
            config(entry).replace("@web@", "127.0.0.1:8080"),
        );
        let output = run_cli(running::WEIR, &["check"], dir.path());
        assert_eq!(output.code, Some(1), "{entry}");
        assert!(output.stderr.contains(told), "{entry}: {}", output.stderr);
    }
}
