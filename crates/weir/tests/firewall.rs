//! Who may come in: by address, list, country and request, with the real address behind a PROXY header.

#[path = "common/running.rs"]
mod running;

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use running::WEIR;
use weir_testkit::{Echo, Haproxy, Mmdb, RawClient, Response, Weir, curl, wait_until};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// A header of version 1 for a client.
fn header(client: &str) -> String {
    let family = if client.contains(':') { "TCP6" } else { "TCP4" };
    let server = if client.contains(':') {
        "::1"
    } else {
        "10.0.0.1"
    };
    format!("PROXY {family} {client} {server} 40000 80\r\n")
}

/// What a client gets that comes through a proxy: `None` if its connection is closed, maybe while it connects.
fn ask_as(web: SocketAddr, client: &str, request: &str) -> Option<Response> {
    let mut connection = RawClient::try_connect(web).ok()?;
    connection.send(header(client) + request);
    connection.try_response().ok()
}

fn status_as(web: SocketAddr, client: &str, request: &str) -> u16 {
    ask_as(web, client, request).map_or(0, |response| response.status)
}

fn refused(weir: &Weir, reason: &str) -> f64 {
    let labels = [("reason", reason)];
    weir.metrics()
        .sum("weir_listener_connections_refused_total", &labels)
}

/// What an [`Echo`] got in a field.
fn told(response: &Response, name: &str) -> String {
    let json = response.json();
    let fields = json["headers"].as_array().expect("an echo");
    let field = fields
        .iter()
        .find(|field| (field[0].as_str()).is_some_and(|known| known.eq_ignore_ascii_case(name)));
    field.map_or_else(String::new, |field| {
        field[1].as_str().expect("text").to_owned()
    })
}

#[test]
fn a_proxy_tells_who_the_client_is() {
    let app = Echo::start("app");
    let weir = running::start(
        "
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1], timeout: 300ms } } }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
",
        &[("app", app.addr())],
    );
    let web = weir.addr("web");
    for client in ["192.0.2.7", "2001:db8::7"] {
        let response = ask_as(web, client, GET).expect("it is served");
        let forwarded = told(&response, "x-forwarded-for");
        assert!(forwarded.contains(client), "{forwarded}");
        weir.wait_log("the client", |line| line["client"] == client);
    }
    // Nothing, something else, and a second header: all of them end.
    for bytes in [
        "",
        GET,
        "PROXY TCP4 1.2.3.4\r\n",
        "PROXY TCP4 192.0.2.01 10.0.0.1 1 2\r\n",
    ] {
        let mut client = RawClient::connect(web);
        client.send(bytes);
        assert!(client.try_response().is_err(), "{bytes:?}");
    }
    assert_eq!(refused(&weir, "proxy_header"), 4.0);
    let twice = header("192.0.2.8") + GET;
    assert_eq!(status_as(web, "192.0.2.7", &twice), 400);
}

#[test]
fn what_haproxy_sends_is_understood() {
    let app = Echo::start("app");
    let weir = running::start(
        "
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] } } }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
",
        &[("app", app.addr())],
    );
    for sends in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options unique-id,crc32c",
    ] {
        let haproxy = Haproxy::from_launch(
            Haproxy::launch(&format!(
                "
defaults
    mode tcp
    timeout connect 5s
    timeout client 10s
    timeout server 10s
frontend web
    bind @web@
    unique-id-format %{{+X}}o%ci%cp
    default_backend weir
backend weir
    server weir @weir@ {sends} check
"
            ))
            .value("weir", weir.addr("web")),
        );
        // The client's own address, not that of the HAProxy beside it.
        let url = format!("http://{}/", haproxy.addr("web"));
        let response = curl(&["--interface", "127.0.0.5", &url]).ok();
        assert_eq!(response.status, 200, "{sends}");
        assert_eq!(told(&response, "x-forwarded-for"), "127.0.0.5", "{sends}");
    }
}

