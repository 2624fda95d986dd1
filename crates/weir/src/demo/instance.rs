//! One instance of a department: a server that can be stopped and started.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Either;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::time::{sleep, timeout};

use super::shop::{Department, Shop};
use super::web::{self, Body};

/// How often an event stream says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// One instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) department: Department,
    /// `users-1`
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// Whether it is meant to run.
    running: watch::Sender<bool>,
    served: AtomicU64,
    shop: Arc<Shop>,
}

impl Instance {
    pub(super) fn new(
        department: Department,
        number: usize,
        address: SocketAddr,
        shop: &Arc<Shop>,
    ) -> Self {
        Self {
            department,
            name: format!("{}-{number}", department.name()),
            address,
            running: watch::Sender::new(true),
            served: AtomicU64::new(0),
            shop: Arc::clone(shop),
        }
    }

    /// Stops or starts it.
    pub(super) fn switch(&self, on: bool) {
        self.running.send_replace(on);
    }

    pub(super) fn to_json(&self) -> Json {
        json!({
            "name": self.name,
            "address": self.address.to_string(),
            "running": *self.running.borrow(),
            "served": self.served.load(Relaxed),
        })
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if path == "/healthz" {
            return web::json(200, &json!({ "ok": true }));
        }
        self.served.fetch_add(1, Relaxed);
        let mut response = self.answer_shopper(&path, request).await;
        if let Ok(name) = HeaderValue::try_from(&self.name) {
            response.headers_mut().insert("x-served-by", name);
        }
        response
    }

    async fn answer_shopper(&self, path: &str, request: Request<Incoming>) -> Response<Body> {
        let method = request.method().clone();
        if self.department == Department::Orders
            && path == "/orders/events"
            && method == Method::GET
        {
            return self.events();
        }
        let Some(body) = web::body(request).await else {
            return web::json(
                400,
                &json!({ "error": "the body is too large or too slow" }),
            );
        };
        let mut answer = self
            .shop
            .answer(self.department, method.as_str(), path, &body);
        answer.body["served_by"] = self.name.as_str().into();
        let mut response = web::json(answer.status, &answer.body);
        if let Some(Ok(location)) = answer.location.map(HeaderValue::try_from) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }

    /// Server-sent events: an `order` for each new one.
    fn events(&self) -> Response<Body> {
        let (sender, body) = Channel::new(16);
        tokio::spawn(stream(sender, self.shop.events(), self.name.clone()));
        let mut response = Response::new(Either::Right(body));
        let fields = response.headers_mut();
        fields.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Ends when the client has gone: then sending fails.
async fn stream(mut sender: Sender<Bytes>, mut orders: broadcast::Receiver<String>, name: String) {
    let mut event = format!("retry: 500\nevent: hello\ndata: {{\"served_by\":\"{name}\"}}\n\n");
    while sender.send_data(event.into()).await.is_ok() {
        event = match timeout(HEARTBEAT, orders.recv()).await {
            Ok(Ok(order)) => format!("event: order\ndata: {order}\n\n"),
            Ok(Err(broadcast::error::RecvError::Lagged(missed))) => {
                format!(": {missed} missed\n\n")
            }
            Ok(Err(broadcast::error::RecvError::Closed)) => return,
            Err(_) => ": alive\n\n".to_owned(),
        };
    }
}

/// Serves while it is meant to. Stopped, it is gone: connections break, and new ones are refused.
pub(super) async fn run(instance: Arc<Instance>, first: std::net::TcpListener) {
    let mut running = instance.running.subscribe();
    let mut listener = TcpListener::from_std(first).ok();
    loop {
        let current = match listener.take() {
            Some(listener) => listener,
            None => listen_again(instance.address).await,
        };
        let server = Arc::clone(&instance);
        let serving = web::serve(current, move |request| Arc::clone(&server).answer(request));
        tokio::select! {
            () = serving => {}
            _ = running.wait_for(|running| !*running) => {}
        }
        if running.wait_for(|running| *running).await.is_err() {
            return;
        }
    }
}

/// On the same port, which is most likely still free.
async fn listen_again(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}
