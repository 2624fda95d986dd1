//! The way of one request: admitted, routed, acted upon.

use std::rc::Rc;

use weir_telemetry::Reason;

use super::{aim, answer::Answer, file, forward, reply, state::Exchange};
use crate::{
    codec::{BodyLength, FieldId, Method, TargetForm},
    guard::{self, Checked, Finished},
    local::{Local, LocalPlan},
    plan::{Action, ListenerPlan, RoutePlan},
    proxy::{self, Destination},
    route::{self, Lookup, Outcome, Template},
    server::Client,
    upstream::Upstream,
};

/// What becomes of the client's connection.
#[derive(Debug)]
pub(crate) enum Next {
    /// Another request may follow.
    KeepAlive,
    /// Everything is written; close.
    Close,
    /// Everything is written, but the client may still be sending: close gently, so that it can read our answer.
    Linger,
    /// The answer is incomplete; close so that the client cannot mistake it for a whole one.
    Abort,
    /// Both sides speak another protocol now.
    Tunnel(Box<Upstream>),
}

/// Serves the request whose head is in `exchange`.
pub(crate) async fn run(local: &Local, client: &mut Client, exchange: &mut Exchange) -> Next {
    let plan = Rc::clone(client.plan());
    let listener = plan.listener(client.listener_index);
    identify(local, exchange, listener);
    // Before anything looks at them: nobody but Weir says who is asking.
    exchange.request.remove_fields(&plan.shared.identity_names);

    if let Some(refusal) = admit(exchange) {
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }
    // What firewalls and logins look at is what routes and endpoints will see.
    let asterisk = exchange.request.form() == TargetForm::Asterisk;
    if !asterisk && !normalize(exchange, listener) {
        let refusal = exchange.bad_path();
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }
    if let Some(refusal) = guard::admit(local, client, exchange, listener) {
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }
    if asterisk || forward::hops_left(&exchange.request) == Some(0) {
        return reply::options(local, client, exchange, listener).await;
    }
    if plan.shared.logins.owns(exchange.path()) {
        let answer = Box::pin(guard::login(local, client, exchange)).await;
        return reply::error(local, client, exchange, listener, answer, None).await;
    }
    // A preflight is a question about another request, so the route of that one answers it.
    let asked = match guard::cors::asked_method(&exchange.request) {
        None => None,
        Some(_) => find(&plan, client, exchange, Wanted::Preflight)
            .ok()
            .filter(|route| plan.route(*route).cors().is_some()),
    };
    let found = match asked {
        Some(route) => Ok(route),
        None => find(&plan, client, exchange, Wanted::Own),
    };
    let route = match found {
        Ok(route) => route,
        Err(Missed::NoRoute) => {
            let refusal = Answer::new(404, Reason::NoRoute);
            return reply::error(local, client, exchange, listener, refusal, None).await;
        }
        Err(Missed::Method(allow)) => {
            let refusal = Answer::new(405, Reason::MethodNotAllowed);
            return reply::error(local, client, exchange, listener, refusal, Some(&allow)).await;
        }
    };
    exchange.route = Some(route);
    let route: &RoutePlan = plan.route(route);
    if may_be_read_differently(&plan, client, exchange, route, exchange.path()) {
        let refusal = exchange.ambiguous_path();
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }

    if let Some(guard) = &route.guard {
        if let (Some(cors), Some(_)) = (route.cors(), asked) {
            if let Some(refusal) = guard::firewalls(local, client, exchange, route, guard) {
                return reply::error(local, client, exchange, listener, refusal, None).await;
            }
            return guard::cors::preflight(local, client, exchange, listener, cors).await;
        }
        match guard::check(local, client, exchange, route, guard) {
            Checked::Pass => {}
            Checked::Refuse(refusal) => {
                return reply::error(local, client, exchange, listener, refusal, None).await;
            }
            Checked::Later(later) => {
                // Cold, and large: it is not to make every exchange larger.
                let finished =
                    Box::pin(guard::finish(local, client, exchange, route, guard, later)).await;
                match finished {
                    Finished::Pass => {}
                    Finished::Refuse(refusal) => {
                        return reply::error(local, client, exchange, listener, refusal, None)
                            .await;
                    }
                    Finished::Refused(refused) => {
                        return guard::refuse(local, client, exchange, listener, refused).await;
                    }
                    Finished::Gone => {
                        exchange.reason = Some(Reason::ClientGone);
                        return Next::Abort;
                    }
                }
            }
        }
    }
    if let BodyLength::Length(length) = exchange.request.body()
        && length > route.max_body.on(listener)
    {
        let refusal = Answer::closing(413, Reason::BodyTooLarge);
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }
    match &route.action {
        Action::Service { service, rewrite } => {
            proxied(local, client, exchange, route, *service, rewrite.as_ref()).await
        }
        Action::Split { split, rewrite } => {
            let service = aim::lane(local, split, exchange);
            proxied(local, client, exchange, route, service, rewrite.as_ref()).await
        }
        Action::Redirect { status, to } => {
            reply::redirect(local, client, exchange, listener, *status, to).await
        }
        Action::Respond(fixed) => reply::fixed(local, client, exchange, listener, fixed).await,
        Action::Files { plan, below } => {
            file::run(local, client, exchange, listener, plan, *below).await
        }
    }
}

