//! What the guard keeps over reloads: counts, stores, lists, keys.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use weir_admin::EngineStatus;
use weir_auth::Auth;
use weir_client::Client;
use weir_config::{Cx, Diagnostics, Sources, Span};
use weir_firewall::{FileEvent, Firewalls};
use weir_limit::{
    Limiters, Prepared, Seed,
    store::{Engines, Store},
};
use weir_telemetry::{EngineSample, Events, GuardSample, LimitSample, Value};

use super::compile::failed;
use crate::config::Config;

/// What policies are compiled onto.
#[derive(Debug)]
pub(super) struct Guards {
    limits: Limiters,
    engines: Engines,
    pub(super) firewalls: Firewalls,
    pub(super) auth: Auth,
}

/// What a config needs of it that does not run yet.
#[derive(Debug)]
pub(super) struct PreparedGuard {
    pub(super) limits: Prepared,
    pub(super) stores: HashMap<String, Store>,
}

impl Guards {
    /// Guards that serve. To be called on the control runtime, where they ask and fetch.
    pub(super) fn new(events: &Events, seed: u128) -> Self {
        let (files, keys) = (events.clone(), events.clone());
        Self {
            limits: Limiters::new(Seed::new(seed)),
            engines: Engines::new(),
            firewalls: Firewalls::new(move |event| tell_file(&files, &event)),
            auth: Auth::new(
                &tokio::runtime::Handle::current(),
                Client::default(),
                move |event| tell_auth(&keys, &event),
            ),
        }
    }

    /// Guards for a look at a config: nothing is watched, fetched or asked.
    pub(super) fn offline() -> Self {
        Self {
            limits: Limiters::new(Seed::new(0)),
            engines: Engines::new(),
            firewalls: Firewalls::unwatched(),
            auth: Auth::offline(),
        }
    }

    /// What a config needs, with stores that connect.
    pub(super) fn prepare(
        &self,
        config: &Config,
        sources: &Sources,
    ) -> Result<PreparedGuard, Diagnostics> {
        let mut stores = HashMap::new();
        for (name, engine) in &config.engines {
            let store = self.engines.prepare(name.value.as_str(), engine);
            let store = store.map_err(|error| {
                let mut cx = Cx::new(sources.clone());
                cx.error(
                    Span::NONE,
                    format!("cannot start the engine `{}`: {error}", name.value),
                );
                failed(cx)
            })?;
            stores.insert(name.value.as_str().to_owned(), store);
        }
        Ok(PreparedGuard {
            limits: self.limits.prepare(),
            stores,
        })
    }

    /// The same without stores.
    pub(super) fn prepare_offline(&self) -> PreparedGuard {
        PreparedGuard {
            limits: self.limits.prepare(),
            stores: HashMap::new(),
        }
    }

    /// From now on, what was prepared runs.
    pub(super) fn commit(&self, prepared: PreparedGuard) {
        self.limits.commit(prepared.limits);
        self.engines
            .retain(|name| prepared.stores.contains_key(name));
    }

    /// Tidies up after a commit. May take a fraction of a second.
    pub(super) fn settle(&self) {
        self.limits.settle();
    }

    /// Gives stores a moment to connect, so that the first requests need not do without.
    pub(super) async fn connect(&self) {
        const MOMENT: Duration = Duration::from_millis(250);
        for (_, store) in self.engines.all() {
            store.ready(MOMENT).await;
        }
    }

    /// Tells the event log which servers of engines have come to fail, and why, or to answer again, since the last call.
    /// `told` is what it was told of: a line for each server that fails and each of its first causes.
    pub(super) fn tell_engines(&self, events: &Events, told: &mut HashSet<String>) {
        /// Causes follow each other: a connection breaks, and then the certificate has expired. But they may come and go.
        const MOST_CAUSES: usize = 4;
        let mut before = std::mem::take(told);
        for (name, store) in self.engines.all() {
            for server in store.stats().servers {
                let key = format!("{name} {}\n", server.address);
                let mut causes: HashSet<String> =
                    before.extract_if(|cause| cause.starts_with(&key)).collect();
                let fields = [
                    ("engine", Value::Str(&name)),
                    ("server", Value::Str(&server.address)),
                    ("error", Value::Str(&server.why)),
                ];
                if server.open {
                    if causes.len() < MOST_CAUSES && causes.insert(key + &server.why) {
                        events.warn("an engine cannot be asked", &fields);
                    }
                    told.extend(causes);
                } else if !causes.is_empty() {
                    events.info("an engine answers again", &fields[..2]);
                }
            }
            // Nodes leave a Cluster, and names that were to lead to it are not needed once it is known.
            let here = format!("{name} ");
            let gone = before.extract_if(|cause| cause.starts_with(&here));
            let gone = gone.filter_map(|cause| Some(cause.split_once('\n')?.0.to_owned()));
            for server in gone.collect::<HashSet<String>>() {
                let fields = [
                    ("engine", Value::Str(&name)),
                    ("server", Value::Str(&server[here.len()..])),
                ];
                events.info("an engine is not looked for there any more", &fields);
            }
        }
    }

