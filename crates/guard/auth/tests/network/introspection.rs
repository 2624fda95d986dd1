//! Introspection (RFC 7662): against a server that follows a script, and against a real one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::support::{Answer, Ask, House, Server};
use weir_auth::{Event, MethodKind, Why};
use weir_testkit::IdentityProvider;

fn bearer(token: &str) -> Ask {
    Ask::get("/").field("authorization", &format!("Bearer {token}"))
}

/// Tokens are what they say: `good`, `bad`, or `good-UNTIL`.
fn server() -> Server {
    Server::start(|seen| {
        let token = seen.form("token").unwrap_or_default();
        Answer::json(match token.split_once('-') {
            Some(("good", until)) => {
                format!("{{\"active\": true, \"sub\": \"ann\", \"exp\": {until}}}")
            }
            None if token == "good" => {
                "{\"active\": true, \"sub\": \"ann\", \"scope\": \"read write\"}".to_owned()
            }
            _ => "{\"active\": false}".to_owned(),
        })
    })
}

fn house(app: &Server, more: &str) -> House {
    House::new(&format!(
        "[{{ introspection: {{ url: 'http://{}/introspect', client_id: weir, client_secret: 's:e crét', {more} }} }}]",
        app.addr
    ))
}

#[test]
fn a_token_is_asked_about_once() {
    let app = server();
    let house = house(&app, "headers: { x-user: sub }");
    let outcome = house.ask(&bearer("good"));
    assert!(outcome.waited);
    let identity = outcome.identity.expect("somebody");
    assert_eq!(
        (identity.method, &*identity.subject),
        (MethodKind::Introspection, "ann")
    );
    assert!(identity.has_scope("write"));
    let fields = String::from_utf8(identity.fields.to_vec()).expect("text");
    assert!(fields.contains("x-user: ann\r\n"), "{fields}");
    // From the worker's cache, then from that of all workers.
    assert!(!house.ask(&bearer("good")).waited);
    house.forget();
    let outcome = house.ask(&bearer("good"));
    assert!(!outcome.waited && outcome.subject() == "ann");
    assert_eq!(app.seen().len(), 1);
    let seen = app.seen().remove(0);
    assert_eq!(seen.path, "/introspect");
    assert_eq!(seen.body, "token=good&token_type_hint=access_token");
    // RFC 6749, 2.3.1: `weir:s%3Ae%20cr%C3%A9t`.
    let credentials = seen.authorization;
    assert_eq!(
        credentials.as_deref(),
        Some("Basic d2VpcjpzJTNBZSUyMGNyJUMzJUE5dA==")
    );
}

#[test]
fn answers_end() {
    let app = server();
    let house = house(&app, "cache: 30s, cache_refused: 10s");
    let soon = format!("good-{}", house.now() + 20);
    for token in ["good", &soon, "bad"] {
        house.ask(&bearer(token));
    }
    assert_eq!(app.seen().len(), 3);
    house.sleep(9);
    for token in ["good", &soon, "bad"] {
        assert!(!house.ask(&bearer(token)).waited, "{token}");
    }
    house.sleep(2);
    assert!(house.ask(&bearer("bad")).waited);
    assert!(!house.ask(&bearer(&soon)).waited);
    house.sleep(10);
    // It says itself that it is over, whatever is cached.
    let outcome = house.ask(&bearer(&soon));
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Expired)));
    assert!(!house.ask(&bearer("good")).waited);
    house.sleep(10);
    assert!(house.ask(&bearer("good")).waited);
}

