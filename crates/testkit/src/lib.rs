//! Real servers and clients for Weir's tests; never shipped.
//!
//! Tests go through the real binary and real sockets, so this crate starts processes and speaks TCP. Its API blocks:
//! a test is a plain `#[test]` that reads from top to bottom, and threads play what happens at the same time. Every
//! wait has a bound, every server stops when its value is dropped, and what a server wrote is printed when its test
//! panics. The HTTP parser here is its own, so that it cannot share a mistake with Weir's.
//!
//! | to have | take |
//! |---|---|
//! | Weir itself | [`Weir`], [`run_cli`] |
//! | endpoints behind it | [`Echo`] (behaves), [`App`] (behaves as it is told), [`Origin`] (does as its script says), [`GrpcHealth`], [`Nginx`] |
//! | where endpoints are found | [`Consul`] (plays its part), [`Etcd`] (the real one), [`NameServer`] |
//! | clients before it | [`RawClient`], [`curl`], [`Browser`], [`Chromium`] (the real one), [`Visitor`], [`Load`], [`Wrk`], [`SlowHttpTest`] |
//! | what it keeps its counts in | [`Redis`], [`RedisCluster`] (the real ones) |
//! | peers beside it | [`Nginx`], [`Haproxy`], [`Program`] |
//! | where addresses belong | [`Mmdb`] |
//! | what it cost | [`Usage`], [`Histogram`], [`Metrics`] |

mod acceptor;
mod app;
mod browser;
mod chromium;
mod cli;
mod client;
mod consul;
mod curl;
mod echo;
mod etcd;
mod grpc_health;
mod haproxy;
mod histogram;
mod identity_provider;
mod load;
mod message;
mod metrics;
mod mmdb;
mod name_server;
mod nginx;
mod origin;
mod ports;
mod process;
mod program;
mod redis;
mod server;
mod slowhttptest;
mod temp;
mod template;
mod tool;
mod usage;
mod util;
mod weir;
mod wire;
mod wrk;

pub use app::{App, Reply, Seen};
pub use browser::{Browser, Page};
pub use chromium::Chromium;
pub use cli::{CliOutput, run_cli};
pub use client::{RawClient, boundaries};
pub use consul::{Consul, Instance};
pub use curl::{CurlOutput, curl};
pub use echo::Echo;
pub use etcd::Etcd;
pub use grpc_health::{GrpcHealth, Serving};
pub use haproxy::Haproxy;
pub use histogram::Histogram;
pub use identity_provider::{IdentityProvider, Visitor};
pub use load::{Load, LoadError, LoadReport, RunningLoad};
pub use message::{Headers, Request, Response};
pub use metrics::{Metrics, Sample};
pub use mmdb::{Mmdb, MmdbValue};
pub use name_server::NameServer;
pub use nginx::Nginx;
pub use origin::{Origin, Step, send};
pub use ports::{free_addr, free_port};
pub use program::Program;
pub use redis::{Redis, RedisCluster, RedisReply};
pub use rustix::process::Signal;
pub use server::{Launch, Server};
pub use slowhttptest::{RunningSlowHttpTest, SlowHttpTest, SlowMode, SlowReport, SlowSecond};
pub use temp::TempDir;
pub use usage::Usage;
pub use util::{find_program, fnv1a, pattern, raise_descriptor_limit, wait_until};
pub use weir::Weir;
pub use wrk::{Wrk, WrkReport};
