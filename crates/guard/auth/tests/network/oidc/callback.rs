//! The return from the provider: whose it is, how often it counts, and what the provider says in it.

use serde_json::json;
use weir_auth::Why;

use super::{Window, house, parameter, words};
use crate::support::idp::Idp;
use crate::support::{Answer, Ask, House, Outcome, unix_now as now};

#[test]
fn returns_that_do_not_belong_here() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    let back = window.begin(&house, "/");
    let (path, query) = back.split_once('?').expect("a query");
    // Another browser, which has no cookie or that of another login.
    let mut other = Window::new();
    assert_eq!(other.page(&house, &back).status, 400);
    other.begin(&house, "/");
    assert_eq!(other.page(&house, &back).status, 400);
    for query in [
        String::new(),
        format!("{query}&state=x"),
        query.replace("state=", "state=x"),
        query.replace("&state=", "&estate="),
        format!("{query}x"),
        format!("{query}&code=again"),
        query.replace("code=", "kode="),
        query.replace("code=", "code=&x="),
        format!("{query}&iss=https://other.example"),
    ] {
        // Each as if it were the first.
        let request = window.with_cookies(Ask::page(&format!("{path}?{query}")));
        let outcome = house.ask(&request);
        assert_eq!(outcome.status, 400, "{query}: {outcome:?}");
    }
    let request = window.with_cookies(Ask::page(&back).method("POST"));
    assert_eq!(house.ask(&request).status, 400);
    assert_eq!(idp.server.count("/token"), 0);
    let outcome = window.page(&house, &format!("{back}&iss={}", idp.issuer));
    assert_eq!(outcome.status, 303, "{outcome:?}");
}

#[test]
fn a_provider_that_names_itself_must() {
    let idp = Idp::start(now());
    idp.change(|rules| {
        rules.metadata = json!({ "authorization_response_iss_parameter_supported": true });
    });
    let house = house(&idp, "");
    let mut window = Window::new();
    let back = window.begin(&house, "/");
    assert_eq!(window.page(&house, &back).status, 400);
    let back = window.begin(&house, "/");
    assert_eq!(
        window
            .page(&house, &format!("{back}&iss={}", idp.issuer))
            .status,
        303
    );
}

#[test]
fn a_return_counts_once_and_not_for_ever() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    let back = window.begin(&house, "/page");
    let again = window.with_cookies(Ask::page(&back));
    assert_eq!(window.page(&house, &back).status, 303);
    // With the cookie of before: it leads to the page, and gives no second session.
    let outcome = house.ask(&again);
    assert_eq!((outcome.status, outcome.location()), (303, "/page"));
    assert!(
        outcome
            .all("set-cookie")
            .all(|line| line.contains("Max-Age=0"))
    );
    assert_eq!(idp.server.count("/token"), 1);
    // Without it, as after "back".
    assert_eq!(window.page(&house, &back).status, 400);

    let mut window = Window::new();
    let back = window.begin(&house, "/page");
    house.sleep(601);
    let outcome = window.page(&house, &back);
    assert_eq!((outcome.status, outcome.location()), (303, "/page"));
    assert_eq!(window.jar.cookie_names(), Vec::<&str>::new());
    assert_eq!(idp.server.count("/token"), 1);
}

#[test]
fn the_provider_says_no() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    for (error, status) in [
        ("access_denied", 403),
        ("login_required", 403),
        ("temporarily_unavailable", 503),
        ("invalid_scope", 503),
        ("%3Cscript%3E", 503),
    ] {
        let mut window = Window::new();
        let back = window.begin(&house, "/");
        let state = parameter(&back, "state");
        let outcome = window.page(
            &house,
            &format!("/oauth2/callback?error={error}&state={state}"),
        );
        assert_eq!(outcome.status, status, "{error}");
        assert!(!outcome.fields.contains("script"));
        // That login is over.
        assert_eq!(window.jar.cookie_names(), Vec::<&str>::new());
    }
}

/// Returns with a code that nobody was given.
fn guess(house: &House, window: &mut Window) -> Outcome {
    let back = window.begin(house, "/page");
    guess_again(house, window, &back)
}

