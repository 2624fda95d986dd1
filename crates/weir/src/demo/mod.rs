//! A small shop to stand in front of: users, products and orders, several instances of each, in this process.
//!
//! It is what `weir up` shows, so it does what real services do: it answers JSON under ids, takes orders, streams events,
//! has health checks, and each instance can be stopped and started again while requests go on. It runs on a thread of its
//! own, so that it cannot be mistaken for a part of Weir.

mod instance;
mod panel;
mod shop;
mod web;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};
use tokio::sync::oneshot;

use self::instance::Instance;
use self::shop::{Department, Shop};

/// How many instances each department has.
const INSTANCES: [(Department, usize); 3] = [
    (Department::Users, 3),
    (Department::Products, 2),
    (Department::Orders, 2),
];

/// The running shop. It closes when this is dropped.
pub(crate) struct Demo {
    instances: Vec<Arc<Instance>>,
    /// Where instances are stopped and started.
    panel: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Demo {
    /// Opens on free ports of this machine.
    pub(crate) fn start() -> io::Result<Self> {
        let shop = Arc::new(Shop::new());
        let mut opened = Vec::new();
        for (department, count) in INSTANCES {
            for number in 1..=count {
                let listener = listen()?;
                let instance = Instance::new(department, number, listener.local_addr()?, &shop);
                opened.push((Arc::new(instance), listener));
            }
        }
        let instances: Vec<_> = opened
            .iter()
            .map(|(instance, _)| Arc::clone(instance))
            .collect();
        let panel_listener = listen()?;
        let panel = panel_listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (end, ended) = oneshot::channel();
        let for_panel = Arc::from(instances.as_slice());
        let thread = std::thread::Builder::new()
            .name("weir-demo".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    for (instance, listener) in opened {
                        tokio::spawn(instance::run(instance, listener));
                    }
                    tokio::spawn(panel::run(for_panel, panel_listener));
                    // Dropped or sent: both are the end, and the runtime takes its tasks with it.
                    let _ = ended.await;
                });
            })?;
        Ok(Self {
            instances,
            panel,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Adds the routes and services of the shop to a config.
    pub(crate) fn configure(&self, config: &mut Json) {
        let mut services = json!({ "demo": [self.panel.to_string()] });
        let mut routes = vec![
            json!({
                "name": "home",
                "path": "/",
                "methods": "GET",
                "respond": { "content_type": "text/html; charset=utf-8", "body": include_str!("home.html") },
            }),
            json!({ "name": "demo", "path": "/demo/*", "service": "demo", "rewrite": "/{rest}" }),
        ];
        for (department, _) in INSTANCES {
            let name = department.name();
            let own = self
                .instances
                .iter()
                .filter(|instance| instance.department == department);
            let endpoints: Vec<String> = own.map(|instance| instance.address.to_string()).collect();
            services[name] = json!({
                "endpoints": endpoints,
                "health": { "http": "/healthz", "interval": "1s", "timeout": "500ms", "healthy_after": 1, "unhealthy_after": 2 },
            });
            routes.push(json!({
                "name": name,
                "path": format!("/api/{name}/*"),
                "service": name,
                "rewrite": format!("/{name}/{{rest}}"),
            }));
        }
        config["routes"] = routes.into();
        config["services"] = services;
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has no panic to tell of that was not printed already.
            let _ = thread.join();
        }
    }
}

fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
