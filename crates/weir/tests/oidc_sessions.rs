//! Sessions through Weir at a real OpenID provider: what a cookie that somebody has kept is worth.

#[path = "common/people.rs"]
mod people;

use people::{base, log_in, script, shop, weir, window};
use weir_testkit::{App, IdentityProvider, Visitor, Weir, wait_until};

const COOKIE: &str = "weir_people";

/// Somebody's cookie, as a line of a request.
fn kept(visitor: &Visitor) -> String {
    let session = visitor.cookie(COOKIE).expect("a session");
    format!("Cookie: {COOKIE}={session}\r\n")
}

/// Logs somebody out, and returns the line that they had before.
fn log_out(visitor: &mut Visitor, base: &str) -> String {
    let line = kept(visitor);
    let answer = visitor.ask(&format!("{base}/oauth2/logout"), None);
    assert_eq!(answer.status, 303, "{answer:?}");
    assert_eq!(visitor.cookie(COOKIE), None);
    line
}

/// That nobody comes in with this: scripts are refused, people are led to the provider.
#[track_caller]
fn assert_over(weir: &Weir, provider: &IdentityProvider, cookie: &str) {
    let answer = script(weir, "/page", cookie);
    assert_eq!(answer.status, 401, "{answer:?}");
    let answer = window(weir, "/page", cookie);
    let to = answer.header("location").unwrap_or_default();
    assert!(
        answer.status == 302 && to.starts_with(&provider.issuer()),
        "{answer:?}"
    );
}

/// Changes the config and reloads it.
fn reload(weir: &mut Weir, change: impl FnOnce(String) -> String) {
    let config = std::fs::read_to_string(weir.config()).expect("the config");
    let changed = change(config.clone());
    assert_ne!(changed, config);
    let answer = weir.reload_with(&changed);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// How many requests the endpoint got for this path.
fn seen(app: &App, path: &str) -> usize {
    app.targets()
        .iter()
        .filter(|target| **target == path)
        .count()
}

#[test]
fn who_logged_out_stays_out_whatever_becomes_of_the_policy() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let mut weir = weir(&provider, &app, "");
    let base = base(&weir);
    let (mut ann, mut bob) = (Visitor::default(), Visitor::default());
    log_in(&mut ann, &base, "ann");
    log_in(&mut bob, &base, "bob");
    assert_eq!(script(&weir, "/page", &kept(&ann)).status, 200);
    let old = log_out(&mut ann, &base);
    let (in_use, passed) = (kept(&bob), seen(&app, "/page"));
    assert_over(&weir, &provider, &old);
    assert_eq!(script(&weir, "/page", &in_use).status, 200);
    // The method is compiled anew each time. Those who did not log out stay in.
    for (before, after) in [
        (
            "after_logout: /open/bye",
            "after_logout: /open/bye\n      session: 2h",
        ),
        ("session: 2h", "session: 1h"),
        ("session: 1h", "scopes: [openid, email, orders:read]"),
        ("headers: { x-email: email }", "headers: { x-mail: email }"),
    ] {
        reload(&mut weir, |config| config.replace(before, after));
        assert_over(&weir, &provider, &old);
        assert_eq!(script(&weir, "/page", &in_use).status, 200, "{after}");
    }
    // Not even when nobody logs in any more for a while.
    let config = std::fs::read_to_string(weir.config()).expect("the config");
    reload(&mut weir, |config| {
        config
            .replace(", auth: people", "")
            .replace(", require: { claims: { groups: admins } }", "")
    });
    assert_eq!(script(&weir, "/page", "").status, 200);
    reload(&mut weir, |_| config);
    assert_over(&weir, &provider, &old);
    assert_eq!(script(&weir, "/page", &in_use).status, 200);
    // Before it, in it and between the reloads, and once without a login; none of it with the old cookie.
    assert_eq!(seen(&app, "/page"), passed + 7);
    // Who logs in again is in; the old cookie is not.
    log_in(&mut ann, &base, "ann");
    assert_eq!(script(&weir, "/page", &kept(&ann)).status, 200);
    assert_over(&weir, &provider, &old);
}

#[test]
fn a_refreshed_session_ends_with_all_its_cookies() {
    let (provider, app) = (IdentityProvider::start(), shop());
    // So short that it is due during the test.
    provider.lifetime("AccessToken", 10);
    let weir = weir(&provider, &app, "");
    let base = base(&weir);
    let mut ann = Visitor::default();
    let at = log_in(&mut ann, &base, "ann");
    let first = kept(&ann);
    assert_eq!(provider.count("/token"), 1);
    wait_until("a refreshed session", || {
        assert_eq!(ann.ask(&at, None).status, 200);
        kept(&ann) != first
    });
    assert_eq!(provider.count("/token"), 2);
    let second = kept(&ann);
    // A tab that slept through it has the old cookie: it is let in, and given the new one. The provider is not asked again.
    let answer = script(&weir, "/page", &first);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.text().contains("ann@example.com"), "{answer:?}");
    let given = answer.header("set-cookie").expect("a cookie").to_owned();
    assert!(
        second.contains(given.split(';').next().expect("a pair")),
        "{given}"
    );
    assert_eq!(provider.count("/token"), 2);
    // The end of one is the end of both, and of the refresh token.
    log_out(&mut ann, &base);
    for cookie in [&first, &second] {
        assert_over(&weir, &provider, cookie);
    }
    wait_until("the end of the refresh token", || {
        provider.count("/token/revocation") == 1
    });
    assert_eq!(provider.count("/token"), 2);
}
