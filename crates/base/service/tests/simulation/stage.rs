//! A service with everything around it: servers, workers, control, a load, and books.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use weir_service::{
    Balance, EndpointId, EndpointSpec, Event, Found, Gate, Latencies, Picker, Policy, Priority,
    Rng, Service, ServiceSpec, Target,
};

use crate::client;
use crate::control;
use crate::invariants::{Ledger, assert_no_probe_lost, assert_set};
use crate::server::{Connection, Server};
use crate::setup::{Place, Setup};
use crate::world::World;

pub(crate) const MS: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// What a worker has of its own.
pub(crate) struct Worker {
    /// How far its readings of the clock are behind.
    behind_us: u64,
    world: Rc<World>,
    pub(crate) picker: RefCell<Picker>,
    pub(crate) gate: RefCell<Option<Gate>>,
    pub(crate) latencies: RefCell<Latencies>,
    pub(crate) idle: RefCell<HashMap<EndpointId, Vec<Connection>>>,
    pub(crate) rng: RefCell<Rng>,
}

impl Worker {
    pub(crate) fn now_us(&self) -> u64 {
        self.world.now_us() - self.behind_us
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_us() / 1000
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Answered(u16),
    /// Turned away by the line.
    Shed,
    /// Waited too long in it.
    QueueTimeout,
    BreakerOpen,
    NoEndpoint,
    /// No attempt was answered.
    Failed,
    /// Its deadline passed.
    Late,
    /// Its client left.
    Gone,
}

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record {
    pub(crate) at_us: u64,
    pub(crate) took_us: u64,
    pub(crate) end: End,
    pub(crate) attempts: u32,
    pub(crate) priority: Priority,
    pub(crate) idempotent: bool,
}

/// A service with everything around it.
pub(crate) struct Stage {
    pub(crate) world: Rc<World>,
    pub(crate) service: RefCell<Arc<Service>>,
    pub(crate) setup: Setup,
    pub(crate) servers: RefCell<Vec<Rc<Server>>>,
    pub(crate) workers: Vec<Rc<Worker>>,
    pub(crate) ledger: Rc<Ledger>,
    pub(crate) rate: Cell<u64>,
    pub(crate) results: RefCell<Vec<Record>>,
    pub(crate) events: RefCell<Vec<(u64, Event)>>,
    pub(crate) rng: RefCell<Rng>,
    /// Moves when control is started anew.
    pub(crate) reloads: Cell<u64>,
    /// Endpoints whose checks run.
    pub(crate) checked: RefCell<Vec<EndpointId>>,
    members: RefCell<Vec<Found>>,
}

impl Stage {
    /// Everything is there, and the load begins.
    pub(crate) fn new(setup: Setup) -> Rc<Self> {
        let mut rng = Rng::new(setup.seed);
        // Some clocks have just begun.
        let world = World::new(if rng.below(4) == 0 {
            5 * MS
        } else {
            u64::from(rng.below(100_000)) * 7 * MS + 5 * MS
        });
        let mut servers = Vec::new();
        let mut members = Vec::new();
        for (place, index) in setup.places.iter().zip(0..) {
            let (server, found) = build(&world, place, index, rng.next_u64());
            servers.push(server);
            members.push(found);
        }
        let spec = spec(&setup.balance, &setup.policy);
        let service = Service::build(&spec, None, world.now_ms(), |_| members.clone());
        let service = Arc::new(service);
        let workers = (0..setup.workers).map(|_| {
            Rc::new(Worker {
                behind_us: u64::from(rng.below(3_000)),
                world: Rc::clone(&world),
                picker: RefCell::new(Picker::new(Arc::clone(&service), rng.next_u64())),
                gate: RefCell::new(service.admission().map(|a| Gate::new(Arc::clone(a)))),
                latencies: RefCell::default(),
                idle: RefCell::default(),
                rng: RefCell::new(Rng::new(rng.next_u64())),
            })
        });
        let stage = Rc::new(Self {
            workers: workers.collect(),
            rate: Cell::new(setup.rate),
            service: RefCell::new(service),
            servers: RefCell::new(servers),
            members: RefCell::new(members),
            ledger: Rc::default(),
            results: RefCell::default(),
            events: RefCell::default(),
            reloads: Cell::new(0),
            checked: RefCell::default(),
            rng: RefCell::new(rng),
            setup,
            world,
        });
        control::start(&stage);
        for worker in &stage.workers {
            stage
                .world
                .spawn(client::arrive(Rc::clone(&stage), Rc::clone(worker)));
        }
        stage
    }

    pub(crate) fn service(&self) -> Arc<Service> {
        Arc::clone(&self.service.borrow())
    }

    pub(crate) fn server(&self, index: usize) -> Rc<Server> {
        Rc::clone(&self.servers.borrow()[index])
    }

    pub(crate) fn server_at(&self, address: SocketAddr) -> Rc<Server> {
        self.server(index_of(address))
    }

