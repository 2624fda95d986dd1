//! Ways around the guard that were tried and must stay closed.

#[path = "common/apps.rs"]
mod apps;

use apps::{WEIR, request};
use weir_testkit::{App, RawClient, Reply, Response, Weir, wait_until};

fn weir(app: &App, more: &str) -> Weir {
    let config = format!("services: {{ app: ['{}'] }}\n{more}\n", app.addr());
    Weir::start(WEIR, &config)
}

fn get(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

#[test]
fn rules_of_a_listener_see_the_path_that_routes_see() {
    let app = App::fine("app");
    let weir = weir(
        &app,
        "
listeners: { web: { address: '@web@', firewall: { rules: [ { deny: '/admin/*' }, { allow: '/public/*' }, { deny: '/*' } ] } } }
routes: [ { path: /*, service: app } ]
",
    );
    assert_eq!(get(&weir, "/public/a", "").status, 200);
    for target in [
        "/admin/a",
        "//admin/a",
        "/./admin/a",
        "/public/../admin/a",
        "/public/%2e%2e/admin/a",
        "/public/./../admin/a",
        "/x/../admin/a",
        "http://app.example//admin/a",
        "/other",
    ] {
        assert_eq!(get(&weir, target, "").status, 403, "{target}");
    }
    assert_eq!(app.requests(), 1);
    let options = "OPTIONS /admin/a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(RawClient::exchange(weir.addr("web"), options).status, 403);
}

#[test]
fn what_policies_and_routes_require_adds_up() {
    let app = App::fine("app");
    let key = std::process::Command::new(WEIR)
        .args([
            "key",
            "new",
            "--json",
            "--id",
            "a",
            "--metadata",
            "role=user",
        ])
        .output()
        .expect("weir key");
    let made: serde_json::Value = serde_json::from_slice(&key.stdout).expect("JSON");
    let hash = made["hash"]
        .as_str()
        .or_else(|| made["entry"]["hash"].as_str())
        .expect("a hash");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  keys: {{ api_key: {{ keys: [ {{ id: a, hash: '{hash}', metadata: {{ role: user }} }} ] }} }}
  some: {{ require: {{ claims: {{ role: [admin, user] }} }} }}
  few: {{ require: {{ claims: {{ role: admin }} }} }}
defaults: {{ policies: some }}
routes:
  - {{ path: /user, service: app, auth: keys }}
  - {{ path: /route, service: app, auth: keys, require: {{ claims: {{ role: admin }} }} }}
  - {{ path: /policy, service: app, auth: keys, policies: few }}
"
        ),
    );
    let field = format!("X-Api-Key: {}\r\n", made["key"].as_str().expect("a key"));
    let status = |target: &str| get(&weir, target, &field).status;
    assert_eq!(["/user", "/route", "/policy"].map(status), [200, 403, 403]);
}

#[test]
fn nobody_spells_where_they_come_from_in_another_way() {
    let app = App::start("app", |request| {
        let names = request
            .headers
            .0
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        Reply::ok().body(names.collect::<String>())
    });
    let weir = weir(
        &app,
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, service: app } ]",
    );
    let fields = "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: evil\r\nx_real_ip: 6.6.6.6\r\nX_Request_Id: evil\r\nX-Forwarded-Prefix: /evil\r\nX-Other_Name: kept\r\n";
    let seen = get(&weir, "/", fields).text();
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("evil"),
        "{seen}"
    );
    assert!(seen.contains("X-Other_Name: kept"), "{seen}");
}

#[test]
fn a_header_that_is_sent_twice_is_no_key() {
    let app = App::fine("app");
    let weir = weir(
        &app,
        "
listeners: { web: '@web@' }
routes: [ { path: /*, service: app, rate_limit: { limits: 2/min, key: header x-k } } ]
",
    );
    let twice = |n: usize| get(&weir, "/", &format!("X-K: junk{n}\r\nX-K: real\r\n")).status;
    assert_eq!([twice(1), twice(2), twice(3)], [200, 200, 429]);
}

#[test]
fn a_list_that_is_being_written_lets_nobody_in() {
    let app = App::fine("app");
    let dir = weir_testkit::TempDir::new("lists");
    let list = dir.path().join("deny.txt");
    std::fs::write(&list, "127.0.0.0/8\n").expect("written");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app, firewall: {{ deny: 'file:{}' }} }} ]
",
            list.display()
        ),
    );
    assert_eq!(get(&weir, "/", "").status, 403);
    std::fs::write(&list, "").expect("emptied");
    let told = |weir: &Weir| weir.metrics().sum("weir_firewall_entries", &[]);
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!((get(&weir, "/", "").status, told(&weir)), (403, 1.0));
    // Whoever means it, says so.
    std::fs::write(&list, "# nobody now\n").expect("written");
    wait_until("an empty list", || told(&weir) == 0.0);
    assert_eq!(get(&weir, "/", "").status, 200);
}

#[test]
fn a_forged_token_does_not_travel_beside_a_good_key() {
    let app = App::start("app", |request| {
        let names = request
            .headers
            .0
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        Reply::ok().body(names.collect::<String>())
    });
    let key = std::process::Command::new(WEIR)
        .args(["key", "new", "--json", "--id", "acme"])
        .output()
        .expect("weir key");
    let made: serde_json::Value = serde_json::from_slice(&key.stdout).expect("JSON");
    let hash = made["hash"]
        .as_str()
        .or_else(|| made["entry"]["hash"].as_str())
        .expect("a hash");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  tokens: {{ jwt: {{ secret: 0123456789abcdef0123456789abcdef }} }}
  keys: {{ api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
routes:
  - {{ path: /both, service: app, auth: [tokens, keys] }}
  - {{ path: /open, service: app, auth: [tokens, anonymous] }}
"
        ),
    );
    let key = made["key"].as_str().expect("a key");
    let answer = get(
        &weir,
        "/both",
        &format!("X-Api-Key: {key}\r\nAuthorization: Bearer forged\r\n"),
    );
    let seen = answer.text();
    assert!(answer.status != 200 || !seen.contains("forged"), "{seen}");
    // A tab behind the scheme is as good as a space: it is a token, and a bad one.
    let answer = get(&weir, "/open", "Authorization: Bearer\tforged\r\n");
    assert_eq!(answer.status, 401, "{answer:?}");
}
