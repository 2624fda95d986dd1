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
use crate::config::{self, Config, Read};

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
    let (config, mut cx) = whole(read(source))?;
    let plan = compile_offline(&config, &mut cx);
    let Loaded {
        value: plan,
        sources,
        warnings,
    } = config::finish(cx, plan)?;
    Ok(Compiled {
        config,
        plan,
        sources,
        warnings,
    })
}

/// Reads and checks the config. May block, and must not be called where a runtime runs.
///
/// # Errors
/// Every problem of the config, those too that only compiling it shows.
pub(super) fn load(source: &ConfigSource) -> Result<Loaded<Config>, Diagnostics> {
    let (config, cx) = whole(read(source))?;
    config::finish(cx, Some(config))
}

fn read(source: &ConfigSource) -> Read {
    match source {
        ConfigSource::Path(path) => config::read(path, &process_environment),
        ConfigSource::Text { name, text } => config::read_text(name, text, &process_environment),
    }
}

/// The config, if it could be read as a whole. If not, what could be read is compiled, so that everything is told at once.
fn whole(read: Read) -> Result<(Config, Cx), Diagnostics> {
    read.whole().map_err(|mut read| {
        if let Some(sound) = read.sound() {
            // Nobody wants this plan, only what there is to say about it.
            let _ = compile_offline(&sound, &mut read.cx);
        }
        failed(read.cx)
    })
}

/// A plan that nothing will be served by.
fn compile_offline(config: &Config, cx: &mut Cx) -> Option<Plan> {
    let services = match offline_services(specs(config)) {
        Ok(services) => services,
        Err(problem) => {
            // In half a config it may only follow from what is missing.
            if !cx.has_errors() {
                cx.error(weir_config::Span::NONE, problem);
            }
            return None;
        }
    };
    let guards = Guards::offline();
    let mut prepared = guards.prepare_offline();
    let registry = Registry::new(1, 0);
    plan(config, &services, &registry, &guards, &mut prepared, cx)
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
    let plan = plan(config, services, registry, guards, prepared, &mut cx);
    config::finish(cx, plan)
}

fn plan(
    config: &Config,
    services: &HashMap<String, Arc<Service>>,
    registry: &Registry,
    guards: &Guards,
    prepared: &mut PreparedGuard,
    cx: &mut Cx,
) -> Option<Plan> {
    let geo = guards.firewalls.geo(&config.firewall, cx);
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
    Plan::compile(&mut input, registry, cx)
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
    match config::finish(cx, None::<()>) {
        Ok(loaded) => loaded.warnings,
        Err(diagnostics) => diagnostics,
    }
}
