//! What outlives a config: methods, the files and URLs that their keys come from, and the place where questions are answered.
//!
//! Everything is held here weakly, and strongly by the [`Authenticator`]s that use it. So a config that is given up takes with
//! it what only it needed, whether it was in use or only tried, and nobody has to tidy up. Only what must not be forgotten
//! with a method, that sessions have ended, is kept until it does not matter any more.

mod event;
mod watch;

use std::collections::HashMap;
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

pub use self::event::Event;
pub(crate) use self::event::Events;

use tokio::runtime::Handle;
use weir_client::{Client, Roots, Url};
use weir_config::{Cx, FilePath, Span, Spanned};

use crate::api_key::{ApiKeys, KeyFile, KeyTable, Keys, KeysConfig};
use crate::ask::Asker;
use crate::authenticator::{Authenticator, HiddenPlaces, Require};
use crate::basic::Basic;
use crate::config::{MethodConfig, RequireConfig};
use crate::introspection::Introspection;
use crate::jwt::{JwksConfig, Jwt, JwtConfig, Key, KeySet, KeySource};
use crate::method::{Kind, Method};
use crate::oidc::{Logins, Memories, Oidc};

/// All authentication of a process. Clones are the same.
#[derive(Clone, Debug)]
pub struct Auth(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asker: Asker,
    client: Client,
    events: Events,
    next_id: AtomicU64,
    live: Mutex<Live>,
}

/// What is in use.
#[derive(Debug, Default)]
struct Live {
    methods: Vec<LiveMethod>,
    key_files: HashMap<PathBuf, Weak<KeyFile>>,
    jwks_files: HashMap<PathBuf, Weak<KeySource>>,
    /// By URL, and by the file of authorities that its server must come from.
    jwks_urls: HashMap<(Url, Option<PathBuf>), Weak<KeySource>>,
    /// What must not be forgotten with the method that it comes from.
    memories: Memories,
}

#[derive(Debug)]
struct LiveMethod {
    policy: Arc<str>,
    config: MethodConfig,
    method: Weak<Method>,
}

/// A method and the policy that it comes from.
#[derive(Clone, Debug)]
pub struct NamedMethod {
    /// The name of the policy; empty for a method that stands in a route.
    pub policy: Arc<str>,
    /// The method.
    pub config: MethodConfig,
    /// Where it stands.
    pub span: Span,
}

impl Auth {
    /// Authentication that asks, fetches and watches on this runtime, and tells what happens there.
    pub fn new(
        control: &Handle,
        client: Client,
        events: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        let auth = Self::build(Some(control.clone()), client, Events::new(events));
        control.spawn(watch::watch_files(Arc::downgrade(&auth.0)));
        auth
    }

    /// Authentication that only looks at a config: files are read, nothing is fetched, and nobody is asked.
    pub fn offline() -> Self {
        Self::build(None, Client::default(), Events::nobody())
    }

    fn build(control: Option<Handle>, client: Client, events: Events) -> Self {
        Self(Arc::new(Inner {
            asker: Asker::new(control),
            client,
            events,
            next_id: AtomicU64::new(1),
            live: Mutex::default(),
        }))
    }

    /// What checks the requests of a route: any one of these methods suffices, or none is needed if `anonymous`. `None` after
    /// problems were reported.
    pub fn authenticator(
        &self,
        methods: &[NamedMethod],
        anonymous: bool,
        require: &[RequireConfig],
        cx: &mut Cx,
    ) -> Option<Arc<Authenticator>> {
        let compiled: Vec<Option<Arc<Method>>> =
            methods.iter().map(|named| self.method(named, cx)).collect();
        let methods: Vec<Arc<Method>> = compiled.into_iter().collect::<Option<_>>()?;
        let scopes = require.iter().flat_map(|require| &require.scopes);
        let scopes: Vec<Box<str>> = scopes.map(|s| s.as_str().into()).collect();
        Some(Arc::new(Authenticator {
            hidden: HiddenPlaces::new(&methods),
            methods,
            anonymous,
            require: Require {
                scope_text: scopes.join(" "),
                scopes,
                claims: (require.iter())
                    .flat_map(|require| crate::config::wanted(&require.claims))
                    .collect(),
            },
            asker: self.0.asker.clone(),
        }))
    }

