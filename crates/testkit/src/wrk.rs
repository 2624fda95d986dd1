//! The real wrk, and its report as numbers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::tool::Tool;

/// One run of wrk to be.
#[derive(Clone, Debug)]
pub struct Wrk {
    url: String,
    connections: usize,
    threads: usize,
    duration: Duration,
    cores: Option<String>,
    headers: Vec<(String, String)>,
    paths: Vec<String>,
}

/// What a run measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WrkReport {
    /// Whole responses.
    pub requests: u64,
    /// The time it took.
    pub elapsed: Duration,
    /// Body and head bytes received.
    pub bytes: u64,
    /// Responses with a status of 400 and above, or not 2xx and 3xx as wrk counts them.
    pub bad_statuses: u64,
    /// Failures to connect, read, write, and timeouts.
    pub socket_errors: u64,
    /// Median latency.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// 99.9th percentile.
    pub p999: Duration,
}

impl WrkReport {
    /// Responses in a second.
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// All that went wrong.
    pub fn errors(&self) -> u64 {
        self.bad_statuses + self.socket_errors
    }
}

impl Wrk {
    /// 64 connections on one thread for two seconds.
    pub fn new(addr: SocketAddr, path: &str) -> Self {
        Self {
            url: format!("http://{addr}{path}"),
            connections: 64,
            threads: 1,
            duration: Duration::from_secs(2),
            cores: None,
            headers: Vec::new(),
            paths: Vec::new(),
        }
    }

    /// How many connections.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// How many threads share them.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// How long, in whole seconds.
    #[must_use]
    pub fn duration(mut self, duration: Duration) -> Self {
        self.duration = duration;
        self
    }

    /// On which cores, as `taskset -c` writes them.
    #[must_use]
    pub fn cores(mut self, cores: &str) -> Self {
        self.cores = Some(cores.to_owned());
        self
    }

    /// Adds a request header field.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Asks for these paths in turn, instead of the one.
    #[must_use]
    pub fn paths(mut self, paths: Vec<String>) -> Self {
        self.paths = paths;
        self
    }

    /// Runs it to the end.
    pub fn run(&self) -> Result<WrkReport, String> {
        let mut tool = Tool::new("wrk", self.cores.as_deref());
        let mut script = String::from(SCRIPT);
        for (name, value) in &self.headers {
            let _ = writeln!(script, "wrk.headers[{name:?}] = {value:?}");
        }
        if !self.paths.is_empty() {
            let _ = writeln!(
                script,
                "local paths = {{ {} }}\n{ROTATE}",
                quoted(&self.paths)
            );
        }
        let script = tool.dir().write("report.lua", script);
        tool.command()
            .args(["-c", &self.connections.to_string()])
            .args(["-t", &self.threads.to_string()])
            .args(["-d", &self.duration.as_secs().to_string()])
            .args(["--timeout", "10", "-s"])
            .arg(script)
            .arg(&self.url);
        let mut running = tool.start(self.duration)?;
        running.wait()?;
        parse(&running.stdout()).ok_or_else(|| format!("wrk {}: {}", self.url, running.report()))
    }
}

/// wrk's own text rounds; its script interface has the numbers. Times are in microseconds.
const SCRIPT: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("report %d %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration, summary.bytes, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
"#;

/// Requests are formatted once, so that turning to the next costs wrk next to nothing.
const ROTATE: &str = r"
local requests, next = {}, 0
function init(args)
  for n, path in ipairs(paths) do requests[n] = wrk.format(nil, path) end
end
function request()
  next = next % #requests + 1
  return requests[next]
end
";

fn quoted(paths: &[String]) -> String {
    paths
        .iter()
        .map(|path| format!("{path:?}"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn parse(text: &str) -> Option<WrkReport> {
    let line = text.lines().find_map(|line| line.strip_prefix("report "))?;
    let numbers: Vec<u64> = line
        .split(' ')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    let &[
        requests,
        elapsed,
        bytes,
        bad_statuses,
        socket_errors,
        p50,
        p99,
        p999,
    ] = numbers.as_slice()
    else {
        return None;
    };
    Some(WrkReport {
        requests,
        elapsed: Duration::from_micros(elapsed),
        bytes,
        bad_statuses,
        socket_errors,
        p50: Duration::from_micros(p50),
        p99: Duration::from_micros(p99),
        p999: Duration::from_micros(p999),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nginx;

    #[test]
    fn wrk_reports_numbers() {
        let origin = Nginx::origin("app");
        let second = Duration::from_secs(1);
        let report = Wrk::new(origin.addr("web"), "/")
            .connections(4)
            .duration(second)
            .run()
            .expect("wrk");
        assert!(
            report.requests > 0 && report.errors() == 0 && report.p99 >= report.p50,
            "{report:?}"
        );
        let report = Wrk::new(origin.addr("web"), "/status/500")
            .connections(4)
            .duration(second)
            .run()
            .expect("wrk");
        assert!(report.bad_statuses > 0, "{report:?}");
    }
}
