//! One route that needs somebody, without the traffic around it, and requests for it.

pub(crate) mod idp;
mod server;

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use weir_auth::{
    Asked, Auth, AuthItem, Authenticator, Cache, Check, Event, Identity, Logins, NamedMethod,
    RequireConfig, Why,
};
use weir_client::Client;
use weir_config::{Cx, Spanned};

pub(crate) use server::{Answer, Seen, Server};

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) scheme: &'static str,
    pub(crate) host: String,
    path: String,
    query: Option<String>,
    fields: Vec<(String, String)>,
}

impl Ask {
    /// A GET as a script makes it.
    pub(crate) fn get(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: "GET",
            scheme: "http",
            host: "app.example".to_owned(),
            path: path.to_owned(),
            query,
            fields: Vec::new(),
        }
    }

    /// A GET as somebody's window makes it.
    pub(crate) fn page(target: &str) -> Self {
        Self::get(target)
            .field("sec-fetch-mode", "navigate")
            .field("accept", "text/html,*/*")
    }

    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn https(mut self) -> Self {
        self.scheme = "https";
        self
    }

    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }
}

impl Asked for Ask {
    fn fields<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |(own, _)| own.as_bytes() == name)
            .map(|(_, value)| value.as_bytes())
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn scheme(&self) -> &str {
        self.scheme
    }

    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_deref().map(str::as_bytes)
    }

    fn client(&self) -> IpAddr {
        Ipv4Addr::LOCALHOST.into()
    }
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// 0 for one that passed.
    pub(crate) status: u16,
    pub(crate) why: Option<Why>,
    /// Which policy refused it.
    pub(crate) policy: Option<Arc<str>>,
    pub(crate) identity: Option<Arc<Identity>>,
    /// Lines for the response.
    pub(crate) fields: String,
    /// Whether it had to wait for somebody.
    pub(crate) waited: bool,
}

impl Outcome {
    fn of(check: Check, waited: bool) -> Self {
        match check {
            Check::Pass(pass) => Self {
                status: 0,
                why: None,
                policy: None,
                identity: pass.identity,
                fields: String::from_utf8(pass.fields).expect("text"),
                waited,
            },
            Check::Refuse(refusal) => Self {
                status: refusal.status,
                why: Some(refusal.why),
                policy: refusal.policy,
                identity: refusal.identity,
                fields: String::from_utf8(refusal.fields).expect("text"),
                waited,
            },
            Check::Ask(_) => panic!("it asks twice"),
        }
    }

    /// Who it was that passed.
    pub(crate) fn subject(&self) -> &str {
        assert_eq!(self.status, 0, "{self:?}");
        self.identity
            .as_ref()
            .map_or("", |identity| &identity.subject)
    }

    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.split("\r\n").filter_map(move |line| {
            let (own, value) = line.split_once(": ")?;
            (own == name).then_some(value)
        })
    }

    pub(crate) fn location(&self) -> &str {
        self.header("location")
            .unwrap_or_else(|| panic!("no location: {self:?}"))
    }
}

/// A route with its methods, as one worker knows it.
pub(crate) struct House {
    runtime: Runtime,
    pub(crate) auth: Auth,
    pub(crate) route: Arc<Authenticator>,
    pub(crate) logins: Logins,
    cache: RefCell<Cache>,
    /// In seconds since 1970.
    clock: RefCell<u64>,
    pub(crate) events: Arc<Mutex<Vec<Event>>>,
}

impl House {
    /// A route with these methods, in the words of the config: a list.
    pub(crate) fn new(auth: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let events = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&events);
        let made = Auth::new(runtime.handle(), Client::default(), move |event| {
            told.lock().expect("events").push(event);
        });
        let route = route(&made, auth);
        let logins = made.logins([&route]);
        Self {
            runtime,
            auth: made,
            route,
            logins,
            cache: RefCell::new(Cache::default()),
            clock: RefCell::new(unix_now()),
            events,
        }
    }

    /// What time it is on this side: the clock stands still but for [`House::sleep`].
    pub(crate) fn now(&self) -> u64 {
        *self.clock.borrow()
    }

    /// Lets time pass, for this side.
    pub(crate) fn sleep(&self, seconds: u64) {
        *self.clock.borrow_mut() += seconds;
    }

    /// Lets the control runtime come to the end of what it is at: it has one thread.
    pub(crate) fn turn(&self) {
        let nothing = self.runtime.spawn(async {});
        self.runtime.block_on(nothing).expect("no panic");
    }

    /// A request on its way through logins and the route.
    pub(crate) fn ask(&self, request: &Ask) -> Outcome {
        let now = self.now();
        let mut waited = false;
        let owned = self.logins.owns(request.path());
        let mut check = if owned {
            self.logins.check(request, now)
        } else {
            self.route.check(request, &mut self.cache.borrow_mut(), now)
        };
        loop {
            match check {
                Check::Ask(question) => {
                    waited = true;
                    let answered = self.runtime.block_on(question.answered());
                    check = if owned {
                        self.logins.resume(answered)
                    } else {
                        let cache = &mut self.cache.borrow_mut();
                        self.route.resume(request, answered, cache, now)
                    };
                }
                decided => return Outcome::of(decided, waited),
            }
        }
    }

    /// Many of the same at once. Returns what became of each.
    pub(crate) fn ask_at_once(&self, request: &Ask, count: usize) -> Vec<Outcome> {
        let now = self.now();
        let checks: Vec<Check> = (0..count)
            .map(|_| self.route.check(request, &mut Cache::default(), now))
            .collect();
        checks
            .into_iter()
            .map(|check| {
                let (check, waited) = match check {
                    Check::Ask(question) => {
                        let answered = self.runtime.block_on(question.answered());
                        let cache = &mut Cache::default();
                        (self.route.resume(request, answered, cache, now), true)
                    }
                    check => (check, false),
                };
                Outcome::of(check, waited)
            })
            .collect()
    }

    /// What a reload makes of the route: other words, and the same memory.
    pub(crate) fn recompile(&mut self, auth: &str) {
        self.route = route(&self.auth, auth);
        self.logins = self.auth.logins([&self.route]);
    }

    /// Forgets what the worker has verified.
    pub(crate) fn forget(&self) {
        *self.cache.borrow_mut() = Cache::default();
    }
}

/// What time it really is, in seconds since 1970.
pub(crate) fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

/// Compiles a route, whose methods count as those of the policy `login`.
pub(crate) fn route(auth: &Auth, text: &str) -> Arc<Authenticator> {
    let mut cx = Cx::from_text("test.yaml", text, &|_| None);
    let items: Option<Vec<AuthItem>> = cx.decode();
    let loaded = cx
        .finish(items)
        .unwrap_or_else(|problems| panic!("{problems}"));
    let mut anonymous = false;
    let mut methods = Vec::new();
    for item in loaded.value {
        match item {
            AuthItem::Anonymous => anonymous = true,
            AuthItem::Policy(name) => panic!("{name}: there are no policies"),
            AuthItem::Inline(method) => {
                let Spanned { value, span } = *method;
                methods.push(NamedMethod {
                    policy: "login".into(),
                    config: value,
                    span,
                });
            }
        }
    }
    let mut cx = Cx::new(loaded.sources);
    let require = RequireConfig {
        scopes: Vec::new(),
        claims: weir_config::Map::default(),
    };
    let route = auth.authenticator(&methods, anonymous, &[require], &mut cx);
    cx.finish(route)
        .unwrap_or_else(|problems| panic!("{problems}"))
        .value
}
