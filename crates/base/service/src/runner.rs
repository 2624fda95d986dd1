//! The tasks that keep one service's endpoints up to date, on the control runtime.
//!
//! One task per name asks for its addresses, one task per endpoint checks its health. They belong to the [`Runner`] and end
//! with it; the [`Service`] itself has no tasks, so requests that still use a service which a reload replaced keep
//! nothing running.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::dns::{Answer, Refresh, ResolveError};
use crate::endpoint::{Endpoint, EndpointId};
use crate::event::Event;
use crate::health::{HealthSpec, Probe};
use crate::rng::Rng;
use crate::service::Service;
use crate::services::Options;
use crate::spec::{ServiceSpec, Target};

/// Longest that one resolution may take.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);

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

/// What is already known about a name when its task starts.
#[derive(Debug, Default)]
pub(crate) struct Seed {
    pub(crate) refresh: Refresh,
    pub(crate) delay: Duration,
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
    seeds: HashMap<Target, Seed>,
    checks: HashMap<EndpointId, AbortOnDrop>,
    names: Vec<AbortOnDrop>,
}

impl Runner {
    pub(crate) fn new(
        service: Arc<Service>,
        spec: ServiceSpec,
        probe: Option<Probe>,
        seeds: HashMap<Target, Seed>,
        context: Arc<Context>,
    ) -> Arc<Self> {
        let probe = probe.map(Arc::new).zip(spec.health.clone());
        let tasks = Mutex::new(Tasks {
            seeds,
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
        self.service.republish();
        self.sync_checks();
        let mut tasks = self.tasks();
        for (index, endpoint) in self.spec.endpoints.iter().enumerate() {
            if let Target::Name { host, .. } = &endpoint.target {
                let seed = tasks.seeds.remove(&endpoint.target).unwrap_or_default();
                let watch = watch_name(
                    Arc::downgrade(self),
                    Arc::clone(&self.context),
                    index,
                    host.as_str().into(),
                    seed,
                );
                tasks.names.push(AbortOnDrop::spawn(watch));
            }
        }
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

/// Asks a name server within the deadline.
pub(crate) async fn resolve(context: &Context, host: &str) -> Answer {
    timeout(RESOLVE_DEADLINE, context.options.resolver.resolve(host))
        .await
        .unwrap_or_else(|_| Answer::failed(ResolveError::Timeout))
}

async fn watch_name(
    runner: Weak<Runner>,
    context: Arc<Context>,
    index: usize,
    host: Arc<str>,
    seed: Seed,
) {
    let Seed {
        mut refresh,
        mut delay,
    } = seed;
    let mut rng = Rng::new(context.options.seed ^ Arc::as_ptr(&context) as u64 ^ index as u64);
    loop {
        sleep(delay).await;
        let answer = resolve(&context, &host).await;
        let step = refresh.on_answer(answer, &context.options.refresh, &mut rng);
        delay = step.delay;
        let Some(runner) = runner.upgrade() else {
            return;
        };
        let name = || Arc::clone(runner.service.name());
        if let Some(error) = step.error {
            let (host, failures) = (Arc::clone(&host), refresh.failures());
            (context.options.events)(Event::ResolveFailed {
                service: name(),
                host,
                error,
                failures,
            });
        }
        if step.changed {
            let change = runner.service.set_addresses(index, &refresh.addresses());
            runner.sync_checks();
            (context.options.events)(Event::EndpointsChanged {
                service: name(),
                host: Arc::clone(&host),
                added: change.added,
                removed: change.removed,
                total: runner.service.endpoints().all().len(),
            });
        }
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
        let transition = endpoint.checked_as(
            spec.thresholds(),
            result.as_ref().copied().map_err(String::as_str),
            (context.options.clock)(),
        );
        let name = || Arc::clone(service.name());
        (context.options.events)(Event::Checked {
            service: name(),
            endpoint: Arc::clone(&endpoint),
            ok,
        });
        if ok {
            // It accepts connections: no reason to wait for the end of a pause after failed ones.
            endpoint.succeeded();
        }
        if let Some(transition) = transition {
            service.republish();
            (context.options.events)(Event::HealthChanged {
                service: name(),
                reason: endpoint.state().reason,
                endpoint: Arc::clone(&endpoint),
                from: transition.from,
                to: transition.to,
            });
        }
        sleep(rng.jitter(spec.interval, 10)).await;
    }
}
