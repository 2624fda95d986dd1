//! From a config source to a plan, without touching anything that runs.

use std::{collections::HashMap, sync::Arc, time::Duration};

use weir_config::{Cx, Diagnostics, Loaded, Sources, process_environment};
use weir_http::{GuardInput, Input, ListenerInput, Plan, ServiceInput};
use weir_service::{Service, ServiceSpec};
use weir_telemetry::Registry;

use super::{
    ConfigSource,
    guard::{Guards, PreparedGuard},
    state,
};
use crate::config::{self, Config};

/// A config and the plan that it compiles to.
#[derive(Debug)]
pub struct Compiled {
    /// What the user wrote.
    pub config: Config,
    /// What it means.
    pub plan: Plan,
    /// What it was read from.
    pub sources: Sources,
    /// What is suspicious about it.
    pub warnings: Diagnostics,
}

/// Compiles a config for looking at it: nothing is bound, resolved or started.
///
/// # Errors
/// Every problem of the config.
pub fn compile(source: &ConfigSource) -> Result<Compiled, Diagnostics> {
    let loaded = load(source)?;
    let registry = Registry::new(1, 0);
    let specs = specs(&loaded.value);
    let services = offline_services(specs).map_err(|problem| {
        let mut cx = Cx::new(loaded.sources.clone());
        cx.error(weir_config::Span::NONE, problem);
        failed(cx)
    })?;
    let Loaded {
        value: config,
        sources,
        warnings,
    } = loaded;
    let guards = Guards::offline();
    let mut prepared = guards.prepare_offline();
    let plan = compile_plan(
        &config,
        sources,
        &services,
        &registry,
        &guards,
        &mut prepared,
    )?;
    Ok(Compiled {
        config,
        plan: plan.value,
        sources: plan.sources,
        warnings,
    })
}

/// Reads and checks the config.
pub(super) fn load(source: &ConfigSource) -> Result<Loaded<Config>, Diagnostics> {
    match source {
        ConfigSource::Path(path) => config::load(path, &process_environment),
        ConfigSource::Text { name, text } => config::parse(name, text, &process_environment),
    }
}

/// The services as the service crate wants them.
pub(super) fn specs(config: &Config) -> Vec<ServiceSpec> {
    config
        .services
        .iter()
        .map(|(name, service)| service.spec(name.value.as_str()))
        .collect()
}

/// Compiles the plan for services that are prepared.
pub(super) fn compile_plan(
    config: &Config,
    sources: Sources,
    services: &HashMap<String, Arc<Service>>,
    registry: &Registry,
    guards: &Guards,
    prepared: &mut PreparedGuard,
) -> Result<Loaded<Plan>, Diagnostics> {
    let mut cx = Cx::new(sources);
    let geo = guards.firewalls.geo(&config.firewall, &mut cx);
    let mut input = Input {
        guard: GuardInput {
            policies: &config.policies,
            defaults: config.defaults.policies.as_ref(),
            limits: &mut prepared.limits,
            stores: &prepared.stores,
            firewalls: &guards.firewalls,
            firewall: &config.firewall,
            geo: &geo,
            auth: &guards.auth,
        },
        listeners: config
            .listeners
            .iter()
            .map(|(name, listener)| ListenerInput {
                name: name.value.as_str(),
                key: Arc::from(listener.address.to_string()),
                http: &listener.http,
                proxy: listener.proxy_protocol.as_ref(),
                firewall: listener.firewall.as_ref(),
            })
            .collect(),
        routes: &config.routes,
        services: config
            .services
            .iter()
            .filter_map(|(name, service)| {
                Some(ServiceInput {
                    service: Arc::clone(services.get(name.value.as_str())?),
                    keepalive: &service.keepalive,
                    sticky: service.sticky.as_ref(),
                })
            })
            .collect(),
    };
    let plan = Plan::compile(&mut input, registry, &mut cx);
    cx.finish(plan)
}

/// Services that are neither resolved nor checked.
fn offline_services(specs: Vec<ServiceSpec>) -> Result<HashMap<String, Arc<Service>>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot compile: {error}"))?;
    runtime.block_on(async {
        let services = state::offline();
        let prepared = services.prepare(specs, Duration::ZERO).await;
        prepared
            .map(|prepared| prepared.services())
            .map_err(|problems| state::join(&problems))
    })
}

/// All problems that were reported.
pub(super) fn failed(cx: Cx) -> Diagnostics {
    match cx.finish(None::<()>) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    }
}
