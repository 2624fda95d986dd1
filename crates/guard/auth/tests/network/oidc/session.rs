//! Sessions: what opens them, how large they become, and their refresh.

use serde_json::json;
use weir_auth::Why;
use weir_testkit::wait_until;

use super::{SECRET, Window, house};
use crate::support::idp::Idp;
use crate::support::{Answer, Ask, unix_now as now};

#[test]
fn sessions_that_are_none() {
    let idp = Idp::start(now());
    let house = house(&idp, "session: 1h");
    let mut window = Window::new();
    window.log_in(&house, "/");
    let session = window
        .jar
        .cookie("weir_login")
        .expect("a session")
        .to_owned();
    let with = |session: &str| Ask::get("/").field("cookie", &format!("weir_login={session}"));
    assert_eq!(house.ask(&with(&session)).subject(), "ann");
    for at in (0..session.len()).step_by(7) {
        let mut bytes = session.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).expect("text");
        let outcome = house.ask(&with(&changed));
        assert_eq!(
            (outcome.status, outcome.why),
            (401, Some(Why::Invalid)),
            "{at}"
        );
        assert_eq!(house.ask(&with(&session[..at])).status, 401, "{at}");
    }
    // The cookie of a login is no session.
    let mut other = Window::new();
    other.begin(&house, "/");
    let name = other.jar.cookie_names()[0].to_owned();
    let login = other.jar.cookie(&name).expect("a cookie").to_owned();
    assert_eq!(house.ask(&with(&login)).status, 401);
    // People log in again.
    let request = Ask::page("/there").field("cookie", "weir_login=junk");
    assert_eq!(house.ask(&request).status, 302);
    // Its end.
    idp.change(|rules| rules.now += 3600);
    house.sleep(3601);
    let outcome = house.ask(&with(&session));
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
}

#[test]
fn secrets_are_replaced() {
    let idp = Idp::start(now());
    let new = "fedcba9876543210fedcba9876543210";
    let before = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&before, "/");
    let between = house(&idp, &format!("session_secrets: [{new}, {SECRET}]"));
    assert_eq!(window.page(&between, "/").subject(), "ann");
    let after = house(&idp, &format!("session_secrets: {new}"));
    assert_eq!(window.page(&after, "/").status, 302);
    // The same secret for another client is another secret.
    let other = house(&idp, "client_id: other");
    assert_eq!(window.page(&other, "/").status, 302);
}

#[test]
fn large_sessions_take_several_cookies_and_too_large_ones_are_refused() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let groups = |count: usize| {
        let groups: Vec<String> = (0..count)
            .map(|number| format!("group-{number:04}"))
            .collect();
        json!({ "groups": groups })
    };
    idp.change(|rules| rules.claims = groups(250));
    let mut window = Window::new();
    assert_eq!(window.log_in(&house, "/").status, 303);
    let names = window.jar.cookie_names().len();
    assert!(names >= 2, "{names}");
    assert_eq!(window.page(&house, "/").subject(), "ann");
    // One of them is lost.
    let first = window
        .jar
        .cookie("weir_login")
        .expect("the first")
        .to_owned();
    let request = Ask::get("/").field("cookie", &format!("weir_login={first}"));
    assert_eq!(house.ask(&request).status, 401);
    // A smaller session leaves nothing of it.
    idp.change(|rules| rules.claims = json!({}));
    assert_eq!(window.page(&house, "/oauth2/logout").status, 303);
    assert_eq!(window.jar.cookie_names(), Vec::<&str>::new());
    // Without the ID token it would fit; it is what a session can do without.
    idp.change(|rules| rules.claims = groups(430));
    let mut window = Window::new();
    assert_eq!(window.log_in(&house, "/").status, 303);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    let outcome = window.page(&house, "/oauth2/logout");
    assert!(!outcome.location().contains("id_token_hint"));
    // Too much for any cookie, and an ID token that is too long by itself: the event log says so.
    for (count, why) in [(890, "fits into cookies"), (2000, "the token is too long")] {
        idp.change(|rules| rules.claims = groups(count));
        house.events.lock().expect("events").clear();
        assert_ne!(Window::new().log_in(&house, "/").status, 303);
        let told = format!("{:?}", house.events.lock().expect("events"));
        assert!(told.contains(why), "{count}: {told}");
    }
    // No ID token at all.
    idp.change(|rules| rules.tokens = json!({ "id_token": null }));
    assert_ne!(Window::new().log_in(&house, "/").status, 303);
    let told = format!("{:?}", house.events.lock().expect("events"));
    assert!(told.contains("gives no ID token"), "{told}");
}

#[test]
fn a_long_id_token_is_no_obstacle() {
    let idp = Idp::start(now());
    let house = house(&idp, "headers: { x-groups: groups }");
    let groups: Vec<String> = (0..600).map(|at| format!("group-{at:04}")).collect();
    idp.change(|rules| rules.claims = json!({ "groups": groups }));
    let mut window = Window::new();
    // Of more than 8 KiB.
    assert_eq!(window.log_in(&house, "/").status, 303);
    let identity = window.page(&house, "/").identity.expect("somebody");
    let fields = String::from_utf8(identity.fields.to_vec()).expect("text");
    assert!(
        fields.contains(&format!("x-groups: {}\r\n", groups.join(","))),
        "{fields}"
    );
}

