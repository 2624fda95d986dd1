//! What a route does with a request.

use std::sync::Arc;

use weir_auth::{Hidden, Place};
use weir_net::Micros;
use weir_telemetry::RouteMetrics;

use super::{DeadlineField, ListenerPlan, Mirror, PriorityPlan, Retries, Split};
use crate::{
    files::FilesPlan,
    guard::{Guard, cors::CorsPlan},
    route::Template,
};

/// A route that was matched: what becomes of the request.
#[derive(Debug)]
pub(crate) struct RoutePlan {
    pub(crate) name: Arc<str>,
    pub(crate) metrics: Arc<RouteMetrics>,
    /// Largest request body.
    pub(crate) max_body: MaxBody,
    pub(crate) timeouts: Timeouts,
    pub(crate) retries: Retries,
    pub(crate) priority: PriorityPlan,
    /// The field in which deadlines travel, if they do.
    pub(crate) deadline: Option<DeadlineField>,
    pub(crate) mirror: Option<Mirror>,
    /// Who may pass, how much, and what is changed on the way.
    pub(crate) guard: Option<Box<Guard>>,
    pub(crate) action: Action,
}

/// The largest request body that a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MaxBody {
    /// What the listener says.
    Listener,
    /// This many bytes.
    Bytes(u64),
}

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Action {
    Service {
        /// Index in [`Plan::services`](super::Plan).
        service: u32,
        rewrite: Option<Template>,
    },
    Split {
        split: Box<Split>,
        rewrite: Option<Template>,
    },
    Redirect {
        status: u16,
        to: Template,
    },
    Respond(FixedResponse),
    Files {
        plan: FilesPlan,
        /// The parameter that holds the path below the root, or the whole path.
        below: Option<usize>,
    },
}

/// A response that the config spells out.
#[derive(Debug)]
pub(crate) struct FixedResponse {
    pub(crate) status: u16,
    /// Field lines with their line ends.
    pub(crate) fields: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// How long a service may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) total: Micros,
    pub(crate) connect: Micros,
    pub(crate) first_byte: Micros,
    pub(crate) idle: Micros,
}

impl MaxBody {
    /// The bound in bytes on this listener.
    #[inline]
    pub(crate) fn on(self, listener: &ListenerPlan) -> u64 {
        match self {
            Self::Listener => listener.max_body,
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl RoutePlan {
    /// What becomes of the target before an endpoint sees it.
    pub(crate) fn rewrite(&self) -> Option<&Template> {
        match &self.action {
            Action::Service { rewrite, .. } | Action::Split { rewrite, .. } => rewrite.as_ref(),
            _ => None,
        }
    }

    /// Which pages of other origins may use it.
    pub(crate) fn cors(&self) -> Option<&CorsPlan> {
        self.guard.as_ref()?.head.as_ref()?.cors.as_ref()
    }

    /// All that may be a credential.
    pub(crate) fn hidden(&self) -> &[Hidden] {
        self.hidden_for(None)
    }

    /// What endpoints do not see, if a good credential stood in this place.
    pub(crate) fn hidden_for(&self, place: Option<Place>) -> &[Hidden] {
        let guard = self.guard.as_ref();
        guard.map_or(&[], |guard| guard.hidden(place))
    }

    /// What of it divides requests among services.
    pub(crate) fn split(&self) -> Option<&Split> {
        match &self.action {
            Action::Split { split, .. } => Some(split),
            _ => None,
        }
    }
}
