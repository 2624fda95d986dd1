//! What control does for a service while it runs: looks at what workers noticed, ejects outliers and takes them back,
//! and lets new endpoints grow into their share.
//!
//! [`Keeper`] is one service's part of control without a clock of its own: whoever calls [`Keeper::step`] says what time it
//! is. [`keep`] does so for as long as a service runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::event::Event;
use crate::notice::Notice;
use crate::outlier::{Decision, Detector, Ejection, OutlierView};
use crate::runner::Context;
use crate::service::Service;
use crate::set::Member;
use crate::status::AdmissionStatus;

/// How often weights follow a slow start.
const WARMING_MS: u64 = 250;
/// How often load is measured, and the longest that nothing is looked at.
const IDLE_MS: u64 = 1_000;

/// Keeps a service for as long as the task runs.
pub(crate) async fn keep(context: Arc<Context>, service: Arc<Service>) {
    let clock = &context.options.clock;
    let seed = context.options.seed ^ Arc::as_ptr(&service) as u64;
    let mut keeper = Keeper::new(&service, seed, clock());
    loop {
        let now_ms = clock();
        let (events, next_ms) = keeper.step(&service, now_ms);
        events.into_iter().for_each(&*context.options.events);
        let wait = Duration::from_millis(next_ms.saturating_sub(now_ms));
        if timeout(wait, Keeper::called(&service)).await.is_ok() {
            tokio::time::sleep(Keeper::GATHER).await;
        }
    }
}

/// What is remembered between two looks at one service.
#[derive(Debug)]
pub struct Keeper {
    detector: Option<Detector>,
}

impl Keeper {
    /// What many notices at once may wait for each other.
    pub const GATHER: Duration = Duration::from_millis(5);

    /// A keeper for `service`. The jitter of ejections follows from `seed`.
    pub fn new(service: &Service, seed: u64, now_ms: u64) -> Self {
        let spec = service.policy().outliers.as_ref();
        let detector = spec.map(|spec| Detector::new(spec.clone(), seed, now_ms));
        if detector.is_none() {
            // A reload may have taken the rule away by which they were ejected.
            for member in service.endpoints().all() {
                if member.endpoint.is_ejected() {
                    member.endpoint.keep_ejection(Ejection::default());
                    member.endpoint.restore(now_ms);
                }
            }
        }
        Self { detector }
    }

    /// Looks at the service and does what has to be done. Says what happened, and when to look again, if nothing
    /// [calls](Self::called) before.
    pub fn step(&mut self, service: &Service, now_ms: u64) -> (Vec<Event>, u64) {
        let mut events = report(service);
        let mut next_ms = now_ms + IDLE_MS;
        if let Some(detector) = &mut self.detector {
            next_ms = next_ms.min(eject(service, detector, now_ms, &mut events));
        }
        service.republish(now_ms);
        if service.endpoints().is_warming() {
            next_ms = next_ms.min(now_ms + WARMING_MS);
        }
        if let Some(admission) = service.admission() {
            events.push(Event::Load {
                service: Arc::clone(service.name()),
                load: AdmissionStatus::of(admission),
            });
        }
        (events, next_ms.max(now_ms + 1))
    }

    /// Until there is something that should not wait.
    pub async fn called(service: &Service) {
        service.notices().arrived().await;
    }
}

/// What workers noticed.
fn report(service: &Service) -> Vec<Event> {
    let mut events = Vec::new();
    for notice in service.notices().take() {
        let Notice::Breaker(id, change) = notice else {
            continue;
        };
        let set = service.endpoints();
        let member = id.and_then(|id| set.all().iter().find(|m| m.endpoint.id() == id));
        events.push(Event::BreakerChanged {
            service: Arc::clone(service.name()),
            endpoint: member.map(|m| Arc::clone(&m.endpoint)),
            change,
        });
    }
    events
}

/// Ejects outliers and takes back those whose time is over; says when to look again.
fn eject(service: &Service, detector: &mut Detector, now_ms: u64, events: &mut Vec<Event>) -> u64 {
    let set = service.endpoints();
    let mut views: Vec<OutlierView<'_>> = set.all().iter().map(view).collect();
    let decisions = detector.look(&mut views, now_ms);
    for (member, view) in set.all().iter().zip(&views) {
        member.endpoint.keep_ejection(view.ejection);
    }
    for decision in decisions {
        match decision {
            Decision::Eject {
                index,
                until_ms,
                reason,
            } => {
                let endpoint = &set.all()[index].endpoint;
                let reason: Arc<str> = reason.to_string().into();
                endpoint.eject(Arc::clone(&reason));
                events.push(Event::Ejected {
                    service: Arc::clone(service.name()),
                    endpoint: Arc::clone(endpoint),
                    reason,
                    for_ms: until_ms.saturating_sub(now_ms),
                });
            }
            Decision::Return { index, reason } => {
                let endpoint = &set.all()[index].endpoint;
                endpoint.restore(now_ms);
                events.push(Event::Returned {
                    service: Arc::clone(service.name()),
                    endpoint: Arc::clone(endpoint),
                    reason,
                });
            }
        }
    }
    detector.next_ms(&views)
}

fn view(member: &Member) -> OutlierView<'_> {
    let endpoint = &*member.endpoint;
    OutlierView {
        counts: endpoint.outliers(),
        usable: endpoint.is_sound(),
        checked_ok_ms: endpoint.checked_ok_ms(),
        recovered_ms: endpoint.recovered_ms(),
        ejection: endpoint.ejection(),
    }
}