fn guess_again(house: &House, window: &mut Window, back: &str) -> Outcome {
    let state = parameter(back, "state");
    window.page(house, &format!("/oauth2/callback?code=guess&state={state}"))
}

#[test]
fn codes_that_are_made_up_are_soon_not_asked_about() {
    let idp = Idp::start(now());
    let house = house(&idp, "attempts: 3/min");
    for _ in 0..3 {
        let outcome = guess(&house, &mut Window::new());
        assert_eq!((outcome.status, outcome.why), (403, Some(Why::Invalid)));
    }
    for _ in 0..10 {
        let outcome = guess(&house, &mut Window::new());
        assert_eq!((outcome.status, outcome.why), (429, Some(Why::Attempts)));
        assert_eq!(outcome.header("retry-after"), Some("20"));
        // All refusals have one; a second one says nothing more.
        assert_eq!(outcome.header("cache-control"), None);
        assert_eq!(outcome.policy.as_deref(), Some("login"));
    }
    // Somebody with a good code must wait as well, and loses nothing by it.
    let mut window = Window::new();
    let back = window.begin(&house, "/page");
    for _ in 0..2 {
        let outcome = window.page(&house, &back);
        assert_eq!((outcome.status, outcome.header("set-cookie")), (429, None));
    }
    assert_eq!(idp.server.count("/token"), 3);
    house.sleep(20);
    assert_eq!(window.page(&house, &back).status, 303);
    assert_eq!(window.page(&house, "/page").subject(), "ann");
    // That one does not count, so there is one more.
    assert_eq!(guess(&house, &mut Window::new()).status, 403);
    assert_eq!(guess(&house, &mut Window::new()).status, 429);
    assert_eq!(idp.server.count("/token"), 5);
}

#[test]
fn logins_that_succeed_do_not_count() {
    let idp = Idp::start(now());
    let house = house(&idp, "attempts: 1/h");
    for _ in 0..10 {
        assert_eq!(Window::new().log_in(&house, "/").status, 303);
    }
    // Nor does what is not asked about.
    for _ in 0..10 {
        let mut window = Window::new();
        let state = parameter(&window.begin(&house, "/"), "state");
        let target = format!("/oauth2/callback?error=access_denied&state={state}");
        assert_eq!(window.page(&house, &target).status, 403);
        assert_eq!(window.page(&house, &target).status, 400);
    }
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
    // A provider that fails is spared, too.
    idp.change(|rules| rules.instead = Some(("/token", Answer::status(500, "{}"))));
    assert_eq!(Window::new().log_in(&house, "/").status, 503);
    assert_eq!(Window::new().log_in(&house, "/").status, 429);
    assert_eq!(idp.server.count("/token"), 12);
}

#[test]
fn attempts_may_be_off() {
    let idp = Idp::start(now());
    let house = house(&idp, "attempts: off");
    for _ in 0..100 {
        assert_eq!(guess(&house, &mut Window::new()).status, 403);
    }
    assert_eq!(idp.server.count("/token"), 100);
}

#[test]
fn a_state_is_asked_about_once() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    let back = window.begin(&house, "/page");
    let kept = window.jar.cookie_field();
    assert_eq!(guess_again(&house, &mut window, &back).status, 403);
    // Whoever keeps the cookie is led to where the login began, with the good code as well.
    for target in ["/oauth2/callback?code=other", back.as_str()] {
        let state = parameter(&back, "state");
        let target = match target.contains("state=") {
            true => target.to_owned(),
            false => format!("{target}&state={state}"),
        };
        let outcome = house.ask(&Ask::page(&target).field("cookie", &kept));
        assert_eq!((outcome.status, outcome.location()), (303, "/page"));
    }
    assert_eq!(idp.server.count("/token"), 1);
}

#[test]
fn attempts_count_across_reloads() {
    let idp = Idp::start(now());
    let house = house(&idp, "attempts: 2/h");
    for _ in 0..2 {
        assert_eq!(guess(&house, &mut Window::new()).status, 403);
    }
    let mut house = house;
    house.recompile(&words(&idp, "attempts: 2/h, session: 1h"));
    assert_eq!(guess(&house, &mut Window::new()).status, 429);
    assert_eq!(idp.server.count("/token"), 2);
}
