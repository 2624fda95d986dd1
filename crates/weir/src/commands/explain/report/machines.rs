//! The same as JSON.

use std::time::Duration;

use serde_json::{Value as Json, json};
use weir_http::{Decision, ExplainedAction, ExplainedHedge, ExplainedRoute, ExplainedService};
use weir_service::Policy;

use super::super::{Told, live::Live};
use super::{configured, shown, timeouts};

pub(in crate::commands::explain) fn for_machines(told: &Told<'_>, live: &Live) -> Json {
    let explanation = &told.explanation;
    let steps = explanation.steps.iter();
    let steps: Vec<Json> = steps
        .map(|step| json!({ "route": step.route, "verdict": step.verdict.to_string() }))
        .collect();
    let mut json = json!({
        "request": {
            "method": told.arguments.method,
            "url": told.url(),
            "host": told.host,
            "from": told.arguments.from.to_string(),
        },
        "listener": explanation.listener,
        "note": told.guess,
        "normalized_path": explanation.normalized,
        "steps": steps,
    });
    match &explanation.decision {
        Decision::Answered(answer) => {
            json["answer"] =
                json!({ "status": answer.status, "detail": answer.detail, "allow": answer.allow });
        }
        Decision::Routed(route) => json["route"] = route_for_machines(route, told, live),
    }
    json
}

fn route_for_machines(route: &ExplainedRoute, told: &Told<'_>, live: &Live) -> Json {
    let parameters: serde_json::Map<String, Json> = route
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let policies = route.policies.iter().map(|policy| {
        json!({
            "kind": policy.kind,
            "name": policy.name,
            "what": policy.what,
            "says": policy.says,
            "refuses": policy.refuses.is_some(),
            "status": policy.refuses,
        })
    });
    let mut json = json!({
        "name": route.name,
        "parameters": parameters,
        "max_body": route.max_body,
        "policies": policies.collect::<Vec<_>>(),
    });
    match &route.action {
        ExplainedAction::Service(service) => {
            json["service"] = service_for_machines(service, told, live)
        }
        ExplainedAction::Redirect { status, location } => {
            json["redirect"] = json!({ "status": status, "location": location });
        }
        ExplainedAction::Respond { status, length } => {
            json["respond"] = json!({ "status": status, "length": length })
        }
        ExplainedAction::Files { root, path } => {
            json["file"] = json!({ "path": path, "root": root });
        }
    }
    json
}

fn service_for_machines(service: &ExplainedService, told: &Told<'_>, live: &Live) -> Json {
    let timeouts: serde_json::Map<String, Json> = timeouts(service)
        .into_iter()
        .map(|(name, limit)| {
            (
                name.replace(' ', "_"),
                limit.map(|limit| limit.as_secs_f64()).into(),
            )
        })
        .collect();
    let live = live.endpoints(&service.service);
    let is_live = live.is_some();
    let endpoints: Vec<Json> = match live {
        Some(endpoints) => endpoints
            .iter()
            .map(|endpoint| json!({ "address": endpoint.address, "state": endpoint.state, "reason": endpoint.reason }))
            .collect(),
        None => configured(&service.service, told)
            .into_iter()
            .map(|(address, weight)| json!({ "address": address, "weight": weight }))
            .collect(),
    };
    let shares = service.split.iter();
    let split: Vec<Json> = shares
        .map(|(name, share)| json!({ "service": name, "share": share }))
        .collect();
    let mirror = service.mirror.as_ref();
    let mirror = mirror.map(|(name, share)| json!({ "service": name, "share": share }));
    json!({
        "name": service.service,
        "split": split,
        "kept_by_cookie": service.kept,
        "mirror": mirror,
        "sticky_cookies": service.sticky,
        "live": is_live,
        "endpoints": endpoints,
        "head": service.head,
        "timeout_seconds": timeouts,
        "retries": {
            "attempts": service.retries,
            "on": service.retry_on,
            "per_try_seconds": service.per_try.map(|limit| limit.as_secs_f64()),
            "budget_percent": service.retry_budget,
            "budget_floor": service.retry_floor,
        },
        "hedge_after": service.hedge.map(|hedge| match hedge {
            ExplainedHedge::After(time) => shown(Some(time)),
            ExplainedHedge::P95 => "p95".to_owned(),
        }),
        "limits": limits_for_machines(&service.policy),
        "zones": service.policy.zone.as_ref().map(|zone| {
            json!({ "prefer": &**zone, "spill_below_percent": service.policy.spill_below })
        }),
        "subset": service.policy.subset,
    })
}

fn limits_for_machines(policy: &Policy) -> Json {
    let limits = &policy.limits;
    let all = limits.admission.as_ref();
    json!({
        "connections": limits.connections,
        "requests": all.map(|all| all.requests).filter(|most| *most < u32::MAX),
        "adaptive": all.is_some_and(|all| all.adaptive),
        "pending": all.map(|all| all.pending),
        "queue_timeout_seconds":
            all.map(|_| Duration::from_micros(limits.queue_timeout_us).as_secs_f64()),
    })
}
