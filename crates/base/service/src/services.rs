//! All services of a Weir: reload, names, health checks. Lives on the control runtime.
//!
//! A reload has two phases. [`Services::prepare`] builds what the new configuration wants beside what runs: same spec, same
//! service; changed spec, a new service that shares the endpoints which both name. The plan can then be compiled against
//! [`Prepared::services`]. [`Services::commit`] starts what is new and stops what vanished. A [`Prepared`] that
//! is dropped instead leaves no trace.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use crate::discovery::Watcher;
use crate::dns::{RefreshLimits, Resolve};
use crate::event::EventSink;
use crate::health::Probe;
use crate::runner::{Context, Runner};
use crate::service::Service;
use crate::spec::{ServiceSpec, Target};
use crate::status::ServiceStatus;

/// Milliseconds that only grow; the same clock whose readings workers pass to pickers.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What [`Services`] needs from outside.
#[derive(Clone)]
pub struct Options {
    /// The clock.
    pub clock: Clock,
    /// Where names are looked up.
    pub resolver: Arc<dyn Resolve>,
    /// Who hears what happens.
    pub events: EventSink,
    /// Most health checks that run at once, over all services.
    pub max_checks: usize,
    /// How often names are looked up.
    pub refresh: RefreshLimits,
    /// Seed of all jitter.
    pub seed: u64,
}

impl Options {
    /// 256 checks at once and the default refresh limits.
    pub fn new(clock: Clock, resolver: Arc<dyn Resolve>, events: EventSink, seed: u64) -> Self {
        Self {
            clock,
            resolver,
            events,
            max_checks: 256,
            refresh: RefreshLimits::default(),
            seed,
        }
    }
}

/// What is wrong with a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("service `{service}`: {problem}")]
pub struct SpecError {
    /// Which service.
    pub service: String,
    /// What is wrong.
    pub problem: String,
}

/// Most entries that one service may list.
const MAX_ENDPOINTS: usize = 65_536;

/// All services of a Weir.
pub struct Services {
    context: Arc<Context>,
    running: Mutex<BTreeMap<String, Arc<Runner>>>,
}

/// What [`Services::commit`] will bring about.
pub struct Prepared {
    runners: BTreeMap<String, Arc<Runner>>,
}

impl Prepared {
    /// The services by name, ready for a plan.
    pub fn services(&self) -> HashMap<String, Arc<Service>> {
        self.runners
            .iter()
            .map(|(name, runner)| (name.clone(), Arc::clone(&runner.service)))
            .collect()
    }
}

impl Services {
    /// No services yet.
    pub fn new(options: Options) -> Self {
        let permits = Semaphore::new(options.max_checks.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            context: Arc::new(Context { options, permits }),
            running: Mutex::default(),
        }
    }

    /// Builds what `specs` want, without touching what runs. All problems are reported at once.
    ///
    /// Names and registries that nothing is known about are asked, all at the same time, for at most `wait`; if that is zero,
    /// nothing is asked. Those without an answer by then begin empty (503) and get their endpoints as soon as one comes.
    /// Give a reload seconds, as the old plan serves meanwhile, and a start little. Must be called within a tokio runtime.
    pub async fn prepare(
        &self,
        specs: Vec<ServiceSpec>,
        wait: Duration,
    ) -> Result<Prepared, Vec<SpecError>> {
        let mut probes = compile(&specs)?;
        let running = self.running().clone();
        let unchanged = |spec: &ServiceSpec| {
            running
                .get(&spec.name)
                .filter(|runner| runner.spec == *spec)
        };
        let mut watchers = Vec::new();
        for spec in specs.iter().filter(|spec| unchanged(spec).is_none()) {
            let previous = running.get(&spec.name);
            for (index, entry) in spec.endpoints.iter().enumerate() {
                let known = previous.and_then(|runner| runner.known(&entry.target));
                let seed = (watchers.len() as u64) << 32 | index as u64;
                let watcher = Watcher::new(entry, known, &self.context, seed);
                watchers.extend(watcher.map(|watcher| (spec.name.clone(), index, watcher)));
            }
        }
        let mut watchers = first_answers(watchers, wait).await;

        let now_ms = (self.context.options.clock)();
        let mut runners = BTreeMap::new();
        for spec in specs {
            if let Some(runner) = unchanged(&spec) {
                runners.insert(spec.name, Arc::clone(runner));
                continue;
            }
            let watchers = watchers.remove(&spec.name).unwrap_or_default();
            let previous = running.get(&spec.name).map(|runner| &*runner.service);
            let watched = watchers
                .iter()
                .map(|(index, watcher)| (&spec.endpoints[*index].target, watcher));
            let watched: HashMap<&Target, &Watcher> = watched.collect();
            let found = |target: &Target| {
                let watcher = watched.get(target);
                watcher.map_or_else(Vec::new, |watcher| watcher.found().to_vec())
            };
            let service = Arc::new(Service::build(&spec, previous, now_ms, found));
            let probe = probes.remove(&spec.name);
            let name = spec.name.clone();
            runners.insert(
                name,
                Runner::new(service, spec, probe, watchers, Arc::clone(&self.context)),
            );
        }
        Ok(Prepared { runners })
    }

