//! `weir status`

use std::time::Duration;

use serde_json::Value as Json;

use super::admin::{Remote, nonsense, parsed};
use crate::cli::Status;
use crate::terminal::{Output, Paint, Table, count};

/// What failed this many seconds ago or less is failing: sources are tried again at least every half a minute.
const FAILING: f64 = 60.0;

pub(super) fn run(arguments: &Status) -> Output {
    status(arguments).unwrap_or_else(|output| output)
}

fn status(arguments: &Status) -> Result<Output, Output> {
    let remote = Remote::find(&arguments.admin, &arguments.config)?;
    let answer = remote.ask("GET", "/status")?;
    let (Some(body), 200) = (parsed(&answer), answer.status) else {
        return Err(nonsense(&remote, &answer));
    };
    Ok(Output::fine(if arguments.json.wanted {
        format!("{body:#}\n")
    } else {
        for_people(&body, Paint::of_stdout())
    }))
}

fn for_people(status: &Json, paint: Paint) -> String {
    let mut out = format!(
        "{} {} · pid {} · up {} · {} (generation {})\n",
        paint.bold("weir"),
        text(&status["version"]),
        status["pid"],
        ago(&status["uptime_seconds"]),
        text(&status["config"]),
        status["generation"],
    );
    if status["draining"] == true {
        out.push_str(&paint.yellow("draining: about to stop\n"));
    }
    let last = &status["last_reload"];
    if !last.is_null() {
        let ok = if last["ok"] == true {
            paint.green("ok")
        } else {
            paint.red("refused")
        };
        out.push_str(&format!(
            "last reload {} ago: {ok}, {}\n",
            ago(&last["seconds_ago"]),
            text(&last["message"])
        ));
    }
    out.push_str(&format!(
        "{} · {} · {}\n\n",
        count(&status["workers"], "worker"),
        count(&status["connections"], "connection"),
        count(&status["routes"], "route")
    ));
    let mut listeners = Table::default();
    listeners.heading(paint, &["LISTENER", "ADDRESS", "PROTOCOL"]);
    for listener in list(&status["listeners"]) {
        listeners.row(&[
            text(&listener["name"]),
            text(&listener["address"]),
            text(&listener["protocol"]),
        ]);
    }
    listeners.write("", &mut out);
    let engines = list(&status["engines"]);
    if !engines.is_empty() {
        out.push('\n');
        let mut table = Table::default();
        table.heading(paint, &["ENGINE", "SERVER", "STATE", "WHY"]);
        for engine in engines {
            let text = |key: &str| engine[key].as_str().unwrap_or_default();
            table.row(&[text("name"), text("server"), text("state"), text("error")]);
        }
        table.write("", &mut out);
    }
    if list(&status["services"]).is_empty() {
        return out;
    }
    out.push('\n');
    let mut services = Table::default();
    services.heading(
        paint,
        &[
            "SERVICE", "ENDPOINT", "STATE", "FOR", "ACTIVE", "WEIGHT", "WHY",
        ],
    );
    for service in list(&status["services"]) {
        add_service(&mut services, service, paint);
    }
    services.write("", &mut out);
    let loads = list(&status["services"]).iter().filter_map(load);
    let mut first = true;
    for line in loads {
        if std::mem::take(&mut first) {
            out.push('\n');
        }
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// What a service with limits or a breaker has to do: `users: breaker open · 5 of 10 requests in flight · 3 waiting`.
fn load(service: &Json) -> Option<String> {
    let mut parts = Vec::new();
    if let Some(breaker) = service["breaker"].as_str() {
        parts.push(format!("breaker {}", breaker.replace('_', "-")));
    }
    let requests = &service["requests"];
    if let (Some(active), Some(waiting)) =
        (requests["in_flight"].as_u64(), requests["pending"].as_u64())
    {
        parts.push(match requests["limit"].as_u64() {
            Some(limit) => format!("{active} of {limit} requests in flight"),
            None => format!("{active} requests in flight"),
        });
        parts.push(format!("{waiting} waiting"));
    }
    (!parts.is_empty()).then(|| format!("{}: {}", text(&service["name"]), parts.join(" · ")))
}

fn add_service(table: &mut Table, service: &Json, paint: Paint) {
    let endpoints = list(&service["endpoints"]);
    let failures: Vec<&Json> = list(&service["source_failures"])
        .iter()
        .filter(|failure| failure["seconds_ago"].as_f64().is_some_and(|s| s < FAILING))
        .collect();
    if endpoints.is_empty() {
        table.row(&[text(&service["name"]), "-", "no endpoint"]);
    }
    for (at, endpoint) in endpoints.iter().enumerate() {
        // The name stands once.
        let name = if at == 0 { text(&service["name"]) } else { "" };
        let (label, address) = (text(&endpoint["name"]), text(&endpoint["address"]));
        let shown = if label == address {
            address.to_owned()
        } else {
            format!("{label} ({address})")
        };
        let state = text(&endpoint["state"]);
        let mut why = text(&endpoint["reason"]).to_owned();
        if why.is_empty() && state == "unknown" {
            why = match service["health_check"].as_bool() {
                Some(true) => "not checked yet",
                Some(false) => "no health check",
                None => "",
            }
            .to_owned();
        }
        if service["panic"] == true && state == "unhealthy" {
            why = format!("used anyway, as all are unhealthy: {why}");
        }
        if let Some(breaker) = endpoint["breaker"]
            .as_str()
            .filter(|state| *state != "closed")
        {
            why = format!("breaker {}", breaker.replace('_', "-"));
        }
        let plain = [
            endpoint["state_seconds"]
                .as_f64()
                .map_or_else(String::new, |_| ago(&endpoint["state_seconds"])),
            endpoint["active"].to_string(),
            endpoint["weight"].to_string(),
            why,
        ];
        let mut cells = vec![
            (name.to_owned(), paint.bold(name)),
            (shown.clone(), shown),
            (state.to_owned(), painted(state, paint)),
        ];
        cells.extend(plain.map(|cell| (cell.clone(), cell)));
        table.painted(cells);
    }
    for failure in failures {
        let since = ago(&failure["seconds_ago"]);
        let (source, error) = (text(&failure["source"]), text(&failure["error"]));
        table.row(&[
            "",
            source,
            "failing",
            "",
            "",
            "",
            &format!("{error} ({since} ago)"),
        ]);
    }
}

/// The state of an endpoint in its colour.
pub(super) fn painted(state: &str, paint: Paint) -> String {
    match state {
        "healthy" => paint.green(state),
        "unhealthy" => paint.red(state),
        "ejected" | "draining" => paint.yellow(state),
        _ => state.to_owned(),
    }
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Json) -> &[Json] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Seconds as people say them.
fn ago(seconds: &Json) -> String {
    let seconds = seconds.as_f64().unwrap_or_default();
    let whole = Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .as_secs();
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d {}h", whole / 86_400, whole / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn durations_as_people_say_them() {
        for (seconds, text) in [
            (0.9, "0s"),
            (59.0, "59s"),
            (61.0, "1m 1s"),
            (7260.0, "2h 1m"),
            (90_000.0, "1d 1h"),
        ] {
            assert_eq!(ago(&json!(seconds)), text);
        }
        assert_eq!(ago(&json!(null)), "0s");
        assert_eq!(ago(&json!(-1.0)), "0s");
    }

    #[test]
    fn a_status_reads_like_this() {
        let status = json!({
            "version": "0.1.0", "pid": 42, "uptime_seconds": 75.2, "config": "weir.yaml", "generation": 3, "draining": false,
            "last_reload": { "seconds_ago": 5.0, "ok": false, "message": "1 problem" },
            "workers": 2, "connections": 7, "routes": 4,
            "listeners": [{ "name": "web", "address": "0.0.0.0:8080", "protocol": "http" }],
            "services": [
                { "name": "users", "balance": "p2c", "panic": false, "health_check": true, "endpoints": [
                    { "name": "127.0.0.1:3001", "address": "127.0.0.1:3001", "state": "healthy", "reason": null,
                      "state_seconds": 70.0, "active": 2, "weight": 1 },
                    { "name": "users.test:80", "address": "10.0.0.1:80", "state": "unhealthy", "reason": "connection refused",
                      "state_seconds": 3.0, "active": 0, "weight": 1 },
                    { "name": "127.0.0.1:3002", "address": "127.0.0.1:3002", "state": "unknown", "reason": null,
                      "state_seconds": null, "active": 0, "weight": 1 },
                ]},
                { "name": "plain", "balance": "p2c", "panic": false, "health_check": false, "endpoints": [
                    { "name": "127.0.0.1:3003", "address": "127.0.0.1:3003", "state": "unknown", "reason": null,
                      "state_seconds": null, "active": 1, "weight": 2 },
                ]},
                { "name": "empty", "balance": "p2c", "panic": false, "endpoints": [], "source_failures": [
                    { "source": "empty.test", "error": "the name server did not answer", "seconds_ago": 4.2 },
                    { "source": "other.test", "error": "long over", "seconds_ago": 400.0 },
                ]},
            ],
        });
        let expected = "\
weir 0.1.0 · pid 42 · up 1m 15s · weir.yaml (generation 3)
last reload 5s ago: refused, 1 problem
2 workers · 7 connections · 4 routes

LISTENER  ADDRESS       PROTOCOL
web       0.0.0.0:8080  http

SERVICE  ENDPOINT                     STATE        FOR     ACTIVE  WEIGHT  WHY
users    127.0.0.1:3001               healthy      1m 10s  2       1
         users.test:80 (10.0.0.1:80)  unhealthy    3s      0       1       connection refused
         127.0.0.1:3002               unknown              0       1       not checked yet
plain    127.0.0.1:3003               unknown              1       2       no health check
empty    -                            no endpoint
         empty.test                   failing                              the name server did not answer (4s ago)
";
        assert_eq!(for_people(&status, Paint { colors: false }), expected);
    }

    #[test]
    fn limits_and_breakers_have_a_line() {
        for (service, line) in [
            (json!({ "name": "a" }), None),
            (
                json!({ "name": "a", "breaker": "half_open" }),
                Some("a: breaker half-open"),
            ),
            (
                json!({ "name": "a", "requests": { "in_flight": 5, "pending": 3, "limit": 10 } }),
                Some("a: 5 of 10 requests in flight · 3 waiting"),
            ),
            (
                json!({ "name": "a", "breaker": "open", "requests": { "in_flight": 0, "pending": 0, "limit": null } }),
                Some("a: breaker open · 0 requests in flight · 0 waiting"),
            ),
        ] {
            assert_eq!(load(&service).as_deref(), line);
        }
    }

    #[test]
    fn nonsense_is_no_panic() {
        for status in [
            json!(null),
            json!([]),
            json!({ "services": 1, "listeners": [1], "last_reload": 3 }),
        ] {
            assert!(!for_people(&status, Paint { colors: true }).is_empty());
        }
    }
}