    /// The servers of engines, and how they are.
    pub(super) fn engine_status(&self) -> Vec<EngineStatus> {
        let engines = self.engines.all().into_iter();
        engines
            .flat_map(|(name, store)| {
                let servers = store.stats().servers.into_iter();
                servers.map(move |server| EngineStatus {
                    name: name.to_string(),
                    server: server.address,
                    failing: server.open.then_some(server.why),
                })
            })
            .collect()
    }

    /// What there is now, for the metrics.
    pub(super) fn sample(&self) -> GuardSample {
        let limits = self.limits.all().into_iter().map(|limit| {
            let stats = limit.stats();
            LimitSample {
                // Limits of routes are kept apart from policies of the same name, but logs call them by the name alone.
                name: Arc::from(
                    limit
                        .name()
                        .strip_prefix("route ")
                        .unwrap_or_else(|| limit.name()),
                ),
                keys: stats.keys,
                evicted: stats.evicted,
            }
        });
        let engines = self.engines.all().into_iter().map(|(name, store)| {
            let stats = store.stats();
            // A Cluster whose nodes are not known cannot be asked either.
            let all_closed =
                !stats.servers.is_empty() && stats.servers.iter().all(|server| !server.open);
            EngineSample {
                name: name.into(),
                checks: vec![
                    ("answered", stats.answered),
                    ("timeout", stats.late),
                    ("failed", stats.lost + stats.refused),
                    ("open", stats.open),
                    ("full", stats.full),
                ],
                breaker: if all_closed { 0 } else { 2 },
            }
        });
        let lists = self.firewalls.files().into_iter();
        GuardSample {
            limits: limits.collect(),
            engines: engines.collect(),
            lists: lists
                .map(|file| (file.path.display().to_string(), file.entries as u64))
                .collect(),
        }
    }
}

fn tell_file(events: &Events, event: &FileEvent<'_>) {
    match event {
        FileEvent::Loaded { path, entries } => events.info(
            "file of the firewall read",
            &[
                ("path", Value::Str(&path.display().to_string())),
                ("entries", Value::Uint(*entries as u64)),
            ],
        ),
        FileEvent::Kept { path, error } => events.error(
            "a file of the firewall cannot be used; what it held before stays",
            &[
                ("path", Value::Str(&path.display().to_string())),
                ("error", Value::Str(error)),
            ],
        ),
    }
}

fn tell_auth(events: &Events, event: &weir_auth::Event) {
    use weir_auth::Event;
    match event {
        Event::KeysFetched { url, keys } => events.info(
            "keys of an issuer fetched",
            &[
                ("url", Value::Str(url)),
                ("keys", Value::Uint(*keys as u64)),
            ],
        ),
        Event::KeysFailed { url, error, stale } => events.warn(
            if *stale {
                "keys of an issuer cannot be fetched; older ones stay"
            } else {
                "keys of an issuer cannot be fetched"
            },
            &[("url", Value::Str(url)), ("error", Value::Str(error))],
        ),
        Event::ProviderFailed { url, error } => events.warn(
            "an OpenID provider does not answer as it should",
            &[("url", Value::Str(url)), ("error", Value::Str(error))],
        ),
        Event::IntrospectionFailed { url, error } => events.warn(
            "a server that is asked about tokens does not answer as it should",
            &[("url", Value::Str(url)), ("error", Value::Str(error))],
        ),
        Event::ClaimUntold {
            policy,
            field,
            claim,
            why,
        } => events.warn(
            "a claim cannot be told to endpoints",
            &[
                ("policy", Value::Str(policy)),
                ("field", Value::Str(field)),
                ("claim", Value::Str(claim)),
                ("why", Value::Str(why)),
            ],
        ),
        Event::FileRead { path, keys } => events.info(
            "file of keys read",
            &[
                ("path", Value::Str(&path.display().to_string())),
                ("keys", Value::Uint(*keys as u64)),
            ],
        ),
        Event::FileFailed { path, error } => events.error(
            "a file of keys cannot be used; what it held before stays",
            &[
                ("path", Value::Str(&path.display().to_string())),
                ("error", Value::Str(error)),
            ],
        ),
    }
}
