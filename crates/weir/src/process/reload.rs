//! Another config, while everything runs.

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use weir_admin::{LastReload, Refused, Reloaded};
use weir_config::{Cx, Diagnostics, OrAuto, OrOff, Span, fingerprint, is_settled};
use weir_http::{Local, Plan};
use weir_telemetry::Value;

use super::{
    RELOAD_WAIT,
    compile::{compile_plan, failed, load, specs},
    sockets,
    state::{State, connection_limits, join, listen_admin},
};
use crate::config::Config;

/// How the answer to a reload begins that had nothing to do.
pub(crate) const UNCHANGED: &str = "nothing has changed";
/// How often files are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How long the workers may take to go over to a plan: they do so between two steps of requests.
const ADOPT: Duration = Duration::from_secs(5);

impl State {
    /// Reads the config again and goes over to it, or changes nothing. `cause` is for the log.
    pub(super) async fn reload(self: &Arc<Self>, cause: &'static str) -> Result<Reloaded, Refused> {
        let _one_at_a_time = self.reloading.lock().await;
        self.reload_now(cause).await
    }

    /// As [`reload`](Self::reload), but for somebody who has probably just saved a file: if that was noticed and the file
    /// read before they came to ask, there is nothing left to do.
    pub(super) async fn reload_if_changed(
        self: &Arc<Self>,
        cause: &'static str,
    ) -> Result<Reloaded, Refused> {
        let _one_at_a_time = self.reloading.lock().await;
        match self.unchanged().await {
            Some(as_it_is) => Ok(as_it_is),
            None => self.reload_now(cause).await,
        }
    }

    /// What serves, if a reload would find nothing else. After one that was refused there is always something to say.
    async fn unchanged(&self) -> Option<Reloaded> {
        {
            let current = self.current();
            let refused = matches!(&current.last_reload, Some((_, last)) if !last.ok);
            if refused || current.seen.is_none() || self.is_draining() {
                return None;
            }
        }
        if self.changed().await.is_some() {
            return None;
        }
        // Two writes within a tick of the file system's clock may look like one.
        let source = self.source.clone();
        let loaded = blocking(move || load(&source)).await.ok()?.ok()?;
        let current = self.current();
        if loaded.value != *current.config {
            return None;
        }
        let read = current
            .last_reload
            .as_ref()
            .map_or(self.began, |last| last.0);
        let ago = weir_config::Duration::from_secs(read.elapsed().as_secs().max(1));
        Some(Reloaded {
            generation: current.generation,
            message: format!(
                "{UNCHANGED} since the config was read {ago} ago; {}",
                summary(&current.plan, &current.config)
            ),
            warnings: loaded.warnings,
        })
    }

    /// Reloads, unless somebody else has done so meanwhile.
    async fn reload_changed(self: &Arc<Self>) {
        let _one_at_a_time = self.reloading.lock().await;
        if self.changed().await.is_some() {
            let _ = self.reload_now("file changed").await;
        }
    }

    async fn reload_now(self: &Arc<Self>, cause: &'static str) -> Result<Reloaded, Refused> {
        let began = Instant::now();
        // Looked at before they are read: what changes from here on is another change.
        let paths = self.current().sources.paths().to_vec();
        let since = SystemTime::now();
        let seen = look(paths.clone()).await;
        let result = self.try_reload().await;
        let named = self.current().sources.paths().to_vec();
        let seen = if named == paths {
            seen
        } else {
            look_at_more(named, paths, seen, since).await
        };
        self.current().seen = seen;
        let took = began.elapsed();
        self.registry.count_reload(result.is_ok());
        let (ok, message) = match &result {
            Ok(reloaded) => (true, reloaded.message.clone()),
            Err(refused) => (false, refused.message.clone()),
        };
        let fields = [
            ("cause", Value::Str(cause)),
            ("took_ms", Value::Duration(took)),
            ("outcome", Value::Str(&message)),
        ];
        match &result {
            Ok(_) => self.events.info("config reloaded", &fields),
            Err(refused) => {
                let report = refused.diagnostics.to_string();
                let mut fields = fields.to_vec();
                fields.push(("problems", Value::Str(&report)));
                self.events
                    .error("config refused; the old one stays", &fields);
            }
        }
        self.current().last_reload = Some((
            Instant::now(),
            LastReload {
                ago: Duration::ZERO,
                ok,
                message,
            },
        ));
        result
    }

