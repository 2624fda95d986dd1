//! The real slowhttptest, and its report as numbers.

use std::net::SocketAddr;
use std::time::Duration;

use crate::tool::{RunningTool, Tool};

/// What its report is called, without the ending.
const REPORT: &str = "report";

/// How the clients are slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowMode {
    /// Heads that never end (`-H`, Slowloris).
    Headers,
    /// Bodies that never end (`-B`, R-U-Dead-Yet).
    Body,
    /// Answers that are hardly read (`-X`, Slow Read).
    Read,
    /// Requests for very many ranges (`-R`, the Apache killer).
    Range,
}

impl SlowMode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Headers, Self::Body, Self::Read, Self::Range];

    /// Its flag, and what it is.
    pub fn describe(self) -> (&'static str, &'static str) {
        match self {
            Self::Headers => ("-H", "slow heads"),
            Self::Body => ("-B", "slow bodies"),
            Self::Read => ("-X", "slow readers"),
            Self::Range => ("-R", "many ranges"),
        }
    }

    /// Clients as slow as they may be without being silent for long, since a shorter silence is harder to notice.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Headers => &["-i", "1", "-x", "8"],
            Self::Body => &["-i", "1", "-x", "1", "-s", "1000000"],
            // A window of a few hundred bytes, of which 32 are read each second.
            Self::Read => &["-n", "1", "-z", "32", "-w", "256", "-y", "512", "-k", "1"],
            Self::Range => &["-a", "5", "-b", "2000"],
        }
    }
}

/// One run of slowhttptest to be.
#[derive(Clone, Debug)]
pub struct SlowHttpTest {
    mode: SlowMode,
    url: String,
    connections: usize,
    rate: usize,
    duration: Duration,
    cores: Option<String>,
}

/// What slowhttptest saw in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowSecond {
    /// Connections that the server had closed.
    pub closed: usize,
    /// Connections that were being opened.
    pub pending: usize,
    /// Connections that were open.
    pub connected: usize,
    /// Whether its own probe was answered.
    pub available: bool,
}

/// What a run measured, second by second.
#[derive(Clone, Debug, Default)]
pub struct SlowReport {
    /// In order.
    pub seconds: Vec<SlowSecond>,
    /// Why the run ended, in its words.
    pub ended: String,
}

impl SlowReport {
    /// The most connections that were open at once.
    pub fn peak(&self) -> usize {
        let connected = self.seconds.iter().map(|second| second.connected);
        connected.max().unwrap_or(0)
    }

    /// Whether the server had closed every connection before the time was over.
    pub fn all_closed(&self) -> bool {
        self.ended == "No open connections left"
    }

    /// The seconds in which its probe was answered, as a share of all.
    pub fn available(&self) -> f64 {
        let available = self.seconds.iter().filter(|second| second.available);
        available.count() as f64 / self.seconds.len().max(1) as f64
    }
}

impl SlowHttpTest {
    /// A thousand connections in ten seconds, opened at 500 a second.
    pub fn new(mode: SlowMode, addr: SocketAddr, path: &str) -> Self {
        Self {
            mode,
            url: format!("http://{addr}{path}"),
            connections: 1000,
            rate: 500,
            duration: Duration::from_secs(10),
            cores: None,
        }
    }

    /// How many connections, and how many of them are opened in a second.
    #[must_use]
    pub fn connections(mut self, count: usize, rate: usize) -> Self {
        self.connections = count;
        self.rate = rate;
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

    /// Begins the attack.
    pub fn start(&self) -> Result<RunningSlowHttpTest, String> {
        let mut tool = Tool::new("slowhttptest", self.cores.as_deref());
        let prefix = tool.dir().path().join(REPORT);
        tool.command()
            .arg(self.mode.describe().0)
            .args(["-c", &self.connections.to_string()])
            .args(["-r", &self.rate.to_string()])
            .args(["-l", &self.duration.as_secs().to_string()])
            .args(["-p", "3", "-v", "1", "-g", "-u", &self.url, "-o"])
            .arg(&prefix)
            .args(self.mode.arguments());
        tool.start(self.duration).map(RunningSlowHttpTest)
    }

    /// Runs it to the end.
    pub fn run(&self) -> Result<SlowReport, String> {
        self.start()?.wait()
    }
}

/// An attack under way. Dropped, it ends.
#[derive(Debug)]
pub struct RunningSlowHttpTest(RunningTool);

impl RunningSlowHttpTest {
    /// Waits for its end and reads its report.
    pub fn wait(mut self) -> Result<SlowReport, String> {
        self.0.wait()?;
        let csv = self.0.dir().path().join(REPORT).with_extension("csv");
        let csv = std::fs::read_to_string(csv).unwrap_or_default();
        let seconds = parse(&csv).ok_or_else(|| self.0.report())?;
        let output = self.0.stdout();
        let ended = output.split_once("Exit status:").map_or("", |(_, end)| end);
        let ended = ended.split('\n').next().unwrap_or_default();
        // Without the colours.
        let ended = ended.split('m').skip(1).collect::<Vec<_>>().join("m");
        Ok(SlowReport {
            seconds,
            ended: ended.trim().to_owned(),
        })
    }
}

/// `Seconds,Closed,Pending,Connected,Service Available`; the last is zero while the probe is not answered.
fn parse(csv: &str) -> Option<Vec<SlowSecond>> {
    let mut lines = csv.lines();
    lines.next()?.strip_prefix("Seconds,Closed,")?;
    let seconds: Vec<SlowSecond> = lines
        .map(|line| {
            let numbers: Vec<usize> = line
                .split(',')
                .map(|number| number.parse().ok())
                .collect::<Option<_>>()?;
            let &[_, closed, pending, connected, available] = numbers.as_slice() else {
                return None;
            };
            Some(SlowSecond {
                closed,
                pending,
                connected,
                available: available > 0,
            })
        })
        .collect::<Option<_>>()?;
    (!seconds.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nginx;

    #[test]
    fn slowhttptest_reports_numbers() {
        let origin = Nginx::origin("app");
        let report = SlowHttpTest::new(SlowMode::Headers, origin.addr("web"), "/")
            .connections(20, 50)
            .duration(Duration::from_secs(2))
            .run()
            .expect("slowhttptest");
        assert!(report.peak() == 20 && !report.all_closed(), "{report:?}");
        assert!(report.available() > 0.9, "{report:?}");
        assert_eq!(report.ended, "Hit test time limit");
    }
}
