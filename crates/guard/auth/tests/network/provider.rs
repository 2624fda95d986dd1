//! Logins at a real OpenID provider.

use crate::support::{Ask, House, Outcome};
use weir_auth::{Event, Why};
use weir_testkit::{IdentityProvider, Visitor, wait_until};

const WEIR: &str = "http://127.0.0.1:9";

fn house(provider: &IdentityProvider, more: &str) -> House {
    provider.web_client(
        "weir",
        "a secret: with %",
        &format!("{WEIR}/oauth2/callback"),
        &format!("{WEIR}/bye"),
    );
    House::new(&format!(
        "[{{ oidc: {{ issuer: '{}', client_id: weir, client_secret: 'a secret: with %', \
         session_secrets: 0123456789abcdef0123456789abcdef, after_logout: /bye, \
         headers: {{ x-email: email, x-groups: groups }}, {more} }} }}]",
        provider.issuer()
    ))
}

/// Somebody's browser on a page of this side.
fn page(visitor: &mut Visitor, house: &House, target: &str) -> Outcome {
    let mut request = Ask::page(target).field("cookie", &visitor.cookie_field());
    request.host = "127.0.0.1:9".to_owned();
    let outcome = house.ask(&request);
    for line in outcome.all("set-cookie") {
        visitor.set_cookie(line);
    }
    outcome
}

/// Goes to the provider and comes back.
fn log_in(visitor: &mut Visitor, house: &House, target: &str, name: &str) -> Outcome {
    let outcome = page(visitor, house, target);
    assert_eq!(outcome.status, 302, "{outcome:?}");
    let (back, last) = visitor.log_in(outcome.location(), name, |url| url.starts_with(WEIR));
    let back = back
        .strip_prefix(WEIR)
        .unwrap_or_else(|| panic!("at {back}: {}", last.text()));
    page(visitor, house, back)
}

