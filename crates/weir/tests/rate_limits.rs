//! Rate limits through the real binary: what is counted, what the answers say, and what a reload keeps.

#[path = "common/apps.rs"]
mod apps;

use std::thread;

use apps::{WEIR, request};
use weir_testkit::{App, RawClient, Reply, Response, Weir, wait_until};

/// Weir before an application, with more lines of config; loopback is a trusted proxy, so that tests can be many clients.
fn weir(app: &App, more: &str) -> Weir {
    Weir::start(WEIR, &config(app, more))
}

fn config(app: &App, more: &str) -> String {
    format!(
        "
workers: 2
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.1] }} }} }} }}
services: {{ app: ['{}'] }}
{more}
",
        app.addr()
    )
}

fn ok() -> App {
    App::start("app", |_| Reply::ok())
}

/// One GET by the client of this address, on a connection of its own.
fn by(weir: &Weir, ip: &str, target: &str) -> Response {
    with(weir, target, &format!("X-Forwarded-For: {ip}\r\n"))
}

fn with(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

fn statuses(responses: &[Response]) -> Vec<u16> {
    responses.iter().map(|response| response.status).collect()
}

fn decisions(weir: &Weir, policy: &str, decision: &str) -> f64 {
    let labels = [
        ("kind", "rate_limit"),
        ("policy", policy),
        ("decision", decision),
    ];
    weir.metrics().value("weir_policy_decisions_total", &labels)
}

#[test]
fn a_client_gets_what_it_may_and_then_429() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: 3/min, name: all } ]",
    );
    let answers: Vec<Response> = (0..3).map(|_| by(&weir, "192.0.2.1", "/")).collect();
    assert_eq!(statuses(&answers), [200, 200, 200]);
    let left: Vec<_> = answers
        .iter()
        .filter_map(|a| a.header("ratelimit"))
        .collect();
    assert_eq!(left.len(), 3, "{answers:?}");
    assert!(
        left[0].contains("r=2") && left[2].contains("r=0"),
        "{left:?}"
    );
    let policy = answers[0].header("ratelimit-policy").expect("a policy");
    assert!(
        policy.contains("q=3") && policy.contains("w=60"),
        "{policy}"
    );

    let refused = by(&weir, "192.0.2.1", "/refused");
    assert_eq!(refused.status, 429, "{refused:?}");
    let after: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!((1..=60).contains(&after), "{after}");
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    assert!(
        refused
            .header("ratelimit")
            .is_some_and(|left| left.contains("r=0"))
    );
    assert_eq!(app.requests(), 3);
    let line = apps::line(&weir, "/refused");
    assert_eq!(
        (&line["reason"], &line["policy"]),
        (&"rate_limited".into(), &"all".into())
    );
    // Another client has a limit of its own, and so has another network of IPv6; one network has one.
    assert_eq!(by(&weir, "192.0.2.2", "/").status, 200);
    let sixes: Vec<Response> = (0..4)
        .map(|i| by(&weir, &format!("2001:db8::{i}"), "/"))
        .collect();
    assert_eq!(statuses(&sixes), [200, 200, 200, 429]);
    assert_eq!(by(&weir, "2001:db8:0:1::1", "/").status, 200);
    assert_eq!(decisions(&weir, "all", "denied"), 2.0);
    assert_eq!(decisions(&weir, "all", "passed"), 8.0);
    wait_until("the keys to be counted", || {
        weir.metrics()
            .value("weir_rate_limit_keys", &[("policy", "all")])
            == 4.0
    });
}

