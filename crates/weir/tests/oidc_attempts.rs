//! Logins that come to nothing: a real OpenID provider does not hear of all the codes that somebody makes up.

#[path = "common/people.rs"]
mod people;

use people::{base, log_in, shop, weir, window};
use weir_testkit::{IdentityProvider, Response, Visitor, Weir};

/// A client at this address, as a proxy in front of Weir tells it.
fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

fn visitor(address: &str) -> Visitor {
    let mut visitor = Visitor::default();
    visitor.fields = from(address);
    visitor
}

/// Begins a login: the state, and the line of the cookie that belongs to it.
fn begin(weir: &Weir, address: &str) -> (String, String) {
    let answer = window(weir, "/page", &from(address));
    assert_eq!(answer.status, 302, "{answer:?}");
    let location = answer.header("location").expect("a location");
    let state = location.split_once("&state=").expect("a state").1;
    let state = state.split('&').next().expect("a state").to_owned();
    let cookie = answer.header("set-cookie").expect("a cookie");
    let pair = cookie.split(';').next().expect("a pair");
    (state, format!("Cookie: {pair}\r\n"))
}

/// Returns with a code that nobody was given, as if from the provider.
fn guess(
    weir: &Weir,
    provider: &IdentityProvider,
    address: &str,
    (state, cookie): &(String, String),
) -> Response {
    let issuer = provider.issuer();
    let target = format!("/oauth2/callback?code=guess&state={state}&iss={issuer}");
    window(weir, &target, &format!("{}{cookie}", from(address)))
}

#[test]
fn codes_that_are_made_up_do_not_keep_people_out() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "attempts: 5/h");
    let base = base(&weir);
    let bad = "192.0.2.66";
    // One after another.
    let statuses: Vec<u16> = (0..20)
        .map(|_| guess(&weir, &provider, bad, &begin(&weir, bad)).status)
        .collect();
    assert_eq!(statuses[..5], [403; 5]);
    assert_eq!(statuses[5..], [429; 15]);
    assert_eq!(provider.count("/token"), 5);
    // Many at once, from another address.
    let busy = "2001:db8::66";
    let begun: Vec<_> = (0..20).map(|_| begin(&weir, busy)).collect();
    let told = std::thread::scope(|scope| {
        let guesses: Vec<_> = begun
            .iter()
            .enumerate()
            .map(|(at, login)| {
                // Whoever has one address of a network has them all.
                let address = format!("2001:db8::{at:x}");
                let (weir, provider) = (&weir, &provider);
                scope.spawn(move || guess(weir, provider, &address, login).status)
            })
            .collect();
        let statuses = guesses
            .into_iter()
            .map(|guess| guess.join().expect("an answer"));
        statuses.filter(|status| *status == 429).count()
    });
    assert_eq!((told, provider.count("/token")), (15, 10));
    // Somebody else logs in as ever, as often as they like.
    for _ in 0..7 {
        log_in(&mut visitor("192.0.2.7"), &base, "ann");
    }
    assert_eq!(provider.count("/token"), 17);
    // The log says what happened, and nothing of the codes.
    let line = weir.wait_log("a refusal", |line| line["status"] == 429);
    assert_eq!(
        (
            &line["reason"],
            &line["rule"],
            &line["policy"],
            &line["target"]
        ),
        (
            &"rate_limited".into(),
            &"attempts".into(),
            &"people".into(),
            &"/oauth2/callback".into()
        ),
        "{line}"
    );
    assert!(
        weir.access_log()
            .iter()
            .all(|line| !line.to_string().contains("guess"))
    );
}

#[test]
fn who_is_told_to_wait_loses_no_login() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "attempts: 2/10s");
    let base = base(&weir);
    let address = "192.0.2.7";
    let mut ann = visitor(address);
    let callback = format!("{base}/oauth2/callback");
    let (back, _) = ann.log_in(&format!("{base}/page"), "ann", |url| {
        url.starts_with(&callback)
    });
    for _ in 0..2 {
        assert_eq!(
            guess(&weir, &provider, address, &begin(&weir, address)).status,
            403
        );
    }
    let told = ann.ask(&back, None);
    assert_eq!(told.status, 429, "{told:?}");
    let seconds = told
        .header("retry-after")
        .and_then(|value| value.parse().ok());
    assert!(
        seconds.is_some_and(|seconds: u64| (1..=5).contains(&seconds)),
        "{told:?}"
    );
    assert_eq!(told.header("cache-control"), Some("no-store"));
    // They reload the page a while later.
    let mut answer = told;
    weir_testkit::wait_until("a login", || {
        answer = ann.ask(&back, None);
        answer.status != 429
    });
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some("/page")),
        "{answer:?}"
    );
    assert_eq!(ann.ask(&format!("{base}/page"), None).status, 200);
}

#[test]
fn a_login_asks_once() {
    let (provider, app) = (IdentityProvider::start(), shop());
    let weir = weir(&provider, &app, "");
    let login = begin(&weir, "192.0.2.66");
    // One after another, and from everywhere at once: they are led to where the login began.
    assert_eq!(guess(&weir, &provider, "192.0.2.66", &login).status, 403);
    std::thread::scope(|scope| {
        let again: Vec<_> = (0..20)
            .map(|at| {
                let (weir, provider, login) = (&weir, &provider, &login);
                scope.spawn(move || guess(weir, provider, &format!("192.0.2.{at}"), login))
            })
            .collect();
        for answer in again {
            let answer = answer.join().expect("an answer");
            assert_eq!(
                (answer.status, answer.header("location")),
                (303, Some("/page"))
            );
        }
    });
    assert_eq!(provider.count("/token"), 1);
}
