//! The endpoints of one run, and what befalls them.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;

use weir_testkit::{Program, RawClient, TempDir, free_addr};

use super::super::LOAD_CORE;
use super::figures::Phase;
use crate::Result;

/// How long an endpoint takes to answer.
pub(super) const LATENCY_MS: u64 = 5;
/// The endpoint that a fault of one endpoint befalls.
pub(super) const VICTIM: usize = 1;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// What can befall endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Kill,
    Stop,
    Refuse,
    Slow,
    Unavailable,
    AllUnavailable,
}

impl Fault {
    pub(super) const ALL: [Self; 6] = [
        Self::Kill,
        Self::Stop,
        Self::Refuse,
        Self::Slow,
        Self::Unavailable,
        Self::AllUnavailable,
    ];

    /// Its name on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Refuse => "refuse",
            Self::Slow => "slow",
            Self::Unavailable => "503",
            Self::AllUnavailable => "all-503",
        }
    }

    /// What happens, in words.
    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Kill => "one of three endpoints is killed (SIGKILL), and starts again",
            Self::Stop => {
                "one of three endpoints hangs (SIGSTOP): it accepts and never answers, and goes on (SIGCONT)"
            }
            Self::Refuse => {
                "one of three endpoints refuses connections from the start, and starts at the end of the fault"
            }
            Self::Slow => {
                "one of three endpoints takes ten times as long; its health check does not"
            }
            Self::Unavailable => {
                "one of three endpoints answers 503 at once; its health check passes"
            }
            Self::AllUnavailable => "all endpoints answer 503 at once; health checks pass",
        }
    }
}

/// Three endpoints, each a process or, before it starts, an address.
pub(super) struct Endpoints {
    places: [Place; 3],
    folder: TempDir,
}

struct Place {
    addr: SocketAddr,
    process: Option<Program>,
}

impl Endpoints {
    /// Starts those that are there before the fault.
    pub(super) fn start(fault: Fault) -> Result<Self> {
        let mut endpoints = Self {
            places: [(); 3].map(|()| Place {
                addr: free_addr(),
                process: None,
            }),
            folder: TempDir::new("endpoints"),
        };
        for number in 0..NAMES.len() {
            if fault != Fault::Refuse || number != VICTIM {
                endpoints.start_one(number)?;
            }
        }
        Ok(endpoints)
    }

    /// Placeholders of the subjects' configs.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        NAMES
            .into_iter()
            .zip(self.places.iter().map(|place| place.addr))
    }

    /// Lets the fault begin.
    pub(super) fn strike(&mut self, fault: Fault) -> Result<()> {
        let victim = &mut self.places[VICTIM];
        match (fault, &mut victim.process) {
            (Fault::Kill, Some(process)) => process.kill(),
            (Fault::Stop, Some(process)) => process.pause(),
            (Fault::Slow, _) => victim.control(&format!("latency_ms={}", LATENCY_MS * 10))?,
            (Fault::Unavailable, _) => victim.control("status=503")?,
            (Fault::AllUnavailable, _) => {
                for place in &self.places {
                    place.control("status=503")?;
                }
            }
            (Fault::Refuse | Fault::Kill | Fault::Stop, _) => {}
        }
        Ok(())
    }

    /// Ends the fault.
    pub(super) fn heal(&mut self, fault: Fault) -> Result<()> {
        let victim = &mut self.places[VICTIM];
        match (fault, &mut victim.process) {
            (Fault::Kill | Fault::Refuse, _) => self.start_one(VICTIM)?,
            (Fault::Stop, process) => {
                if let Some(process) = process {
                    process.resume();
                }
            }
            (Fault::Slow, _) => victim.control(&format!("latency_ms={LATENCY_MS}"))?,
            (Fault::Unavailable, _) => victim.control("status=200")?,
            (Fault::AllUnavailable, _) => {
                for place in &self.places {
                    place.control("status=200")?;
                }
            }
        }
        Ok(())
    }

    /// How many requests of this phase were read by all endpoints together.
    pub(super) fn requests(&self, phase: Phase) -> u64 {
        let letter = phase.name().as_bytes()[0];
        let count = |name| {
            let letters = fs::read(self.counts(name)).unwrap_or_default();
            letters.iter().filter(|&&one| one == letter).count() as u64
        };
        NAMES.into_iter().map(count).sum()
    }

    fn counts(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_one(&mut self, number: usize) -> Result<()> {
        let counts = self.counts(NAMES[number]).display().to_string();
        let place = &mut self.places[number];
        place.process = None;
        let binary = std::env::current_exe().map_err(|e| format!("this program's path: {e}"))?;
        let latency = LATENCY_MS.to_string();
        let number = number.to_string();
        let args = ["bench", "origin", "@web@", &number, &latency, &counts];
        let launch = Program::launch("endpoint", &binary, &args)
            .value("web", place.addr)
            .cores(LOAD_CORE);
        place.process = Some(Program::try_launch(launch)?);
        Ok(())
    }
}

impl Place {
    fn control(&self, query: &str) -> Result<()> {
        let failed = |e: std::io::Error| format!("endpoint {}: {e}", self.addr);
        let mut client = RawClient::try_connect(self.addr).map_err(failed)?;
        client.send(format!(
            "GET /control?{query} HTTP/1.1\r\nHost: {}\r\n\r\n",
            self.addr
        ));
        client.try_response().map(drop).map_err(failed)
    }
}
