//! How a listener speaks HTTP.

use std::sync::Arc;

use weir_config::OrOff;
use weir_net::{Micros, ProxyProtocol};
use weir_telemetry::ListenerMetrics;

use super::forwarding::Forwarding;
use crate::{
    codec::HeadLimits,
    config::{AmbiguousPaths, ByteRate, EscapedSlashes, HttpConfig},
    guard::FirewallStep,
    proxy::NEVER,
    wire::Grant,
};

/// A listener's options, with times in microseconds.
#[derive(Debug)]
pub(crate) struct ListenerPlan {
    pub(crate) name: Arc<str>,
    pub(crate) head: HeadLimits,
    pub(crate) first_byte_timeout: Micros,
    pub(crate) head_timeout: Micros,
    pub(crate) body_timeout: Micros,
    pub(crate) send_timeout: Micros,
    /// Bytes that a client must move in a second, in the long run.
    pub(crate) min_rate: Option<u64>,
    pub(crate) half_close_timeout: Micros,
    pub(crate) idle_timeout: Micros,
    pub(crate) tunnel_timeout: Micros,
    /// Largest request body, unless the route says otherwise.
    pub(crate) max_body: u64,
    /// Requests that one connection may carry.
    pub(crate) keepalive_requests: u32,
    pub(crate) forwarding: Forwarding,
    pub(crate) escaped_slashes: EscapedSlashes,
    /// Whether paths are refused that endpoints may read as those of stricter routes.
    pub(crate) refuses_ambiguous: bool,
    /// Which proxies tell who their clients are, before anything else.
    pub(crate) proxy: Option<ProxyProtocol>,
    /// Who may come in.
    pub(crate) firewall: Option<Arc<FirewallStep>>,
    pub(crate) request_id: bool,
    pub(crate) traceparent: bool,
    pub(crate) via: bool,
    pub(crate) metrics: Arc<ListenerMetrics>,
}

impl ListenerPlan {
    pub(super) fn compile(
        name: &str,
        config: &HttpConfig,
        firewall: Option<Arc<FirewallStep>>,
        proxy: Option<ProxyProtocol>,
        metrics: Arc<ListenerMetrics>,
    ) -> Self {
        Self {
            name: Arc::from(name),
            head: HeadLimits {
                max_head: config.max_head.value.as_usize(),
                max_fields: config.max_fields.as_usize(),
                max_target: config.max_target.value.as_usize(),
                max_field: config.max_field.value.as_usize(),
            },
            first_byte_timeout: micros(config.first_byte_timeout),
            head_timeout: micros(config.head_timeout),
            body_timeout: micros(config.body_timeout),
            send_timeout: micros(config.send_timeout),
            min_rate: config.min_rate.on().map(ByteRate::get),
            half_close_timeout: micros(config.half_close_timeout),
            idle_timeout: micros(config.idle_timeout),
            tunnel_timeout: micros(config.tunnel_timeout),
            max_body: match config.max_body {
                OrOff::On(size) => size.get(),
                OrOff::Off => u64::MAX,
            },
            keepalive_requests: match config.max_requests {
                OrOff::On(most) => most.as_u32(),
                OrOff::Off => u32::MAX,
            },
            forwarding: Forwarding::compile(config),
            escaped_slashes: config.escaped_slashes,
            refuses_ambiguous: config.ambiguous_paths == AmbiguousPaths::Refuse,
            proxy,
            firewall: firewall.filter(|firewall| !firewall.policy.is_open()),
            request_id: config.request_id,
            traceparent: config.traceparent,
            via: config.via,
            metrics,
        }
    }

    /// What a client is granted that may be silent for so long.
    pub(crate) fn grant(&self, timeout: Micros) -> Grant {
        Grant {
            timeout,
            min_rate: self.min_rate,
        }
    }
}

/// A duration in microseconds, below "never".
pub(super) fn micros(duration: weir_config::Duration) -> Micros {
    u64::try_from(duration.get().as_micros()).unwrap_or(NEVER - 1)
}
