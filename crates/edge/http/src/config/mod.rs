//! What the user says about HTTP: how a listener speaks it, and where a route leads.

mod action;
mod field;
mod files;
mod listener;
mod priority;
mod retry;
mod route;
mod split;

pub use self::{
    action::{RedirectConfig, RespondConfig},
    files::FilesConfig,
    listener::{ForwardedConfig, ForwardedFields, HttpConfig},
    priority::{DeadlineConfig, PriorityConfig, PriorityLevel},
    retry::{HedgeAfter, RetriesConfig, RetryOn, TimeoutConfig},
    route::{Action, RouteConfig},
    split::{MirrorConfig, SplitConfig},
};
pub(crate) use self::{files::Precompressed, split::thousandths};
