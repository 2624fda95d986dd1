//! What the user says about HTTP: how a listener speaks it, and where a route leads.

mod action;
mod byte_rate;
mod cors;
mod field;
mod files;
mod forward_auth;
mod listener;
mod policy;
mod priority;
mod retry;
mod route;
mod security_headers;
mod split;
mod transform;

pub use self::{
    action::{RedirectConfig, RespondConfig},
    cors::CorsConfig,
    files::FilesConfig,
    forward_auth::ForwardAuthConfig,
    listener::{
        AmbiguousPaths, EscapedSlashes, ForwardedConfig, ForwardedFields, HttpConfig, ReadFields,
    },
    policy::{AuthConfig, DefaultsConfig, PolicyConfig},
    priority::{DeadlineConfig, PriorityConfig, PriorityLevel},
    retry::{HedgeAfter, RetriesConfig, RetryOn, TimeoutConfig},
    route::{Action, RouteConfig},
    security_headers::SecurityHeadersConfig,
    split::{MirrorConfig, SplitConfig},
    transform::TransformConfig,
};
pub(crate) use self::{
    byte_rate::ByteRate,
    cors::{OriginConfig, PortConfig, Token, origin_regex},
    field::FieldValue,
    files::Precompressed,
    forward_auth::AskMethod,
    policy::NONE,
    security_headers::HstsConfig,
    split::thousandths,
    transform::{ChangedField, FieldChanges},
};
