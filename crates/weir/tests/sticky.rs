//! Users who stay on an endpoint, for as long as it can be used.

#[path = "common/running.rs"]
mod running;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use running::WEIR;
use weir_testkit::{Echo, Launch, Origin, RawClient, Response, Weir, wait_until};

const SECRET: &str = "cookie: lb, secret: 0123456789abcdef0123456789abcdef";

fn config(endpoints: &[SocketAddr], sticky: &str) -> String {
    let endpoints: Vec<String> = endpoints.iter().map(|addr| format!("'{addr}'")).collect();
    format!(
        "
workers: 2
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app }} ]
services: {{ app: {{ endpoints: [{}], sticky: {{ {sticky} }} }} }}
",
        endpoints.join(", ")
    )
}

fn launch(endpoints: &[SocketAddr], sticky: &str) -> Launch {
    Weir::launch(WEIR, &config(endpoints, sticky))
}

fn apps(count: usize) -> (Vec<Echo>, Vec<SocketAddr>) {
    let apps: Vec<Echo> = (0..count)
        .map(|number| Echo::start(&format!("app{number}")))
        .collect();
    let addresses = apps.iter().map(Echo::addr).collect();
    (apps, addresses)
}

fn ask(client: &mut RawClient, cookie: &str) -> Response {
    client
        .send(format!(
            "GET / HTTP/1.1\r\nHost: x\r\nCookie: {cookie}\r\n\r\n"
        ))
        .response()
}

fn name(response: &Response) -> String {
    assert_eq!(response.status, 200, "{response:?}");
    response.header("x-origin").expect("a name").to_owned()
}

fn cookie(response: &Response) -> Option<String> {
    let mut set = response.headers.all("set-cookie");
    let found = set.find(|value| value.starts_with("lb="))?;
    Some(found.split(';').next().expect("a pair").to_owned())
}

/// A cookie for each endpoint.
fn cookies(weir: &Weir, count: usize) -> BTreeMap<String, String> {
    let mut client = weir.client("web");
    let mut cookies = BTreeMap::new();
    wait_until("a cookie for each endpoint", || {
        let response = client.get("/");
        cookies.insert(name(&response), cookie(&response).expect("a cookie"));
        cookies.len() == count
    });
    cookies
}

#[track_caller]
fn stays(client: &mut RawClient, of: &str, with: &str) {
    for _ in 0..20 {
        let response = ask(client, with);
        assert_eq!(name(&response), of);
        assert_eq!(response.header("set-cookie"), None);
        assert_eq!(response.header("cache-control"), None);
    }
}

#[test]
fn a_user_stays_where_the_cookie_says() {
    let (_apps, addresses) = apps(3);
    let weir = Weir::from_launch(launch(&addresses, SECRET));
    let first = weir.client("web").get("/");
    let set = first.header("set-cookie").expect("a cookie");
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Lax"), "{set}");
    assert_eq!(first.header("cache-control"), Some("private"));
    let all = cookies(&weir, 3);
    for (name, cookie) in &all {
        // On another connection, and so perhaps on another worker.
        for _ in 0..4 {
            stays(&mut weir.client("web"), name, cookie);
        }
    }
    // The same endpoint, the same cookie: nothing in it tells users apart.
    assert_eq!(all, cookies(&weir, 3));
}

#[test]
fn attributes_are_as_configured() {
    let (_apps, addresses) = apps(1);
    let sticky = "cookie: __Secure-lb, ttl: 90m, path: /shop, secure: true";
    let weir = Weir::from_launch(launch(&addresses, sticky));
    let first = weir.client("web").get("/");
    let set = first.header("set-cookie").expect("a cookie");
    assert!(set.starts_with("__Secure-lb="), "{set}");
    assert!(
        set.ends_with("; Path=/shop; HttpOnly; SameSite=Lax; Secure; Max-Age=5400"),
        "{set}"
    );
}

#[test]
fn endpoints_see_nothing_of_it() {
    let (_apps, addresses) = apps(1);
    let weir = Weir::from_launch(launch(&addresses, SECRET));
    let cookie = cookies(&weir, 1)["app0"].clone();
    let mut client = weir.client("web");
    for (sent, seen) in [
        (cookie.clone(), None),
        (format!("{cookie}; a=1"), Some("a=1")),
        (format!("a=1; {cookie};b=2"), Some("a=1; b=2")),
        (format!("lb=forged; a=1; {cookie}"), Some("a=1")),
        ("a=1".to_owned(), Some("a=1")),
    ] {
        let told = ask(&mut client, &sent).json();
        let headers = told["headers"].as_array().expect("pairs");
        let cookies: Vec<&str> = headers
            .iter()
            .filter(|pair| {
                pair[0]
                    .as_str()
                    .is_some_and(|name| name.eq_ignore_ascii_case("cookie"))
            })
            .filter_map(|pair| pair[1].as_str())
            .collect();
        assert_eq!(cookies, seen.into_iter().collect::<Vec<_>>(), "{sent}");
    }
}

