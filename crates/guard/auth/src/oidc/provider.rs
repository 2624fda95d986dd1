//! The provider: what it says about itself, its keys, and what it gives for a code.
//!
//! All of this runs on the control runtime. What the provider says about itself is fetched once an hour, by whoever notices
//! that it is time, and what it said before counts until then; likewise its keys, when an ID token does not fit them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use weir_client::{Client, Request, Response, StatusCode, Url, form};

use super::config::OidcConfig;
use super::metadata::Metadata;
use super::tokens::{self, Expected, Tokens};
use crate::auth::{Event, Events};
use crate::encoding::basic_credentials;
use crate::flight::Flights;
use crate::introspection::ClientAuth;
use crate::jwt::{Algorithm, KeySet, Token, json};

/// How long what a provider says about itself is not asked again.
const FRESH: Duration = Duration::from_secs(3600);
/// How long a provider that could not be asked is left alone while there is an older answer.
const PAUSE: Duration = Duration::from_secs(10);
/// And how long while there is none: not everybody who wants to log in makes it a question.
const BRIEF: Duration = Duration::from_secs(1);
/// Where there is no answer at all.
const UNKNOWN: Trouble = Trouble::Unavailable("the provider does not say where people log in");
/// Answers are not larger than this.
const MOST_BYTES: usize = 512 << 10;

/// A provider and this Weir as its client.
pub(super) struct Provider {
    client: Client,
    events: Events,
    pub(super) issuer: Url,
    pub(super) client_id: String,
    credentials: Credentials,
    algorithms: Vec<Algorithm>,
    timeout: Duration,
    state: Mutex<State>,
    flights: Flights<(), Result<Arc<Metadata>, Trouble>>,
}

#[derive(Default)]
struct State {
    metadata: Option<Arc<Metadata>>,
    /// When it is asked again.
    due: Option<Instant>,
    keys: Option<Arc<KeySet>>,
}

enum Credentials {
    /// The value of Authorization.
    Field(String),
    /// What comes after the rest in the form.
    Form(String),
}