#[test]
fn a_day_with_a_session() {
    let provider = IdentityProvider::start();
    provider.lifetime("AccessToken", 100);
    let house = house(&provider, "");
    let mut visitor = Visitor::default();
    let outcome = log_in(&mut visitor, &house, "/orders?open", "root");
    assert_eq!(
        (outcome.status, outcome.location()),
        (303, "/orders?open"),
        "{outcome:?}"
    );
    let outcome = page(&mut visitor, &house, "/orders?open");
    assert_eq!(outcome.subject(), "root");
    let fields = String::from_utf8(outcome.identity.expect("somebody").fields.to_vec());
    let fields = fields.expect("text");
    assert!(fields.contains("x-email: root@example.com\r\n"), "{fields}");
    assert!(fields.contains("x-groups: admins,users\r\n"), "{fields}");

    // It is refreshed beside the traffic, with a refresh token that counts once.
    for turn in 2..5 {
        house.sleep(85);
        assert!(!page(&mut visitor, &house, "/").waited);
        wait_until("a refresh", || provider.count("/token") == turn);
        wait_until("its cookie", || {
            page(&mut visitor, &house, "/")
                .header("set-cookie")
                .is_some()
        });
    }
    // And when there was no traffic.
    house.sleep(500);
    let outcome = page(&mut visitor, &house, "/");
    assert!(outcome.waited);
    assert_eq!(outcome.subject(), "root");

    // A second login asks for nothing: the provider knows who it is.
    let mut second = Visitor::default();
    log_in(&mut second, &house, "/", "ann");
    assert_eq!(page(&mut second, &house, "/").subject(), "ann");

    let outcome = page(&mut visitor, &house, "/oauth2/logout");
    assert_eq!(outcome.status, 303);
    let (at, answer) = visitor.follow(outcome.location(), |url| url.starts_with(WEIR));
    assert_eq!(answer.status, 200, "{at}: {}", answer.text());
    assert!(answer.text().contains("sign-out"), "{}", answer.text());
    assert_eq!(page(&mut visitor, &house, "/").status, 302);
    assert_eq!(page(&mut second, &house, "/").subject(), "ann");
    // The refresh token was given back: whoever took it has nothing of it.
    wait_until("the revocation", || {
        provider.count("/token/revocation") == 1
    });
    let problems = house.events.lock().expect("events");
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn keys_and_sessions_end_at_the_provider() {
    let provider = IdentityProvider::start();
    provider.lifetime("AccessToken", 100);
    let house = house(&provider, "algorithms: [RS256, ES256]");
    let mut first = Visitor::default();
    assert_eq!(log_in(&mut first, &house, "/", "ann").status, 303);
    // New keys, of another kind even; the old ones are gone.
    provider.rotate("RS256", false);
    let mut second = Visitor::default();
    assert_eq!(log_in(&mut second, &house, "/", "bob").status, 303);
    assert_eq!(page(&mut second, &house, "/").subject(), "bob");
    // What was signed before has become a session, which goes on; its refresh is signed anew.
    house.sleep(200);
    assert_eq!(page(&mut first, &house, "/").subject(), "ann");

    // The provider ends everything: nobody is refreshed, everybody logs in again.
    provider.forget();
    house.sleep(200);
    let mut request = Ask::get("/").field("cookie", &first.cookie_field());
    request.host = "127.0.0.1:9".to_owned();
    let outcome = house.ask(&request);
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
    assert_eq!(log_in(&mut first, &house, "/", "ann").status, 303);
    assert_eq!(page(&mut first, &house, "/").subject(), "ann");
}

#[test]
fn a_provider_that_goes_and_comes_back() {
    let mut provider = IdentityProvider::start();
    provider.lifetime("AccessToken", 100);
    let house = house(&provider, "timeout: 300ms");
    let mut visitor = Visitor::default();
    log_in(&mut visitor, &house, "/", "ann");
    assert_eq!(page(&mut visitor, &house, "/").subject(), "ann");
    provider.pause();
    // Who has a session goes on; new ones are led there, as long as it is known where that is.
    house.sleep(90);
    assert_eq!(page(&mut visitor, &house, "/").subject(), "ann");
    assert_eq!(page(&mut Visitor::default(), &house, "/").status, 302);
    // Who must wait for it is told so soon.
    house.sleep(100);
    let outcome = page(&mut visitor, &house, "/");
    assert_eq!((outcome.status, outcome.why), (503, Some(Why::Unavailable)));
    provider.resume();
    let failed = |event: &Event| matches!(event, Event::ProviderFailed { .. });
    assert!(house.events.lock().expect("events").iter().any(failed));
    // What it did with refreshes whose answer was lost, only it knows: a page or a new login.
    let outcome = page(&mut visitor, &house, "/");
    assert!(matches!(outcome.status, 0 | 302), "{outcome:?}");
    if outcome.status == 302 {
        assert_eq!(log_in(&mut visitor, &house, "/", "ann").status, 303);
    }
    assert_eq!(page(&mut visitor, &house, "/").subject(), "ann");
}

#[test]
fn a_person_who_refuses() {
    let provider = IdentityProvider::start();
    let house = house(&provider, "");
    let mut visitor = Visitor::default();
    let outcome = page(&mut visitor, &house, "/");
    let (at, answer) = visitor.follow(outcome.location(), |url| url.starts_with(WEIR));
    assert_eq!(answer.status, 200);
    // The page of the provider has a link to give up.
    let (back, _) = visitor.follow(&format!("{at}/abort"), |url| url.starts_with(WEIR));
    assert!(back.contains("error=access_denied"), "{back}");
    let outcome = page(&mut visitor, &house, back.strip_prefix(WEIR).expect("here"));
    assert_eq!((outcome.status, outcome.header("location")), (403, None));
    // They may change their mind.
    assert_eq!(log_in(&mut visitor, &house, "/", "ann").status, 303);
}

#[test]
fn a_client_that_the_provider_does_not_know() {
    let provider = IdentityProvider::start();
    let house = House::new(&format!(
        "[{{ oidc: {{ issuer: '{}', client_id: nobody, session_secrets: 0123456789abcdef0123456789abcdef }} }}]",
        provider.issuer()
    ));
    let mut visitor = Visitor::default();
    let outcome = page(&mut visitor, &house, "/");
    let (at, answer) = visitor.follow(outcome.location(), |url| url.starts_with(WEIR));
    // It says so itself, and sends nobody back.
    assert_eq!(answer.status, 400, "{at}");
}

#[test]
fn a_public_client_has_no_secret() {
    let provider = IdentityProvider::start();
    let callback = format!("{WEIR}/oauth2/callback");
    provider.client(&serde_json::json!({
        "client_id": "public", "redirect_uris": [callback], "token_endpoint_auth_method": "none",
    }));
    let house = House::new(&format!(
        "[{{ oidc: {{ issuer: '{}', client_id: public, session_secrets: 0123456789abcdef0123456789abcdef }} }}]",
        provider.issuer()
    ));
    let mut visitor = Visitor::default();
    assert_eq!(log_in(&mut visitor, &house, "/", "ann").status, 303);
    assert_eq!(page(&mut visitor, &house, "/").subject(), "ann");
}
