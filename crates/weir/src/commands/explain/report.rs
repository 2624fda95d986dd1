//! An explanation as people and machines read it.

mod machines;

use std::fmt::Write as _;
use std::time::Duration;

use weir_config::ByteSize;
use weir_http::{
    Decision, ExplainedAction, ExplainedAnswer, ExplainedHedge, ExplainedRoute, ExplainedService,
};
use weir_service::{Policy, ServiceConfig};

pub(super) use self::machines::for_machines;
use super::Told;
use super::live::{Live, LiveEndpoint};
use crate::commands::status::painted;
use crate::terminal::{Paint, Table};

/// Routes that are shown to people.
const MOST_STEPS: usize = 8;

pub(super) fn for_people(told: &Told<'_>, live: &Live, paint: Paint) -> String {
    let arguments = told.arguments;
    let mut out = format!(
        "{} {} from {}\n",
        paint.bold(&arguments.method),
        paint.bold(&told.url()),
        arguments.from
    );
    if let Some(guess) = &told.guess {
        let _ = writeln!(out, "{} {guess}", paint.yellow("note:"));
    }
    out.push('\n');
    let mut table = Table::default();
    table.row(&[
        "listener",
        &format!("{} ({})", told.explanation.listener, told.listener.address),
    ]);
    table.row(&["host", &told.host]);
    if let Some(path) = &told.explanation.normalized {
        table.row(&[
            "path",
            &format!("{path} (normalised; this is what routes and services see)"),
        ]);
    }
    match &told.explanation.decision {
        Decision::Answered(answer) => add_answer(&mut table, answer),
        Decision::Routed(route) => add_route(&mut table, route, told),
    }
    table.write("", &mut out);
    write_steps(&mut out, told, paint);
    if let Decision::Routed(route) = &told.explanation.decision
        && let ExplainedAction::Service(service) = &route.action
    {
        write_service(&mut out, service, told, live, paint);
    }
    out
}

fn add_answer(table: &mut Table, answer: &ExplainedAnswer) {
    table.row(&[
        "answer",
        &format!("{} from Weir itself: {}", answer.status, answer.detail),
    ]);
    if let Some(allow) = &answer.allow {
        table.row(&["allow", allow]);
    }
}

fn add_route(table: &mut Table, route: &ExplainedRoute, told: &Told<'_>) {
    table.row(&["route", &route.name]);
    for (name, value) in &route.parameters {
        table.row(&["", &format!("{{{name}}} = {value}")]);
    }
    for policy in &route.policies {
        let mark = policy
            .refuses
            .map_or_else(String::new, |status| format!(" ({status})"));
        let text = format!("{}: {}{mark}", policy.name, policy.what);
        table.row(&[policy.kind, &text]);
        for said in &policy.says {
            table.row(&["", &format!("  {said}")]);
        }
    }
    match &route.action {
        ExplainedAction::Service(service) => {
            let balance = told
                .config
                .services
                .iter()
                .find(|(name, _)| name.value.as_str() == service.service);
            let balance = balance.map_or_else(String::new, |(_, config)| {
                format!(", balanced by {}", config.balance)
            });
            table.row(&["service", &format!("{}{balance}", service.service)]);
            if !service.split.is_empty() {
                table.row(&["split", &split(service)]);
            }
            if let Some((shadow, share)) = &service.mirror {
                table.row(&["mirror", &format!("{} to {shadow}", percent(*share))]);
            }
            if !service.sticky.is_empty() {
                let noun = if service.sticky.len() > 1 {
                    "cookies"
                } else {
                    "cookie"
                };
                let cookies = format!("by the {noun} {}", service.sticky.join(" and "));
                table.row(&["sticky", &cookies]);
            }
            let timeouts =
                timeouts(service).map(|(name, limit)| format!("{name} {}", shown(limit)));
            table.row(&["timeouts", &timeouts.join(", ")]);
            table.row(&["retries", &retries(service)]);
            let told = [
                ("hedge", service.hedge.map(hedge)),
                ("limits", limits(&service.policy)),
                ("zones", zones(&service.policy)),
                ("subset", subset(&service.policy)),
            ];
            for (name, text) in told {
                if let Some(text) = text {
                    table.row(&[name, &text]);
                }
            }
        }
        ExplainedAction::Redirect { status, location } => {
            table.row(&["redirect", &format!("{status} to {location}")]);
        }
        ExplainedAction::Respond { status, length } => {
            table.row(&[
                "respond",
                &format!("{status} with a body of {length} bytes"),
            ]);
        }
        ExplainedAction::Files { root, path } => {
            table.row(&["file", path]);
            table.row(&["below", root]);
        }
    }
    let max_body = route.max_body.map_or_else(
        || "of any size".to_owned(),
        |bytes| format!("up to {}", ByteSize::bytes(bytes)),
    );
    table.row(&["body", &max_body]);
}

fn split(service: &ExplainedService) -> String {
    let shares = service.split.iter();
    let shares: Vec<String> = shares
        .map(|(name, share)| format!("{} to {name}", percent(*share)))
        .collect();
    let why = if service.kept {
        "a cookie keeps this one where it is"
    } else {
        "shown is the largest"
    };
    format!("{}; {why}", shares.join(", "))
}

/// A part of one as people write it.
fn percent(part: f64) -> String {
    let thousandths = (part * 100_000.0).round() / 1000.0;
    format!("{thousandths}%")
}

