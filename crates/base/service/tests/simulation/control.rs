//! What the control runtime does: the keeper's steps and health checks, in virtual time.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_service::{Endpoint, Keeper, Rng, Service, Thresholds};

use crate::invariants::assert_set;
use crate::stage::Stage;
use crate::world::{Either, race};

/// A health check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check {
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) thresholds: Thresholds,
}

impl Default for Check {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(1),
            timeout: Duration::from_millis(500),
            thresholds: Thresholds {
                healthy_after: 2,
                unhealthy_after: 3,
            },
        }
    }
}

/// Starts the tasks of the service that is current now. They end when another one is.
pub(crate) fn start(stage: &Rc<Stage>) {
    let seed = stage.rng.borrow_mut().next_u64();
    let service = stage.service();
    stage.world.spawn(keep(Rc::clone(stage), service, seed));
    sync_checks(stage);
}

/// Starts the checks of endpoints that came.
pub(crate) fn sync_checks(stage: &Rc<Stage>) {
    let Some(check) = stage.setup.check else {
        return;
    };
    let service = stage.service();
    for member in service.endpoints().all() {
        let id = member.endpoint.id();
        if stage.checked.borrow().contains(&id) {
            continue;
        }
        stage.checked.borrow_mut().push(id);
        let seed = stage.rng.borrow_mut().next_u64();
        let (service, endpoint) = (Arc::clone(&service), Arc::clone(&member.endpoint));
        let watch = watch(Rc::clone(stage), service, endpoint, check, Rng::new(seed));
        stage.world.spawn(watch);
    }
}

async fn keep(stage: Rc<Stage>, service: Arc<Service>, seed: u64) {
    let world = Rc::clone(&stage.world);
    let generation = stage.reloads.get();
    let mut keeper = Keeper::new(&service, seed, world.now_ms());
    while stage.reloads.get() == generation {
        let now_ms = world.now_ms();
        let (events, next_ms) = keeper.step(&service, now_ms);
        assert_set(&service, true);
        let events = events.into_iter().map(|event| (world.now_us(), event));
        stage.events.borrow_mut().extend(events);
        assert!(next_ms > now_ms && next_ms <= now_ms + 1_000);
        let until = world.sleep_until(next_ms * 1000);
        if let Either::Left(()) = race(Keeper::called(&service), until).await {
            world.sleep(Keeper::GATHER.as_micros() as u64).await;
        }
    }
}

async fn watch(
    stage: Rc<Stage>,
    service: Arc<Service>,
    endpoint: Arc<Endpoint>,
    check: Check,
    mut rng: Rng,
) {
    let world = Rc::clone(&stage.world);
    let server = stage.server_at(endpoint.address());
    let generation = stage.reloads.get();
    let is_member = || {
        let set = service.endpoints();
        set.all().iter().any(|m| m.endpoint.id() == endpoint.id())
    };
    while stage.reloads.get() == generation && is_member() {
        let timeout = world.sleep(check.timeout.as_micros() as u64);
        let ok = matches!(race(server.check(), timeout).await, Either::Left(true));
        if stage.reloads.get() != generation || !is_member() {
            break;
        }
        let result = if ok { Ok(()) } else { Err("no good") };
        let changed = service.checked(&endpoint, check.thresholds, result, world.now_ms());
        if let Some(event) = changed {
            assert_set(&service, false);
            stage.events.borrow_mut().push((world.now_us(), event));
        }
        world
            .sleep(rng.jitter(check.interval, 10).as_micros() as u64)
            .await;
    }
    if stage.reloads.get() == generation {
        stage.checked.borrow_mut().retain(|id| *id != endpoint.id());
    }
}