    /// The logins of a config: their paths are answered on every host, whatever its routes say.
    pub fn logins<'a>(
        &self,
        authenticators: impl IntoIterator<Item = &'a Arc<Authenticator>>,
    ) -> Logins {
        let mut methods: Vec<Arc<Method>> = Vec::new();
        for method in authenticators.into_iter().flat_map(|auth| &auth.methods) {
            let known = methods.iter().any(|known| known.id == method.id);
            if matches!(method.kind, Kind::Oidc(_)) && !known {
                methods.push(Arc::clone(method));
            }
        }
        Logins::new(methods, self.0.asker.clone())
    }

    fn method(&self, named: &NamedMethod, cx: &mut Cx) -> Option<Arc<Method>> {
        let live = self.live();
        let same = live
            .methods
            .iter()
            .find(|live| live.policy == named.policy && live.config == named.config);
        if let Some(method) = same.and_then(|live| live.method.upgrade()) {
            return Some(method);
        }
        drop(live);
        let kind = self.kind(named, cx)?;
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        let method = Arc::new(Method::new(id, kind));
        let mut live = self.live();
        live.methods.retain(|live| live.method.strong_count() > 0);
        live.methods.push(LiveMethod {
            policy: Arc::clone(&named.policy),
            config: named.config.clone(),
            method: Arc::downgrade(&method),
        });
        Some(method)
    }

    fn kind(&self, named: &NamedMethod, cx: &mut Cx) -> Option<Kind> {
        let policy = Arc::clone(&named.policy);
        let events = self.0.events.clone();
        match &named.config {
            MethodConfig::ApiKey(config) => {
                let keys = self.keys(&config.keys, cx)?;
                Some(Kind::ApiKey(ApiKeys::new(config, keys, policy, events)))
            }
            MethodConfig::Basic(config) => match Basic::new(config, policy, events) {
                Ok(basic) => Some(Kind::Basic(basic)),
                Err((span, fault)) => {
                    cx.error(span, fault.detail);
                    None
                }
            },
            MethodConfig::Introspection(config) => {
                let client = self.client(config.ca.as_ref(), cx)?;
                match Introspection::new(config, policy, client, events) {
                    Ok(introspection) => Some(Kind::Introspection(introspection)),
                    Err(_) => {
                        cx.error(named.span, "the system gives no random numbers");
                        None
                    }
                }
            }
            MethodConfig::Oidc(config) => {
                let client = self.client(config.ca.as_ref(), cx)?;
                let control = self.0.asker.control().cloned();
                let memory = |cookie: &str| {
                    let name = [config.issuer.as_str(), &config.client_id, cookie];
                    self.live().memories.find(name.map(Box::from), unix_now())
                };
                let oidc = Oidc::new(config, policy, client, events, control, memory);
                if oidc.is_none() {
                    cx.error(
                        config.session_secrets.span,
                        "sessions cannot be sealed with this",
                    );
                }
                oidc.map(Kind::Oidc)
            }
            MethodConfig::Jwt(config) => {
                let source = self.key_source(config, cx)?;
                Some(Kind::Jwt(Jwt::new(config, source, policy, events)))
            }
        }
    }

    fn keys(&self, keys: &Spanned<KeysConfig>, cx: &mut Cx) -> Option<Keys> {
        match &keys.value {
            KeysConfig::List(entries) => {
                match KeyTable::new(entries.iter().map(|entry| &entry.value)) {
                    Ok(table) => Some(Keys::Here(table)),
                    Err(twins) => {
                        cx.error(entries[twins.at].span, twins.what);
                        None
                    }
                }
            }
            KeysConfig::File(path) => {
                let mut live = self.live();
                let file = shared(&mut live.key_files, &path.path().to_owned(), || {
                    KeyFile::open(path.path()).map(Arc::new)
                });
                match file {
                    Ok(file) => Some(Keys::File(file)),
                    Err(problems) => {
                        let name = path.path().display();
                        let first = problems.iter().next();
                        let why = first.map_or("", |first| &first.message);
                        let message = format!("the keys of `{name}` cannot be used: {why}");
                        cx.error(keys.span, message).help(problems.to_string());
                        None
                    }
                }
            }
        }
    }

    fn key_source(&self, config: &JwtConfig, cx: &mut Cx) -> Option<Arc<KeySource>> {
        if let Some(secret) = &config.secret {
            let key = Key::secret(secret.value.expose().as_bytes(), &config.algorithms());
            let Some(key) = key else {
                cx.error(secret.span, "this secret is too short");
                return None;
            };
            return Some(Arc::new(KeySource::fixed(KeySet::one(key))));
        }
        let jwks = config.jwks.as_ref()?;
        match &jwks.value {
            JwksConfig::Url(url) => {
                let client = self.client(config.ca.as_ref(), cx)?;
                let ca = config.ca.as_ref().map(|ca| ca.value.path().to_owned());
                Some(self.url_keys((url.clone(), ca), client))
            }
            JwksConfig::File(path) => {
                let mut live = self.live();
                let source = shared(&mut live.jwks_files, &path.path().to_owned(), || {
                    KeySource::file(path.path()).map(Arc::new)
                });
                match source {
                    Ok(source) => Some(source),
                    Err(problem) => {
                        let name = path.path().display();
                        let message = format!("the keys of `{name}` cannot be used: {problem}");
                        cx.error(jwks.span, message);
                        None
                    }
                }
            }
        }
    }

    fn url_keys(&self, name: (Url, Option<PathBuf>), client: Client) -> Arc<KeySource> {
        let make = || -> Result<Arc<KeySource>, std::convert::Infallible> {
            Ok(match self.0.asker.control() {
                None => Arc::new(KeySource::unfetched()),
                Some(control) => {
                    KeySource::url(name.0.clone(), client, self.0.events.clone(), control)
                }
            })
        };
        match shared(&mut self.live().jwks_urls, &name, make) {
            Ok(source) => source,
            Err(never) => match never {},
        }
    }

    /// What asks servers that these authorities vouch for, or else those that the system trusts.
    fn client(&self, ca: Option<&Spanned<FilePath>>, cx: &mut Cx) -> Option<Client> {
        let Some(ca) = ca else {
            return Some(self.0.client.clone());
        };
        let path = ca.value.path();
        let roots = crate::file::check(path)
            .map_err(|error| format!("cannot use `{}`: {error}", path.display()))
            .and_then(|()| Roots::from_file(path).map_err(|error| error.to_string()));
        match roots {
            Ok(roots) => Some(Client::new(roots)),
            Err(error) => {
                cx.error(ca.span, error);
                None
            }
        }
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// What is in use under this name, or else a new one.
fn shared<K: Clone + Eq + Hash, T, E>(
    live: &mut HashMap<K, Weak<T>>,
    name: &K,
    make: impl FnOnce() -> Result<Arc<T>, E>,
) -> Result<Arc<T>, E> {
    if let Some(found) = live.get(name).and_then(Weak::upgrade) {
        return Ok(found);
    }
    let new = make()?;
    live.retain(|_, old| old.strong_count() > 0);
    live.insert(name.clone(), Arc::downgrade(&new));
    Ok(new)
}

#[cfg(test)]
mod tests;
