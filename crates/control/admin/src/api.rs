//! What there is to ask, and the answers.

use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde_json::{Value as Json, json};
use weir_config::Secret;
use weir_service::ServiceStatus;

use crate::access::{self, Denied};
use crate::control::{Control, DrainTarget, Drained};
use crate::respond::{Answer, answer, json_body, problem, text};

/// A path of the API.
struct Resource {
    path: &'static str,
    /// `GET` or `POST`.
    method: Method,
    does: &'static str,
    action: Action,
}

#[derive(Clone, Copy)]
enum Action {
    Index,
    Metrics,
    Alive,
    Ready,
    Status,
    Config,
    Reload,
    Drain,
}

const RESOURCES: [Resource; 8] = [
    Resource {
        path: "/",
        method: Method::GET,
        does: "this list",
        action: Action::Index,
    },
    Resource {
        path: "/metrics",
        method: Method::GET,
        does: "metrics in the Prometheus text format",
        action: Action::Metrics,
    },
    Resource {
        path: "/healthz",
        method: Method::GET,
        does: "200 while the process works; needs no token",
        action: Action::Alive,
    },
    Resource {
        path: "/readyz",
        method: Method::GET,
        does: "200 while requests are welcome, 503 otherwise",
        action: Action::Ready,
    },
    Resource {
        path: "/status",
        method: Method::GET,
        does: "the state of listeners, services and endpoints",
        action: Action::Status,
    },
    Resource {
        path: "/config",
        method: Method::GET,
        does: "the config in use, without secrets",
        action: Action::Config,
    },
    Resource {
        path: "/reload",
        method: Method::POST,
        does: "reads the config again",
        action: Action::Reload,
    },
    Resource {
        path: "/drain",
        method: Method::POST,
        does: "takes an endpoint out of service: ?endpoint=ADDRESS [&service=NAME] [&undo=true]",
        action: Action::Drain,
    },
];

/// Answers the request with this head; `body` is the least number of bytes that follow it.
pub(crate) async fn respond(
    head: &Parts,
    too_large: bool,
    token: Option<&Secret>,
    control: &Arc<dyn Control>,
) -> Answer {
    let resource = RESOURCES
        .iter()
        .find(|resource| resource.path == head.uri.path());
    // Whoever watches over processes needs no secret to learn what a closed port would tell as well.
    if !matches!(
        resource,
        Some(Resource {
            action: Action::Alive,
            ..
        })
    ) && let Err(denied) = access::check(head, token)
    {
        return deny(denied);
    }
    let Some(resource) = resource else {
        return problem(
            StatusCode::NOT_FOUND,
            "There is no such path. GET / lists those that exist.",
        );
    };
    let method = if head.method == Method::HEAD {
        &Method::GET
    } else {
        &head.method
    };
    if *method != resource.method {
        return not_allowed(resource);
    }
    if too_large {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "No request to this API needs a body.",
        );
    }
    match resource.action {
        Action::Index => index(),
        Action::Metrics => answer(
            StatusCode::OK,
            weir_telemetry::CONTENT_TYPE,
            control.metrics(),
        ),
        Action::Alive => text(StatusCode::OK, "ok\n"),
        Action::Ready if control.is_ready() => text(StatusCode::OK, "ready\n"),
        Action::Ready => text(StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
        Action::Status => json_body(StatusCode::OK, &control.status().to_json()),
        Action::Config => json_body(StatusCode::OK, &control.config()),
        Action::Reload => reload(control).await,
        Action::Drain => drain(head.uri.query().unwrap_or_default(), &**control),
    }
}

fn deny(denied: Denied) -> Answer {
    match denied {
        Denied::BadHost => problem(StatusCode::BAD_REQUEST, "The request must say one Host."),
        Denied::Token => {
            let mut answer = problem(
                StatusCode::UNAUTHORIZED,
                "Show the token of the config: Authorization: Bearer TOKEN",
            );
            let challenge = HeaderValue::from_static("Bearer realm=\"weir\"");
            answer
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, challenge);
            answer
        }
        Denied::NamedHost => problem(
            StatusCode::FORBIDDEN,
            "Without a token this API answers only to an IP address or `localhost`, not to a name.",
        ),
        Denied::ForeignPage => problem(
            StatusCode::FORBIDDEN,
            "A page of another site may not ask for this.",
        ),
    }
}

fn not_allowed(resource: &Resource) -> Answer {
    let allow = if resource.method == Method::GET {
        "GET, HEAD"
    } else {
        "POST"
    };
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("This path takes {allow}."),
    );
    answer
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static(allow));
    answer
}

fn index() -> Answer {
    let endpoints: Vec<Json> = RESOURCES
        .iter()
        .map(|resource| json!({ "method": resource.method.as_str(), "path": resource.path, "does": resource.does }))
        .collect();
    json_body(
        StatusCode::OK,
        &json!({ "name": "Weir admin API", "endpoints": endpoints }),
    )
}