#[test]
fn a_forged_cookie_is_as_good_as_none() {
    let (_apps, addresses) = apps(3);
    let weir = Weir::from_launch(launch(&addresses, SECRET));
    let all = cookies(&weir, 3);
    let cookie = all["app1"].clone();
    let (identity, signature) = cookie.rsplit_once('.').expect("a signature");
    let other = all["app2"].rsplit_once('.').expect("a signature").0;
    let mut client = weir.client("web");
    for forged in [
        identity.to_owned(),
        format!("{identity}."),
        format!("{identity}.{}", "0".repeat(signature.len())),
        format!("{other}.{signature}"),
        format!("{identity}.{}", signature.to_uppercase() + "0"),
        format!("lb={}", "a".repeat(5000)),
        "lb=".to_owned(),
        "lb=%00".to_owned(),
    ] {
        let mut seen = BTreeMap::new();
        for _ in 0..40 {
            let response = ask(&mut client, &forged);
            let name = name(&response);
            assert_eq!(set_cookie(&response), all[&name], "{forged}");
            *seen.entry(name).or_insert(0) += 1;
        }
        assert!(seen.len() > 1, "{forged}: {seen:?}");
    }
    // One made by another Weir, with another secret.
    let sticky = "cookie: lb, secret: ffffffffffffffffffffffffffffffff";
    let stranger = Weir::from_launch(launch(&addresses, sticky));
    let foreign = cookies(&stranger, 3);
    assert!(
        foreign
            .values()
            .all(|cookie| !all.values().any(|ours| ours == cookie))
    );
    assert!(cookie_is_replaced(&mut client, &foreign["app1"]));
}

fn set_cookie(response: &Response) -> String {
    cookie(response).expect("a cookie")
}

fn cookie_is_replaced(client: &mut RawClient, with: &str) -> bool {
    cookie(&ask(client, with)).is_some()
}

#[test]
fn a_cookie_survives_other_endpoints_and_a_restart() {
    let (mut apps, addresses) = apps(4);
    let mut weir = Weir::from_launch(launch(&addresses[..3], SECRET));
    let all = cookies(&weir, 3);
    let mine = all["app1"].clone();
    let mut client = weir.client("web");
    for endpoints in [
        &addresses[..2],
        &addresses[1..2],
        &addresses[1..4],
        &[addresses[3], addresses[2], addresses[1]][..],
    ] {
        assert_eq!(weir.reload_with(&config(endpoints, SECRET)).status, 200);
        wait_until("the new plan", || {
            weir.admin("/status").json()["services"][0]["endpoints"]
                .as_array()
                .is_some_and(|all| all.len() == endpoints.len())
        });
        stays(&mut client, "app1", &mine);
    }
    // Its own endpoint leaves: another one takes over, with a cookie of its own.
    assert_eq!(
        weir.reload_with(&config(&[addresses[0], addresses[2]], SECRET))
            .status,
        200
    );
    let response = ask(&mut client, &mine);
    assert_ne!(name(&response), "app1");
    let next = set_cookie(&response);
    stays(&mut client, &name(&response), &next);
    assert_eq!(next, all[&name(&response)]);

    // Another process, the same secret.
    drop((client, weir));
    let weir = Weir::from_launch(launch(&addresses, SECRET));
    stays(&mut weir.client("web"), "app1", &mine);
    apps.clear();
}

#[test]
fn without_a_secret_a_cookie_lasts_as_long_as_the_process() {
    let (_apps, addresses) = apps(2);
    let mut weir = Weir::from_launch(launch(&addresses, "cookie: lb"));
    let mine = cookies(&weir, 2)["app1"].clone();
    let mut client = weir.client("web");
    assert_eq!(
        weir.reload_with(&config(&addresses, "cookie: lb, ttl: 1h"))
            .status,
        200
    );
    stays(&mut client, "app1", &mine);
    drop((client, weir));
    let weir = Weir::from_launch(launch(&addresses, "cookie: lb"));
    assert!(cookie_is_replaced(&mut weir.client("web"), &mine));
}

#[test]
fn a_user_moves_when_the_endpoint_dies() {
    let (mut apps, addresses) = apps(3);
    let weir = Weir::from_launch(launch(&addresses, SECRET));
    let mine = cookies(&weir, 3)["app1"].clone();
    let mut client = weir.client("web");
    stays(&mut client, "app1", &mine);
    drop(apps.remove(1));
    let response = ask(&mut client, &mine);
    let new = name(&response);
    assert_ne!(new, "app1");
    let next = set_cookie(&response);
    stays(&mut client, &new, &next);
    // It is taken out by hand.
    let index = usize::from(new == "app2") * 2;
    let drained = weir.admin_request("POST", &format!("/drain?endpoint={}", addresses[index]));
    assert_eq!(drained.status, 200, "{drained:?}");
    let response = ask(&mut client, &next);
    assert_ne!(name(&response), new);
    assert!(cookie(&response).is_some());
}

#[test]
fn an_endpoint_cannot_set_the_cookie_but_others() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: lb=mine; Path=/\r\n\
                  Set-Cookie: session=1\r\nSet-Cookie: lbx=2\r\n\r\n";
    let origin = Origin::answering(answer);
    let weir = Weir::from_launch(launch(&[origin.addr()], SECRET));
    let mut client = weir.client("web");
    let response = client.get("/");
    let mine = set_cookie(&response);
    let set: Vec<&str> = response.headers.all("set-cookie").collect();
    assert_eq!(set.len(), 3, "{set:?}");
    assert!(
        set[..2] == ["session=1", "lbx=2"] && set[2].starts_with(&mine),
        "{set:?}"
    );
    let response = ask(&mut client, &mine);
    let set: Vec<&str> = response.headers.all("set-cookie").collect();
    assert_eq!(set, ["session=1", "lbx=2"]);
}

#[test]
fn an_answer_of_weirs_own_sets_nothing() {
    let nobody = weir_testkit::free_addr();
    let weir = Weir::from_launch(launch(&[nobody], SECRET));
    let response = weir.client("web").get("/");
    assert_eq!(response.status, 502);
    assert_eq!(response.header("set-cookie"), None);
}
