//! Logins: through a provider that follows a script, and all that may go wrong with it.

use std::time::Duration;

use crate::support::idp::{Idp, new_key};
use crate::support::{Answer, Ask, House, Outcome, unix_now as now};
use serde_json::json;
use weir_auth::Why;
use weir_testkit::{Visitor, wait_until};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn words(idp: &Idp, more: &str) -> String {
    // What a test says itself stands for what is said here.
    let own = [
        ("client_id", "weir"),
        ("session_secrets", SECRET),
        ("timeout", "500ms"),
        ("algorithms", "[ES256]"),
        ("headers", "{ x-email: email }"),
    ];
    let own = own.iter().filter(|(name, _)| !more.contains(name));
    let own: Vec<String> = own
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let (issuer, own) = (&idp.issuer, own.join(", "));
    format!("[{{ oidc: {{ issuer: '{issuer}', client_secret: secret, {own}, {more} }} }}]")
}

fn house(idp: &Idp, more: &str) -> House {
    House::new(&words(idp, more))
}

/// A browser's window, as far as this side sees it.
struct Window {
    jar: Visitor,
    https: bool,
}

impl Window {
    fn new() -> Self {
        Self {
            jar: Visitor::default(),
            https: false,
        }
    }

    fn with_cookies(&self, request: Ask) -> Ask {
        let request = if self.https { request.https() } else { request };
        match self.jar.cookie_field() {
            none if none.is_empty() => request,
            cookies => request.field("cookie", &cookies),
        }
    }

    fn ask(&mut self, house: &House, request: Ask) -> Outcome {
        let outcome = house.ask(&self.with_cookies(request));
        for line in outcome.all("set-cookie") {
            self.jar.set_cookie(line);
        }
        outcome
    }

    fn page(&mut self, house: &House, target: &str) -> Outcome {
        self.ask(house, Ask::page(target))
    }

    /// What the provider is asked for, with what it would send back.
    fn begin(&mut self, house: &House, target: &str) -> String {
        let outcome = self.page(house, target);
        assert_eq!(
            (outcome.status, outcome.why),
            (302, Some(Why::Login)),
            "{outcome:?}"
        );
        returned(outcome.location())
    }

    fn log_in(&mut self, house: &House, target: &str) -> Outcome {
        let back = self.begin(house, target);
        self.page(house, &back)
    }
}

fn parameter(url: &str, name: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(own, _)| *own == name)
        .map(|(_, value)| weir_client::percent_decoded(value).expect("encoded"));
    value.unwrap_or_else(|| panic!("no {name} in {url}"))
}

/// Where the provider would send somebody whom it was sent.
fn returned(url: &str) -> String {
    let [state, nonce, challenge] =
        ["state", "nonce", "code_challenge"].map(|name| parameter(url, name));
    format!("/oauth2/callback?code={nonce}.{challenge}&state={state}")
}

#[test]
fn somebody_logs_in() {
    let idp = Idp::start(now());
    let house = house(
        &idp,
        "parameters: { prompt: login }, scopes: [openid, orders:read]",
    );
    let mut window = Window::new();
    let outcome = window.page(&house, "/orders?of=ann&x");
    let url = outcome.location().to_owned();
    assert!(url.starts_with(&format!("{}/auth?", idp.issuer)), "{url}");
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "weir"),
        ("redirect_uri", "http://app.example/oauth2/callback"),
        ("scope", "openid orders:read"),
        ("code_challenge_method", "S256"),
        ("prompt", "login"),
    ] {
        assert_eq!(parameter(&url, name), value);
    }
    assert_eq!(outcome.header("cache-control"), Some("no-store"));
    let cookie = outcome.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("weir_login."), "{cookie}");
    assert!(
        cookie.ends_with("; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"),
        "{cookie}"
    );

    let outcome = window.page(&house, &returned(&url));
    assert_eq!(
        (outcome.status, outcome.location()),
        (303, "/orders?of=ann&x"),
        "{outcome:?}"
    );
    assert_eq!(window.jar.cookie_names(), ["weir_login"]);
    let outcome = window.page(&house, "/orders");
    assert_eq!(outcome.subject(), "ann");
    let identity = outcome.identity.expect("somebody");
    assert!(identity.has_scope("orders:read"));
    let fields = String::from_utf8(identity.fields.to_vec()).expect("text");
    assert!(fields.contains("x-email: ann@example.com\r\n"), "{fields}");
    assert!(!window.page(&house, "/orders").waited);
    // Scripts have the session as well.
    assert_eq!(window.ask(&house, Ask::get("/orders")).subject(), "ann");
    // The secret was shown to the token endpoint only.
    let seen = idp.server.seen();
    let credentials: Vec<_> = seen
        .iter()
        .filter(|seen| seen.authorization.is_some())
        .collect();
    assert_eq!(
        (credentials.len(), credentials[0].path.as_str()),
        (1, "/token")
    );
}

#[test]
fn scripts_are_not_led_to_the_provider() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    for request in [
        Ask::get("/"),
        Ask::get("/").field("accept", "application/json"),
        Ask::get("/").field("accept", "*/*"),
        Ask::get("/")
            .field("sec-fetch-mode", "cors")
            .field("accept", "text/html"),
        Ask::get("/")
            .field("accept", "text/html")
            .field("x-requested-with", "XMLHttpRequest"),
    ] {
        let outcome = house.ask(&request);
        assert_eq!(
            (outcome.status, outcome.why),
            (401, Some(Why::Missing)),
            "{request:?}"
        );
        assert_eq!(
            outcome.header("www-authenticate"),
            Some("Cookie realm=\"weir\"")
        );
        assert_eq!(outcome.header("set-cookie"), None);
    }
    // A window that has no Fetch Metadata, and one that sends a form.
    assert_eq!(
        house
            .ask(&Ask::get("/").field("accept", "text/html"))
            .status,
        302
    );
    assert_eq!(house.ask(&Ask::page("/").method("POST")).status, 303);
}