#[test]
fn nobody_escapes_by_a_forwarded_address_of_their_own() {
    let app = ok();
    let config = format!(
        "
listeners: {{ web: '@web@' }}
services: {{ app: ['{}'] }}
routes: [ {{ path: /*, service: app, rate_limit: 2/min }} ]
",
        app.addr()
    );
    let weir = Weir::start(WEIR, &config);
    let answers: Vec<Response> = (0..4)
        .map(|i| by(&weir, &format!("192.0.2.{i}"), "/"))
        .collect();
    assert_eq!(statuses(&answers), [200, 200, 429, 429]);
}

#[test]
fn tiers_are_checked_together_and_a_refusal_costs_nothing() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: [2/3s, 4/min] } ]",
    );
    let get = || by(&weir, "192.0.2.1", "/").status;
    assert_eq!([get(), get()], [200, 200]);
    // Refused by the first tier, and so not counted in the second either.
    let mut tries = 0;
    wait_until("the first tier to let more in", || {
        tries += 1;
        get() == 200
    });
    assert!(tries > 1, "the tier of three seconds held nobody back");
    wait_until("the fourth", || get() == 200);
    let refused = by(&weir, "192.0.2.1", "/");
    assert_eq!(refused.status, 429);
    let after: u64 = refused
        .header("retry-after")
        .expect("a time")
        .parse()
        .expect("seconds");
    assert!(after > 30, "the second tier decides: {after}");
    assert_eq!(app.requests(), 4);
}

#[test]
fn keys_are_what_the_config_says() {
    let app = ok();
    let weir = weir(
        &app,
        "
routes:
  - { path: /header/*, service: app, rate_limit: { limits: 1/min, key: header x-tenant } }
  - { path: /pair/*, service: app, rate_limit: { limits: 1/min, key: [ip, header x-tenant] } }
  - { path: /all/*, service: app, rate_limit: { limits: 2/min, key: everyone } }
",
    );
    let tenant = |target: &str, ip: &str, tenant: &str| {
        with(
            &weir,
            target,
            &format!("X-Forwarded-For: {ip}\r\nX-Tenant: {tenant}\r\n"),
        )
        .status
    };
    assert_eq!(tenant("/header/", "192.0.2.1", "a"), 200);
    assert_eq!(tenant("/header/", "192.0.2.2", "a"), 429);
    assert_eq!(tenant("/header/", "192.0.2.1", "b"), 200);
    // Whoever does not say who it is, is counted by its address.
    let [first, second, other] =
        ["192.0.2.1", "192.0.2.1", "192.0.2.9"].map(|ip| by(&weir, ip, "/header/").status);
    assert_eq!([first, second, other], [200, 429, 200]);

    assert_eq!(tenant("/pair/", "192.0.2.1", "a"), 200);
    assert_eq!(tenant("/pair/", "192.0.2.2", "a"), 200);
    assert_eq!(tenant("/pair/", "192.0.2.1", "b"), 200);
    assert_eq!(tenant("/pair/", "192.0.2.1", "a"), 429);

    let all: Vec<u16> = (0..3)
        .map(|i| by(&weir, &format!("192.0.2.{i}"), "/all/").status)
        .collect();
    assert_eq!(all, [200, 200, 429]);
}

#[test]
fn a_named_policy_is_one_limit_for_all_its_routes() {
    let app = ok();
    let weir = weir(
        &app,
        "
policies: { few: { rate_limit: 3/min }, own: { rate_limit: { limits: 1/min, key: [ip, route] } } }
defaults: { policies: few }
routes:
  - { path: /a, service: app }
  - { path: /b, service: app }
  - { path: /free, service: app, policies: none }
  - { path: /c, service: app, policies: [none, own] }
  - { path: /d, service: app, policies: [none, own] }
",
    );
    let get = |target: &str| by(&weir, "192.0.2.1", target).status;
    assert_eq!(
        ["/a", "/b", "/a", "/b", "/a"].map(get),
        [200, 200, 200, 429, 429]
    );
    assert_eq!(
        [get("/free"), get("/free"), get("/free"), get("/free")],
        [200; 4]
    );
    assert_eq!(["/c", "/d", "/c", "/d"].map(get), [200, 200, 429, 429]);
}

#[test]
fn counts_survive_a_reload() {
    let app = ok();
    let routes = |more: &str| {
        format!("routes: [ {{ path: /*, service: app, rate_limit: 2/min, name: all }}{more} ]")
    };
    let mut weir = weir(&app, &routes(""));
    let get = |weir: &Weir, ip: &str| by(weir, ip, "/").status;
    assert_eq!(
        [get(&weir, "192.0.2.1"), get(&weir, "192.0.2.1")],
        [200, 200]
    );
    let reloaded = weir.reload_with(&config(
        &app,
        &routes(", { path: /more, respond: { status: 204 } }"),
    ));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert_eq!(by(&weir, "192.0.2.3", "/more").status, 204);
    assert_eq!(
        [get(&weir, "192.0.2.1"), get(&weir, "192.0.2.2")],
        [429, 200]
    );
}

#[test]
fn two_workers_share_one_limit_exactly() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: 50/min } ]",
    );
    let addr = weir.addr("web");
    let clients: Vec<_> = (0..16)
        .map(|_| {
            thread::spawn(move || {
                let mut client = RawClient::connect(addr);
                let answers = (0..10).map(|_| client.get("/").status);
                answers.filter(|status| *status == 200).count()
            })
        })
        .collect();
    let passed: usize = clients
        .into_iter()
        .map(|client| client.join().expect("a count"))
        .sum();
    assert_eq!((passed, app.requests()), (50, 50));
}

#[test]
fn a_dry_run_refuses_nobody_and_says_so() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: { limits: 1/min, dry_run: true }, name: tried } ]",
    );
    let answers: Vec<u16> = (0..3)
        .map(|i| by(&weir, "192.0.2.1", &format!("/{i}")).status)
        .collect();
    assert_eq!(answers, [200, 200, 200]);
    assert_eq!(decisions(&weir, "tried", "would_deny"), 2.0);
    assert_eq!(decisions(&weir, "tried", "denied"), 0.0);
    assert_eq!(apps::line(&weir, "/2")["policy"], "tried");
}

#[test]
fn a_refusal_takes_back_only_what_was_counted() {
    let app = ok();
    // The dry run refuses from the second on, the others from the third on; nothing that is refused may undo what passed.
    let weir = weir(
        &app,
        "
policies:
  a-tried: { rate_limit: { limits: 1/min, dry_run: true } }
  b-more: { rate_limit: 3/min }
routes: [ { path: /*, service: app, policies: [a-tried, b-more], rate_limit: 2/min } ]
",
    );
    let get = || by(&weir, "192.0.2.1", "/").status;
    assert_eq!(
        [get(), get(), get(), get(), get()],
        [200, 200, 429, 429, 429]
    );
    assert_eq!(decisions(&weir, "a-tried", "would_deny"), 4.0);
    assert_eq!(decisions(&weir, "a-tried", "passed"), 1.0);
    assert_eq!(decisions(&weir, "b-more", "denied"), 0.0);
}

#[test]
fn requests_at_the_same_time_are_limited_too() {
    let app = App::start("app", |_| Reply::hold());
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: { concurrency: 2 } } ]",
    );
    let start = |ip: &str| {
        let mut client = weir.client("web");
        client.send(request("GET", "/", &format!("X-Forwarded-For: {ip}\r\n")));
        client
    };
    let mut first = start("192.0.2.1");
    let second = start("192.0.2.1");
    app.wait_requests(2);
    let refused = by(&weir, "192.0.2.1", "/third");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(apps::line(&weir, "/third")["reason"], "concurrency_limited");
    let mut other = start("192.0.2.2");
    app.wait_requests(3);
    // One that leaves makes room, and so does one that is answered.
    second.reset();
    wait_until("the one that left", || app.left() == 1);
    let mut third = start("192.0.2.1");
    app.wait_requests(4);
    app.release(3);
    for client in [&mut first, &mut other, &mut third] {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn answers_speak_the_older_dialect_on_demand() {
    let app = ok();
    let weir = weir(
        &app,
        "
routes:
  - { path: /legacy, service: app, rate_limit: { limits: 5/min, headers: legacy } }
  - { path: /off, service: app, rate_limit: { limits: 5/min, headers: off } }
",
    );
    let legacy = by(&weir, "192.0.2.1", "/legacy");
    assert_eq!(legacy.header("x-ratelimit-limit"), Some("5"), "{legacy:?}");
    assert_eq!(legacy.header("x-ratelimit-remaining"), Some("4"));
    assert!(legacy.header("x-ratelimit-reset").is_some());
    assert_eq!(legacy.header("ratelimit"), None);
    let off = by(&weir, "192.0.2.1", "/off");
    let said = ["ratelimit", "ratelimit-policy", "x-ratelimit-limit"].map(|name| off.header(name));
    assert_eq!(said, [None; 3]);
}

#[test]
fn the_number_of_keys_is_bounded() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /*, service: app, rate_limit: { limits: 2/min, max_keys: 1000 }, name: few } ]",
    );
    let mut client = weir.client("web");
    for i in 0..3000 {
        let ip = format!("X-Forwarded-For: 10.0.{}.{}\r\n", i / 250, i % 250);
        client.send(request("GET", "/", &ip));
        assert_eq!(client.response().status, 200);
    }
    let value = |name: &str| weir.metrics().value(name, &[("policy", "few")]);
    assert!(value("weir_rate_limit_keys") <= 1000.0);
    assert!(value("weir_rate_limit_evicted_keys_total") >= 2000.0);
}

#[test]
fn what_weir_answers_itself_is_limited_as_well() {
    let app = ok();
    let weir = weir(
        &app,
        "routes: [ { path: /ping, respond: { status: 200, body: pong }, rate_limit: 1/min }, { path: /*, service: app } ]",
    );
    let answers: Vec<Response> = (0..2).map(|_| by(&weir, "192.0.2.1", "/ping")).collect();
    assert_eq!(statuses(&answers), [200, 429]);
    assert!(answers[0].header("ratelimit").is_some());
}
