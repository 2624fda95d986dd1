//! Logins at an OpenID provider: the code flow with PKCE (OpenID Connect Core 1.0; RFC 6749, 7636 and 9700).
//!
//! ```text
//! page, no session ──302──▶ provider ──302──▶ callback ──303──▶ page, session
//!   login.rs                people log in      callback.rs       renew.rs: refreshes it; logout.rs: ends it
//! ```
//!
//! What must be remembered between two steps travels in sealed cookies, so that any worker of any Weir with the same secrets
//! can take the next step. Workers never wait for the provider: what needs it is a question, answered on the control runtime.
//! That a session has ended is known to one process only, and not after its restart: see [`memory`].
//! Only people in a browser's window are led to the provider; scripts are refused with a 401.

mod address;
mod attempts;
mod callback;
mod config;
mod fates;
mod login;
mod logins;
mod logout;
mod memory;
mod metadata;
mod provider;
mod renew;
mod tokens;
mod transaction;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::runtime::Handle;
use weir_client::Client;
use weir_config::Rate;

pub use self::{
    config::{AfterLogout, LocalPath, OidcConfig},
    logins::Logins,
};

pub(crate) use self::memory::{Memories, Memory};

use self::fates::Fates;
use self::provider::{Provider, Trouble};
use crate::asked::{Asked, Found};
use crate::auth::Events;
use crate::challenge::Challenge;
use crate::check::Hidden;
use crate::claims::{ClaimPath, Claims};
use crate::config::pairs;
use crate::flight::Flights;
use crate::identity::{Identity, MethodKind, Person, Shape};
use crate::method::{Asking, Fault, Tried, Work};
use crate::refusal::{Refusal, Why};
use crate::session::{Jar, Sealer, Session};

/// What session cookies are sealed for.
const SESSION: &str = "session";

/// The method.
#[derive(Debug)]
pub(crate) struct Oidc {
    shared: Arc<Shared>,
    challenge: Challenge,
}

/// What questions under way and workers share.
#[derive(Debug)]
struct Shared {
    provider: Arc<Provider>,
    /// Where the network is; without it, nothing is refreshed beside the traffic.
    control: Option<Handle>,
    sealer: Sealer,
    jar: Jar,
    /// Begins every state, and so tells the logins of several policies apart.
    tag: String,
    shape: Shape,
    subject: ClaimPath,
    plan: Option<ClaimPath>,
    scopes: Vec<String>,
    parameters: Vec<(String, String)>,
    callback: Box<str>,
    logout: Box<str>,
    after_logout: Option<AfterLogout>,
    external: Option<Box<str>>,
    /// How long a session lasts, in seconds.
    lasts: u64,
    /// How many logins of one client may come to nothing.
    attempts: Option<Rate>,
    fates: Fates,
    /// Sessions that are being refreshed.
    renewals: Flights<u128, Result<(), Trouble>>,
    /// What must not count again, whatever becomes of the policy.
    memory: Arc<Memory>,
}

