//! The way to the provider: who is led there, from where, and with what.

use weir_auth::Why;

use super::{SECRET, Window, house, parameter, returned};
use crate::support::idp::Idp;
use crate::support::{Ask, unix_now as now};

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
    // All refusals have one; a second one says nothing more.
    assert_eq!(outcome.header("cache-control"), None);
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