/// Passes the request to a service.
async fn proxied(
    local: &Local,
    client: &mut Client,
    exchange: &mut Exchange,
    route: &RoutePlan,
    service: u32,
    rewrite: Option<&Template>,
) -> Next {
    let plan = Rc::clone(client.plan());
    aim::take(local, &plan, route, service, exchange);
    if exchange.deadline <= exchange.times.ready {
        // Nobody waits for what an endpoint would work on.
        let listener = plan.listener(client.listener_index);
        let refusal = Answer::new(504, Reason::TotalTimeout);
        return reply::error(local, client, exchange, listener, refusal, None).await;
    }
    let to = Destination {
        plan: &plan,
        route,
        service,
        rewrite,
        key: aim::key(client, &plan, service, exchange),
        prefer: exchange.preferred,
    };
    proxy::run(local, client, exchange, to).await
}

/// Gives the request its id and reads its trace.
fn identify(local: &Local, exchange: &mut Exchange, listener: &ListenerPlan) {
    if listener.request_id {
        let sent = exchange.request.fields().first(FieldId::XRequestId);
        match sent.and_then(weir_telemetry::accepted_request_id) {
            Some(id) => {
                let n = id.len().min(exchange.request_id.len());
                exchange.request_id[..n].copy_from_slice(&id.as_bytes()[..n]);
                exchange.request_id_len = n as u8;
            }
            None => exchange.set_request_id(local.new_id().as_bytes()),
        }
    }
    exchange.trace = forward::trace_of(&exchange.request);
    if exchange.trace.is_none() && listener.traceparent {
        exchange.trace = Some(local.new_trace());
        exchange.trace_made = true;
    }
}

/// What can be refused before anything is looked up.
fn admit(exchange: &Exchange) -> Option<Answer> {
    match exchange.request.method() {
        // A reverse proxy opens no tunnels to wherever a client asks.
        Method::Connect => Some(Answer::closing(501, Reason::UnsupportedMethod)),
        // RFC 9110, 9.3.8: a TRACE request has no content, and would reflect credentials that Weir adds.
        Method::Trace => Some(Answer::closing(501, Reason::UnsupportedMethod)),
        _ => None,
    }
}

/// The route of which request is looked for.
#[derive(Clone, Copy)]
enum Wanted {
    /// Of this one.
    Own,
    /// Of the one that this one asks about.
    Preflight,
}

enum Missed {
    NoRoute,
    Method(Vec<u8>),
}

/// Normalises the path; false if that cannot be done.
fn normalize(exchange: &mut Exchange, listener: &ListenerPlan) -> bool {
    exchange.path.clear();
    let escaped = listener.escaped_slashes;
    match route::normalize(exchange.request.path(), escaped, &mut exchange.path) {
        Ok(route::Normalized::AsSent) => exchange.path_changed = false,
        Ok(route::Normalized::Rewritten) => exchange.path_changed = true,
        Err(_) => return false,
    }
    true
}

/// Whether an endpoint may read a path as that of another route, which asks more of requests. `path` is the one that it gets.
#[inline]
pub(crate) fn may_be_read_differently(
    plan: &LocalPlan,
    client: &Client,
    exchange: &Exchange,
    route: &RoutePlan,
    path: &[u8],
) -> bool {
    let listener = plan.listener(client.listener_index);
    route::may_have_readings(path) && listener.refuses_ambiguous && {
        let lookup = Lookup {
            path,
            ..lookup(client, exchange, exchange.request.method_bytes())
        };
        let headers = Headers(&exchange.request);
        plan.shared.is_ambiguous(&lookup, &headers, route)
    }
}

fn lookup<'a>(client: &Client, exchange: &'a Exchange, method: &'a [u8]) -> Lookup<'a> {
    Lookup {
        listener: client.listener_index,
        host: exchange.request.host(),
        path: exchange.path(),
        query: exchange.request.query(),
        method,
    }
}

/// Finds the route.
fn find(
    plan: &LocalPlan,
    client: &Client,
    exchange: &mut Exchange,
    wanted: Wanted,
) -> Result<u32, Missed> {
    let lookup = Lookup {
        listener: client.listener_index,
        host: exchange.request.host(),
        path: if exchange.path_changed {
            &exchange.path
        } else {
            exchange.request.path()
        },
        query: exchange.request.query(),
        method: match wanted {
            Wanted::Own => exchange.request.method_bytes(),
            Wanted::Preflight => guard::cors::asked_method(&exchange.request).unwrap_or_default(),
        },
    };
    match plan
        .shared
        .table
        .find(&lookup, &Headers(&exchange.request), &mut exchange.captures)
    {
        Outcome::Route { index } => Ok(plan.shared.rule_routes[index as usize]),
        Outcome::NotFound => Err(Missed::NoRoute),
        Outcome::MethodNotAllowed { allow } => {
            let mut value = Vec::new();
            plan.shared.table.write_allow(allow, &mut value);
            Err(Missed::Method(value))
        }
    }
}

/// The request's fields as the router sees them.
pub(crate) struct Headers<'a>(pub(crate) &'a crate::codec::RequestHead);

impl route::HeaderSource for Headers<'_> {
    fn any<F: FnMut(&[u8]) -> bool>(&self, name: &[u8], test: F) -> bool {
        self.0.fields().all_by_name(name).any(test)
    }
}
