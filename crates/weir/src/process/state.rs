//! Everything the control side holds, and how it starts and stops.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    process::ExitCode,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use weir_admin::LastReload;
use weir_config::{Cx, Diagnostics, OrAuto, OrOff, Sources, Span};
use weir_http::{Local, Plan, Shared};
use weir_net::{ConnectionLimits, ConnectionRate, Gate, LimitsConfig, Settings, Workers};
use weir_service::{
    Answer, DnsResolver, Options, Resolve, ResolveError, ResolveFuture, Services, SpecError,
};
use weir_telemetry::{EndpointMetrics, Events, Registry, Value};

use super::{
    ConfigSource, START_WAIT, Started,
    compile::{compile_plan, failed, load, specs},
    control::Handle,
    guard::Guards,
    logs::{self, Logs},
    refusals::{self, Refusals},
    reload,
    sockets::{self, Bound},
    source_failures::SourceFailures,
};
use crate::config::Config;

/// Bytes in a read buffer: a head with its body, or a step of a large body.
const BUFFER: usize = 16 * 1024;
/// Read buffers that an idle worker keeps.
const SPARE_BUFFERS: usize = 128;

/// A running Weir.
pub(super) struct State {
    pub(super) source: ConfigSource,
    pub(super) began: Instant,
    pub(super) registry: Registry,
    pub(super) events: Events,
    pub(super) services: Services,
    pub(super) source_failures: Arc<SourceFailures>,
    pub(super) guards: Arc<Guards>,
    pub(super) worker_count: usize,
    pub(super) gate: Arc<Gate>,
    workers: Mutex<Option<Arc<Workers<Local>>>>,
    logs: Mutex<Option<Logs>>,
    ready: AtomicBool,
    draining: AtomicBool,
    current: Mutex<Current>,
    /// One reload at a time.
    pub(super) reloading: tokio::sync::Mutex<()>,
    admin: Mutex<Option<Admin>>,
}

/// What the last config that worked brought about.
pub(super) struct Current {
    pub(super) config: Arc<Config>,
    pub(super) sources: Sources,
    pub(super) plan: Arc<Plan>,
    /// Plans that exchanges may still use. Kept here so that the last one to let go of a large plan is not a worker.
    pub(super) retired: Vec<Arc<Plan>>,
    pub(super) generation: u64,
    pub(super) bound: Bound,
    pub(super) last_reload: Option<(Instant, LastReload)>,
    /// What the files looked like when they were last read.
    pub(super) seen: Option<u64>,
}

/// The admin API while it runs.
struct Admin {
    address: SocketAddr,
    /// The socket that is served, held so that it can go on when only the token changes.
    socket: std::net::TcpListener,
    listener: Option<std::net::TcpListener>,
    stop: Option<oneshot::Sender<()>>,
}

impl State {
    /// Loads, compiles, binds and starts everything; serves nobody before all of it worked.
    pub(super) async fn start(source: ConfigSource) -> Result<(Self, Diagnostics), Diagnostics> {
        let loaded = {
            let source = source.clone();
            tokio::task::spawn_blocking(move || load(&source)).await
        };
        let loaded =
            loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        let (config, sources) = (loaded.value, loaded.sources);
        let seen = reload::look(sources.paths().to_vec()).await;
        let worker_count = match config.workers {
            OrAuto::Auto => std::thread::available_parallelism().map_or(1, usize::from),
            OrAuto::Set(count) => count.as_usize(),
        };
        let broken = |text: String| {
            let mut cx = Cx::new(sources.clone());
            cx.error(Span::NONE, text);
            failed(cx)
        };
        let registry = Registry::new(worker_count, config.metrics.endpoints.as_usize());
        let logs = Logs::start(&config, &registry).map_err(|error| {
            let target = config.log.access.0.clone();
            broken(format!("cannot open the access log ({target:?}): {error}"))
        })?;
        let seed = seed();
        let source_failures = Arc::<SourceFailures>::default();
        let events = {
            let failures = Arc::clone(&source_failures);
            let log = logs::service_events(logs.events.clone(), registry.clone());
            Arc::new(move |event| {
                failures.note(&event, Instant::now());
                log(event);
            })
        };
        let services = Services::new(Options::new(
            Arc::new(|| weir_net::now() / 1000),
            Arc::new(DnsResolver::system()),
            events,
            u64::from_le_bytes([
                seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7],
            ]),
        ));
        let prepared = services
            .prepare(specs(&config), START_WAIT)
            .await
            .map_err(|problems| broken(join(&problems)))?;
        let mut half = [0; 16];
        half.copy_from_slice(&seed[16..]);
        let guards = Guards::new(&logs.events, u128::from_le_bytes(half));
        let mut guarded = guards.prepare(&config, &sources)?;
        guards.connect().await;
        let plan = compile_plan(
            &config,
            sources.clone(),
            &prepared.services(),
            &registry,
            &guards,
            &mut guarded,
        )?;
        let sources = plan.sources;
        let plan = Arc::new(plan.value);
        let changes = sockets::prepare(&config, &sources, &Bound::new(), worker_count)?;
        let admin = bind_admin(&config, &sources)?;

