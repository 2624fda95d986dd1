//! What a worker needs to serve HTTP: the plan, connections to endpoints, memory to reuse, logs.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    future::poll_fn,
    net::IpAddr,
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Instant,
};

use foldhash::fast::RandomState;
use tokio::task::unconstrained;
use weir_firewall::{Memo, Verdict};
use weir_net::{Connection, Listening, Micros, Preamble, Protocol, Refusal, Worker, now};
use weir_service::{
    Endpoint, EndpointId, Gate, IdleLimits, IdlePool, Latencies, Picked, Picker, Unpicked, Wish,
};
use weir_telemetry::{
    AccessLog, EndpointMetrics, HexId, IdSource, LogQueue, Registry, TraceParent,
};

use crate::{
    codec::HeadLimits,
    exchange::Exchange,
    plan::{ListenerPlan, MOST_IDLE, Plan, RoutePlan, ServicePlan},
    proxy::Mirrors,
    server,
    wire::Wire,
};

/// Exchanges and vectors that are kept for reuse.
const SPARES: usize = 256;
/// A vector that grew beyond this is given back to the allocator.
const KEEP_SCRATCH: usize = 16 * 1024;

/// What the heads of endpoints may be.
const UPSTREAM_LIMITS: HeadLimits = HeadLimits {
    max_head: 256 * 1024,
    max_fields: 512,
    max_target: 0,
    max_field: 64 * 1024,
};

/// A plan as one worker runs it: with this worker's own balancers.
pub(crate) struct LocalPlan {
    pub(crate) shared: Arc<Plan>,
    states: Vec<Rc<RefCell<ServiceState>>>,
}

/// What a worker keeps of a service from request to request.
struct ServiceState {
    picker: Picker,
    latencies: Latencies,
    /// The way into the line in front of the service, if anything is limited.
    gate: Option<Gate>,
}

/// HTTP on one worker.
pub struct Local {
    pub(crate) worker: Rc<Worker>,
    pub(crate) upstream_limits: HeadLimits,
    pub(crate) log: RefCell<AccessLog>,
    /// Copies of requests that are under way.
    pub(crate) mirrors: Mirrors,
    /// Credentials that were good a moment ago.
    pub(crate) credentials: RefCell<weir_auth::Cache>,
    /// Room for what firewalls decode.
    pub(crate) decoded: RefCell<weir_firewall::Scratch>,
    me: Weak<Self>,
    plan: RefCell<Rc<LocalPlan>>,
    registry: Registry,
    pool: RefCell<IdlePool<Box<Wire>>>,
    endpoints: RefCell<HashMap<EndpointId, Arc<EndpointMetrics>, RandomState>>,
    #[allow(
        clippy::vec_box,
        reason = "they move in and out of connections; a box moves cheaply"
    )]
    exchanges: RefCell<Vec<Box<Exchange>>>,
    scratch: RefCell<Vec<Vec<u8>>>,
    ids: RefCell<IdSource>,
    date: RefCell<[u8; 37]>,
    date_second: Cell<u64>,
}

/// What every worker's [`Local`] is made of.
#[derive(Clone)]
pub struct Shared {
    /// The plan to start with.
    pub plan: Arc<Plan>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// Where access log lines go.
    pub log: LogQueue,
    /// Randomness from the operating system, different for every process.
    pub seed: [u8; 32],
}

impl LocalPlan {
    pub(crate) fn listener(&self, index: u16) -> &ListenerPlan {
        &self.shared.listeners[usize::from(index)]
    }

    pub(crate) fn route(&self, index: u32) -> &RoutePlan {
        &self.shared.routes[index as usize]
    }

    pub(crate) fn service(&self, index: u32) -> &ServicePlan {
        &self.shared.services[index as usize]
    }

    /// Chooses an endpoint of a service.
    pub(crate) fn pick(&self, service: u32, wish: &Wish<'_>) -> Result<Picked, Unpicked> {
        self.states[service as usize].borrow_mut().picker.pick(wish)
    }