#[test]
fn over_https_cookies_are_the_hosts_own() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window {
        https: true,
        ..Window::new()
    };
    let outcome = window.page(&house, "/");
    let cookie = outcome.header("set-cookie").expect("a cookie").to_owned();
    assert!(cookie.starts_with("__Host-weir_login."), "{cookie}");
    assert!(cookie.ends_with("; SameSite=Lax; Secure"), "{cookie}");
    let url = outcome.location().to_owned();
    assert_eq!(
        parameter(&url, "redirect_uri"),
        "https://app.example/oauth2/callback"
    );
    assert_eq!(window.page(&house, &returned(&url)).status, 303);
    assert_eq!(window.page(&house, "/").subject(), "ann");
    // A neighbour can plant a cookie without the prefix: it counts for nothing.
    let session = window
        .jar
        .cookie("__Host-weir_login")
        .expect("a session")
        .to_owned();
    let planted = Ask::get("/")
        .https()
        .field("cookie", &format!("weir_login={session}"));
    assert_eq!(house.ask(&planted).status, 401);
}

#[test]
fn behind_another_proxy_the_config_says_where_weir_is() {
    let idp = Idp::start(now());
    let house = house(&idp, "external: 'https://shop.example', callback: /back");
    let mut window = Window::new();
    let outcome = window.page(&house, "/");
    assert_eq!(
        parameter(outcome.location(), "redirect_uri"),
        "https://shop.example/back"
    );
    assert!(
        outcome
            .header("set-cookie")
            .is_some_and(|line| line.starts_with("__Host-"))
    );
}

#[test]
fn nobody_is_led_to_another_host() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    for path in ["//evil.example/", "/\\evil.example", "//evil.example?x=/y"] {
        let outcome = Window::new().log_in(&house, path);
        assert_eq!((outcome.status, outcome.location()), (303, "/"), "{path}");
    }
    let mut request = Ask::page("/");
    request.host = "app.example/@evil.example".to_owned();
    let outcome = house.ask(&request);
    assert_eq!((outcome.status, outcome.header("location")), (400, None));
}

#[test]
fn several_windows_log_in_at_once() {
    let idp = Idp::start(now());
    let house = house(&idp, "");
    let mut window = Window::new();
    let returns: Vec<String> = (0..3)
        .map(|tab| window.begin(&house, &format!("/tab/{tab}")))
        .collect();
    assert_eq!(window.jar.cookie_names().len(), 3);
    for (tab, back) in returns.iter().enumerate().rev() {
        let outcome = window.page(&house, back);
        assert_eq!(
            (outcome.status, outcome.location()),
            (303, &*format!("/tab/{tab}"))
        );
    }
    assert_eq!(window.jar.cookie_names(), ["weir_login"]);
    // However many come to nothing, few are kept.
    let mut window = Window::new();
    for _ in 0..20 {
        window.begin(&house, "/");
        house.sleep(1);
    }
    assert_eq!(window.jar.cookie_names().len(), 5);
    let last = window.begin(&house, "/last");
    assert_eq!(window.page(&house, &last).location(), "/last");
}

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
    assert_eq!(window.page(&house, "/").status, 503);
    idp.change(|rules| {
        let path = "/.well-known/openid-configuration";
        rules.instead = Some((path, Answer::status(404, "")));
    });
    assert_eq!(window.page(&house, "/").status, 503);
    idp.change(|rules| {
        rules.metadata = json!({});
        rules.instead = None;
    });
    assert_eq!(window.log_in(&house, "/").status, 303);
    assert_eq!(window.page(&house, "/").subject(), "ann");
}

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
    idp.change(|rules| rules.claims = groups(2000));
    assert_ne!(Window::new().log_in(&house, "/").status, 303);
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
    wait_until("a refresh", || idp.server.count("/token") == 2);
    std::thread::sleep(Duration::from_millis(50));
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
fn a_config_that_cannot_work() {
    let config = |more: &str| {
        format!(
            "{{ oidc: {{ issuer: 'https://id.example', client_id: weir, session_secrets: {SECRET}, {more} }} }}"
        )
    };
    let problems = |text: &str| {
        let mut cx = weir_config::Cx::from_text("test.yaml", text, &|_| None);
        let value = cx.decode::<weir_auth::MethodConfig>();
        match cx.finish(value) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        }
    };
    assert_eq!(problems(&config("")), "");
    for (more, problem) in [
        ("scopes: [email]", "without the scope `openid`"),
        ("algorithms: [HS256]", "a secret that both sides know"),
        ("algorithms: []", "one at least"),
        ("callback: /x, logout: /x", "must differ"),
        ("callback: '//evil.example'", "expected a path"),
        ("callback: 'x'", "expected a path"),
        ("external: 'https://x.example/path'", "scheme and host only"),
        ("parameters: { state: x }", "sets this parameter itself"),
        ("session: 500ms", "a second at least"),
    ] {
        let found = problems(&config(more));
        assert!(found.contains(problem), "{more}: {found}");
    }
    let short = config("").replace(SECRET, "short");
    let found = problems(&short);
    assert!(
        found.contains("too short") && !found.contains("short }"),
        "{found}"
    );
}