        let gate = Gate::new(connection_limits(&config));
        let shared = Shared {
            plan: Arc::clone(&plan),
            registry: registry.clone(),
            log: logs.access_queue(),
            seed,
        };
        let settings = Settings {
            workers: worker_count,
            buffer: BUFFER,
            spare_buffers: SPARE_BUFFERS,
        };
        let workers = Workers::start(settings, Arc::clone(&gate), move |worker| {
            Local::new(worker, &shared)
        })
        .map_err(|error| broken(format!("cannot start the workers: {error}")))?;
        services.commit(prepared);
        guards.commit(guarded);
        let mut bound = Bound::new();
        for (key, listener) in changes.opened {
            bound.insert(Arc::clone(&key), listener.address);
            workers.listen(&key, listener).await;
        }
        registry.set_generation(1);
        let state = Self {
            source,
            began: Instant::now(),
            registry,
            events: logs.events.clone(),
            services,
            source_failures,
            guards: Arc::new(guards),
            worker_count,
            gate,
            workers: Mutex::new(Some(Arc::new(workers))),
            logs: Mutex::new(Some(logs)),
            ready: AtomicBool::new(true),
            draining: AtomicBool::new(false),
            current: Mutex::new(Current {
                config: Arc::new(config),
                sources,
                plan,
                retired: Vec::new(),
                generation: 1,
                bound,
                last_reload: None,
                seen,
            }),
            reloading: tokio::sync::Mutex::new(()),
            admin: Mutex::new(admin),
        };
        Ok((state, loaded.warnings))
    }

    /// What listens now.
    pub(super) fn started(&self, warnings: Diagnostics) -> Started {
        let current = self.current();
        let listeners = current
            .config
            .listeners
            .iter()
            .filter_map(|(name, listener)| {
                let address = current.bound.get(listener.address.to_string().as_str())?;
                Some((name.value.as_str().to_owned(), *address))
            })
            .collect();
        Started {
            listeners,
            admin: lock(&self.admin).as_ref().map(|admin| admin.address),
            warnings,
        }
    }

    /// Tells the event log what listens where.
    pub(super) fn say_serving(&self, serving: &Started) {
        let listeners: Vec<String> = serving
            .listeners
            .iter()
            .map(|(name, address)| format!("{name}={address}"))
            .collect();
        let admin = serving
            .admin
            .map_or_else(|| "off".to_owned(), |at| at.to_string());
        self.events.info(
            "serving",
            &[
                ("version", Value::Str(env!("CARGO_PKG_VERSION"))),
                ("config", Value::Str(&self.source.describe())),
                ("listeners", Value::Str(&listeners.join(" "))),
                ("admin", Value::Str(&admin)),
                ("workers", Value::Uint(self.worker_count as u64)),
            ],
        );
        self.say_limits(&self.current().config);
    }

    /// Tells the event log if the config allows more connections than there are descriptors for. Nobody is warned who did not
    /// ask for so many.
    pub(super) fn say_limits(&self, config: &Config) {
        let wanted = config.limits.connections.as_usize();
        let allowed = connection_limits(config).total;
        if allowed >= wanted {
            return;
        }
        let message = "fewer connections than `limits.connections` fit into the descriptor limit";
        let fields = [
            ("wanted", Value::Uint(wanted as u64)),
            ("allowed", Value::Uint(allowed as u64)),
            ("descriptors", Value::Uint(descriptors() as u64)),
            (
                "help",
                Value::Str(
                    "raise the hard limit (`ulimit -Hn`, LimitNOFILE=), or lower `limits.connections`",
                ),
            ),
        ];
        if config.limits == LimitsConfig::default() {
            self.events.info(message, &fields);
        } else {
            self.events.warn(message, &fields);
        }
    }

    pub(super) fn current(&self) -> MutexGuard<'_, Current> {
        lock(&self.current)
    }

    pub(super) fn workers(&self) -> Option<Arc<Workers<Local>>> {
        lock(&self.workers).clone()
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(super) fn with_logs<T>(&self, f: impl FnOnce(&Logs) -> T) -> Option<T> {
        lock(&self.logs).as_ref().map(f)
    }

    pub(super) fn reopen_logs(&self) {
        self.with_logs(Logs::reopen);
    }

    /// Tells the event log whose connections were turned away.
    fn tell_refusals(&self, refusals: &mut Refusals) {
        let incidents = self
            .workers()
            .map_or_else(Vec::new, |workers| workers.incidents());
        let due = refusals.take_in(incidents, Instant::now());
        if due.is_empty() {
            return;
        }
        let (config, plan) = {
            let current = self.current();
            (Arc::clone(&current.config), Arc::clone(&current.plan))
        };
        for incidents in &due {
            refusals::tell(&self.events, &config, &plan, incidents);
        }
    }

    /// Serves the admin API on the socket that is bound for it.
    pub(super) fn serve_admin(self: &Arc<Self>) {
        let mut admin = lock(&self.admin);
        let Some(admin) = &mut *admin else { return };
        let Some(listener) = admin.listener.take() else {
            return;
        };
        let (stop, stopped) = oneshot::channel::<()>();
        admin.stop = Some(stop);
        let token = match &self.current().config.admin {
            OrOff::On(config) => config.token.clone(),
            OrOff::Off => None,
        };
        let control = Arc::new(Handle(Arc::clone(self)));
        let events = self.events.clone();
        tokio::spawn(async move {
            let served = weir_admin::serve(
                listener,
                token,
                control,
                weir_admin::Limits::default(),
                async move {
                    let _ = stopped.await;
                },
            );
            if let Err(error) = served.await {
                events.error(
                    "the admin API has ended",
                    &[("error", Value::Display(&error))],
                );
            }
        });
    }

    /// Goes over to the admin socket and token of a new config.
    pub(super) fn replace_admin(self: &Arc<Self>, listener: Option<std::net::TcpListener>) {
        let old = std::mem::replace(&mut *lock(&self.admin), listener.and_then(Admin::new));
        if let Some(stop) = old.and_then(|old| old.stop) {
            let _ = stop.send(());
        }
        self.serve_admin();
    }

    /// The admin API's socket, to be served anew.
    pub(super) fn same_admin_socket(&self) -> Option<std::net::TcpListener> {
        lock(&self.admin).as_ref()?.socket.try_clone().ok()
    }

    /// Drains and ends.
    pub(super) async fn stop(&self) -> ExitCode {
        self.draining.store(true, Ordering::Release);
        self.ready.store(false, Ordering::Release);
        let drain = self.current().config.shutdown.drain.get();
        self.events.info(
            "draining",
            &[
                ("connections", Value::Uint(self.gate.open() as u64)),
                ("deadline_ms", Value::Duration(drain)),
            ],
        );
        let workers = lock(&self.workers).take();
        let mut aborted = 0;
        if let Some(workers) = workers {
            // A reload that is just ending holds a handle for another moment.
            let mut workers = workers;
            let report = loop {
                match Arc::try_unwrap(workers) {
                    Ok(workers) => break workers.shutdown(drain).await,
                    Err(shared) => {
                        workers = shared;
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
            };
            aborted = report.aborted;
        }
        self.events
            .info("stopped", &[("aborted", Value::Uint(aborted as u64))]);
        let logs = lock(&self.logs).take();
        if let Some(logs) = logs {
            let _ = tokio::task::spawn_blocking(move || logs.stop()).await;
        }
        ExitCode::SUCCESS
    }
}

impl Admin {
    fn new(listener: std::net::TcpListener) -> Option<Self> {
        Some(Self {
            address: listener.local_addr().ok()?,
            socket: listener.try_clone().ok()?,
            listener: Some(listener),
            stop: None,
        })
    }
}

/// Binds the address of the admin API.
pub(super) fn listen_admin(
    config: &Config,
    sources: &Sources,
) -> Result<Option<std::net::TcpListener>, Diagnostics> {
    let OrOff::On(admin) = &config.admin else {
        return Ok(None);
    };
    let address = admin.address.socket_addr();
    let bound = weir_net::bind(address, 1, 128);
    match bound {
        Ok(mut bound) => Ok(bound.sockets.pop()),
        Err(error) => {
            let mut cx = Cx::new(sources.clone());
            cx.error(admin.address.span, format!("the admin API: {error}"))
                .help("say another one in `admin`, or `admin: off`");
            Err(failed(cx))
        }
    }
}

fn bind_admin(config: &Config, sources: &Sources) -> Result<Option<Admin>, Diagnostics> {
    Ok(listen_admin(config, sources)?.and_then(Admin::new))
}

/// What the config says about how many may connect.
pub(super) fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        // Some descriptors stay for logs, files, endpoints, the admin API and reloads.
        total: config
            .limits
            .connections
            .as_usize()
            .min(descriptors().saturating_sub((descriptors() / 8).max(64))),
        per_address: config.firewall.connections_per_ip.as_usize(),
        rate: (config.firewall.connection_rate_per_ip.as_ref()).map(|rate| ConnectionRate {
            count: rate.count(),
            per: rate.per(),
        }),
    }
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// Lets go of plans that nobody uses any more, and of events that were held back.
pub(super) async fn keep_house(state: Arc<State>) {
    let mut failing = HashSet::new();
    let mut refusals = Refusals::default();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        state.events.tick(Instant::now());
        state.guards.tell_engines(&state.events, &mut failing);
        state.tell_refusals(&mut refusals);
        let unused: Vec<Arc<Plan>> = {
            let retired = &mut state.current().retired;
            let (unused, used) = std::mem::take(retired)
                .into_iter()
                .partition(|plan| Arc::strong_count(plan) == 1);
            *retired = used;
            unused
        };
        if !unused.is_empty() {
            // A plan of 10,000 routes takes a moment to drop.
            let _ = tokio::task::spawn_blocking(move || drop(unused)).await;
        }
    }
}