    /// The way into the line in front of a service, if anything of it is limited.
    pub(crate) fn gate(&self, service: u32) -> Option<Gate> {
        self.states[service as usize].borrow().gate.clone()
    }

    /// How long answers of a service take.
    pub(crate) fn latencies<T>(&self, service: u32, look: impl FnOnce(&mut Latencies) -> T) -> T {
        look(&mut self.states[service as usize].borrow_mut().latencies)
    }
}

impl Local {
    /// HTTP for `worker`.
    #[must_use]
    pub fn new(worker: Rc<Worker>, shared: &Shared) -> Rc<Self> {
        let mut seed = shared.seed;
        for (byte, id) in seed.iter_mut().zip((worker.id as u64 + 1).to_le_bytes()) {
            *byte ^= id;
        }
        let mut ids = IdSource::new(seed);
        let states = states(&shared.plan, None, &mut ids);
        let local = Rc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            mirrors: Mirrors::default(),
            credentials: RefCell::default(),
            decoded: RefCell::default(),
            plan: RefCell::new(Rc::new(LocalPlan {
                shared: Arc::clone(&shared.plan),
                states,
            })),
            registry: shared.registry.clone(),
            log: RefCell::new(AccessLog::new(shared.log.clone())),
            upstream_limits: UPSTREAM_LIMITS,
            pool: RefCell::new(IdlePool::new(IdleLimits {
                per_endpoint: usize::MAX,
                total: MOST_IDLE,
                idle_timeout: std::time::Duration::from_secs(60),
            })),
            endpoints: RefCell::default(),
            exchanges: RefCell::default(),
            scratch: RefCell::default(),
            ids: RefCell::new(ids),
            date: RefCell::new(*b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
            date_second: Cell::new(0),
            worker,
        });
        tokio::task::spawn_local(keep_house(Rc::clone(&local)));
        local
    }

    /// Switches to another plan. Exchanges under way finish with the one they began with.
    pub fn publish(&self, plan: &Arc<Plan>) {
        let old = self.plan();
        let states = states(plan, Some(&old), &mut self.ids.borrow_mut());
        *self.plan.borrow_mut() = Rc::new(LocalPlan {
            shared: Arc::clone(plan),
            states,
        });
        // Connections to endpoints that no service names any more serve nobody.
        let alive: HashSet<EndpointId> = plan
            .services
            .iter()
            .flat_map(|service| {
                let set = service.service.endpoints();
                let ids: Vec<_> = set
                    .all()
                    .iter()
                    .map(|member| member.endpoint.id())
                    .collect();
                ids
            })
            .collect();
        self.pool
            .borrow_mut()
            .retain_endpoints(|id| alive.contains(&id));
        self.endpoints
            .borrow_mut()
            .retain(|id, _| alive.contains(id));
        // Idle connections look whether their listener is still there.
        self.worker.wheel.wake_all();
    }

    /// Itself, for tasks that outlive an exchange; `None` while the worker ends.
    pub(crate) fn handle(&self) -> Option<Rc<Self>> {
        self.me.upgrade()
    }

    /// The newest plan.
    #[inline]
    pub(crate) fn plan(&self) -> Rc<LocalPlan> {
        Rc::clone(&self.plan.borrow())
    }

    #[inline]
    pub(crate) fn is_newest(&self, plan: &Rc<LocalPlan>) -> bool {
        Rc::ptr_eq(&self.plan.borrow(), plan)
    }

    /// The metrics of an endpoint.
    pub(crate) fn endpoint_metrics(
        &self,
        plan: &LocalPlan,
        service: u32,
        endpoint: &Endpoint,
    ) -> Arc<EndpointMetrics> {
        let mut endpoints = self.endpoints.borrow_mut();
        Arc::clone(endpoints.entry(endpoint.id()).or_insert_with(|| {
            self.registry
                .endpoint(&plan.service(service).name, endpoint.label())
        }))
    }

    /// An idle connection to this endpoint that is still good.
    pub(crate) fn take_idle(
        &self,
        plan: &LocalPlan,
        service: u32,
        endpoint: &Endpoint,
        time: Micros,
    ) -> Option<Box<Wire>> {
        let mut pool = self.pool.borrow_mut();
        let now_ms = time / 1000;
        let mut cx = Context::from_waker(Waker::noop());
        let buffers = &self.worker.buffers;
        loop {
            let mut wire = pool.take(endpoint.id(), now_ms)?;
            let found = {
                // Unconstrained: a task that has used up its budget is told "pending" whatever waits, and pending
                // means clean here.
                let look = unconstrained(poll_fn(|cx| wire.poll_fill(cx, buffers)));
                pin!(look).poll(&mut cx)
            };
            match found {
                Poll::Pending => return Some(wire),
                // Whatever can be read now belongs to no request of ours, and who sends it on one connection is not
                // to be trusted with the others.
                Poll::Ready(Ok(n)) if n > 0 => {
                    buffers.reclaim(&mut wire.input);
                    pool.remove_endpoint(endpoint.id());
                    let metrics = self.endpoint_metrics(plan, service, endpoint);
                    metrics.on(self.worker.id).bad_responses.inc();
                }
                Poll::Ready(_) => buffers.reclaim(&mut wire.input),
            }
        }
    }

    pub(crate) fn put_idle(
        &self,
        service: &ServicePlan,
        endpoint: EndpointId,
        wire: Box<Wire>,
        time: Micros,
    ) {
        if self.worker.draining() {
            return;
        }
        let mut pool = self.pool.borrow_mut();
        pool.set_limits(service.keepalive);
        drop(pool.put(endpoint, wire, time / 1000));
    }

    /// Measures the worker and its pool for the metrics. `busy` is what the last call found.
    fn measure(&self, busy: &mut std::time::Duration) {
        let runtime = tokio::runtime::Handle::current().metrics();
        let cells = self.registry.workers().on(self.worker.id);
        cells.tasks.set(runtime.num_alive_tasks() as i64);
        let total = runtime.worker_total_busy_duration(0);
        cells.busy_for(total.saturating_sub(std::mem::replace(busy, total)));

        let (plan, pool) = (self.plan(), self.pool.borrow());
        for service in &plan.shared.services {
            let idle = if pool.is_empty() {
                0
            } else {
                let set = service.service.endpoints();
                let each = set
                    .all()
                    .iter()
                    .map(|member| pool.idle(member.endpoint.id()));
                each.sum()
            };
            service
                .metrics
                .on(self.worker.id)
                .pool_idle
                .set(idle as i64);
        }
    }

    /// A clean exchange.
    #[inline]
    pub(crate) fn exchange(&self) -> Box<Exchange> {
        self.exchanges
            .borrow_mut()
            .pop()
            .unwrap_or_else(Exchange::new)
    }

    /// Takes an exchange back.
    #[inline]
    pub(crate) fn spare(&self, mut exchange: Box<Exchange>) {
        let mut exchanges = self.exchanges.borrow_mut();
        if exchanges.len() < SPARES {
            exchange.reset();
            exchanges.push(exchange);
        }
    }

    /// An empty vector, with room if one was given back before.
    #[inline]
    pub(crate) fn scratch(&self) -> Vec<u8> {
        self.scratch.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a vector back.
    #[inline]
    pub(crate) fn reclaim_scratch(&self, mut scratch: Vec<u8>) {
        let capacity = scratch.capacity();
        let mut spares = self.scratch.borrow_mut();
        if capacity > 0 && capacity <= KEEP_SCRATCH && spares.len() < SPARES {
            scratch.clear();
            spares.push(scratch);
        }
    }

    /// A new request id.
    pub(crate) fn new_id(&self) -> HexId {
        self.ids.borrow_mut().next_id()
    }

    /// A new trace.
    pub(crate) fn new_trace(&self) -> TraceParent {
        TraceParent::start(&mut self.ids.borrow_mut(), true)
    }

    /// Randomness that a client cannot guess.
    pub(crate) fn random(&self) -> u64 {
        self.ids.borrow_mut().next_u64()
    }

    /// Writes the Date field; its text is made once a second.
    pub(crate) fn write_date(&self, out: &mut Vec<u8>) {
        let second = self.worker.unix_millis(now()) / 1000;
        let mut date = self.date.borrow_mut();
        if self.date_second.replace(second) != second {
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(second);
            let text = httpdate::fmt_http_date(time);
            if text.len() == 29 {
                date[6..35].copy_from_slice(text.as_bytes());
            }
        }
        out.extend_from_slice(&*date);
    }
}

