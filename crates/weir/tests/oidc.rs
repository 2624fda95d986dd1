//! Logins through Weir at a real OpenID provider, with a real browser.

#[path = "common/people.rs"]
mod people;

use people::{base, shop, weir};
use weir_testkit::{Chromium, IdentityProvider, RawClient, Visitor, wait_until};

fn sign_in(browser: &Chromium, name: &str) {
    browser.write("input[name=login]", name);
    browser.write("input[name=password]", "any");
    browser.click("button[type=submit]");
    // What the shop may know about them, if they were not asked before.
    if browser.url().contains("/interaction/") {
        browser.click("button[type=submit]");
    }
}

#[test]
fn a_browser_logs_in_and_out() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "");
    let base = base(&weir);
    let browser = Chromium::start();
    browser.go(&format!("{base}/cart?item=7"));
    assert!(
        browser.url().starts_with(&provider.issuer()),
        "{}",
        browser.url()
    );
    sign_in(&browser, "ann");
    assert_eq!(
        browser.url(),
        format!("{base}/cart?item=7"),
        "{}",
        browser.text()
    );
    // The endpoint is told who it is, and sees no session.
    assert_eq!(
        browser.text(),
        "/cart?item=7 for ann@example.com, cookies none"
    );
    let cookies: Vec<_> = browser
        .cookies()
        .into_iter()
        .filter(|cookie| {
            cookie["name"]
                .as_str()
                .is_some_and(|name| name.starts_with("weir_"))
        })
        .collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!(
        (&cookies[0]["httpOnly"], &cookies[0]["sameSite"]),
        (&true.into(), &"Lax".into())
    );
    assert_eq!(
        browser.script("return document.cookie.includes('weir_')"),
        false
    );

    // Scripts of the page have the session; they are never led to the provider.
    let fetched = "return fetch('/cart').then(answer => answer.status)";
    assert_eq!(browser.script(fetched), 200);
    // A second tab needs no login, and one that is not allowed is told so.
    let first = browser.new_tab();
    browser.go(&format!("{base}/orders"));
    assert_eq!(browser.text(), "/orders for ann@example.com, cookies none");
    let status = "return fetch('/admin/x').then(answer => answer.status)";
    assert_eq!(browser.script(status), 403);
    browser.tab(&first);

    browser.go(&format!("{base}/oauth2/logout"));
    assert!(
        browser.url().starts_with(&provider.issuer()),
        "{}",
        browser.url()
    );
    browser.click("button[value=yes]");
    assert_eq!(
        browser.url(),
        format!("{base}/open/bye"),
        "{}",
        browser.text()
    );
    let fetched = "return fetch('/cart').then(answer => answer.status)";
    assert_eq!(browser.script(fetched), 401);
    browser.go(&format!("{base}/cart"));
    assert!(
        browser.url().starts_with(&provider.issuer()),
        "{}",
        browser.url()
    );
    sign_in(&browser, "root");
    browser.go(&format!("{base}/admin/x"));
    assert_eq!(
        browser.text(),
        "/admin/x for root@example.com, cookies none"
    );
}

#[test]
fn two_tabs_log_in_at_once() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "");
    let base = base(&weir);
    let browser = Chromium::start();
    browser.go(&format!("{base}/first"));
    let first = browser.new_tab();
    browser.go(&format!("{base}/second"));
    sign_in(&browser, "ann");
    assert_eq!(browser.url(), format!("{base}/second"));
    browser.tab(&first);
    sign_in(&browser, "ann");
    assert_eq!(browser.url(), format!("{base}/first"), "{}", browser.text());
    assert_eq!(browser.text(), "/first for ann@example.com, cookies none");
}

#[test]
fn sessions_outlive_a_reload_and_are_refreshed() {
    let (provider, app) = (IdentityProvider::start(), shop());
    // So short that it is due during the test.
    provider.lifetime("AccessToken", 10);
    let mut weir = weir(&provider, &app, "");
    let base = base(&weir);
    let mut visitor = Visitor::default();
    let here = |url: &str| url.starts_with(&base) && !url.contains("/oauth2/");
    let (at, _) = visitor.log_in(&format!("{base}/page"), "ann", here);
    assert_eq!(at, format!("{base}/page"));
    assert!(visitor.ask(&at, None).text().contains("ann@example.com"));
    let session = visitor.cookie("weir_people").expect("a session").to_owned();
    let config = std::fs::read_to_string(weir.config()).expect("the config");
    let response =
        weir.reload_with(&config.replace("after_logout: /open/bye", "after_logout: /open/ciao"));
    assert_eq!(response.status, 200, "{}", response.text());
    assert!(visitor.ask(&at, None).text().contains("ann@example.com"));
    wait_until("a refreshed session", || {
        assert_eq!(visitor.ask(&at, None).status, 200);
        visitor.cookie("weir_people") != Some(&session)
    });
    assert!(visitor.ask(&at, None).text().contains("ann@example.com"));
    // No client makes itself somebody by a field.
    let forged = format!(
        "GET /open/x HTTP/1.1\r\nHost: {}\r\nX-Email: root@example.com\r\nX-Auth-Subject: root\r\n\r\n",
        weir.addr("web")
    );
    let answer = RawClient::exchange(weir.addr("web"), forged);
    assert!(answer.text().contains("for nobody"), "{}", answer.text());
}

#[test]
fn a_provider_that_hangs_holds_up_nobody_else() {
    let (mut provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "timeout: 300ms");
    provider.pause();
    let web = weir.addr("web");
    let ask = |target: &str| {
        RawClient::exchange(
            web,
            format!("GET {target} HTTP/1.1\r\nHost: {web}\r\nAccept: text/html\r\n\r\n"),
        )
    };
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..20)
            .map(|_| scope.spawn(|| ask("/page").status))
            .collect();
        for _ in 0..50 {
            assert_eq!(ask("/open/page").status, 200);
        }
        for thread in waiting {
            // Where the provider has said where people log in, they are led there; or else they are told to come back.
            let status = thread.join().expect("an answer");
            assert!(matches!(status, 302 | 503), "{status}");
        }
    });
    provider.resume();
    wait_until("logins", || ask("/page").status == 302);
}