    async fn try_reload(self: &Arc<Self>) -> Result<Reloaded, Refused> {
        if self.is_draining() {
            return Err(refused_because("Weir is about to stop"));
        }
        let source = self.source.clone();
        let loaded = blocking(move || load(&source)).await?.map_err(refused)?;
        let (config, sources) = (Arc::new(loaded.value), loaded.sources);
        // An editor or a copy empties a file before it writes it. That must not become a plan that serves nothing.
        if config.routes.is_empty() && !self.current().config.routes.is_empty() {
            return Err(refused_because(
                "the new config has no routes; to serve none, restart",
            ));
        }
        let prepared = self
            .services
            .prepare(specs(&config), RELOAD_WAIT)
            .await
            .map_err(|problems| refused_because(&join(&problems)))?;
        let mut guarded = self.guards.prepare(&config, &sources).map_err(refused)?;
        self.guards.connect().await;
        let (plan, guarded) = {
            let (config, services, registry) = (
                Arc::clone(&config),
                prepared.services(),
                self.registry.clone(),
            );
            let guards = Arc::clone(&self.guards);
            blocking(move || {
                compile_plan(
                    &config,
                    sources,
                    &services,
                    &registry,
                    &guards,
                    &mut guarded,
                )
                .map(|plan| (plan, guarded))
            })
            .await?
            .map_err(refused)?
        };
        let (plan, sources) = (Arc::new(plan.value), plan.sources);
        let (old, bound) = {
            let current = self.current();
            (Arc::clone(&current.config), current.bound.clone())
        };
        let changes =
            sockets::prepare(&config, &sources, &bound, self.worker_count).map_err(refused)?;
        let new_admin = if !admin_changed(&old, &config) {
            None
        } else if admin_stays(&old, &config) {
            Some(self.same_admin_socket())
        } else {
            Some(listen_admin(&config, &sources).map_err(refused)?)
        };
        let sink = self
            .with_logs(|logs| logs.prepare(&config))
            .transpose()
            .map_err(|error| refused_because(&format!("cannot open the access log: {error}")))?
            .flatten();
        let workers = self
            .workers()
            .ok_or_else(|| refused_because("Weir is about to stop"))?;

        // Nothing below can fail.
        self.services.commit(prepared);
        self.guards.commit(guarded);
        let (adopted, mut adoptions) = tokio::sync::mpsc::channel(self.worker_count);
        let adopt = {
            let plan = Arc::clone(&plan);
            move |local: &std::rc::Rc<Local>| {
                local.publish(&plan);
                let _ = adopted.try_send(());
            }
        };
        workers.apply(adopt).await;
        let everyone = async {
            for _ in 0..self.worker_count {
                adoptions.recv().await;
            }
        };
        let _ = tokio::time::timeout(ADOPT, everyone).await;
        self.gate.set_limits(connection_limits(&config));
        if old.limits.connections != config.limits.connections {
            self.say_limits(&config);
        }
        let (opened, closed) = (changes.opened.len(), changes.closed.len());
        let mut bound = bound;
        for (key, listener) in changes.opened {
            // Its old spelling, if that is all that changed.
            bound.retain(|_, address| *address != listener.address);
            bound.insert(Arc::clone(&key), listener.address);
            workers.listen(&key, listener).await;
        }
        for (key, address) in changes.closed {
            bound.remove(&key);
            workers.close(address).await;
        }
        self.with_logs(|logs| logs.commit(&config, sink));
        let mut message = summary(&plan, &config);
        let generation = {
            let mut current = self.current();
            current.generation += 1;
            current.config = Arc::clone(&config);
            current.sources = sources;
            let retired = std::mem::replace(&mut current.plan, plan);
            current.retired.push(retired);
            current.bound = bound;
            current.generation
        };
        self.registry.set_generation(generation);
        let guards = Arc::clone(&self.guards);
        let _ = blocking(move || guards.settle()).await;
        if let Some(listener) = new_admin {
            self.replace_admin(listener);
        }
        if opened + closed > 0 {
            let opened = counted(opened, "listener");
            message.push_str(&format!(", {opened} opened, {closed} closed"));
        }
        if worker_setting(&old) != worker_setting(&config) {
            message.push_str("; a change of `workers` needs a restart");
        }
        Ok(Reloaded {
            generation,
            message,
            warnings: loaded.warnings,
        })
    }
}