impl Protocol for Local {
    fn serve(self: Rc<Self>, connection: Connection) -> impl Future<Output = ()> + 'static {
        server::serve(self, connection)
    }

    fn preamble(&self, listener: &Listening, peer: IpAddr) -> Preamble {
        let plan = self.plan();
        let index = plan.shared.listener_index(&listener.key);
        let proxy = index.and_then(|index| plan.listener(index).proxy.as_ref());
        proxy.map_or(Preamble::None, |proxy| proxy.preamble(peer))
    }

    fn admit(&self, listener: &Listening, client: IpAddr) -> bool {
        let plan = self.plan();
        let options = plan
            .shared
            .listener_index(&listener.key)
            .map(|index| plan.listener(index));
        if options.is_some_and(|options| options.forwarding.trusts(client)) {
            // Its clients are asked about one by one.
            return true;
        }
        let (global, own) = (
            plan.shared.firewall.as_ref(),
            options.and_then(|options| options.firewall.as_ref()),
        );
        let (memo, mut would_deny) = (Memo::default(), false);
        let mut passes = |verdict: Verdict<'_>| {
            would_deny |= verdict.would_deny.is_some();
            verdict.passes()
        };
        let admitted = global.is_none_or(|global| passes(global.admit(self, client, &memo)))
            && own.is_none_or(|own| passes(own.admit(self, client, &memo)));
        if admitted && would_deny {
            self.worker.would_refuse(listener, client);
        }
        admitted
    }

    fn refused(&self, listener: &Listening, refusal: Refusal) {
        let plan = self.plan();
        if let Some(index) = plan.shared.listener_index(&listener.key) {
            let cells = plan.listener(index).metrics.on(self.worker.id);
            cells.refused.count(match refusal {
                Refusal::Total => weir_telemetry::Refusal::Limit,
                Refusal::PerAddress => weir_telemetry::Refusal::PerIp,
                Refusal::Rate => weir_telemetry::Refusal::Rate,
                Refusal::Denied => weir_telemetry::Refusal::Firewall,
                Refusal::NotAProxy
                | Refusal::PlainHttp
                | Refusal::NoProxyHeader
                | Refusal::BadProxyHeader
                | Refusal::LateProxyHeader => weir_telemetry::Refusal::ProxyHeader,
            });
        }
    }
}

