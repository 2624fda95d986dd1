//! The end of an exchange: counted and logged.

use std::time::Duration;

use weir_net::{Micros, now};
use weir_telemetry::{AccessRecord, Reason};

use crate::{
    codec::{FieldId, Version},
    exchange::Exchange,
    guard::{client_ip, write_blotted},
    local::Local,
    plan::{AddressText, Hedge},
    server::Client,
};

/// Counts and logs a finished exchange; returns when that was.
pub(crate) fn finish(local: &Local, client: &mut Client, exchange: &Exchange) -> Micros {
    let end = now();
    let (received, sent) = client.uncounted();
    let client = &*client;
    let plan = client.plan();
    let times = exchange.times;
    // A head that came whole began when it was complete.
    let begun = match times.first_bytes {
        0 => times.start,
        first => first,
    };
    let duration = end.saturating_sub(begun);
    let worker = local.worker.id;

    let listener = client.options();
    let cells = listener.metrics.on(worker);
    cells.requests.inc();
    cells.bytes_received.add(received);
    cells.bytes_sent.add(sent);
    let route = exchange.route.map(|index| plan.route(index));
    match (route, exchange.reason) {
        (Some(route), reason) => {
            let cells = route.metrics.on(worker);
            cells.requests.count(exchange.status);
            cells.duration.record(Duration::from_micros(duration));
            if let Some(reason) = reason {
                cells.failures.count(reason);
            }
        }
        (None, reason) => {
            let unrouted = plan.shared.unrouted.on(worker);
            unrouted.requests.count(exchange.status);
            unrouted.duration.record(Duration::from_micros(duration));
            if let Some(reason) = reason {
                unrouted.failures.count(reason);
            }
            if exchange.status >= 400 && reason != Some(Reason::NoRoute) {
                cells.protocol_errors.count(exchange.status);
            }
        }
    }
    let service = exchange.service;
    if let Some(service) = service {
        count_service(local, client, exchange, service);
    }

    let mut log = local.log.borrow_mut();
    if !log.is_on() {
        return end;
    }
    let request = &exchange.request;
    // Behind trusted proxies, whom the request is from differs from one to the next.
    let real = client
        .trusted
        .then(|| AddressText::new(client_ip(client, exchange)));
    // Those of all routes: what was refused before its route was known holds the same secrets.
    let hidden = &plan.shared.hidden_parameters;
    // A login is answered before a route is looked for.
    let login = route.is_none() && plan.shared.logins.owns(exchange.path());
    let blotted = |text: &[u8]| {
        (login || !hidden.is_empty()).then(|| {
            let mut out = Vec::new();
            if login {
                // What a provider sends people back with opens their session.
                out.extend(text.iter().take_while(|byte| **byte != b'?'));
            } else {
                write_blotted(&mut out, text, hidden);
            }
            out
        })
    };
    let target = blotted(request.target());
    let referer = request.fields().first(FieldId::Referer);
    let blotted_referer = referer.and_then(blotted);
    let fields = request.fields();
    let trace = exchange
        .trace
        .as_ref()
        .map(weir_telemetry::TraceParent::trace_id);
    let micros = |time: u64| (time > 0).then(|| Duration::from_micros(time));
    log.write(&AccessRecord {
        unix_millis: local.worker.unix_millis(begun),
        request_id: std::str::from_utf8(exchange.request_id()).unwrap_or_default(),
        listener: &listener.name,
        client: real.as_ref().unwrap_or(&client.address).as_str(),
        method: request.method_bytes(),
        host: request.authority(),
        target: target.as_deref().unwrap_or_else(|| request.target()),
        protocol: match request.version() {
            _ if !request.has_line() => "",
            Version::H10 => "HTTP/1.0",
            Version::H11 => "HTTP/1.1",
        },
        user: exchange
            .identity
            .as_ref()
            .map(|identity| &*identity.subject),
        route: route.map(|route| &*route.name),
        service: service.map(|service| &*plan.service(service).name),
        endpoint: exchange
            .endpoint
            .as_ref()
            .map(|endpoint| &**endpoint.label()),
        status: (exchange.status > 0).then_some(exchange.status),
        bytes_in: exchange.body_in,
        bytes_out: exchange.body_out,
        duration: Duration::from_micros(duration),
        connect: micros(exchange.times.connect),
        first_byte: micros(
            exchange
                .times
                .first_byte
                .saturating_sub(exchange.times.sent),
        )
        .filter(|_| exchange.times.first_byte > 0),
        attempts: u32::from(exchange.attempts) + u32::from(exchange.hedged),
        reused: (exchange.attempts > 0).then_some(exchange.reused),
        user_agent: fields.first(FieldId::UserAgent),
        referer: blotted_referer.as_deref().or(referer),
        reason: exchange.reason,
        rule: (!exchange.rule.is_empty()).then_some(exchange.rule),
        head: micros(times.start.saturating_sub(begun)),
        policy: exchange.policy.as_deref(),
        trace_id: trace.as_ref().map(weir_telemetry::HexId::as_str),
    });
    end
}

fn count_service(local: &Local, client: &Client, exchange: &Exchange, service: u32) {
    let plan = client.plan();
    let worker = local.worker.id;
    let Some(endpoint) = &exchange.endpoint else {
        return;
    };
    let metrics = local.endpoint_metrics(plan, service, endpoint);
    let endpoint = metrics.on(worker);
    if exchange.reused {
        endpoint.reused.inc();
    }
    let (received, sent) = exchange.endpoint_bytes;
    endpoint.bytes_received.add(received);
    endpoint.bytes_sent.add(sent);
    if exchange.times.first_byte > 0 {
        let status = exchange.response.status();
        let cells = plan.service(service).metrics.on(worker);
        cells.requests.count(status);
        cells.first_byte.record(Duration::from_micros(
            exchange.times.first_byte - exchange.times.sent,
        ));
        endpoint.requests.count(status);
        let waits_for_p95 = exchange
            .route
            .is_some_and(|route| plan.route(route).retries.hedge == Hedge::P95);
        if waits_for_p95 {
            let latency = exchange.times.first_byte - exchange.times.sent;
            let now_ms = exchange.times.first_byte / 1000;
            plan.latencies(service, |all| all.record(latency, now_ms));
        }
    }
}