/// Why the provider gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not answer, or not as providers do: later it may.
    Unavailable(&'static str),
    /// It says no.
    Refused(&'static str),
}

impl Provider {
    pub(super) fn new(config: &OidcConfig, client: Client, events: Events) -> Self {
        let id = config.client_id.as_str();
        let credentials = match (&config.client_secret, config.client_auth) {
            // RFC 6749, 3.2.1: without a secret, the form says who asks.
            (None, _) => Credentials::Form(form([("client_id", id)])),
            (Some(secret), ClientAuth::Basic) => {
                Credentials::Field(basic_credentials(id, secret.expose()))
            }
            (Some(secret), ClientAuth::Post) => {
                let fields = [("client_id", id), ("client_secret", secret.expose())];
                Credentials::Form(form(fields))
            }
        };
        Self {
            client,
            events,
            issuer: config.issuer.value.clone(),
            client_id: id.to_owned(),
            credentials,
            algorithms: config.algorithms.value.clone(),
            timeout: config.timeout.get(),
            state: Mutex::default(),
            flights: Flights::default(),
        }
    }

    /// How long a request waits that needs several answers.
    pub(super) fn deadline(&self) -> Duration {
        self.timeout * 3 + Duration::from_millis(250)
    }

    /// What it said about itself, and whether it is time to ask again.
    pub(super) fn known(&self) -> (Option<Arc<Metadata>>, bool) {
        let state = self.state();
        let due = state.due.is_none_or(|due| due <= Instant::now());
        (state.metadata.clone(), due)
    }

    /// What it says about itself.
    pub(super) async fn metadata(self: &Arc<Self>) -> Result<Arc<Metadata>, Trouble> {
        if let (known, false) = self.known() {
            return known.ok_or(UNKNOWN);
        }
        let asked = self.flights.join((), Arc::clone(self).discover()).await;
        asked.unwrap_or(Err(Trouble::Unavailable(
            "asking the provider was given up",
        )))
    }

    async fn discover(self: Arc<Self>) -> Result<Arc<Metadata>, Trouble> {
        let asked = match Metadata::address(&self.issuer) {
            Some(url) => self.object(Request::get(url)).await,
            None => Err("its issuer is too long".to_owned()),
        };
        let read = asked
            .and_then(|document| Metadata::read(&document, &self.issuer).map_err(str::to_owned));
        let mut state = self.state();
        let metadata = match read {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                state.metadata = Some(Arc::clone(&metadata));
                state.due = Some(Instant::now() + FRESH);
                return Ok(metadata);
            }
            Err(error) => {
                self.tell(&self.issuer, error);
                state.metadata.clone()
            }
        };
        let pause = if metadata.is_some() { PAUSE } else { BRIEF };
        state.due = Some(Instant::now() + pause);
        metadata.ok_or(UNKNOWN)
    }

    /// Tokens for a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5).
    pub(super) async fn redeem(
        self: &Arc<Self>,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Tokens, Trouble> {
        let fields = form([
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ]);
        self.tokens(fields).await
    }

    /// Tokens for a refresh token (RFC 6749, section 6).
    pub(super) async fn refresh(self: &Arc<Self>, token: &str) -> Result<Tokens, Trouble> {
        let fields = form([("grant_type", "refresh_token"), ("refresh_token", token)]);
        self.tokens(fields).await
    }

    async fn tokens(self: &Arc<Self>, fields: String) -> Result<Tokens, Trouble> {
        let metadata = self.metadata().await?;
        // Not to be repeated: a code counts once, and a refresh token may.
        let request = self.form_request(&metadata.token, fields);
        let response = self.send(request).await.map_err(|error| {
            self.tell(&metadata.token, error);
            Trouble::Unavailable("the provider does not answer")
        })?;
        let answer = json::object(&response.body);
        if response.status == StatusCode::OK {
            return answer.as_ref().and_then(Tokens::read).ok_or_else(|| {
                self.tell(&metadata.token, "its answer holds no tokens".to_owned());
                Trouble::Unavailable("the provider gives no tokens")
            });
        }
        let error = answer
            .as_ref()
            .and_then(|answer| answer.get("error")?.as_str());
        // RFC 6749, 5.2.
        if error == Some("invalid_grant") {
            return Err(Trouble::Refused(
                "the provider does not accept this login any more",
            ));
        }
        let word = error
            .filter(|word| is_error_word(word))
            .unwrap_or("no reason");
        self.tell(
            &metadata.token,
            format!("it answers {} ({word})", response.status),
        );
        Err(Trouble::Unavailable("the provider refuses to give tokens"))
    }

    /// The claims of an ID token whose signature is good.
    pub(super) async fn verified(
        self: &Arc<Self>,
        id_token: &str,
    ) -> Result<Map<String, Value>, Trouble> {
        let refused = |detail: &'static str| {
            self.tell_of(detail);
            Trouble::Refused(detail)
        };
        let token = Token::read(id_token.as_bytes()).map_err(refused)?;
        // RFC 8725, 3.1: never by what the token says.
        if !self.algorithms.contains(&token.header.algorithm) {
            let detail = "the ID token is signed in a way that is not accepted";
            return Err(refused(detail));
        }
        let known = self.state().keys.clone();
        let good = match known {
            Some(keys) if keys.verify(&token).is_ok() => true,
            // The token is new, so its key may be.
            _ => self.fetch_keys().await?.verify(&token).is_ok(),
        };
        if !good {
            return Err(refused("the signature of the ID token is wrong"));
        }
        token.claims().map_err(refused)
    }

    /// Whether an ID token whose signature is good says what it must.
    pub(super) fn check(
        &self,
        claims: &Map<String, Value>,
        expected: Expected<'_>,
        now: u64,
    ) -> Result<(), Trouble> {
        tokens::check(claims, expected, now).map_err(|detail| {
            self.tell_of(detail);
            Trouble::Refused(detail)
        })
    }

    async fn fetch_keys(self: &Arc<Self>) -> Result<Arc<KeySet>, Trouble> {
        let metadata = self.metadata().await?;
        let asked = self.send(Request::get(metadata.keys.clone())).await;
        let read = asked.and_then(|response| match response.status {
            StatusCode::OK => KeySet::read(&response.body),
            status => Err(format!("it answers {status}")),
        });
        let keys = read.map_err(|error| {
            self.tell(&metadata.keys, error);
            Trouble::Unavailable("the provider does not show its keys")
        })?;
        let keys = Arc::new(keys);
        self.state().keys = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// Gives a refresh token back (RFC 7009). Whether that works changes nothing here.
    pub(super) async fn revoke(self: &Arc<Self>, token: &str) {
        let Ok(metadata) = self.metadata().await else {
            return;
        };
        let Some(url) = &metadata.revocation else {
            return;
        };
        let fields = form([("token", token), ("token_type_hint", "refresh_token")]);
        let request = self.form_request(url, fields).repeatable();
        if let Err(error) = self.send(request).await {
            self.tell(url, error);
        }
    }

    fn form_request(&self, url: &Url, mut fields: String) -> Request {
        if let Credentials::Form(more) = &self.credentials {
            fields.push('&');
            fields.push_str(more);
        }
        let request = Request::post_form(url.clone(), fields);
        match &self.credentials {
            Credentials::Field(value) => request.authorization(value),
            Credentials::Form(_) => request,
        }
    }

    async fn object(&self, request: Request) -> Result<Map<String, Value>, String> {
        let response = self.send(request).await?;
        if response.status != StatusCode::OK {
            return Err(format!("it answers {}", response.status));
        }
        json::object(&response.body).ok_or_else(|| "its answer is not a JSON object".to_owned())
    }

    async fn send(&self, request: Request) -> Result<Response, String> {
        let sent = self.client.send(request, self.timeout, MOST_BYTES).await;
        sent.map_err(|error| error.to_string())
    }

    /// Tells the event log what is wrong with what it gives.
    pub(super) fn tell_of(&self, detail: &str) {
        self.tell(&self.issuer, detail.to_owned());
    }

    fn tell(&self, url: &Url, error: String) {
        self.events.tell(Event::ProviderFailed {
            url: url.to_string(),
            error,
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Provider")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Whether an error code is one word of RFC 6749, fit for a log.
fn is_error_word(word: &str) -> bool {
    word.len() <= 64 && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}