    /// Lets this much time pass.
    pub(crate) fn run(&self, us: u64) {
        let end = self.world.now_us() + us;
        let admission = self.service().admission().map(Arc::clone);
        let spec = self.setup.policy.limits.admission.as_ref();
        let pending = spec.map_or(0, |spec| spec.pending);
        let requests = spec.filter(|spec| !spec.adaptive).map(|spec| spec.requests);
        self.world.run_until(end, || {
            self.ledger.step(admission.as_ref(), pending, requests)
        });
    }

    /// No more requests come; those that are here end; nobody holds anything.
    pub(crate) fn finish(&self) {
        self.rate.set(0);
        self.run(self.setup.route.total_us + SECOND);
        self.ledger.assert_empty();
        let service = self.service();
        assert_eq!(service.in_flight(), 0);
        let now_ms = self.world.now_ms();
        if let Some(breaker) = &self.setup.policy.breaker {
            // By then each that is open may be tried.
            let then_ms = now_ms + breaker.spec.open_for.as_millis() as u64;
            let set = service.endpoints();
            let own = set.all().iter().filter_map(|m| m.breaker.as_ref());
            for breaker_of in own.chain(service.breaker()) {
                assert_no_probe_lost(breaker_of, breaker.spec.probes, then_ms);
            }
        }
        self.world.clear();
    }

    /// Results of requests that came within this time, counted from the start of the world's clock.
    pub(crate) fn results_between(&self, from_us: u64, to_us: u64) -> Vec<Record> {
        let results = self.results.borrow();
        let within = results
            .iter()
            .filter(|r| (from_us..to_us).contains(&r.at_us));
        within.copied().collect()
    }

    pub(crate) fn now_us(&self) -> u64 {
        self.world.now_us()
    }

    /// Another server joins.
    pub(crate) fn join(self: &Rc<Self>, place: &Place) {
        let seed = self.rng.borrow_mut().next_u64();
        let index = self.servers.borrow().len() as u32;
        let (server, found) = build(&self.world, place, index, seed);
        self.servers.borrow_mut().push(server);
        self.members.borrow_mut().push(found);
        self.found();
    }

    /// A server is no longer a member, or is one again.
    pub(crate) fn set_member(self: &Rc<Self>, index: usize, member: bool) {
        let address = self.server(index).address;
        let mut members = self.members.borrow_mut();
        let at = members.iter().position(|found| found.address == address);
        match (at, member) {
            (Some(at), false) => drop(members.remove(at)),
            (None, true) => {
                let place = self
                    .setup
                    .places
                    .get(index)
                    .unwrap_or(&self.setup.places[0]);
                members.push(found(place, address));
            }
            _ => {}
        }
        drop(members);
        self.found();
    }

    pub(crate) fn members(&self) -> Vec<usize> {
        self.members
            .borrow()
            .iter()
            .map(|found| index_of(found.address))
            .collect()
    }

    fn found(self: &Rc<Self>) {
        let service = self.service();
        service.set_found(0, &self.members.borrow(), self.world.now_ms());
        assert_set(&service, false);
        control::sync_checks(self);
    }

    /// The configuration is read again; the service is another, its endpoints are the same.
    pub(crate) fn reload(self: &Rc<Self>) {
        let spec = ServiceSpec {
            name: format!("reloaded-{}", self.reloads.get()),
            ..spec(&self.setup.balance, &self.setup.policy)
        };
        let before = self.service();
        let now_ms = self.world.now_ms();
        let members = self.members.borrow();
        let service = Arc::new(Service::build(&spec, Some(&before), now_ms, |_| {
            members.clone()
        }));
        drop(members);
        assert_set(&service, false);
        *self.service.borrow_mut() = Arc::clone(&service);
        for worker in &self.workers {
            let seed = self.rng.borrow_mut().next_u64();
            worker
                .picker
                .replace(Picker::new(Arc::clone(&service), seed));
            worker
                .gate
                .replace(service.admission().map(|a| Gate::new(Arc::clone(a))));
        }
        self.reloads.set(self.reloads.get() + 1);
        self.checked.borrow_mut().clear();
        control::start(self);
    }
}

fn spec(balance: &Balance, policy: &Policy) -> ServiceSpec {
    let target = Target::Name {
        host: "simulated".into(),
        port: 80,
    };
    ServiceSpec {
        name: "simulated".into(),
        endpoints: vec![EndpointSpec::from(target)],
        balance: balance.clone(),
        health: None,
        policy: policy.clone(),
    }
}

fn build(world: &Rc<World>, place: &Place, index: u32, seed: u64) -> (Rc<Server>, Found) {
    let [.., high, low] = index.to_be_bytes();
    let address = SocketAddr::from(([10, 0, high, low], 80));
    let server = Server::new(world, address, place.work, place.capacity, seed);
    (server, found(place, address))
}

fn found(place: &Place, address: SocketAddr) -> Found {
    Found {
        address,
        weight: place.weight,
        priority: place.priority,
        zone: place.zone.map(Arc::from),
        label: Some(address.to_string().into()),
    }
}

/// Servers are numbered by their addresses.
fn index_of(address: SocketAddr) -> usize {
    match address.ip() {
        std::net::IpAddr::V4(ip) => {
            let [.., high, low] = ip.octets();
            usize::from(u16::from_be_bytes([high, low]))
        }
        std::net::IpAddr::V6(_) => unreachable!("all are IPv4"),
    }
}
