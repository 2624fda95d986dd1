//! A provider that fails, changes its keys, or says what is not true.

use std::time::Instant;

use serde_json::json;
use weir_auth::Why;
use weir_testkit::wait_until;

use super::{Window, house};
use crate::support::idp::{Idp, new_key};
use crate::support::{Answer, unix_now as now};

#[test]
fn id_tokens_that_do_not_count() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    for claims in [
        json!({ "nonce": "other" }),
        json!({ "nonce": null }),
        json!({ "iss": "https://other.example" }),
        json!({ "aud": "other" }),
        json!({ "aud": ["weir", "other"] }),
        json!({ "azp": "other" }),
        json!({ "exp": now() - 100 }),
        json!({ "exp": null }),
        json!({ "iat": now() + 1000 }),
        json!({ "sub": null }),
        json!({ "sub": "a\r\nx-admin: yes" }),
    ] {
        idp.change(|rules| rules.claims = claims.clone());
        let mut window = Window::new();
        let outcome = window.log_in(&house, "/");
        assert_eq!(outcome.status, 403, "{claims}: {outcome:?}");
        assert_eq!(window.jar.cookie_names(), Vec::<&str>::new());
    }
    idp.change(|rules| rules.claims = json!({}));
    let forgeries: [fn(String) -> String; 5] = [
        // Somebody else's key.
        |token| {
            let signed = token.rsplit_once('.').expect("a signature").0.to_owned();
            let signature = new_key()
                .sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes())
                .expect("signed");
            format!(
                "{signed}.{}",
                crate::support::idp::base64url(signature.as_ref())
            )
        },
        // No signature.
        |token| {
            let payload = token.split('.').nth(1).expect("a payload").to_owned();
            format!(
                "{}.{payload}.",
                crate::support::idp::base64url(b"{\"alg\":\"none\"}")
            )
        },
        |token| format!("{}.", token.rsplit_once('.').expect("a signature").0),
        // A way to sign that the config does not allow.
        |token| {
            let rest = token.split_once('.').expect("a header").1.to_owned();
            format!(
                "{}.{rest}",
                crate::support::idp::base64url(b"{\"alg\":\"HS256\",\"kid\":\"first\"}")
            )
        },
        |_| "not a token".to_owned(),
    ];
    for (at, forge) in forgeries.into_iter().enumerate() {
        idp.change(|rules| rules.forge = forge);
        let outcome = Window::new().log_in(&house, "/");
        assert_eq!(outcome.status, 403, "{at}: {outcome:?}");
    }
    idp.change(|rules| rules.forge = |token| token);
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
}

#[test]
fn keys_change_at_any_time() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
    assert_eq!(idp.server.count("/keys"), 1);
    idp.change(|rules| {
        rules.key = new_key();
        rules.kid = "second".to_owned();
    });
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
    // Even behind the same name.
    idp.change(|rules| rules.key = new_key());
    assert_eq!(Window::new().log_in(&house, "/").status, 303);
    assert_eq!(idp.server.count("/keys"), 3);
}

#[test]
fn a_provider_that_fails() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    for answer in [
        Answer::status(500, "{}"),
        Answer::status(302, "{}"),
        Answer::status(401, json!({ "error": "invalid_client" })),
        Answer::json("[]"),
        Answer::json(json!({ "access_token": "a" })),
        Answer::json(json!({ "access_token": "a", "token_type": "Bearer" })),
        Answer::json("x".repeat(600 << 10)),
        Answer::broken(),
        Answer::hold(),
    ] {
        idp.change(|rules| rules.instead = Some(("/token", answer.clone())));
        let outcome = window.log_in(&house, "/");
        assert_eq!(
            (outcome.status, outcome.why),
            (503, Some(Why::Unavailable)),
            "{answer:?}"
        );
        assert_eq!(outcome.header("retry-after"), Some("1"));
    }
    idp.change(|rules| {
        let error = json!({ "error": "invalid_grant" });
        rules.instead = Some(("/token", Answer::status(400, error)));
    });
    assert_eq!(window.log_in(&house, "/").status, 403);
    idp.change(|rules| rules.instead = Some(("/keys", Answer::status(500, ""))));
    assert_eq!(window.log_in(&house, "/").status, 503);
    idp.change(|rules| rules.instead = None);
    assert_eq!(window.log_in(&house, "/").status, 303);
    assert!(!house.events.lock().expect("events").is_empty());
}

#[test]
fn a_provider_that_nobody_knows_yet() {
    let idp = Idp::start(now());
    idp.change(|rules| rules.metadata = json!({ "issuer": "https://other.example" }));
    let house = house(&idp, "");
    let mut window = Window::new();
    let path = "/.well-known/openid-configuration";
    // Everybody wants to log in, and it hears of that once a second.
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(window.page(&house, "/").status, 503);
    }
    let asked = idp.server.count(path) as u64;
    assert!(asked <= 2 + begun.elapsed().as_secs(), "{asked}");
    assert!(house.events.lock().expect("events").len() <= asked as usize);
    idp.change(|rules| rules.instead = Some((path, Answer::status(404, ""))));
    assert_eq!(window.page(&house, "/").status, 503);
    idp.change(|rules| {
        rules.metadata = json!({});
        rules.instead = None;
    });
    wait_until("the provider", || window.page(&house, "/").status == 302);
    assert_eq!(window.log_in(&house, "/").status, 303);
    assert_eq!(window.page(&house, "/").subject(), "ann");
}
