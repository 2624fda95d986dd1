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

use crate::dns::{Refresh, RefreshLimits, Resolve};
use crate::event::EventSink;
use crate::health::Probe;
use crate::rng::Rng;
use crate::runner::{Context, Runner, Seed, resolve};
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
    /// Names that nothing is known about are looked up, all at the same time, for at most `wait`. Those without an answer
    /// by then begin empty (503) and get their endpoints as soon as one comes. Give a reload seconds, as the old
    /// plan serves meanwhile, and a start little. Must be called within a tokio runtime.
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
        let unknown: Vec<&str> = specs
            .iter()
            .filter(|spec| unchanged(spec).is_none())
            .flat_map(|spec| spec.endpoints.iter().map(move |e| (&spec.name, &e.target)))
            .filter_map(|(service, target)| match target {
                Target::Name { host, .. } if known(&running, service, target).is_none() => {
                    Some(host.as_str())
                }
                _ => None,
            })
            .collect();
        let answers = self.first_answers(&unknown, wait).await;

        let mut runners = BTreeMap::new();
        for spec in specs {
            if let Some(runner) = unchanged(&spec) {
                runners.insert(spec.name, Arc::clone(runner));
                continue;
            }
            let mut seeds = HashMap::new();
            for target in spec.endpoints.iter().map(|e| &e.target) {
                let Target::Name { host, .. } = target else {
                    continue;
                };
                let seed = match (known(&running, &spec.name, target), answers.get(host)) {
                    (Some(refresh), _) => Seed {
                        refresh,
                        delay: Duration::ZERO,
                    },
                    (None, Some((refresh, delay))) => Seed {
                        refresh: refresh.clone(),
                        delay: *delay,
                    },
                    (None, None) => Seed::default(),
                };
                seeds.insert(target.clone(), seed);
            }
            let previous = running.get(&spec.name).map(|runner| &*runner.service);
            let addresses = |target: &Target| {
                seeds
                    .get(target)
                    .map_or_else(Vec::new, |s| s.refresh.addresses())
            };
            let service = Arc::new(Service::build(&spec, previous, addresses));
            let probe = probes.remove(&spec.name);
            let name = spec.name.clone();
            runners.insert(
                name,
                Runner::new(service, spec, probe, seeds, Arc::clone(&self.context)),
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
        self.running()
            .values()
            .map(|runner| runner.service.snapshot())
            .collect()
    }

    /// Takes the endpoints of a service with this label out, or back in; says how many that changed. They finish what they
    /// have and get no new requests.
    pub fn set_draining(&self, service: &str, label: &str, draining: bool) -> usize {
        let Some(service) = self.service(service) else {
            return 0;
        };
        let now_ms = (self.context.options.clock)();
        let set = service.endpoints();
        let named = set.all().iter().filter(|m| &**m.endpoint.label() == label);
        let changed = named
            .filter(|m| m.endpoint.set_draining(draining, now_ms))
            .count();
        service.republish();
        changed
    }

    async fn first_answers(
        &self,
        hosts: &[&str],
        wait: Duration,
    ) -> HashMap<String, (Refresh, Duration)> {
        let deadline = Instant::now() + wait;
        let mut asked: Vec<&str> = hosts.to_vec();
        asked.sort_unstable();
        asked.dedup();
        let mut lookups = JoinSet::new();
        for host in asked {
            let (context, host) = (Arc::clone(&self.context), host.to_owned());
            lookups.spawn(async move { (resolve(&context, &host).await, host) });
        }
        let mut rng = Rng::new(self.context.options.seed);
        let mut answers = HashMap::new();
        while let Ok(Some(done)) = timeout_at(deadline, lookups.join_next()).await {
            let Ok((answer, host)) = done else { continue };
            let mut refresh = Refresh::default();
            let step = refresh.on_answer(answer, &self.context.options.refresh, &mut rng);
            // A failure is asked again at once by the service's own task, which also reports it.
            if step.changed {
                answers.insert(host, (refresh, step.delay));
            }
        }
        answers
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

/// What a running service knows about one of its names.
fn known(
    running: &BTreeMap<String, Arc<Runner>>,
    service: &str,
    target: &Target,
) -> Option<Refresh> {
    let addresses = running.get(service)?.service.addresses_of(target)?;
    (!addresses.is_empty()).then(|| Refresh::from_addresses(&addresses))
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
