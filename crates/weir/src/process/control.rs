//! What the admin API sees of a running Weir.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use weir_admin::{Control, DrainTarget, Drained, ListenerStatus, ReloadFuture, Status};
use weir_config::Decode;
use weir_telemetry::{ProcessSample, Scrape};

use super::state::State;

/// Weir's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The admin API's handle.
pub(super) struct Handle(pub(super) Arc<State>);

impl Control for Handle {
    fn metrics(&self) -> String {
        // Endpoints know what is in flight, so no worker has to count it twice.
        for service in self.0.services.status() {
            let active: u32 = service
                .endpoints
                .iter()
                .map(|endpoint| endpoint.active)
                .sum();
            let metrics = self.0.registry.service(&service.name);
            metrics.on(0).pool_active.set(i64::from(active));
        }
        self.0.registry.render(&Scrape {
            version: VERSION,
            uptime: self.0.began.elapsed(),
            process: ProcessSample::read().ok(),
            guard: &self.0.guards.sample(),
        })
    }

    fn is_ready(&self) -> bool {
        self.0.is_ready()
    }

    fn status(&self) -> Status {
        let state = &*self.0;
        let services = state.services.status();
        let current = state.current();
        let listeners = current
            .config
            .listeners
            .iter()
            .filter_map(|(name, listener)| {
                Some(ListenerStatus {
                    name: name.value.as_str().to_owned(),
                    address: *current.bound.get(listener.address.to_string().as_str())?,
                    protocol: listener.protocol.as_str(),
                })
            })
            .collect();
        Status {
            version: VERSION,
            pid: std::process::id(),
            uptime: state.began.elapsed(),
            config: state.source.describe(),
            generation: current.generation,
            draining: state.is_draining(),
            last_reload: current.last_reload.as_ref().map(|(at, last)| {
                let mut last = last.clone();
                last.ago = at.elapsed();
                last
            }),
            workers: state.worker_count,
            connections: state.gate.open() as u64,
            listeners,
            routes: current.plan.routes(),
            services,
            checked: current
                .config
                .services
                .iter()
                .filter(|(_, service)| service.health.is_some())
                .map(|(name, _)| name.value.as_str().to_owned())
                .collect(),
            source_failures: state.source_failures.recent(Instant::now()),
            engines: state.guards.engine_status(),
            now_ms: weir_net::now() / 1000,
        }
    }

    fn config(&self) -> serde_json::Value {
        let config = Arc::clone(&self.0.current().config);
        config.to_json()
    }

    fn reload(&self) -> ReloadFuture {
        let state = Arc::clone(&self.0);
        // A task of its own: whoever asked may go away, and the reload still runs to its end.
        let task = tokio::spawn(async move { state.reload_if_changed("admin API").await });
        Box::pin(async move {
            match task.await {
                Ok(result) => result,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        })
    }

    fn drain(&self, target: &DrainTarget) -> Result<Drained, String> {
        let mut endpoints = Vec::new();
        for service in self.0.services.status() {
            if target
                .service
                .as_ref()
                .is_some_and(|wanted| **wanted != *service.name)
            {
                continue;
            }
            for endpoint in &service.endpoints {
                let named = *endpoint.label == *target.endpoint
                    || target
                        .endpoint
                        .parse::<SocketAddr>()
                        .is_ok_and(|address| address == endpoint.address);
                if named {
                    self.0
                        .services
                        .set_draining(&service.name, &endpoint.label, target.on);
                    endpoints.push((Arc::clone(&service.name), endpoint.address));
                }
            }
        }
        if endpoints.is_empty() {
            return Err(format!("there is no endpoint `{}`", target.endpoint));
        }
        Ok(Drained { endpoints })
    }
}