async fn reload(control: &Arc<dyn Control>) -> Answer {
    // A task of its own, so that a client that hangs up cannot stop a reload halfway.
    match tokio::spawn(control.reload()).await {
        Ok(Ok(reloaded)) => json_body(StatusCode::OK, &reloaded.to_json()),
        Ok(Err(refused)) => json_body(StatusCode::UNPROCESSABLE_ENTITY, &refused.to_json()),
        Err(_) => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The reload broke off; the log says why.",
        ),
    }
}

fn drain(query: &str, control: &dyn Control) -> Answer {
    let target = match drain_target(query) {
        Ok(target) => target,
        Err(detail) => return problem(StatusCode::BAD_REQUEST, &detail),
    };
    match control.drain(&target) {
        Ok(drained) => {
            let mut body = drained.to_json(&target);
            if target.on {
                body["warnings"] = unserved(&drained, &control.status().services).into();
            }
            json_body(StatusCode::OK, &body)
        }
        Err(missing) => {
            let there = there_is(&target, &control.status().services);
            problem(StatusCode::NOT_FOUND, &there.unwrap_or(missing))
        }
    }
}

/// The services that a drain has left without a healthy endpoint.
fn unserved(drained: &Drained, services: &[ServiceStatus]) -> Vec<String> {
    let left = |service: &&ServiceStatus| {
        drained
            .endpoints
            .iter()
            .any(|(name, _)| *name == service.name)
            && !service
                .endpoints
                .iter()
                .any(|endpoint| endpoint.state.is_usable())
    };
    services
        .iter()
        .filter(left)
        .map(|service| {
            format!(
                "{} has no other healthy endpoint; its requests fail now",
                service.name
            )
        })
        .collect()
}

/// What there is instead of a service or endpoint that there is not. `None` if there is nothing.
fn there_is(target: &DrainTarget, services: &[ServiceStatus]) -> Option<String> {
    const LISTED: usize = 10;
    let list = |names: Vec<&str>| {
        let quoted: Vec<String> = names
            .iter()
            .take(LISTED)
            .map(|name| format!("`{name}`"))
            .collect();
        let more = if names.len() > LISTED { ", ..." } else { "" };
        (!names.is_empty()).then(|| format!("{}{more}", quoted.join(", ")))
    };
    let wanted = |service: &&ServiceStatus| {
        target
            .service
            .as_ref()
            .is_none_or(|name| **name == *service.name)
    };
    let chosen: Vec<&ServiceStatus> = services.iter().filter(wanted).collect();
    if let (Some(name), []) = (&target.service, chosen.as_slice()) {
        let names = list(services.iter().map(|service| &*service.name).collect())?;
        return Some(format!("there is no service `{name}`: there is {names}"));
    }
    let mut labels: Vec<&str> = chosen
        .iter()
        .flat_map(|service| &service.endpoints)
        .map(|endpoint| &*endpoint.label)
        .collect();
    labels.sort_unstable();
    labels.dedup();
    let labels = list(labels)?;
    Some(format!(
        "there is no endpoint `{}`: there is {labels}",
        target.endpoint
    ))
}

fn drain_target(query: &str) -> Result<DrainTarget, String> {
    let mut endpoint = None;
    let mut service = None;
    let mut on = true;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value).ok_or("The query is not percent-encoded UTF-8.")?;
        match name {
            "endpoint" => endpoint = Some(value),
            "service" => service = Some(value),
            "undo" if matches!(value.as_str(), "true" | "false") => on = value == "false",
            "undo" => return Err("`undo` is `true` or `false`.".to_owned()),
            _ => {
                return Err(format!(
                    "`{name}` is not known: it takes `endpoint`, `service` and `undo`."
                ));
            }
        }
    }
    let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
    let endpoint = endpoint.ok_or("Say which: ?endpoint=127.0.0.1:3001")?;
    Ok(DrainTarget {
        service,
        endpoint,
        on,
    })
}

/// Without its percent-encoding.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        out.push((digit()? * 16 + digit()?) as u8);
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drain_targets_by_table() {
        let target = |service: Option<&str>, endpoint: &str, on| {
            Some(DrainTarget {
                service: service.map(str::to_owned),
                endpoint: endpoint.to_owned(),
                on,
            })
        };
        for (query, expected) in [
            (
                "endpoint=127.0.0.1:3001",
                target(None, "127.0.0.1:3001", true),
            ),
            (
                "endpoint=%5B::1%5D%3A80&service=users",
                target(Some("users"), "[::1]:80", true),
            ),
            ("endpoint=a:1&undo=true", target(None, "a:1", false)),
            ("endpoint=a:1&undo=false", target(None, "a:1", true)),
            ("", None),
            ("endpoint=", None),
            ("endpoint=a:1&undo=yes", None),
            ("endpoint=a:1&services=users", None),
            ("endpoint=%4", None),
            ("endpoint=%ff", None),
            ("endpoint=%+1", None),
        ] {
            assert_eq!(drain_target(query).ok(), expected, "{query}");
        }
    }
}
