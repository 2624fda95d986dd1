//! Where endpoints come from when the configuration does not list them: DNS, files, Consul, etcd.
//!
//! Every source tells of its endpoints as a [`Listing`], one after the other, from a task of its own (`feed`). A
//! [`Watcher`] turns listings into what the balancer needs: it asks for the addresses of names that are listed, keeps what
//! vanished for a suspicious reason, and says what is in use now. It tells only of changes, and those who stay
//! keep their identity, so that a service of thousands does not notice that one came.
//!
//! **The loss of a registry is not the loss of the endpoints.** No failure takes endpoints away: not a registry that
//! cannot be reached, not one without a leader, not an answer that makes no sense, not a file that is half written. Even an
//! answer without any endpoint must hold for a while before it is believed, and after a registry lost its data
//! (its counter went backwards) nobody is removed until those that it forgot had time to come back (`hold`). Health
//! checks and failed connects know better than a registry whether an endpoint works.
//!
//! What a source says is network input: answers are bounded in size and in time, and one broken entry spoils nothing but
//! itself.

mod base64;
mod config;
mod consul;
mod etcd;
mod feed;
mod file;
mod hold;
mod http;
mod listing;
mod names;
mod pace;
mod spec;
mod srv;
mod watcher;

pub use config::{ConsulConfig, EtcdConfig, SrvConfig};
pub(crate) use config::{check_file, file_target};
pub use listing::SourceError;
pub use spec::{ConsulSpec, EtcdSpec, FileSpec, SrvSpec};

pub(crate) use listing::Listed;
pub(crate) use watcher::{Known, Problem, Step, Watcher};