fn retries(service: &ExplainedService) -> String {
    let (count, on) = match (service.retries, service.retry_on.as_slice()) {
        (0, _) | (_, []) => return "none".to_owned(),
        (count, on) => (count, on.join(" or ")),
    };
    let mut text = format!("up to {count}, after {on}");
    if let Some(limit) = service.per_try {
        let _ = write!(text, ", a try up to {}", shown(Some(limit)));
    }
    let (budget, floor) = (service.retry_budget, service.retry_floor);
    let _ = match (budget, floor) {
        (0, floor) => write!(text, "; at most {floor} a second"),
        (budget, 0) => write!(text, "; at most {budget}% of requests"),
        _ => write!(
            text,
            "; at most {budget}% of requests plus {floor} a second"
        ),
    };
    text
}

fn hedge(hedge: ExplainedHedge) -> String {
    let after = match hedge {
        ExplainedHedge::After(time) => shown(Some(time)),
        ExplainedHedge::P95 => "the time of 95 in 100 answers".to_owned(),
    };
    format!("a second endpoint gets it too after {after}")
}

fn limits(policy: &Policy) -> Option<String> {
    let limits = &policy.limits;
    let mut parts: Vec<String> = Vec::new();
    if let Some(most) = limits.connections {
        parts.push(format!("{most} in flight at one endpoint"));
    }
    if let Some(all) = &limits.admission {
        match (all.adaptive, all.requests) {
            (true, most) => parts.push(format!("as many at all as they bear, {most} at most")),
            (false, u32::MAX) => {}
            (false, most) => parts.push(format!("{most} at all")),
        }
        let wait = Duration::from_micros(limits.queue_timeout_us);
        parts.push(match all.pending {
            0 => "none may wait".to_owned(),
            most => format!("{most} may wait up to {}", shown(Some(wait))),
        });
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn zones(policy: &Policy) -> Option<String> {
    let zone = policy.zone.as_ref()?;
    Some(match policy.spill_below {
        0 => format!("{zone} alone, as long as any of it can be used"),
        below => format!("{zone} alone, while {below}% of it can be used"),
    })
}

fn subset(policy: &Policy) -> Option<String> {
    (policy.subset).map(|most| format!("no more than {most} of the endpoints"))
}

fn write_steps(out: &mut String, told: &Told<'_>, paint: Paint) {
    let steps = &told.explanation.steps;
    if steps.is_empty() {
        return;
    }
    out.push_str("\nroutes, the most specific first\n");
    let mut table = Table::default();
    for step in steps.iter().take(MOST_STEPS) {
        let verdict = step.verdict.to_string();
        let chosen = step.verdict == weir_http::route::Verdict::Chosen;
        let painted = if chosen {
            paint.green(&verdict)
        } else {
            paint.dim(&verdict)
        };
        table.painted(vec![
            (step.route.clone(), step.route.clone()),
            (verdict, painted),
        ]);
    }
    table.write("  ", out);
    if steps.len() > MOST_STEPS {
        let _ = writeln!(
            out,
            "  ... and {} more that do not match",
            steps.len() - MOST_STEPS
        );
    }
}

fn write_service(
    out: &mut String,
    service: &ExplainedService,
    told: &Told<'_>,
    live: &Live,
    paint: Paint,
) {
    match live.endpoints(&service.service) {
        Some(endpoints) => {
            out.push_str("\nendpoints, as the running Weir sees them\n");
            let mut table = Table::default();
            for LiveEndpoint {
                address,
                state,
                reason,
            } in endpoints
            {
                let reason = reason.unwrap_or_default().to_owned();
                let address = address.to_owned();
                table.painted(vec![
                    (address.clone(), address),
                    (state.to_owned(), painted(state, paint)),
                    (reason.clone(), reason),
                ]);
            }
            table.write("  ", out);
        }
        None => {
            out.push_str("\nendpoints, from the config alone: no running Weir tells their state\n");
            let mut table = Table::default();
            for (address, weight) in configured(&service.service, told) {
                table.row(&[&address, &format!("weight {weight}")]);
            }
            table.write("  ", out);
        }
    }
    out.push_str("\nthe endpoint gets\n");
    for line in &service.head {
        let _ = writeln!(out, "  {line}");
    }
}

fn timeouts(service: &ExplainedService) -> [(&'static str, Option<Duration>); 4] {
    [
        ("total", service.total),
        ("connect", Some(service.connect)),
        ("first byte", Some(service.first_byte)),
        ("idle", Some(service.idle)),
    ]
}

/// A duration in the words of the config.
fn shown(limit: Option<Duration>) -> String {
    limit.map_or_else(
        || "none".to_owned(),
        |limit| weir_config::Duration::from_millis(limit.as_millis() as u64).to_string(),
    )
}

/// What the config says about the endpoints of a service, with their weights.
fn configured(service: &str, told: &Told<'_>) -> Vec<(String, u64)> {
    let found = told
        .config
        .services
        .iter()
        .find(|(name, _)| name.value.as_str() == service);
    let endpoints = found.map(|(_, service): &(_, ServiceConfig)| service.endpoints.iter());
    endpoints
        .into_iter()
        .flatten()
        .map(|endpoint| {
            let weight = u64::from(endpoint.weight.as_u32());
            (endpoint.target.to_string(), weight)
        })
        .collect()
}