#[test]
fn who_is_not_the_proxy_is_not_believed() {
    let app = Echo::start("app");
    let weir = running::start(
        "
listeners:
  web: { address: '@web@', proxy_protocol: { from: [10.9.8.7] } }
  open: { address: '@open@', proxy_protocol: { from: [10.9.8.7], others: serve } }
routes: [ { path: /*, service: app } ]
services: { app: ['@app@'] }
",
        &[("app", app.addr())],
    );
    assert_eq!(status_as(weir.addr("web"), "192.0.2.7", GET), 0);
    assert_eq!(refused(&weir, "proxy_header"), 1.0);
    assert_eq!(status_as(weir.addr("open"), "192.0.2.7", GET), 400);
    let response = RawClient::exchange(weir.addr("open"), GET);
    assert_eq!(told(&response, "x-forwarded-for"), "127.0.0.1");
}

/// A database in which `192.0.2.0/24` is in this country.
fn database(country: &str) -> Vec<u8> {
    Mmdb::new("GeoLite2-Country")
        .country("192.0.2.0/24", country)
        .country("2001:db8::/32", "SE")
        .build()
}

#[test]
fn lists_and_countries_decide_at_accept_and_follow_their_files() {
    let weir = Weir::from_launch(
        Weir::launch(
            WEIR,
            "
firewall: { deny: ['file:deny.txt', 198.51.100.0/24], geo: 'file:country.mmdb' }
listeners:
  web:
    address: '@web@'
    proxy_protocol: { from: [127.0.0.1] }
    firewall: { allow: ['country:CH', 203.0.113.0/24], deny: [203.0.113.66] }
routes: [ { path: /*, respond: 200 } ]
",
        )
        .file("deny.txt", "# not welcome\n192.0.2.66\n")
        .file("country.mmdb", database("CH")),
    );
    let web = weir.addr("web");
    let passes = |client: &str| status_as(web, client, GET) == 200;
    for (client, expected) in [
        ("192.0.2.1", true),
        ("192.0.2.66", false),
        ("198.51.100.1", false),
        ("203.0.113.1", true),
        ("203.0.113.66", false),
        ("2001:db8::1", false),
        ("8.8.8.8", false),
    ] {
        assert_eq!(passes(client), expected, "{client}");
    }
    assert_eq!(refused(&weir, "firewall"), 5.0);

    // What is broken changes nothing; what is right is taken without a reload.
    let file = |name: &str, bytes: &[u8]| {
        let (new, path) = (weir.dir().join("new"), weir.dir().join(name));
        fs::write(&new, bytes).expect("written");
        fs::rename(new, path).expect("renamed");
    };
    file("country.mmdb", b"nonsense");
    file("deny.txt", b"192.0.2.1\n192.0.2.66\n");
    wait_until("the new list", || !passes("192.0.2.1"));
    assert!(passes("192.0.2.2") && !passes("192.0.2.66"));
    file("country.mmdb", &database("LI"));
    wait_until("the new database", || !passes("192.0.2.2"));
    assert!(passes("203.0.113.1"));
}

/// Whoever writes a list in place shows a part of it for as long as that takes.
#[test]
fn a_list_that_is_being_written_is_not_taken_by_halves() {
    let all: String = (1..=200).map(|n| format!("192.0.2.{n}\n")).collect();
    let weir = Weir::from_launch(
        Weir::launch(
            WEIR,
            "
firewall: { deny: 'file:deny.txt' }
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] } } }
routes: [ { path: /*, respond: 200 } ]
",
        )
        .file("deny.txt", all.as_str()),
    );
    let web = weir.addr("web");
    let passes = |client: &str| status_as(web, client, GET) == 200;
    assert!(!passes("192.0.2.200"));
    // A writer that pauses after it has emptied the file, and after its first third.
    let path = weir.dir().join("deny.txt");
    let mut file = fs::File::create(&path).expect("emptied");
    let pause = |span| {
        let until = Instant::now() + Duration::from_secs(span);
        while Instant::now() < until {
            assert!(!passes("192.0.2.200"), "a part of the list was taken");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    pause(1);
    // Whole lines, or it could be seen that something is missing.
    let (part, rest) = all.split_at(all.find("192.0.2.60").expect("a line"));
    file.write_all(part.as_bytes()).expect("written");
    pause(4);
    file.write_all(rest.as_bytes()).expect("written");
    file.write_all(b"198.51.100.1\n").expect("written");
    drop(file);
    wait_until("the whole list", || !passes("198.51.100.1"));
    assert!(!passes("192.0.2.1") && !passes("192.0.2.200"));
}

/// What is known of a client is kept with its connection, but no longer than it is true.
#[test]
fn a_connection_that_lives_long_is_judged_by_what_is_known_now() {
    let weir = Weir::from_launch(
        Weir::launch(
            WEIR,
            "
firewall: { geo: 'file:country.mmdb' }
listeners: { web: { address: '@web@', http: { forwarded: { trusted: [127.0.0.1] } } } }
routes: [ { path: /*, respond: 200, firewall: { dry_run: true, deny: ['country:CH', 'country:LI'] }, rate_limit: { limits: 1000000/h, key: country } } ]
",
        )
        .file("country.mmdb", database("CH")),
    );
    let mut proxy = weir.client("web");
    let mut number = 0;
    // By one connection, for this client.
    let mut country = |client: &str| {
        number += 1;
        proxy.send(format!(
            "GET /{number} HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: {client}\r\n\r\n"
        ));
        assert_eq!(proxy.response().status, 200);
        let target = format!("/{number}");
        let line = weir.wait_log("the request", |line| line["target"] == *target);
        let policy = line["policy"].as_str().unwrap_or_default();
        policy.rsplit(' ').next().unwrap_or_default().to_owned()
    };
    for _ in 0..3 {
        assert_eq!(country("192.0.2.1"), "country:CH");
        assert_eq!(country("192.0.2.1"), "country:CH");
        assert_eq!(country("2001:db8::1"), "");
    }
    let (new, path) = (weir.dir().join("new"), weir.dir().join("country.mmdb"));
    fs::write(&new, database("LI")).expect("written");
    fs::rename(new, path).expect("renamed");
    wait_until("the new database", || country("192.0.2.1") == "country:LI");
}

#[test]
fn routes_have_rules_and_firewalls_of_their_own() {
    let app = Echo::start("app");
    let weir = running::start(
        r#"
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] } } }
policies:
  office: { firewall: { allow: [10.0.0.0/8] } }
routes:
  - { path: /admin/*, service: app, policies: [office] }
  - path: /*
    service: app
    firewall:
      rules:
        - { deny: "/wp-admin/*", name: scanners }
        - { deny: { headers: { user-agent: "~(?i)sqlmap" }, methods: [GET] } }
        - { deny: { query: "~(?i)union\\s+select" }, dry_run: true }
services: { app: ['@app@'] }
"#,
        &[("app", app.addr())],
    );
    let web = weir.addr("web");
    let ask = |client: &str, target: &str, fields: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        status_as(web, client, &request)
    };
    for (client, target, fields, status) in [
        ("10.1.2.3", "/admin/users", "", 200),
        ("192.0.2.1", "/admin/users", "", 403),
        (
            "192.0.2.1",
            "/admin/users",
            "X-Forwarded-For: 10.1.2.3\r\n",
            403,
        ),
        ("192.0.2.1", "/", "", 200),
        ("192.0.2.1", "/wp-admin/setup.php", "", 403),
        ("192.0.2.1", "/x/..//wp%2Dadmin/setup.php", "", 403),
        ("192.0.2.1", "/wp-admin%2Fsetup.php", "", 403),
        ("192.0.2.1", "/wp-administrator", "", 200),
        ("192.0.2.1", "/", "User-Agent: SQLMap/1.7\r\n", 403),
        ("192.0.2.1", "/", "User-Agent: curl/8\r\n", 200),
        ("192.0.2.1", "/?q=1%20UNION%20SELECT%20x", "", 200),
    ] {
        assert_eq!(
            ask(client, target, fields),
            status,
            "{client} {target} {fields}"
        );
    }
    let decided = |decision| {
        let labels = [("kind", "firewall"), ("decision", decision)];
        weir.metrics().sum("weir_policy_decisions_total", &labels)
    };
    assert_eq!((decided("denied"), decided("would_deny")), (6.0, 1.0));
}

#[test]
fn a_client_has_a_rate_and_its_proxy_has_none() {
    let weir = running::start(
        "
firewall: { connection_rate_per_ip: 3/h, connections_per_ip: 2 }
listeners: { web: { address: '@web@', proxy_protocol: { from: [127.0.0.1] } } }
routes: [ { path: /*, respond: 200 } ]
",
        &[],
    );
    let web = weir.addr("web");
    for _ in 0..3 {
        assert_eq!(status_as(web, "192.0.2.1", GET), 200);
    }
    assert_eq!(status_as(web, "192.0.2.1", GET), 0);
    assert_eq!(refused(&weir, "rate"), 1.0);
    for client in 2..40 {
        assert_eq!(status_as(web, &format!("192.0.2.{client}"), GET), 200);
    }
    let held: Vec<RawClient> = (0..3)
        .map(|_| {
            let mut client = RawClient::connect(web);
            client.send(header("192.0.2.100") + GET);
            client
        })
        .collect();
    wait_until("the third is one too many", || {
        refused(&weir, "per_ip") == 1.0
    });
    drop(held);
}
