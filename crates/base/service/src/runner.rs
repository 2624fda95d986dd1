//! The tasks that keep one service's endpoints up to date, on the control runtime.
//!
//! One task per entry that has to be found watches where its endpoints are, one task per endpoint checks its health, one
//! looks at what workers noticed. They belong to the [`Runner`] and end with it; the [`Service`] itself has no tasks, so requests that still use a service which a reload replaced keep
//! nothing running.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::discovery::{Known, Problem, Step, Watcher};
use crate::endpoint::{Endpoint, EndpointId};
use crate::event::Event;
use crate::health::{HealthSpec, Probe};
use crate::keeper::keep;
use crate::rng::Rng;
use crate::service::Service;
use crate::services::Options;
use crate::spec::{ServiceSpec, Target};

/// A task that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AbortOnDrop(JoinHandle<()>);

impl AbortOnDrop {
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What all tasks need.
pub(crate) struct Context {
    pub(crate) options: Options,
    /// Bounds the checks that run at once.
    pub(crate) permits: tokio::sync::Semaphore,
}

/// A service with its tasks.
pub(crate) struct Runner {
    pub(crate) service: Arc<Service>,
    pub(crate) spec: ServiceSpec,
    probe: Option<(Arc<Probe>, HealthSpec)>,
    context: Arc<Context>,
    started: AtomicBool,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    /// Those that have not started, by the index of their entry.
    watchers: Vec<(usize, Watcher)>,
    /// What those that have started know.
    known: HashMap<usize, Known>,
    checks: HashMap<EndpointId, AbortOnDrop>,
    others: Vec<AbortOnDrop>,
}

impl Runner {
    pub(crate) fn new(
        service: Arc<Service>,
        spec: ServiceSpec,
        probe: Option<Probe>,
        watchers: Vec<(usize, Watcher)>,
        context: Arc<Context>,
    ) -> Arc<Self> {
        let probe = probe.map(Arc::new).zip(spec.health.clone());
        let tasks = Mutex::new(Tasks {
            watchers,
            ..Tasks::default()
        });
        Arc::new(Self {
            service,
            spec,
            probe,
            context,
            started: AtomicBool::new(false),
            tasks,
        })
    }

    /// Starts the tasks, once. `forget_checks`: what earlier checks said was about another question.
    pub(crate) fn start(self: &Arc<Self>, forget_checks: bool) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        if forget_checks {
            for member in self.service.endpoints().all() {
                member.endpoint.forget_checks();
            }
        }
        // The service was built a while ago; health may have changed since.
        self.service.republish((self.context.options.clock)());
        self.sync_checks();
        let mut tasks = self.tasks();
        for (index, watcher) in std::mem::take(&mut tasks.watchers) {
            tasks.known.insert(index, watcher.known());
            let watch = watch_source(Arc::downgrade(self), index, watcher);
            tasks.others.push(AbortOnDrop::spawn(watch));
        }
        let keep = keep(Arc::clone(&self.context), Arc::clone(&self.service));
        tasks.others.push(AbortOnDrop::spawn(keep));
    }

    /// What is known of the entry for `target`.
    pub(crate) fn known(&self, target: &Target) -> Option<Known> {
        let index = self
            .spec
            .endpoints
            .iter()
            .position(|entry| entry.target.is_same_source(target))?;
        let tasks = self.tasks();
        let waiting = || tasks.watchers.iter().find(|(at, _)| *at == index);
        tasks
            .known
            .get(&index)
            .cloned()
            .or_else(|| Some(waiting()?.1.known()))
    }

    /// Puts what was found into use.
    fn found(&self, index: usize, watcher: &Watcher, step: Step) {
        let service = || Arc::clone(self.service.name());
        let source = || Arc::clone(watcher.source());
        for problem in step.problems {
            (self.context.options.events)(match problem {
                Problem::Name(failure) => Event::ResolveFailed {
                    service: service(),
                    host: failure.host,
                    error: failure.error,
                    failures: failure.failures,
                },
                Problem::Source { error, failures } => Event::SourceFailed {
                    service: service(),
                    source: source(),
                    error,
                    failures,
                },
            });
        }
        let Some(found) = step.found else {
            return;
        };
        let change = self
            .service
            .set_found(index, &found, (self.context.options.clock)());
        self.tasks().known.insert(index, watcher.known());
        self.sync_checks();
        (self.context.options.events)(Event::EndpointsChanged {
            service: service(),
            source: source(),
            added: change.added,
            removed: change.removed,
            total: self.service.endpoints().all().len(),
        });
    }

    /// Starts checks of endpoints that came, ends those of endpoints that went.
    fn sync_checks(&self) {
        let Some((probe, spec)) = &self.probe else {
            return;
        };
        // The lock first: whoever comes second must see the newer set.
        let mut tasks = self.tasks();
        let set = self.service.endpoints();
        let wanted: HashSet<EndpointId> = set.all().iter().map(|m| m.endpoint.id()).collect();
        tasks.checks.retain(|id, _| wanted.contains(id));
        for member in set.all() {
            tasks.checks.entry(member.endpoint.id()).or_insert_with(|| {
                let (service, endpoint) = (Arc::clone(&self.service), Arc::clone(&member.endpoint));
                let (context, probe) = (Arc::clone(&self.context), Arc::clone(probe));
                AbortOnDrop::spawn(watch_health(
                    context,
                    service,
                    endpoint,
                    probe,
                    spec.clone(),
                ))
            });
        }
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch_source(runner: Weak<Runner>, index: usize, mut watcher: Watcher) {
    loop {
        let step = watcher.next().await;
        let Some(runner) = runner.upgrade() else {
            return;
        };
        runner.found(index, &watcher, step);
    }
}

async fn watch_health(
    context: Arc<Context>,
    service: Arc<Service>,
    endpoint: Arc<Endpoint>,
    probe: Arc<Probe>,
    spec: HealthSpec,
) {
    let mut rng = Rng::new(context.options.seed ^ endpoint.id().as_u64());
    loop {
        let result = {
            // The semaphore is never closed; a permit that could not be had would only mean one check more at once.
            let _permit = context.permits.acquire().await;
            probe.run(endpoint.address(), endpoint.label()).await
        };
        let ok = result.is_ok();
        let changed = service.checked(
            &endpoint,
            spec.thresholds(),
            result.as_ref().copied().map_err(String::as_str),
            (context.options.clock)(),
        );
        (context.options.events)(Event::Checked {
            service: Arc::clone(service.name()),
            endpoint: Arc::clone(&endpoint),
            ok,
        });
        changed.into_iter().for_each(&*context.options.events);
        sleep(rng.jitter(spec.interval, 10)).await;
    }
}
