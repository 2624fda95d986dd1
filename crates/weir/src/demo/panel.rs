//! The panel: who runs, who served how much, and the switches.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;

use super::instance::Instance;
use super::web::{self, Body};

/// Serves `GET /instances`, `POST /{instance}/stop` and `POST /{instance}/start`.
pub(super) async fn run(instances: Arc<[Arc<Instance>]>, listener: std::net::TcpListener) {
    // A socket that was just bound fits the runtime.
    let Ok(listener) = TcpListener::from_std(listener) else {
        return;
    };
    web::serve(listener, move |request| {
        let answer = answer(&instances, &request);
        async { answer }
    })
    .await;
}

fn answer(instances: &[Arc<Instance>], request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().trim_matches('/');
    if path == "instances" {
        let all: Vec<Json> = instances
            .iter()
            .map(|instance| instance.to_json())
            .collect();
        return web::json(200, &json!({ "instances": all }));
    }
    let switched = match path.split_once('/') {
        Some((name, "stop")) => Some((name, false)),
        Some((name, "start")) => Some((name, true)),
        _ => None,
    };
    let found = switched.and_then(|(name, on)| {
        Some((instances.iter().find(|instance| instance.name == name)?, on))
    });
    let Some((instance, on)) = found else {
        return web::json(
            404,
            &json!({ "error": "GET /demo/instances says what there is to stop and start" }),
        );
    };
    if request.method() != Method::POST {
        return web::json(405, &json!({ "error": "this takes POST" }));
    }
    instance.switch(on);
    web::json(200, &instance.to_json())
}
