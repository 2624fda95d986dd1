//! Where a request goes and how urgent it is: what is known before an endpoint is chosen.

use weir_net::Micros;
use weir_service::{HashOn, Priority, hash_bytes, hash_ip};

use super::state::Exchange;
use crate::{
    config::PriorityLevel,
    cookie,
    guard::client_ip,
    local::{Local, LocalPlan},
    plan::{RoutePlan, Split},
    proxy::{NEVER, mirror},
    server::Client,
    sticky::Sticky,
};

/// Chooses the service of a split: the one that the client's cookie names, or one by chance.
pub(super) fn lane(local: &Local, split: &Split, exchange: &mut Exchange) -> u32 {
    let fields = exchange.request.fields();
    let kept = split
        .sticky
        .as_ref()
        .and_then(|sticky| sticky.lane(fields, |name| split.lane(name)));
    match kept {
        Some(lane) => lane.service,
        None => {
            exchange.lane_drawn = true;
            split.draw(local.random()).service
        }
    }
}

/// Notes how urgent a request is, which endpoint its client is used to, and whether a copy of it goes elsewhere.
pub(super) fn take(
    local: &Local,
    plan: &LocalPlan,
    route: &RoutePlan,
    service: u32,
    exchange: &mut Exchange,
) {
    exchange.service = Some(service);
    let sticky = plan.service(service).sticky.as_ref();
    exchange.preferred = sticky.and_then(|sticky| sticky.endpoint(exchange.request.fields()));
    exchange.priority = match route.priority.of(&exchange.request) {
        PriorityLevel::High => Priority::High,
        PriorityLevel::Normal => Priority::Normal,
        PriorityLevel::Low => Priority::Low,
    };
    let start = exchange.times.start;
    exchange.deadline = start.saturating_add(route.timeouts.total);
    if let Some(field) = &route.deadline
        && let Some(left) = field.of(&exchange.request)
    {
        let asked = start.saturating_add(left);
        exchange.own_deadline = exchange.deadline <= asked;
        exchange.deadline = exchange.deadline.min(asked);
    }
    if let Some(mirror) = &route.mirror
        && mirror::wants(local, route, mirror, exchange)
    {
        exchange.mirrored = true;
        exchange.mirror_up_to = mirror.max_body;
    }
}

/// What the balancer of a service hashes, if it does.
pub(super) fn key(
    client: &Client,
    plan: &LocalPlan,
    service: u32,
    exchange: &Exchange,
) -> Option<u64> {
    let on = plan.service(service).service.balance().hash_on()?;
    hashed(on, client, exchange)
}

/// What a consistent hash is made of. Requests that do not have it go to any endpoint, rather than all to one.
fn hashed(on: &HashOn, client: &Client, exchange: &Exchange) -> Option<u64> {
    let fields = exchange.request.fields();
    match on {
        HashOn::Header(name) => fields.by_name(name.as_bytes()).map(hash_bytes),
        HashOn::Cookie(name) => cookie::values(fields, name.as_bytes())
            .next()
            .map(hash_bytes),
        HashOn::Path => Some(hash_bytes(exchange.path())),
        HashOn::Ip => Some(hash_ip(client_ip(client, exchange))),
    }
}

/// The cookies that keep the user of an exchange where it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Stays<'a> {
    pub(crate) lane: Option<&'a Sticky>,
    pub(crate) endpoint: Option<&'a Sticky>,
}

impl<'a> Stays<'a> {
    /// Those of a route and the service that it led to.
    pub(crate) fn of(route: &'a RoutePlan, service: Option<&'a Sticky>) -> Self {
        Self {
            lane: route.split().and_then(|split| split.sticky.as_ref()),
            endpoint: service,
        }
    }

    pub(super) fn in_exchange(plan: &'a LocalPlan, exchange: &Exchange) -> Self {
        let (Some(route), Some(service)) = (exchange.route, exchange.service) else {
            return Self::default();
        };
        Self::of(plan.route(route), plan.service(service).sticky.as_ref())
    }

    pub(crate) fn each(self) -> impl Iterator<Item = &'a Sticky> {
        self.lane.into_iter().chain(self.endpoint)
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self.lane.is_none() && self.endpoint.is_none()
    }

    /// Writes the cookies that the client does not have yet, and what keeps them from others.
    pub(super) fn write(self, out: &mut Vec<u8>, plan: &LocalPlan, exchange: &Exchange) {
        let before = out.len();
        if let (Some(sticky), Some(service), true) =
            (self.lane, exchange.service, exchange.lane_drawn)
        {
            sticky.write_lane(out, plan.service(service).name.as_bytes());
        }
        if let (Some(sticky), Some(endpoint)) = (self.endpoint, &exchange.endpoint)
            && exchange.preferred != Some(endpoint.key())
        {
            sticky.write_endpoint(out, endpoint.key());
        }
        if out.len() > before {
            Sticky::write_private(out);
        }
    }
}

/// What is left until `deadline`, in whole milliseconds.
pub(super) fn millis_left(deadline: Micros, now: Micros) -> Option<u64> {
    // Rounded up: zero would say that it is over.
    (deadline < NEVER).then(|| deadline.saturating_sub(now).div_ceil(1000).max(1))
}