/// Reloads when a file that the config was read from changes, and has then been still for a moment.
pub(super) async fn watch(state: Arc<State>) {
    if state.current().sources.paths().is_empty() {
        return;
    }
    loop {
        tokio::time::sleep(WATCH).await;
        let Some(mut now) = state.changed().await else {
            continue;
        };
        // An editor may be in the middle of writing.
        let settled = loop {
            tokio::time::sleep(WATCH / 4).await;
            match state.changed().await {
                None => break false,
                Some(again) if again == now => break true,
                Some(again) => now = again,
            }
        };
        if settled {
            state.reload_changed().await;
        }
    }
}

impl State {
    /// What the files look like, if that is not how the last reload saw them.
    async fn changed(&self) -> Option<u64> {
        let (paths, seen) = {
            let current = self.current();
            (current.sources.paths().to_vec(), current.seen)
        };
        look(paths).await.filter(|now| Some(*now) != seen)
    }
}

/// What the files look like that a config names which was read since a moment, if all are as they were when it was read;
/// otherwise it must be read once more. Some it may name for the first time: `before` are those that looked like `seen` before.
async fn look_at_more(
    named: Vec<PathBuf>,
    before: Vec<PathBuf>,
    seen: Option<u64>,
    since: SystemTime,
) -> Option<u64> {
    let now = look(named.clone()).await?;
    let new: Vec<PathBuf> = named
        .into_iter()
        .filter(|path| !before.contains(path))
        .collect();
    let same = look(before).await == seen;
    let settled = blocking(move || new.iter().all(|path| is_settled(path, since)));
    (same && settled.await.ok()?).then_some(now)
}

/// What the files look like now.
pub(super) async fn look(paths: Vec<PathBuf>) -> Option<u64> {
    blocking(move || fingerprint(paths.iter().map(PathBuf::as_path)))
        .await
        .ok()
}

/// What a config has, in a sentence.
fn summary(plan: &Plan, config: &Config) -> String {
    let routes = counted(plan.routes(), "route");
    format!("{routes}, {}", counted(config.services.len(), "service"))
}

fn counted(count: usize, thing: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {thing}{plural}")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| refused_because("the work was interrupted"))
}

fn refused(diagnostics: Diagnostics) -> Refused {
    Refused {
        message: "the config has problems; nothing was changed".to_owned(),
        diagnostics,
    }
}

fn refused_because(why: &str) -> Refused {
    let mut cx = Cx::default();
    cx.error(Span::NONE, why);
    Refused {
        message: why.to_owned(),
        diagnostics: failed(cx),
    }
}

fn admin_changed(old: &Config, new: &Config) -> bool {
    match (&old.admin, &new.admin) {
        (OrOff::On(old), OrOff::On(new)) => old.address != new.address || old.token != new.token,
        (OrOff::Off, OrOff::Off) => false,
        _ => true,
    }
}

/// Whether only the token is another.
fn admin_stays(old: &Config, new: &Config) -> bool {
    match (&old.admin, &new.admin) {
        (OrOff::On(old), OrOff::On(new)) => old.address == new.address,
        _ => false,
    }
}

fn worker_setting(config: &Config) -> Option<usize> {
    match config.workers {
        OrAuto::Auto => None,
        OrAuto::Set(count) => Some(count.as_usize()),
    }
}
