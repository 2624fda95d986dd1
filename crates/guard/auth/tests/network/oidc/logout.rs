//! The end of a session, here and at the provider.

use serde_json::json;
use weir_auth::Why;
use weir_testkit::wait_until;

use super::{Window, house, parameter};
use crate::support::idp::Idp;
use crate::support::{Ask, unix_now as now};

#[test]
fn somebody_logs_out() {
    let idp = Idp::start(now());
    let house = house(&idp, "after_logout: /bye");
    let mut window = Window::new();
    window.log_in(&house, "/");
    let session = window.with_cookies(Ask::get("/"));
    assert_eq!(house.ask(&session).subject(), "ann");
    // Another site does not log people out.
    let outcome = window.ask(
        &house,
        Ask::page("/oauth2/logout").field("sec-fetch-site", "cross-site"),
    );
    assert_eq!(outcome.status, 403);
    assert_eq!(house.ask(&session).subject(), "ann");
    let outcome = window.ask(
        &house,
        Ask::page("/oauth2/logout").field("sec-fetch-site", "same-origin"),
    );
    assert_eq!(outcome.status, 303);
    let url = outcome.location();
    assert!(
        url.starts_with(&format!(
            "{}/end?a=b&client_id=weir&id_token_hint=ey",
            idp.issuer
        )),
        "{url}"
    );
    assert_eq!(
        parameter(url, "post_logout_redirect_uri"),
        "http://app.example/bye"
    );
    assert_eq!(window.jar.cookie_names(), Vec::<&str>::new());
    // Whoever kept the cookie has nothing of it, although the worker had verified it.
    let outcome = house.ask(&session);
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
    wait_until("the end of the refresh token", || {
        idp.server.count("/revoke") == 1
    });
    let revoked = idp
        .server
        .seen()
        .into_iter()
        .find(|seen| seen.path == "/revoke");
    assert_eq!(
        revoked.and_then(|seen| seen.form("token")).as_deref(),
        Some("turn-0")
    );
    // Without a session, and with a provider that has no logout.
    assert_eq!(window.page(&house, "/oauth2/logout").status, 303);
    assert_eq!(
        window
            .ask(&house, Ask::page("/oauth2/logout").method("DELETE"))
            .status,
        405
    );
}

#[test]
fn a_provider_without_logout() {
    let idp = Idp::start(now());
    idp.change(|rules| {
        rules.metadata = json!({ "end_session_endpoint": null, "revocation_endpoint": null })
    });
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    let outcome = window.page(&house, "/oauth2/logout");
    assert_eq!((outcome.status, outcome.location()), (303, "/"));
    assert_eq!(window.page(&house, "/").status, 302);
}

#[test]
fn a_whole_url_is_told_as_it_is_written() {
    let idp = Idp::start(now());
    let url = "https://www.example.com";
    let house = house(&idp, &format!("after_logout: {url}"));
    let mut window = Window::new();
    window.log_in(&house, "/");
    let outcome = window.page(&house, "/oauth2/logout");
    let sent = parameter(outcome.location(), "post_logout_redirect_uri");
    assert_eq!(sent, url);
    // Also where the provider does not lead there.
    idp.change(|rules| rules.metadata = json!({ "end_session_endpoint": null }));
    for (after, location) in [(url, url), ("/bye", "/bye")] {
        let house = super::house(&idp, &format!("after_logout: {after}"));
        let outcome = Window::new().page(&house, "/oauth2/logout");
        assert_eq!((outcome.status, outcome.location()), (303, location));
    }
}

#[test]
fn a_session_ends_once() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    window.log_in(&house, "/");
    let kept = window.with_cookies(Ask::page("/oauth2/logout"));
    // Whoever keeps the cookie can log out as often as they like: the provider hears of it once.
    for _ in 0..10 {
        assert_eq!(house.ask(&kept).status, 303);
    }
    idp.change(|rules| rules.tokens = json!({ "refresh_token": "last" }));
    let mut window = Window::new();
    window.log_in(&house, "/");
    window.page(&house, "/oauth2/logout");
    let revoked = || {
        let seen = idp.server.seen().into_iter();
        let revoked = seen.filter(|seen| seen.path == "/revoke");
        let tokens: Vec<String> = revoked.filter_map(|seen| seen.form("token")).collect();
        tokens
    };
    wait_until("the last of them", || {
        revoked().contains(&"last".to_owned())
    });
    assert_eq!(revoked(), ["turn-0", "last"]);
}
