//! API keys in the query, however their parameter is spelled: what is one for Weir is one for nobody else, and what is none
//! for Weir is none after decoding either.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use apps::{WEIR, request};
use keys::{mirror, new_key};
use weir_testkit::{App, RawClient, Response, Weir};

fn get(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

/// A route that wants a key, and one that is open but takes one.
fn weir(app: &App, hash: &str, more: &str) -> Weir {
    Weir::start(
        WEIR,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies: {{ keys: {{ api_key: {{ query: api_key, {more} keys: [ {{ id: acme, hash: '{hash}' }} ] }} }} }}
routes:
  - {{ path: /closed/*, service: app, auth: keys }}
  - {{ path: /open/*, service: app, auth: [keys, anonymous] }}
  - {{ path: /*, service: app }}
services: {{ app: ['{}'] }}
",
            app.addr()
        ),
    )
}

/// Spellings of the name that decode to it.
const SAME: [&str; 5] = [
    "api_key",
    "api%5Fkey",
    "api%5fkey",
    "%61pi_ke%79",
    "%61%70%69%5F%6B%65%79",
];

/// Spellings that do not: once decoded, they are another name.
const OTHERS: [&str; 9] = [
    "api+key",
    "api%20key",
    "api%2Bkey",
    "api-key",
    "API_KEY",
    "api%255Fkey",
    "api_key%00",
    "api_key%",
    "api%5key",
];

#[test]
fn every_spelling_is_a_key_and_is_hidden() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    let weir = weir(&app, &hash, "");
    // Some of its letters may be encoded as well.
    let encoded = key.replace('_', "%5F");
    for (at, name) in SAME.into_iter().enumerate() {
        for value in [&key, &encoded] {
            let target = format!("/closed/{at}?a=1&{name}={value}&b=2");
            let answer = get(&weir, &target, "");
            assert_eq!(answer.status, 200, "{target}: {answer:?}");
            let seen = answer.text();
            assert!(
                seen.starts_with(&format!("/closed/{at}?a=1&b=2\n")),
                "{seen}"
            );
            assert!(seen.contains("x-auth-subject: acme\n"), "{seen}");
        }
        assert_eq!(
            get(&weir, &format!("/closed/{at}?{name}=wrong"), "").status,
            401
        );
        assert_eq!(
            get(&weir, &format!("/open/{at}?{name}=wrong"), "").status,
            401
        );
        // A name alone is no key, but goes nowhere either.
        assert_eq!(get(&weir, &format!("/closed/{at}?{name}"), "").status, 401);
        let seen = get(&weir, &format!("/open/{at}?{name}&b=2"), "").text();
        assert!(seen.starts_with(&format!("/open/{at}?b=2\n")), "{seen}");
    }
    let lines = SAME.len() * 6;
    weir_testkit::wait_until("the log", || weir.access_log().len() == lines);
    for line in weir.access_log() {
        let line = line.to_string();
        assert!(!line.contains(&key) && !line.contains(&encoded), "{line}");
        assert!(!line.contains("wrong") && line.contains("=***"), "{line}");
    }
}

#[test]
fn two_keys_are_none_however_they_are_spelled() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    let weir = weir(&app, &hash, "");
    let mut asked = 0;
    for one in SAME {
        for other in SAME {
            for (first, second) in [
                (&*key, &*key),
                (&key, "forged"),
                ("forged", &key),
                ("", &key),
            ] {
                for route in ["closed", "open"] {
                    let target = format!("/{route}/?{one}={first}&x=1&{other}={second}");
                    assert_eq!(get(&weir, &target, "").status, 400, "{target}");
                    asked += 1;
                }
            }
        }
    }
    assert_eq!(app.requests(), 0);
    weir_testkit::wait_until("the log", || weir.access_log().len() == asked);
    for line in weir.access_log() {
        let line = line.to_string();
        assert!(!line.contains(&key) && !line.contains("forged"), "{line}");
    }
}

#[test]
fn another_name_is_no_key() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    let weir = weir(&app, &hash, "");
    for name in OTHERS {
        let query = format!("{name}={key}");
        let closed = get(&weir, &format!("/closed/?{query}"), "");
        assert!(matches!(closed.status, 400 | 401), "{name}: {closed:?}");
        // Where nobody need be known, it is the endpoint's parameter, as it was sent, or it is refused.
        let open = get(&weir, &format!("/open/?{query}"), "");
        let seen = open.text();
        assert!(
            open.status == 400 || seen.starts_with(&format!("/open/?{query}\n")),
            "{name}: {open:?}"
        );
        assert!(!seen.contains("x-auth-subject"), "{name}: {seen}");
    }
}

#[test]
fn a_forged_key_does_not_travel_beside_a_good_one() {
    let app = mirror();
    let (key, hash) = new_key("acme");
    // Also where endpoints see the key that was good.
    for (more, shown) in [
        ("header: x-api-key,", false),
        ("header: x-api-key, hide: false,", true),
    ] {
        let weir = weir(&app, &hash, more);
        for name in SAME {
            let target = format!("/closed/?{name}=forged&b=2");
            let answer = get(&weir, &target, &format!("X-Api-Key: {key}\r\n"));
            assert_eq!(answer.status, 200, "{answer:?}");
            let seen = answer.text();
            assert!(seen.starts_with("/closed/?b=2\n"), "{seen}");
            assert_eq!(seen.contains(&key), shown, "{seen}");
        }
    }
}
