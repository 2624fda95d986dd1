//! Several policies on one request, through the real binary: what one refuses, and what the others then say and count.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use std::time::{Duration, Instant};

use apps::{WEIR, request};
use weir_testkit::{App, RawClient, Reply, Response, Weir};

fn weir(app: &App, more: &str) -> Weir {
    let config = format!(
        "
workers: 1
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.1] }} }} }} }}
services: {{ app: ['{}'] }}
{more}
",
        app.addr()
    );
    Weir::start(WEIR, &config)
}

fn get(weir: &Weir, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", "/", fields))
}

fn retry_after(response: &Response) -> u64 {
    assert_eq!(response.status, 429, "{response:?}");
    let value = response.header("retry-after").expect("a time to wait");
    value.parse().expect("seconds")
}

#[test]
fn a_refusal_says_how_long_the_longest_of_all_limits_refuses() {
    let app = App::start("app", |_| Reply::ok());
    for order in ["short, long", "long, short"] {
        let weir = weir(
            &app,
            &format!(
                "
policies:
  short: {{ rate_limit: {{ limits: 1/2s, key: ip }} }}
  long: {{ rate_limit: {{ limits: 1/1h, key: ip }} }}
routes: [ {{ path: /*, service: app, policies: [{order}] }} ]
"
            ),
        );
        assert_eq!(get(&weir, "").status, 200);
        let refused = get(&weir, "");
        assert!(retry_after(&refused) > 3500, "{order}: {refused:?}");
    }
}

#[test]
fn what_one_limit_refuses_counts_in_none_but_those_before_authentication() {
    let app = App::start("app", |_| Reply::ok());
    let [(ann, ann_hash), (bob, bob_hash)] = ["ann", "bob"].map(keys::new_key);
    // The limit by user is asked after authentication, the one by address before.
    let weir = weir(
        &app,
        &format!(
            "
policies:
  by_address: {{ rate_limit: {{ limits: 5/1h, key: ip }} }}
  together: {{ rate_limit: {{ limits: 2/1h, key: [api_key, host] }} }}
  by_user: {{ rate_limit: {{ limits: 1/1h, key: user }} }}
  keys: {{ api_key: {{ keys: [ {{ id: ann, hash: '{ann_hash}' }}, {{ id: bob, hash: '{bob_hash}' }} ] }} }}
routes: [ {{ path: /*, service: app, auth: keys, policies: [by_address, together, by_user] }} ]
"
        ),
    );
    let with = |key: &str| get(&weir, &format!("X-Api-Key: {key}\r\n")).status;
    let refuser = |key: &str| {
        let answer = get(&weir, &format!("X-Api-Key: {key}\r\n"));
        let told = answer.header("ratelimit").unwrap_or_default().to_owned();
        assert_eq!(answer.status, 429, "{told}");
        told
    };
    assert_eq!(with(&ann), 200);
    // What the limit by user refuses takes nothing from the one that is asked with it, or that would refuse the last of these.
    for _ in 0..3 {
        let told = refuser(&ann);
        assert!(told.starts_with("\"by_user\""), "{told}");
    }
    // The one by address bounds the work of authentication, whatever comes of that.
    assert_eq!([with(&bob), with("x")], [200, 429]);
}

#[test]
fn limits_of_endpoints_are_told_beside_those_of_weir() {
    let app = App::start("app", |_| {
        Reply::ok()
            .field("RateLimit", "\"up\";r=1;t=9")
            .field("RateLimit-Policy", "\"up\";q=2;w=10")
    });
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: 9/min, name: edge } ]",
    );
    let answer = get(&weir, "");
    let all = |name: &str| -> Vec<String> {
        let lines = answer.headers.all(name);
        lines.map(str::to_owned).collect()
    };
    for name in ["ratelimit", "ratelimit-policy"] {
        let lines = all(name).join(", ");
        assert!(
            lines.contains("\"up\"") && lines.contains("\"9/min\""),
            "{name}: {lines}"
        );
    }
}

#[test]
fn what_clients_claim_about_who_they_are_decides_nothing() {
    let app = App::start("app", |_| Reply::ok());
    let (_, hash) = keys::new_key("acme");
    let weir = weir(
        &app,
        &"
policies:
  keys: { api_key: { keys: [ { id: acme, hash: '@hash@' } ], headers: { x-plan: plan } } }
  counted: { rate_limit: { limits: 2/1h, key: header x-auth-subject } }
routes:
  - { path: /*, service: app, policies: counted }
  - { path: /*, headers: { x-auth-subject: admin }, respond: { status: 204 } }
  - { path: /rules, service: app, firewall: { rules: [ { allow: { headers: { x-auth-subject: admin } } }, { deny: '/*' } ] } }
  - { path: /keys, service: app, auth: [keys, anonymous] }
"
        .replace("@hash@", &hash),
    );
    let named = |target: &str, field: &str| {
        let fields = format!("{field}\r\n");
        RawClient::exchange(weir.addr("web"), request("GET", target, &fields)).status
    };
    // Chooses no route, and passes no firewall.
    assert_eq!(named("/rules", "X-Auth-Subject: admin"), 403);
    assert_eq!(named("/rules", "x.auth_subject: admin"), 403);
    // Every other name would be a count of its own.
    let statuses: Vec<u16> = (0..3)
        .map(|n| named("/", &format!("X-Auth-Subject: user{n}")))
        .collect();
    assert_eq!(statuses, [200, 200, 429]);
    assert_eq!(named("/", "X-Auth-Subject: admin"), 429);
}

#[test]
fn to_wait_as_long_as_told_is_enough() {
    let app = App::start("app", |_| Reply::ok());
    let weir = weir(
        &app,
        "
policies:
  a: { rate_limit: { limits: 1/1s, key: ip } }
  b: { rate_limit: { limits: 1/3s, key: everyone } }
routes: [ { path: /*, service: app, policies: [a, b] } ]
",
    );
    assert_eq!(get(&weir, "").status, 200);
    let asked = Instant::now();
    let wait = Duration::from_secs(retry_after(&get(&weir, "")));
    // The time is what this is about.
    std::thread::sleep(wait.saturating_sub(asked.elapsed()));
    assert_eq!(get(&weir, "").status, 200, "after {wait:?}");
}

#[test]
fn a_path_that_some_servers_read_as_a_guarded_one_is_refused() {
    let app = App::start("app", |_| Reply::ok());
    let (key, hash) = keys::new_key("acme");
    let weir = weir(
        &app,
        &"
policies:
  keys: { api_key: { keys: [ { id: acme, hash: '@hash@' } ] } }
routes:
  - { path: /*, service: app }
  - { path: /admin/*, service: app, auth: keys }
  - { path: /exact, service: app, auth: keys }
  - { path: /limited, service: app, rate_limit: 1/h }
  - { path: /wall/*, service: app, firewall: { deny: 0.0.0.0/0 } }
  - { path: '/projects/{id}', service: app, auth: keys }
  - { path: '/projects/*', service: app, auth: keys }
  - { path: '/users/{id}', service: app, auth: keys }
  - { path: /closed/*, respond: 403 }
  - { path: /moved/*, redirect: /elsewhere }
  - { path: /read/*, service: app, methods: PUT, auth: keys }
  - { path: '/read/{a}', service: app, methods: [GET, PUT] }
  - { path: '/x/{id}', service: app, rewrite: '/{id}' }
  - { path: '/go/{id}', redirect: '/elsewhere/{id}' }
"
        .replace("@hash@", &hash),
    );
    let asked =
        |target: &str| RawClient::exchange(weir.addr("web"), request("GET", target, "")).status;
    for target in [
        "/admin%2Fx",
        "/admin%2fx",
        "/%2Fadmin/x",
        "/a%2F..%2fadmin/x",
        "/admin%5Cx",
        "/admin;a=b/x",
        "/;/admin/x",
        "/a;x%2Fy/%2e%2e/admin;b%2Fx",
        "/exact;",
        "/exact;v=1",
        "/limited;a",
        "/wall%2Fx",
        "/exact;%2Fz",
        "/exact;x%2Fy",
        "/users%2F7;%2Fz",
        "/users%2F7%5Cy",
        "/closed%2Fx",
        "/moved;a/x",
        "/x/admin%2Fsecret",
        "/x/%2Fadmin%2Fa",
        "/x/admin;b%2Fa",
    ] {
        assert_eq!(asked(target), 400, "{target}");
    }
    let line = apps::line(&weir, "/admin%2Fx");
    assert_eq!(line["rule"], "ambiguous_path", "{line}");
    assert_eq!(app.requests(), 0);
    // Names with slashes and parameters of segments are as good as ever where nothing hangs on how they are read.
    for target in ["/group%2Fproject", "/a;v=1/b", "/admins%2Fx", "/x%2Fadmin"] {
        assert_eq!(asked(target), 200, "{target}");
    }
    let known = format!("X-Api-Key: {key}\r\n");
    let with_key =
        |target: &str| RawClient::exchange(weir.addr("web"), request("GET", target, &known)).status;
    assert_eq!(with_key("/projects/group%2Fproject"), 200);
    assert_eq!(with_key("/admin/x%2Fy"), 200);
    assert_eq!(asked("/projects/group%2Fproject"), 401);
    // Weir's own answers are not read by anybody else.
    assert_eq!(asked("/go/admin%2Fx"), 308);
    assert_eq!(asked("/x/plain%2Fname"), 200);
}

#[test]
fn rules_see_what_servers_may_read() {
    let app = App::start("app", |_| Reply::ok());
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, firewall: { rules: [ { deny: /admin/* } ] } } ]",
    );
    for target in [
        "/admin/x",
        "/%2Fadmin/x",
        "/%2fadmin%2fx",
        "/%2F%2Fadmin/x",
        "/%2Fadmin",
        "/;/admin/x",
        "/;x%2Fadmin/x",
        "/admin%5Cx",
        "/%5Cadmin/x",
        "/admin;a/x",
    ] {
        let asked = RawClient::exchange(weir.addr("web"), request("GET", target, ""));
        assert_eq!(asked.status, 403, "{target}");
    }
    assert_eq!(app.requests(), 0);
}

#[test]
fn endpoints_that_read_paths_as_routes_do_can_be_told_of() {
    let app = App::start("app", |_| Reply::ok());
    let config = format!(
        "
listeners: {{ web: {{ address: '@web@', http: {{ ambiguous_paths: pass }} }} }}
services: {{ app: ['{}'] }}
routes:
  - {{ path: /*, service: app }}
  - {{ path: /app/login, service: app, rate_limit: 1/h }}
",
        app.addr()
    );
    let weir = Weir::start(WEIR, &config);
    for _ in 0..2 {
        let target = request("GET", "/app/login;jsessionid=1", "");
        assert_eq!(RawClient::exchange(weir.addr("web"), target).status, 200);
    }
}