impl Oidc {
    /// `None` if there is no secret to seal with. `memory` is asked with the name of the cookie.
    pub(crate) fn new(
        config: &OidcConfig,
        policy: Arc<str>,
        client: Client,
        events: Events,
        control: Option<Handle>,
        memory: impl FnOnce(&str) -> Arc<Memory>,
    ) -> Option<Self> {
        let secrets = || config.session_secrets.iter().map(|secret| secret.expose());
        let by_policy = match &*policy {
            "" => "weir_session".to_owned(),
            policy => format!("weir_{policy}"),
        };
        let cookie = config
            .cookie
            .as_ref()
            .map_or(by_policy.as_str(), |name| name.as_str());
        // A session is good where it was made: for this client of this provider, under this policy.
        let purpose = [
            "session",
            config.issuer.as_str(),
            &config.client_id,
            &policy,
            cookie,
        ];
        let sealer = Sealer::new(secrets(), &purpose)?;
        let tag =
            aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, purpose.join("\n").as_bytes());
        let tag = crate::session::to_base64url(tag.as_ref().first_chunk::<6>()?);
        let shared = Shared {
            provider: Arc::new(Provider::new(config, client, events.clone())),
            control,
            sealer,
            jar: Jar::new(cookie, config.external.as_ref().map(|url| url.is_https())),
            tag,
            shape: Shape::new(MethodKind::Oidc, policy, pairs(&config.headers), events),
            subject: config.subject.clone(),
            plan: config.plan.clone(),
            scopes: config
                .scopes
                .iter()
                .map(|scope| scope.as_str().to_owned())
                .collect(),
            parameters: config
                .parameters
                .iter()
                .map(|(name, value)| (name.value.clone(), value.clone()))
                .collect(),
            callback: config.callback.as_str().into(),
            logout: config.logout.as_str().into(),
            after_logout: config.after_logout.clone(),
            external: config.external.as_ref().map(|url| url.origin().into()),
            lasts: config.session.get().as_secs(),
            attempts: config.attempts.on(),
            fates: Fates::default(),
            renewals: Flights::default(),
            memory: memory(cookie),
        };
        let oidc = Self {
            shared: Arc::new(shared),
            // https://datatracker.ietf.org/doc/html/draft-broyer-http-cookie-auth-00: RFC 9110 wants a challenge with a 401,
            // and none is registered for this.
            challenge: Challenge::new("Cookie", config.realm.as_str()),
        };
        // The first person who logs in need not wait for it.
        oidc.shared.look_up();
        Some(oidc)
    }

    pub(crate) fn find<'r, R: Asked>(&self, request: &'r R) -> Found<'r> {
        let opens = |cookie: &[u8]| self.shared.open(cookie).is_some();
        match self.shared.jar.find(request, opens) {
            Some(value) => Found::Credential(value),
            None => Found::Absent,
        }
    }

    /// A number that changes when sessions end before their time.
    pub(crate) fn epoch(&self) -> u64 {
        self.shared.memory.ended.epoch()
    }

    /// Checks a session. `now` is in seconds since 1970.
    pub(crate) fn check<R: Asked>(&self, cookie: &[u8], request: &R, now: u64) -> Tried {
        renew::check(&self.shared, cookie, request, now)
    }

    /// What is for the login itself: its end, and the end of its session.
    pub(crate) fn serve<R: Asked>(&self, request: &R, now: u64) -> Option<Tried> {
        match request.path() {
            path if path == self.shared.callback.as_bytes() => {
                callback::answer_return(&self.shared, request, now)
            }
            path if path == self.shared.logout.as_bytes() => {
                Some(logout::answer_logout(&self.shared, request, now))
            }
            _ => None,
        }
    }

    /// Leads whoever can be led to the provider.
    pub(crate) fn invite<R: Asked>(&self, request: &R, now: u64) -> Option<Tried> {
        address::is_navigation(request).then(|| login::begin(&self.shared, request, now))
    }

    /// Whether a path is for the login itself.
    pub(crate) fn owns(&self, path: &[u8]) -> bool {
        path == self.shared.callback.as_bytes() || path == self.shared.logout.as_bytes()
    }

    pub(crate) const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    pub(crate) fn shape(&self) -> &Shape {
        &self.shared.shape
    }

    pub(crate) fn places(&self) -> Vec<Hidden> {
        let names = [true, false].map(|secure| self.shared.jar.full_name(secure));
        names
            .into_iter()
            .map(|name| Hidden::Cookies(name.into()))
            .collect()
    }
}

impl Shared {
    /// Scheme and host of this Weir for a browser.
    fn base<R: Asked>(&self, request: &R) -> Option<String> {
        match &self.external {
            Some(external) => Some(external.to_string()),
            None => address::base(request),
        }
    }

