//! HTTP in front of services.
//!
//! A request's way through the modules, one direction only:
//!
//! ```text
//! server (connection: heads in)  -> exchange (admit, route, act)
//!   -> reply (answers of our own) | files | proxy (attempts) -> upstream (connections)
//!   -> wire (bodies both ways)   -> record (metrics, access log)
//! ```
//!
//! [`Plan`] is what the config compiles to, [`Local`] what one worker holds while
//! it serves. `codec` and `route` are pure: no sockets, no clock.

pub mod codec;
mod config;
mod cookie;
mod exchange;
mod explain;
pub mod files;
mod guard;
mod local;
mod plan;
mod proxy;
mod record;
pub mod route;
mod server;
mod sticky;
mod upstream;
mod wire;

pub use weir_auth::AuthItem;

pub use self::{
    config::{
        Action, AmbiguousPaths, AuthConfig, CorsConfig, DeadlineConfig, DefaultsConfig,
        EscapedSlashes, FilesConfig, ForwardAuthConfig, ForwardedConfig, ForwardedFields,
        HedgeAfter, HttpConfig, MirrorConfig, PolicyConfig, PriorityConfig, PriorityLevel,
        ReadFields, RedirectConfig, RespondConfig, RetriesConfig, RetryOn, RouteConfig,
        SecurityHeadersConfig, SplitConfig, TimeoutConfig, TransformConfig,
    },
    explain::{
        Decision, ExplainedAction, ExplainedAnswer, ExplainedHedge, ExplainedRoute,
        ExplainedService, ExplainedStep, Explanation, Question,
    },
    guard::{ExplainedPolicy, GuardInput},
    local::{Local, Shared},
    plan::{Input, ListenerInput, Plan, ServiceInput},
};