/// The state of each service. A service that is still the same keeps its state, and so its place in the turn.
fn states(
    plan: &Plan,
    old: Option<&LocalPlan>,
    ids: &mut IdSource,
) -> Vec<Rc<RefCell<ServiceState>>> {
    let known: HashMap<*const weir_service::Service, &Rc<RefCell<ServiceState>>> = old
        .into_iter()
        .flat_map(|old| &old.states)
        .map(|state| (Arc::as_ptr(state.borrow().picker.service()), state))
        .collect();
    plan.services
        .iter()
        .map(|service| match known.get(&Arc::as_ptr(&service.service)) {
            Some(state) => Rc::clone(state),
            None => Rc::new(RefCell::new(ServiceState {
                picker: Picker::new(Arc::clone(&service.service), ids.next_u64()),
                latencies: Latencies::default(),
                gate: service.service.admission().cloned().map(Gate::new),
            })),
        })
        .collect()
}

/// What has to be done now and then: log lines that wait, connections that waited for too long, and numbers that
/// nobody counts as they change.
async fn keep_house(local: Rc<Local>) {
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let mut busy = std::time::Duration::ZERO;
    for count in 0_u64.. {
        tick.tick().await;
        local.log.borrow_mut().tick(Instant::now());
        local.pool.borrow_mut().evict(now() / 1000);
        if count % 10 == 0 {
            local.measure(&mut busy);
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.log.borrow_mut().flush();
    }
}