#[test]
fn a_bad_token_is_refused_and_remembered() {
    let app = server();
    let house = house(&app, "");
    let outcome = house.ask(&bearer("bad"));
    assert_eq!((outcome.status, outcome.why), (401, Some(Why::Invalid)));
    let challenge = outcome.header("www-authenticate").expect("a challenge");
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    let outcome = house.ask(&bearer("bad"));
    assert!(!outcome.waited && outcome.status == 401);
    assert_eq!(app.seen().len(), 1);
    // Without a token nobody is asked.
    assert_eq!(house.ask(&Ask::get("/")).status, 401);
    let long = "x".repeat(17 << 10);
    assert_eq!(house.ask(&bearer(&long)).why, Some(Why::Malformed));
    assert_eq!(house.ask(&bearer("a b")).why, Some(Why::Malformed));
    assert_eq!(house.ask(&bearer("tökén")).why, Some(Why::Malformed));
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn without_a_cache_each_request_asks() {
    let app = server();
    let house = house(&app, "cache: off, cache_refused: off, client_auth: post");
    for _ in 0..3 {
        assert_eq!(house.ask(&bearer("good")).subject(), "ann");
        assert_eq!(house.ask(&bearer("bad")).status, 401);
    }
    assert_eq!(app.seen().len(), 6);
    let seen = app.seen().remove(0);
    assert_eq!(seen.authorization, None);
    assert!(
        seen.body
            .ends_with("&client_id=weir&client_secret=s%3Ae%20cr%C3%A9t"),
        "{seen:?}"
    );
}

#[test]
fn the_server_says_how_long_its_answers_count() {
    let app = Server::start(|seen| {
        let token = seen.form("token").unwrap_or_default();
        let (says, good) = match token.as_str() {
            "secret" => ("no-store", true),
            "short" => ("private, max-age=5", true),
            "long" => ("max-age=3600", true),
            "bad" => ("no-store", false),
            _ => ("", true),
        };
        Answer::json(format!("{{\"active\": {good}, \"sub\": \"ann\"}}"))
            .field("Cache-Control", says)
    });
    let asked = |house: &House, token: &str| house.ask(&bearer(token)).waited;
    // By default no longer than it allows.
    let by_default = house(&app, "");
    for token in ["secret", "short", "long", "other", "bad"] {
        assert!(asked(&by_default, token), "{token}");
    }
    let again =
        |house: &House| ["secret", "short", "long", "other", "bad"].map(|t| asked(house, t));
    assert_eq!(again(&by_default), [true, false, false, false, true]);
    by_default.sleep(5);
    assert_eq!(again(&by_default), [true, true, false, false, true]);
    by_default.sleep(26);
    assert_eq!(again(&by_default), [true, true, true, true, true]);
    // What the config says counts instead.
    let configured = house(&app, "cache: 1m, cache_refused: 1m");
    again(&configured);
    configured.sleep(50);
    assert_eq!(again(&configured), [false; 5]);
}

#[test]
fn those_at_once_share_one_question() {
    let app = server();
    app.behave(|_| {
        Answer::json("{\"active\": true, \"sub\": \"ann\"}").after(Duration::from_millis(100))
    });
    let house = house(&app, "");
    for outcome in house.ask_at_once(&bearer("good"), 100) {
        assert!(outcome.waited);
        assert_eq!(outcome.subject(), "ann");
    }
    assert_eq!(app.seen().len(), 1);
}

#[test]
fn nobody_passes_while_the_server_fails() {
    let app = server();
    let house = house(&app, "timeout: 100ms, cache: 10s");
    assert_eq!(house.ask(&bearer("good")).subject(), "ann");
    let failures: [fn() -> Answer; 8] = [
        || Answer::status(500, ""),
        || Answer::status(401, ""),
        || Answer::status(302, "{\"active\": true, \"sub\": \"x\"}"),
        || Answer::json("<html>"),
        || Answer::json("{\"active\": \"true\"}"),
        || {
            Answer::json(format!(
                "{{\"active\": true, \"sub\": \"{}\"}}",
                "x".repeat(70 << 10)
            ))
        },
        Answer::broken,
        Answer::hold,
    ];
    for (at, failure) in failures.into_iter().enumerate() {
        app.behave(move |_| failure());
        let before = Instant::now();
        let token = format!("new{at}");
        let outcome = house.ask(&bearer(&token));
        assert_eq!(
            (outcome.status, outcome.why),
            (503, Some(Why::Unavailable)),
            "{at}"
        );
        assert_eq!(outcome.header("retry-after"), Some("1"));
        assert!(before.elapsed() < Duration::from_secs(2));
        // Those who are known go on, but not longer than they may.
        assert_eq!(house.ask(&bearer("good")).subject(), "ann");
    }
    let told = house.events.lock().expect("events").len();
    assert!(told >= 7, "{told}");
    house.sleep(11);
    assert_eq!(house.ask(&bearer("good")).status, 503);
    // It was never said that these were bad.
    app.behave(|_| Answer::json("{\"active\": true, \"sub\": \"bob\"}"));
    assert_eq!(house.ask(&bearer("new1")).subject(), "bob");
}

#[test]
fn a_flood_of_made_up_tokens_drives_out_no_good_one() {
    let app = server();
    let house = house(&app, "max_tokens: 8, cache: 1h");
    house.ask(&bearer("good"));
    let made_up = AtomicU16::new(0);
    for _ in 0..100 {
        let number = made_up.fetch_add(1, Ordering::Relaxed);
        assert_eq!(house.ask(&bearer(&format!("made-up-{number}"))).status, 401);
    }
    house.forget();
    assert!(!house.ask(&bearer("good")).waited);
}

#[test]
fn a_real_server() {
    let provider = IdentityProvider::start();
    provider.machine_client("robot", "beep");
    let text = format!(
        "[{{ introspection: {{ url: '{}/token/introspection', client_id: robot, client_secret: beep, client_auth: post, \
         cache: 30s }} }}]",
        provider.issuer()
    );
    let house = House::new(&text);
    let token = provider.machine_token("robot", "beep", None);
    let outcome = house.ask(&bearer(&token));
    assert_eq!(outcome.subject(), "robot");
    let identity = outcome.identity.expect("somebody");
    assert!(identity.has_scope("orders:read"));
    assert!(identity.expires.is_some_and(|at| at > house.now() + 3000));
    for _ in 0..10 {
        assert_eq!(house.ask(&bearer(&token)).subject(), "robot");
    }
    assert_eq!(provider.count("/token/introspection"), 1);
    assert_eq!(house.ask(&bearer("made-up")).status, 401);
    // Revoked: accepted as long as the last answer counts, and no longer.
    provider.revoke("robot", "beep", &token);
    assert_eq!(house.ask(&bearer(&token)).subject(), "robot");
    house.sleep(31);
    assert_eq!(house.ask(&bearer(&token)).why, Some(Why::Invalid));
    // Down: nobody new.
    let other = provider.machine_token("robot", "beep", None);
    provider.fail("/token/introspection", 500);
    assert_eq!(house.ask(&bearer(&other)).status, 503);
    let failed = |event: &Event| matches!(event, Event::IntrospectionFailed { url, .. } if url.ends_with("/introspection"));
    assert!(house.events.lock().expect("events").iter().any(failed));
    provider.mend("/token/introspection");
    assert_eq!(house.ask(&bearer(&other)).subject(), "robot");
    // A reload with the same config forgets nothing.
    let before = provider.count("/token/introspection");
    let again = crate::support::route(&house.auth, &text);
    assert_eq!(Arc::strong_count(&again), 1);
    let check = again.check(
        &bearer(&other),
        &mut weir_auth::Cache::default(),
        house.now(),
    );
    assert!(matches!(check, weir_auth::Check::Pass(_)), "{check:?}");
    assert_eq!(provider.count("/token/introspection"), before);
}