#[test]
fn a_twin_of_the_cookie_ends_no_session() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    let back = window.begin(&house, "/");
    // In front of the login's own.
    let name = window.jar.cookie_names()[0].to_owned();
    let request = Ask::page(&back).field("cookie", &format!("{name}=garbage"));
    let outcome = house.ask(&window.with_cookies(request));
    assert_eq!(outcome.status, 303, "{outcome:?}");
    let session = outcome
        .header("set-cookie")
        .expect("a cookie forgotten")
        .to_owned();
    assert!(session.starts_with(&name), "{session}");
    for line in outcome.all("set-cookie") {
        window.jar.set_cookie(line);
    }
    for garbage in [
        "garbage",
        "2.garbage",
        "",
        "4.x; weir_login.1=x; weir_login=y",
    ] {
        let request = Ask::get("/").field("cookie", &format!("weir_login={garbage}"));
        let outcome = house.ask(&window.with_cookies(request));
        assert_eq!(outcome.subject(), "ann", "{garbage}");
    }
    // In front of each part of a session that takes several.
    let groups: Vec<String> = (0..500).map(|at| format!("group-{at:04}")).collect();
    idp.change(|rules| rules.claims = json!({ "groups": groups }));
    let mut window = Window::new();
    assert_eq!(window.log_in(&house, "/").status, 303);
    assert!(window.jar.cookie("weir_login.1").is_some());
    for garbage in [
        "weir_login=x",
        "weir_login.1=x",
        "weir_login=2.x; weir_login.1=y",
    ] {
        let request = window.with_cookies(Ask::get("/").field("cookie", garbage));
        assert_eq!(house.ask(&request).subject(), "ann", "{garbage}");
    }
    // And who logs out behind one has logged out.
    let request = Ask::page("/oauth2/logout").field("cookie", "weir_login.1=x");
    assert_eq!(house.ask(&window.with_cookies(request)).status, 303);
    let outcome = house.ask(&window.with_cookies(Ask::get("/")));
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
    // Garbage alone is none.
    let request = Ask::get("/").field("cookie", "weir_login=x; weir_login=y");
    assert_eq!(house.ask(&request).status, 401);
}

#[test]
fn a_session_is_refreshed_beside_the_traffic() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    house.sleep(79);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    assert_eq!(idp.server.count("/token"), 1);
    house.sleep(2);
    let request = window.with_cookies(Ask::get("/"));
    // Nobody waits, and one refreshes.
    for outcome in house.ask_at_once(&request, 50) {
        assert!(!outcome.waited);
        assert_eq!(outcome.subject(), "ann");
    }
    wait_until("the refresh", || {
        house.ask(&request).fields.contains("set-cookie")
    });
    assert_eq!(idp.server.count("/token"), 2);
    // Everybody who comes with the old cookie is given the new one, and it is not refreshed again.
    let outcome = window.page(&house, "/");
    assert!(outcome.header("set-cookie").is_some());
    assert_eq!(outcome.header("cache-control"), Some("no-store"));
    assert_eq!(window.page(&house, "/").header("set-cookie"), None);
    house.sleep(70);
    assert!(house.ask(&request).fields.contains("set-cookie"));
    assert_eq!(idp.server.count("/token"), 2);
}

#[test]
fn a_session_that_holds_no_longer_waits_for_its_refresh() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    house.sleep(101);
    let request = window.with_cookies(Ask::get("/"));
    for outcome in house.ask_at_once(&request, 50) {
        assert_eq!(outcome.subject(), "ann");
        assert!(outcome.fields.contains("set-cookie"));
    }
    assert_eq!(idp.server.count("/token"), 2);
    // And again, with the next refresh token.
    assert_eq!(window.page(&house, "/").subject(), "ann");
    house.sleep(101);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    assert_eq!(idp.server.count("/token"), 3);
    // The oldest cookie is as good as the newest.
    assert_eq!(house.ask(&request).subject(), "ann");
    assert_eq!(idp.server.count("/token"), 3);
}

#[test]
fn a_refresh_that_fails() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    idp.change(|rules| rules.instead = Some(("/token", Answer::status(500, "{}"))));
    house.sleep(81);
    // As long as it holds, it holds; and the provider is left alone.
    assert_eq!(window.page(&house, "/").subject(), "ann");
    wait_until("a refresh", || {
        !house.events.lock().expect("events").is_empty()
    });
    house.turn();
    assert_eq!(idp.server.count("/token"), 2);
    for _ in 0..10 {
        assert_eq!(window.page(&house, "/").subject(), "ann");
    }
    assert_eq!(idp.server.count("/token"), 2);
    house.sleep(20);
    let outcome = window.page(&house, "/");
    assert_eq!((outcome.status, outcome.why), (503, Some(Why::Unavailable)));
    idp.change(|rules| rules.instead = None);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    // The provider has ended it.
    house.sleep(101);
    idp.change(|rules| rules.turn += 10);
    let outcome = window.ask(&house, Ask::get("/"));
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
    let asked = idp.server.count("/token");
    assert_eq!(window.page(&house, "/").status, 302);
    assert_eq!(idp.server.count("/token"), asked);
}

#[test]
fn a_refresh_that_is_about_somebody_else() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    house.sleep(101);
    idp.change(|rules| rules.claims = json!({ "sub": "bob" }));
    assert_eq!(window.ask(&house, Ask::get("/")).status, 401);
    assert_eq!(window.page(&house, "/").status, 302);
}

#[test]
fn a_session_without_refresh_token_lasts_as_configured() {
    let idp = Idp::start(now());
    idp.change(|rules| rules.tokens = json!({ "refresh_token": null, "expires_in": 5 }));
    let house = house(&idp, "session: 1h");
    let mut window = Window::new();
    window.log_in(&house, "/");
    house.sleep(3500);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    house.sleep(200);
    assert_eq!(window.page(&house, "/").status, 302);
    assert_eq!(idp.server.count("/token"), 1);
}