    /// Asks the provider who it is, beside the traffic, if it is time.
    fn look_up(&self) {
        if let (Some(control), (_, true)) = (&self.control, self.provider.known()) {
            let provider = Arc::clone(&self.provider);
            control.spawn(async move { provider.metadata().await });
        }
    }

    /// Counts an attempt to log in, unless there were too many from there: then it says how many seconds to wait.
    fn attempt(&self, client: IpAddr, now: u64) -> Result<(), u64> {
        let begin = |rate| self.memory.attempts.begin(client, rate, now);
        self.attempts.map_or(Ok(()), begin)
    }

    /// Takes an attempt back that was none in vain.
    fn forgive(&self, client: IpAddr) {
        if let Some(rate) = self.attempts {
            self.memory.attempts.forgive(client, rate);
        }
    }

    /// Ends a session before its time. `false` if it had ended already.
    fn end(&self, session: &Session, now: u64) -> bool {
        let ended = &self.memory.ended;
        ended.add(session.id, session.began, session.ends, now)
    }

    fn has_ended(&self, session: &Session) -> bool {
        self.memory.ended.has(session.id, session.began)
    }

    fn open(&self, cookie: &[u8]) -> Option<Session> {
        Session::decode(&self.sealer.open(SESSION, cookie)?)
    }

    /// A session as a cookie, without what it can do without if it is too long. `None` if it still is, which the event log is
    /// told.
    fn seal(&self, session: &mut Session) -> Option<String> {
        loop {
            let nonce = random()?;
            let sealed = self.sealer.seal(SESSION, &session.encode(), nonce)?;
            if Jar::fits(&sealed) {
                return Some(sealed);
            }
            if session.id_token.take().is_none() {
                let detail = "its ID token and its refresh token say more than fits into cookies, about 11 KB; let it leave \
                              claims out";
                self.provider.tell_of(detail);
                return None;
            }
        }
    }

    fn identity(&self, session: &Session) -> Result<Arc<Identity>, Fault> {
        let claims = Claims::new(session.claims.clone());
        let text = |path: &ClaimPath| claims.at(path).and_then(Value::as_str);
        let person = Person {
            subject: text(&self.subject).unwrap_or(""),
            key_id: None,
            plan: self.plan.as_ref().and_then(text),
            scopes: session.scopes.iter().map(String::as_str).collect(),
            expires: Some(session.ends),
        };
        self.shape.identity(person, claims.clone())
    }
}

/// Random bytes, unless the system has none.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// An answer that is the login's own. No cache may keep it, as all that Weir answers itself; and it does not tell the next site
/// where it comes from.
fn answer(status: u16, why: Why, mut fields: Vec<u8>, detail: &'static str) -> Tried {
    fields.extend_from_slice(b"referrer-policy: no-referrer\r\n");
    if status == 503 {
        fields.extend_from_slice(b"retry-after: 1\r\n");
    }
    Tried::Answer(Box::new(Refusal {
        status,
        why,
        fields,
        detail,
        policy: None,
        identity: None,
    }))
}

/// An answer that leads somewhere else.
fn lead(status: u16, location: &str, mut fields: Vec<u8>) -> Tried {
    fields.extend_from_slice(b"location: ");
    fields.extend_from_slice(location.as_bytes());
    fields.extend_from_slice(b"\r\n");
    answer(status, Why::Login, fields, "this leads on")
}

/// Something for the control runtime.
fn ask(deadline: Duration, work: impl Future<Output = Tried> + Send + 'static) -> Tried {
    Tried::Ask(Asking {
        work: Work::Waiting(Box::pin(work)),
        deadline,
    })
}

impl Trouble {
    /// What somebody in the middle of a login is told.
    fn told(self, fields: Vec<u8>) -> Tried {
        match self {
            Self::Unavailable(detail) => answer(503, Why::Unavailable, fields, detail),
            Self::Refused(detail) => answer(403, Why::Invalid, fields, detail),
        }
    }
}
