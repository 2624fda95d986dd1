//! Ways around the guard that were tried and must stay closed.

#[path = "common/apps.rs"]
mod apps;
#[path = "common/keys.rs"]
mod keys;

use std::path::Path;

use apps::{WEIR, request};
use keys::{mirror, new_key};
use weir_testkit::{
    App, IdentityProvider, RawClient, Request, Response, TempDir, Visitor, Weir, run_cli,
    wait_until,
};

fn weir(app: &App, more: &str) -> Weir {
    let config = format!("services: {{ app: ['{}'] }}\n{more}\n", app.addr());
    Weir::start(WEIR, &config)
}

fn head_of(request: &Request) -> String {
    let mut text = format!("{}\n", request.target);
    for (name, value) in &request.headers.0 {
        text.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase()));
    }
    text
}

fn get(weir: &Weir, target: &str, fields: &str) -> Response {
    RawClient::exchange(weir.addr("web"), request("GET", target, fields))
}

#[test]
fn rules_of_a_listener_see_the_path_that_routes_see() {
    let app = App::fine("app");
    let weir = weir(
        &app,
        "
listeners: { web: { address: '@web@', firewall: { rules: [ { deny: '/admin/*' }, { allow: '/public/*' }, { deny: '/*' } ] } } }
routes: [ { path: /*, service: app } ]
",
    );
    assert_eq!(get(&weir, "/public/a", "").status, 200);
    for target in [
        "/admin/a",
        "//admin/a",
        "/./admin/a",
        "/public/../admin/a",
        "/public/%2e%2e/admin/a",
        "/public/./../admin/a",
        "/x/../admin/a",
        "http://app.example//admin/a",
        "/other",
    ] {
        assert_eq!(get(&weir, target, "").status, 403, "{target}");
    }
    assert_eq!(app.requests(), 1);
    let options = "OPTIONS /admin/a HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n";
    assert_eq!(RawClient::exchange(weir.addr("web"), options).status, 403);
}

#[test]
fn what_policies_and_routes_require_adds_up() {
    let app = App::fine("app");
    let (secret, hash) = new_key("a");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  keys: {{ api_key: {{ keys: [ {{ id: a, hash: '{hash}', metadata: {{ role: user }} }} ] }} }}
  some: {{ require: {{ claims: {{ role: [admin, user] }} }} }}
  few: {{ require: {{ claims: {{ role: admin }} }} }}
defaults: {{ policies: some }}
routes:
  - {{ path: /user, service: app, auth: keys }}
  - {{ path: /route, service: app, auth: keys, require: {{ claims: {{ role: admin }} }} }}
  - {{ path: /policy, service: app, auth: keys, policies: few }}
"
        ),
    );
    let field = format!("X-Api-Key: {secret}\r\n");
    let status = |target: &str| get(&weir, target, &field).status;
    assert_eq!(["/user", "/route", "/policy"].map(status), [200, 403, 403]);
}

#[test]
fn nobody_spells_where_they_come_from_in_another_way() {
    let app = mirror();
    let weir = weir(
        &app,
        "listeners: { web: '@web@' }\nroutes: [ { path: /*, service: app } ]",
    );
    let fields = "X_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Proto: evil\r\nx_real_ip: 6.6.6.6\r\nX_Request_Id: evil\r\nX-Forwarded-Prefix: /evil\r\nX-Other_Name: kept\r\n";
    let seen = get(&weir, "/", fields).text();
    assert!(
        !seen.contains("6.6.6.6") && !seen.contains("evil"),
        "{seen}"
    );
    assert!(seen.contains("x-other_name: kept"), "{seen}");
}

#[test]
fn a_header_that_is_sent_twice_is_no_key() {
    let app = App::fine("app");
    let weir = weir(
        &app,
        "
listeners: { web: '@web@' }
routes: [ { path: /*, service: app, rate_limit: { limits: 2/min, key: header x-k } } ]
",
    );
    let twice = |n: usize| get(&weir, "/", &format!("X-K: junk{n}\r\nX-K: real\r\n")).status;
    assert_eq!([twice(1), twice(2), twice(3)], [200, 200, 429]);
}

#[test]
fn a_list_that_is_being_written_lets_nobody_in() {
    let app = App::fine("app");
    let dir = TempDir::new("lists");
    let list = dir.path().join("deny.txt");
    std::fs::write(&list, "127.0.0.0/8\n").expect("written");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
routes: [ {{ path: /*, service: app, firewall: {{ deny: 'file:{}' }} }} ]
",
            list.display()
        ),
    );
    assert_eq!(get(&weir, "/", "").status, 403);
    std::fs::write(&list, "").expect("emptied");
    let told = |weir: &Weir| weir.metrics().sum("weir_firewall_entries", &[]);
    wait_until("the event", || weir.stderr().contains("it is empty"));
    assert_eq!((get(&weir, "/", "").status, told(&weir)), (403, 1.0));
    // Whoever means it, says so.
    std::fs::write(&list, "# nobody now\n").expect("written");
    wait_until("an empty list", || told(&weir) == 0.0);
    assert_eq!(get(&weir, "/", "").status, 200);
}

#[test]
fn a_forged_token_does_not_travel_beside_a_good_key() {
    let app = mirror();
    let (secret, hash) = new_key("acme");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  tokens: {{ jwt: {{ secret: 0123456789abcdef0123456789abcdef }} }}
  keys: {{ api_key: {{ keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
routes:
  - {{ path: /both, service: app, auth: [tokens, keys] }}
  - {{ path: /open, service: app, auth: [tokens, anonymous] }}
"
        ),
    );
    let answer = get(
        &weir,
        "/both",
        &format!("X-Api-Key: {secret}\r\nAuthorization: Bearer forged\r\n"),
    );
    let seen = answer.text();
    assert!(answer.status != 200 || !seen.contains("forged"), "{seen}");
    // A tab behind the scheme is as good as a space: it is a token, and a bad one.
    let answer = get(&weir, "/open", "Authorization: Bearer\tforged\r\n");
    assert_eq!(answer.status, 401, "{answer:?}");
}

#[test]
fn a_key_in_the_query_reaches_nobody_else() {
    let (app, shadow) = (mirror(), mirror());
    let authz = App::fine("authz");
    let (secret, hash) = new_key("acme");
    let weir = Weir::start(
        WEIR,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  keys: {{ api_key: {{ query: key, keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
defaults: {{ policies: keys }}
routes:
  - {{ path: /plain, service: app, mirror: shadow }}
  - {{ path: /parameter, service: app, mirror: shadow, rewrite: '/to?from={{query}}&key=ours' }}
  - {{ path: /segment, service: app, mirror: shadow, rewrite: '/to/{{query}}/end' }}
  - path: /told
    service: app
    transform:
      request: {{ set: {{ x-told: '{{path}}?{{query}}' }}, rename: {{ referer: x-page }} }}
      response: {{ set: {{ x-told: '{{query}}' }} }}
  - {{ path: /asked, service: app, forward_auth: {{ service: authz, pass: [referer, x-other] }} }}
  - {{ path: /free, service: app, policies: none }}
services:
  app: ['{}']
  shadow: ['{}']
  authz: ['{}']
",
            app.addr(),
            shadow.addr(),
            authz.addr()
        ),
    );
    let page = |query: &str| format!("Referer: http://app.example/page?{query}&page=2\r\n");
    for (path, left, referer) in [
        ("/plain", "/plain?a=1&b=2", "referer"),
        ("/parameter", "/to?from=a=1&b=2&key=ours", "referer"),
        ("/segment", "/to/a=1&b=2/end", "referer"),
        ("/told", "x-told: /told?a=1&b=2", "x-page"),
        ("/asked", "/asked?a=1&b=2", "referer"),
        ("/free", "/free?a=1&b=2", "referer"),
    ] {
        for name in ["key", "%6b%65y"] {
            let mine = format!("{name}={secret}");
            let query = match path {
                "/free" => "a=1&b=2".to_owned(),
                _ => format!("a=1&{mine}&b=2"),
            };
            let answer = get(&weir, &format!("{path}?{query}"), &page(&mine));
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            let seen = answer.text();
            assert!(!format!("{answer:?}").contains(&secret), "{path}: {seen}");
            assert!(!seen.contains(&secret), "{path}: {seen}");
            assert!(seen.contains(left), "{path}: {seen}");
            let referer = format!("\n{referer}: http://app.example/page?page=2\n");
            assert!(seen.contains(&referer), "{path}: {seen}");
        }
    }
    // An explanation tells the same.
    let config = weir.config().display().to_string();
    for (path, left) in [
        ("/plain", "GET /plain?a=1 HTTP/1.1"),
        ("/parameter", "GET /to?from=a=1&key="),
        ("/segment", "GET /to/a=1/end?a=1 HTTP/1.1"),
    ] {
        let url = format!("http://app.example{path}?key={secret}&a=1");
        let told = run_cli(
            WEIR,
            &["explain", "GET", &url, "-c", &config],
            Path::new("/"),
        );
        assert!(told.stdout.contains(left), "{path}: {told:?}");
    }
    // What is no credential of its route is nobody's business.
    let seen = get(&weir, "/free?key=mine", "").text();
    assert!(seen.starts_with("/free?key=mine\n"), "{seen}");

    shadow.wait_requests(6);
    for (app, who) in [(&shadow, "the copies"), (&authz, "forward_auth")] {
        let all = app.seen();
        assert!(!all.is_empty(), "{who}");
        for seen in all {
            let seen = head_of(&seen.request);
            assert!(!seen.contains(&secret), "{who}: {seen}");
            assert!(seen.contains("a=1&b=2"), "{who}: {seen}");
            assert!(seen.contains("page?page=2"), "{who}: {seen}");
        }
    }
    wait_until("the log", || weir.access_log().len() >= 13);
    for line in weir.access_log() {
        assert!(!line.to_string().contains(&secret), "{line}");
    }
}

#[test]
fn a_service_that_is_asked_sees_what_the_client_sent() {
    let (app, authz) = (mirror(), App::fine("authz"));
    let (secret, hash) = new_key("acme");
    let weir = Weir::start(
        WEIR,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies: {{ keys: {{ api_key: {{ query: key, keys: [ {{ id: acme, hash: '{hash}' }} ] }} }} }}
routes: [ {{ path: /*, service: app, auth: keys, forward_auth: authz }} ]
services: {{ app: ['{}'], authz: ['{}'] }}
",
            app.addr(),
            authz.addr()
        ),
    );
    assert_eq!(get(&weir, &format!("/?key={secret}"), "").status, 200);
    let asked = head_of(&authz.seen()[0].request);
    let uri = format!("x-forwarded-uri: /?key={secret}\n");
    assert!(asked.contains(&uri), "{asked}");
}

#[test]
fn a_location_carries_a_key_to_no_other_host() {
    let app = App::fine("app");
    let (secret, hash) = new_key("acme");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: {{ address: '@web@', http: {{ forwarded: {{ trusted: [127.0.0.0/8] }} }} }} }}
policies: {{ keys: {{ api_key: {{ query: key, keys: [ {{ id: acme, hash: '{hash}' }} ] }} }} }}
defaults: {{ policies: keys }}
routes:
  - {{ path: /path, redirect: '/new' }}
  - {{ path: /whole, redirect: '/new?from={{query}}' }}
  - {{ path: /host, redirect: 'https://{{host}}:8443{{path}}' }}
  - {{ path: /named, redirect: 'https://APP.example/new' }}
  - {{ path: /plain, redirect: 'http://{{host}}/new' }}
  - {{ path: /other, redirect: 'https://elsewhere.example{{path}}' }}
  - {{ path: /longer, redirect: 'https://www.{{host}}/new?from={{query}}' }}
  - {{ path: /fragment, redirect: 'https://elsewhere.example/?#{{query}}' }}
  - {{ path: /scheme, redirect: 'app://{{host}}/new' }}
"
        ),
    );
    let https = "X-Forwarded-Proto: https\r\n";
    for (path, fields, location) in [
        ("/path", "", "/new?key=KEY&a=1"),
        ("/whole", "", "/new?from=key=KEY&a=1"),
        ("/host", "", "https://app.example:8443/host?key=KEY&a=1"),
        ("/named", "", "https://APP.example/new?key=KEY&a=1"),
        ("/plain", "", "http://app.example/new?key=KEY&a=1"),
        ("/plain", https, "http://app.example/new?a=1"),
        ("/other", "", "https://elsewhere.example/other?a=1"),
        ("/longer", "", "https://www.app.example/new?from=a=1"),
        ("/fragment", "", "https://elsewhere.example/#a=1"),
        ("/scheme", "", "app://app.example/new?a=1"),
    ] {
        let query = format!("key={secret}&a=1");
        let answer = get(&weir, &format!("{path}?{query}"), fields);
        let expected = location.replace("KEY", &secret);
        assert_eq!(answer.header("location"), Some(&*expected), "{path}");
        assert_eq!(answer.status, 308, "{path}");
        if fields.is_empty() {
            let config = weir.config().display().to_string();
            let url = format!("http://app.example{path}?{query}");
            let args = ["explain", "GET", &url, "-c", &config, "--json"];
            let told = run_cli(WEIR, &args, Path::new("/"));
            let blotted = location.replace("KEY", "***");
            let same = [&expected, &blotted].map(|text| told.stdout.contains(text.as_str()));
            assert!(same.contains(&true), "{path}: {told:?}");
        }
    }
}

#[test]
fn a_hidden_credential_does_not_travel_under_another_name() {
    let app = mirror();
    let (secret, hash) = new_key("acme");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  keys: {{ api_key: {{ header: x-key, scheme: Bearer, keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
  old: {{ transform: {{ request: {{ rename: {{ x-key: x-old-key, authorization: x-old-authorization, x-tag: x-old-tag }} }} }} }}
routes: [ {{ path: /*, service: app, auth: keys, policies: old }} ]
"
        ),
    );
    for credential in ["X-Key: ", "Authorization: Bearer "] {
        let fields = format!("{credential}{secret}\r\nX-Tag: kept\r\n");
        let seen = get(&weir, "/", &fields).text();
        assert!(!seen.contains(&secret), "{seen}");
        assert!(seen.contains("x-old-tag: kept\n"), "{seen}");
    }
}

#[test]
fn nobody_comes_back_from_a_login_with_a_key() {
    let (provider, app) = (IdentityProvider::start(), mirror());
    let (secret, hash) = new_key("acme");
    let weir = weir(
        &app,
        &format!(
            "
listeners: {{ web: '@web@' }}
policies:
  people: {{ oidc: {{ issuer: {}, client_id: shop, client_secret: a secret, session_secrets: 0123456789abcdef0123456789abcdef }} }}
  keys: {{ api_key: {{ query: key, keys: [ {{ id: acme, hash: '{hash}' }} ] }} }}
  old: {{ transform: {{ request: {{ rename: {{ cookie: x-old-cookie }} }} }} }}
routes:
  - {{ path: /both, service: app, auth: [people, keys], policies: old }}
  - {{ path: /people, service: app, auth: people }}
",
            provider.issuer()
        ),
    );
    let base = format!("http://localhost:{}", weir.addr("web").port());
    let callback = format!("{base}/oauth2/callback");
    provider.web_client("shop", "a secret", &callback, &base);
    let here = |url: &str| url.starts_with(&base) && !url.starts_with(&callback);
    let mut visitor = Visitor::default();
    let page = format!("{base}/people?a=1&key=mine");
    let (at, answer) = visitor.log_in(&page, "ann", here);
    assert_eq!(at, page, "a parameter like any other here: {answer:?}");
    // A session that has ended, and a key beside it.
    let session: Vec<String> = visitor
        .cookie_names()
        .into_iter()
        .filter(|name| name.starts_with("weir_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(session.len(), 1, "{session:?}");
    visitor.set_cookie(&format!("{}=over; Path=/", session[0]));
    let (at, answer) = visitor.log_in(&format!("{base}/both?key={secret}&a=1"), "ann", |url| {
        here(url) && !url.contains(&secret)
    });
    assert_eq!(at, format!("{base}/both?a=1"), "{answer:?}");
    // Nor does their session go to the endpoint under another name.
    visitor.set_cookie("mine=1; Path=/");
    let seen = visitor.ask(&at, None).text();
    assert!(seen.contains("x-auth-subject: ann\n"), "{seen}");
    assert!(seen.contains("\nx-old-cookie: "), "{seen}");
    assert!(seen.contains("; mine=1\n"), "{seen}");
    assert!(!seen.contains("weir_"), "{seen}");
}
