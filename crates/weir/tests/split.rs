//! Requests shared out among services, and users who stay on their side.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;

use running::start;
use weir_testkit::{Echo, RawClient, Response, Weir};

struct Scene {
    weir: Weir,
    apps: Vec<Echo>,
}

const NAMES: [&str; 3] = ["stable", "canary", "beta"];

fn config(split: &str, more: &str) -> String {
    format!(
        "
workers: 2
listeners: {{ web: '@web@' }}
routes:
  - {{ path: /*, split: {split}, {more} }}
services:
  stable: ['@stable@']
  canary: ['@canary@']
  beta: ['@beta@']
"
    )
}

fn scene(split: &str, more: &str) -> Scene {
    let apps: Vec<Echo> = NAMES.map(Echo::start).into();
    let addresses: Vec<_> = NAMES.into_iter().zip(apps.iter().map(Echo::addr)).collect();
    Scene {
        weir: start(&config(split, more), &addresses),
        apps,
    }
}

fn lane(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.header("x-origin").expect("a name").to_owned()
}

/// Where `count` requests land.
fn counts(weir: &Weir, count: usize) -> BTreeMap<String, usize> {
    let mut client = weir.client("web");
    let mut seen = BTreeMap::new();
    for _ in 0..count {
        *seen.entry(lane(&client.get("/"))).or_default() += 1;
    }
    seen
}

fn with_cookie(client: &mut RawClient, cookie: &str) -> Response {
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
        ))
        .response()
}

/// The pair of a Set-Cookie field of this name.
fn cookie_of(response: &Response, name: &str) -> Option<String> {
    let mut set = response.headers.all("set-cookie");
    let found = set.find(|value| value.starts_with(&format!("{name}=")))?;
    Some(found.split(';').next().expect("a pair").to_owned())
}

#[test]
fn services_get_their_shares() {
    let scene = scene("{ stable: 95, canary: 5, beta: 0 }", "");
    let seen = counts(&scene.weir, 2000);
    // 100 are expected; five standard deviations are 49.
    let canary = seen.get("canary").copied().unwrap_or_default();
    assert!(canary.abs_diff(100) < 49, "{seen:?}");
    assert_eq!(seen["stable"] + canary, 2000, "{seen:?}");
    // The log and the metrics tell them apart.
    let metrics = scene.weir.metrics();
    for (name, count) in &seen {
        let labels = [("service", name.as_str()), ("class", "2xx")];
        assert_eq!(
            metrics.sum("weir_service_requests_total", &labels),
            *count as f64
        );
    }
    let logged = scene
        .weir
        .wait_log("a canary", |line| line["service"] == "canary");
    assert_eq!(logged["endpoint"], scene.apps[1].addr().to_string());
}

#[test]
fn percentages_and_one_service_alone_are_shares_too() {
    let Scene {
        mut weir,
        apps: _apps,
    } = scene("{ stable: 50%, canary: 25%, beta: 25% }", "");
    let seen = counts(&weir, 400);
    // 200, 100 and 100; five standard deviations are 50 and 44.
    for (name, expected) in [("stable", 200_usize), ("canary", 100), ("beta", 100)] {
        assert!(seen[name].abs_diff(expected) < 50, "{seen:?}");
    }
    assert_eq!(weir.reload_with(&config("{ beta: 1 }", "")).status, 200);
    assert_eq!(counts(&weir, 20), BTreeMap::from([("beta".to_owned(), 20)]));
}

#[test]
fn a_target_is_rewritten_whichever_service_gets_it() {
    let scene = scene("{ stable: 1, canary: 1 }", "rewrite: '/v2/{rest}'");
    let mut client = scene.weir.client("web");
    let mut seen = BTreeMap::new();
    for _ in 0..40 {
        let told = client.get("/a?b").json();
        assert_eq!(told["target"], "/v2/a?b");
        *seen.entry(told["name"].to_string()).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn users_stay_on_their_lane() {
    let sticky = "sticky: { cookie: lane, secret: 0123456789abcdef, ttl: 1h }";
    let Scene { mut weir, apps } = scene("{ stable: 50, canary: 50 }", sticky);
    let mut client = weir.client("web");
    let mut cookies = BTreeMap::new();
    for _ in 0..60 {
        let response = client.get("/");
        let lane = lane(&response);
        let cookie = cookie_of(&response, "lane").expect("a cookie");
        let set = response.header("set-cookie").expect("a cookie");
        assert!(
            set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"),
            "{set}"
        );
        assert_eq!(response.header("cache-control"), Some("private"));
        assert!(cookie.starts_with(&format!("lane={lane}.")), "{cookie}");
        cookies.insert(lane, cookie);
    }
    assert_eq!(cookies.len(), 2, "both lanes are in use");
    let (stable, canary) = (cookies["stable"].clone(), cookies["canary"].clone());
    for (name, cookie) in &cookies {
        for _ in 0..30 {
            let response = with_cookie(&mut client, &format!("a=b; {cookie}; c=d"));
            assert_eq!(lane(&response), *name);
            assert_eq!(response.header("set-cookie"), None);
            assert_eq!(response.header("cache-control"), None);
            // The cookie is between the browser and Weir.
            let headers = response.json()["headers"].to_string();
            assert!(headers.contains(r#"["Cookie","a=b; c=d"]"#), "{headers}");
            assert!(!headers.contains("lane="), "{headers}");
        }
    }

    // Who signs a lane for themselves is drawn anew, and so is who moves a signature to another lane.
    let signature = stable.rsplit('.').next().expect("a signature");
    let moved = format!("lane=canary.{signature}");
    let mut drawn = BTreeMap::new();
    for _ in 0..60 {
        for forged in ["lane=canary", "lane=canary.0123456789abcdef", &moved] {
            let response = with_cookie(&mut client, forged);
            assert!(cookie_of(&response, "lane").is_some(), "{forged}");
            *drawn.entry(lane(&response)).or_insert(0) += 1;
        }
    }
    // 90 each are expected; five standard deviations are 34.
    assert!(
        drawn.values().all(|count| (56..124).contains(count)),
        "{drawn:?}"
    );

    // Other shares move nobody who is there already.
    let more = config("{ stable: 1, canary: 999 }", sticky);
    assert_eq!(weir.reload_with(&more).status, 200);
    for _ in 0..20 {
        assert_eq!(lane(&with_cookie(&mut client, &stable)), "stable");
    }
    // A lane that has no share any more, or is gone, is left, and the new one is kept.
    for gone in ["{ stable: 1, canary: 0 }", "{ stable: 1 }"] {
        assert_eq!(weir.reload_with(&config(gone, sticky)).status, 200);
        let response = with_cookie(&mut client, &canary);
        assert_eq!(lane(&response), "stable", "{gone}");
        assert_eq!(cookie_of(&response, "lane"), Some(stable.clone()), "{gone}");
    }
    drop(apps);
}

#[test]
fn a_lane_is_one_for_all_routes_that_know_its_cookie() {
    let apps: Vec<Echo> = ["stable", "canary"].map(Echo::start).into();
    let config = "
workers: 1
listeners: { web: '@web@' }
routes:
  - { path: /cart/*, split: { stable: 1, canary: 1 }, sticky: lane }
  - { path: /checkout/*, split: { canary: 1, stable: 1 }, sticky: lane }
services:
  stable: ['@stable@']
  canary: ['@canary@']
";
    let addresses = [("stable", apps[0].addr()), ("canary", apps[1].addr())];
    let weir = start(config, &addresses);
    let mut client = weir.client("web");
    for _ in 0..20 {
        let first = client.get("/cart/1");
        let cookie = cookie_of(&first, "lane").expect("a cookie");
        let second = client
            .send(format!(
                "GET /checkout/1 HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
            ))
            .response();
        assert_eq!(lane(&first), lane(&second));
        assert_eq!(second.header("set-cookie"), None);
    }
}

#[test]
fn two_cookies_are_private_once() {
    let app = Echo::start("app");
    let config = "
workers: 1
listeners: { web: '@web@' }
routes: [ { path: /*, split: { stable: 1 }, sticky: lane } ]
services: { stable: { endpoints: ['@app@'], sticky: lb } }
";
    let weir = start(config, &[("app", app.addr())]);
    let mut client = weir.client("web");
    let first = client.get("/");
    let cookies = ["lane", "lb"].map(|name| cookie_of(&first, name).expect(name));
    let private = |response: &Response| -> Vec<String> {
        let all = response.headers.all("cache-control");
        all.map(str::to_owned).collect()
    };
    assert_eq!(private(&first), ["private"]);
    assert_eq!(first.headers.all("set-cookie").count(), 2);
    // One of them is new, or none.
    let second = with_cookie(&mut client, &cookies[0]);
    assert_eq!(private(&second), ["private"]);
    assert_eq!(cookie_of(&second, "lb"), Some(cookies[1].clone()));
    let third = with_cookie(&mut client, &cookies.join("; "));
    assert_eq!(private(&third), [] as [String; 0]);
    assert_eq!(third.header("set-cookie"), None);
}

#[test]
fn a_tunnel_keeps_its_lane_too() {
    let scene = scene("{ stable: 1, canary: 1 }", "sticky: lane");
    for _ in 0..10 {
        let mut client = scene.weir.client("web");
        let upgrade = "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n";
        client.send(format!("{upgrade}\r\n"));
        let head = String::from_utf8(client.read_until(b"\r\n\r\n")).expect("text");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let cookie = head
            .split("Set-Cookie: ")
            .nth(1)
            .and_then(|rest| rest.split(';').next())
            .expect("a cookie");
        let named = cookie
            .strip_prefix("lane=")
            .and_then(|value| value.split('.').next());
        let response = with_cookie(&mut scene.weir.client("web"), cookie);
        assert_eq!(named, Some(lane(&response).as_str()));
    }
}
