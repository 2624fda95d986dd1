//! Logins: through a provider that follows a script, and all that may go wrong with it.

mod callback;
mod login;
mod logout;
mod provider;
mod session;

use weir_auth::Why;
use weir_testkit::Visitor;

use crate::support::idp::Idp;
use crate::support::{Ask, House, Outcome};

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