    /// Starts what is new, stops what vanished. Must be called within a tokio runtime, the one whose tasks they become.
    pub fn commit(&self, prepared: Prepared) -> HashMap<String, Arc<Service>> {
        let services = prepared.services();
        let previous = std::mem::replace(&mut *self.running(), prepared.runners.clone());
        // The old tasks end first: two must not check one endpoint.
        let checks: HashMap<String, _> = previous
            .iter()
            .map(|(name, runner)| (name.clone(), runner.spec.health.clone()))
            .collect();
        for (name, runner) in &prepared.runners {
            if let Some(before) = previous.get(name)
                && !Arc::ptr_eq(before, runner)
            {
                before.service.succeeded_by(&runner.service);
            }
        }
        drop(previous);
        for (name, runner) in &prepared.runners {
            let same_check = checks
                .get(name)
                .is_none_or(|health| *health == runner.spec.health);
            runner.start(!same_check);
        }
        services
    }

    /// [`Self::prepare`] and [`Self::commit`].
    pub async fn apply(
        &self,
        specs: Vec<ServiceSpec>,
        wait: Duration,
    ) -> Result<HashMap<String, Arc<Service>>, Vec<SpecError>> {
        Ok(self.commit(self.prepare(specs, wait).await?))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<Arc<Service>> {
        self.running()
            .get(name)
            .map(|runner| Arc::clone(&runner.service))
    }

    /// All services, by name.
    pub fn status(&self) -> Vec<ServiceStatus> {
        let now_ms = (self.context.options.clock)();
        self.running()
            .values()
            .map(|runner| runner.service.snapshot(now_ms))
            .collect()
    }

    /// Takes the endpoints of a service with this label out, or back in; says how many that changed. They finish what they
    /// have and get no new requests.
    pub fn set_draining(&self, service: &str, label: &str, draining: bool) -> usize {
        let Some(service) = self.service(service) else {
            return 0;
        };
        let now_ms = (self.context.options.clock)();
        service.set_draining(label, draining, now_ms)
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Runner>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.running().keys()).finish()
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.runners.keys()).finish()
    }
}

/// Watchers by the service that they belong to, with the index of their entry.
type Watchers = HashMap<String, Vec<(usize, Watcher)>>;

/// Asks, all at once and for at most `wait`, where nothing is known yet.
async fn first_answers(watchers: Vec<(String, usize, Watcher)>, wait: Duration) -> Watchers {
    let deadline = Instant::now() + wait;
    let mut asked = JoinSet::new();
    let mut all = Watchers::new();
    for (service, index, mut watcher) in watchers {
        if watcher.is_known() || wait.is_zero() {
            all.entry(service).or_default().push((index, watcher));
            continue;
        }
        asked.spawn(async move {
            // What is under way then goes on where the service's own task takes over.
            let _: Result<(), _> = timeout_at(deadline, watcher.first()).await;
            (service, index, watcher)
        });
    }
    while let Some(done) = asked.join_next().await {
        if let Ok((service, index, watcher)) = done {
            all.entry(service).or_default().push((index, watcher));
        }
    }
    all
}

/// Checks the specs and compiles their probes.
fn compile(specs: &[ServiceSpec]) -> Result<HashMap<String, Probe>, Vec<SpecError>> {
    let mut errors = Vec::new();
    let mut probes = HashMap::new();
    let mut names = std::collections::HashSet::new();
    for spec in specs {
        let mut error = |problem: String| {
            errors.push(SpecError {
                service: spec.name.clone(),
                problem,
            })
        };
        if !names.insert(&spec.name) {
            error("there are two services of this name".into());
        }
        if spec.endpoints.len() > MAX_ENDPOINTS {
            error(format!("it lists more than {MAX_ENDPOINTS} endpoints"));
        }
        if let Some(endpoint) = spec
            .endpoints
            .iter()
            .find(|e| !(1..=65_535).contains(&e.weight))
        {
            error(format!(
                "weight {} of {} is not in 1..=65535",
                endpoint.weight, endpoint.target
            ));
        }
        match spec.health.as_ref().map(Probe::compile).transpose() {
            Ok(probe) => probes.extend(probe.map(|probe| (spec.name.clone(), probe))),
            Err(problem) => error(problem),
        }
    }
    if errors.is_empty() {
        Ok(probes)
    } else {
        Err(errors)
    }
}
