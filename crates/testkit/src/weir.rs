//! The real Weir binary, as a test runs it.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use serde_json::Value;

use crate::{Launch, Metrics, RawClient, Response, Server};

/// A running `weir run`. Its [`Server`] has the process, addresses, signals and output.
///
/// ```text
/// let weir = Weir::start(env!("CARGO_BIN_EXE_weir"), "
/// listeners: { web: '@web@' }
/// routes: [ { path: /*, service: app } ]
/// services: { app: ['127.0.0.1:3000'] }
/// ");
/// let response = weir.client("web").get("/");
/// ```
#[derive(Debug)]
pub struct Weir {
    server: Server,
}

impl Weir {
    /// Prepares `BINARY run -c CONFIG`. A config in block style that says nothing about `admin` and `log` gets
    /// `admin: @admin@` and an access log at `@log@`.
    pub fn launch(binary: &str, config: &str) -> Launch {
        Launch::new(
            "weir",
            binary,
            "weir.yaml",
            &with_defaults(config),
            &["run", "-c", "@config@"],
        )
    }

    /// Starts the binary on a config and waits until `/readyz` says 200; panics with its output otherwise.
    pub fn start(binary: &str, config: &str) -> Self {
        Self::from_launch(Self::launch(binary, config))
    }

    /// Starts what [`Weir::launch`] prepared and waits until it is ready.
    pub fn from_launch(launch: Launch) -> Self {
        Self::try_launch(launch).unwrap_or_else(|why| panic!("{why}"))
    }

    /// As [`Weir::from_launch`]; the error holds what the process wrote before it ended or ran out of time.
    pub fn try_launch(launch: Launch) -> Result<Self, String> {
        let mut server = launch.spawn();
        let admin = server.addr("admin");
        server.wait_ready(|| is_ready(admin))?;
        Ok(Self { server })
    }

    /// Asks the admin API to reload the config; the response says whether it took.
    pub fn reload(&self) -> Response {
        self.admin_request("POST", "/reload")
    }

    /// Rewrites the config file with the same defaults as at the start, and reloads through the admin API.
    pub fn reload_with(&mut self, config: &str) -> Response {
        self.rewrite_config(config);
        self.reload()
    }

    /// Rewrites the config file with the same defaults as at the start.
    pub fn rewrite_config(&mut self, config: &str) {
        self.server.rewrite(&with_defaults(config));
    }

    /// Opens a connection to the listener at `@name@`.
    pub fn client(&self, name: &str) -> RawClient {
        RawClient::connect(self.addr(name))
    }

    /// One GET to the admin API.
    pub fn admin(&self, path: &str) -> Response {
        self.admin_request("GET", path)
    }

    /// One request without a body to the admin API.
    pub fn admin_request(&self, method: &str, path: &str) -> Response {
        let addr = self.addr("admin");
        let mut client = RawClient::connect(addr);
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        client.response()
    }

    /// The metrics now.
    pub fn metrics(&self) -> Metrics {
        let response = self.admin("/metrics");
        assert_eq!(response.status, 200, "GET /metrics");
        Metrics::parse(&response.text())
    }

    /// Every whole line of the access log so far.
    pub fn access_log(&self) -> Vec<Value> {
        read_log(&self.log_path())
    }

    /// Waits until the access log has a line that `wanted` accepts, and returns the first such line.
    pub fn wait_log(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        crate::wait_until(&format!("an access log line: {what}"), || {
            found = self.access_log().into_iter().find(|line| wanted(line));
            found.is_some()
        });
        found.expect("awaited")
    }
}

impl Deref for Weir {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Weir {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn with_defaults(config: &str) -> String {
    let mut text = String::new();
    let says = |key: &str| {
        config.trim_start().starts_with('{') || config.lines().any(|line| line.starts_with(key))
    };
    if !says("admin:") {
        text.push_str("admin: \"@admin@\"\n");
    }
    if !says("log:") {
        text.push_str("log: { access: \"@log@\" }\n");
    }
    text.push_str(config);
    text
}

fn is_ready(admin: SocketAddr) -> bool {
    let Ok(mut client) = RawClient::try_connect(admin) else {
        return false;
    };
    client.send(format!(
        "GET /readyz HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n"
    ));
    client
        .try_response()
        .is_ok_and(|response| response.status == 200)
}

/// Lines are whole once they end; the last may still be on its way.
fn read_log(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| {
            serde_json::from_str(line).unwrap_or_else(|e| panic!("access log: {e} in {line:?}"))
        })
        .collect()
}