/// All of them, one a line.
pub(super) fn join(problems: &[SpecError]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Services for compiling only: nothing is resolved.
pub(super) fn offline() -> Services {
    struct Offline;
    impl Resolve for Offline {
        fn resolve<'a>(&'a self, _: &'a str) -> ResolveFuture<'a> {
            Box::pin(async {
                let nothing = || Err(ResolveError::Failed("offline".to_owned()));
                Answer {
                    v4: nothing(),
                    v6: nothing(),
                }
            })
        }
    }
    Services::new(Options::new(
        Arc::new(|| 0),
        Arc::new(Offline),
        Arc::new(|_| {}),
        0,
    ))
}

fn seed() -> [u8; 32] {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut seed = [0; 32];
    // Keys that the standard library got from the operating system.
    for chunk in seed.chunks_exact_mut(8) {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u32(std::process::id());
        chunk.copy_from_slice(&hasher.finish().to_le_bytes());
    }
    seed
}

/// Service and endpoint.
type EndpointName = (Arc<str>, Arc<str>);

/// The `healthy` gauge of endpoints, held so that it stays visible.
pub(super) struct HealthSeries {
    registry: Registry,
    held: Mutex<HashMap<EndpointName, Arc<EndpointMetrics>>>,
}

impl HealthSeries {
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            held: Mutex::default(),
        }
    }

    pub(super) fn set(&self, service: &Arc<str>, endpoint: &Arc<str>, healthy: bool) {
        let key = (Arc::clone(service), Arc::clone(endpoint));
        lock(&self.held)
            .entry(key)
            .or_insert_with(|| self.registry.endpoint(service, endpoint))
            .set_healthy(healthy);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
