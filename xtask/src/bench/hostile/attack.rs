//! What befalls a subject, and what is seen of it from outside.

use std::collections::VecDeque;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use weir_testkit::{SlowHttpTest, SlowMode};

use super::super::LOAD_CORE;
use super::options::Options;
use crate::Result;

/// Connections that a subject takes, by its config.
const PLACES: usize = 8192;
/// Connections of the flood that are opened in a second.
const FLOOD_RATE: usize = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attack {
    /// One of those that slowhttptest has.
    Slow(SlowMode),
    /// Connections that say nothing, more than there are places.
    Flood,
}

impl Attack {
    pub(super) const ALL: [Self; 5] = [
        Self::Slow(SlowMode::Headers),
        Self::Slow(SlowMode::Body),
        Self::Slow(SlowMode::Read),
        Self::Slow(SlowMode::Range),
        Self::Flood,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Slow(SlowMode::Headers) => "heads",
            Self::Slow(SlowMode::Body) => "bodies",
            Self::Slow(SlowMode::Read) => "readers",
            Self::Slow(SlowMode::Range) => "ranges",
            Self::Flood => "flood",
        }
    }

    pub(super) fn about(self) -> &'static str {
        match self {
            Self::Slow(SlowMode::Headers) => {
                "a field of a few bytes every second (`slowhttptest -H`)"
            }
            Self::Slow(SlowMode::Body) => "a byte of a body every second (`slowhttptest -B`)",
            Self::Slow(SlowMode::Read) => {
                "32 bytes of 1 MB read every second, through a small window (`slowhttptest -X`)"
            }
            Self::Slow(SlowMode::Range) => "1 MB in 2,000 overlapping ranges (`slowhttptest -R`)",
            Self::Flood => "silent connections, 1,500 new ones a second, and 8,192 places",
        }
    }

    pub(super) fn connections(self, options: &Options) -> usize {
        match self {
            Self::Slow(_) => options.connections,
            Self::Flood => PLACES * 5 / 4,
        }
    }

    /// Attacks until the time is over.
    pub(super) fn run(self, addr: SocketAddr, options: &Options) -> Result<()> {
        let begun = Instant::now();
        let connections = self.connections(options);
        match self {
            Self::Slow(mode) => {
                let path = match mode {
                    SlowMode::Headers => "/",
                    SlowMode::Body => "/upload",
                    SlowMode::Read | SlowMode::Range => "/1m",
                };
                SlowHttpTest::new(mode, addr, path)
                    .connections(connections, 1000)
                    .duration(options.duration)
                    .cores(LOAD_CORE)
                    .run()?;
            }
            Self::Flood => flood(addr, connections, options.duration),
        }
        // It ends early when all its connections were closed.
        thread::sleep(options.duration.saturating_sub(begun.elapsed()));
        Ok(())
    }
}

/// Opens connections without a break, and holds the newest of them.
fn flood(addr: SocketAddr, most: usize, duration: Duration) {
    const TICK: Duration = Duration::from_millis(10);
    let begun = Instant::now();
    let mut held = VecDeque::new();
    let mut opened = 0;
    while begun.elapsed() < duration {
        let due = (begun.elapsed().as_secs_f64() * FLOOD_RATE as f64) as usize;
        while opened < due {
            opened += 1;
            // One that is refused counts as well: the flood does not slow down.
            held.extend(TcpStream::connect_timeout(&addr, TICK * 100));
            if held.len() > most {
                held.pop_front();
            }
        }
        thread::sleep(TICK);
    }
}

/// What was seen of the sockets at an address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sockets {
    /// The most connections at once, on the server's side.
    pub(super) most: usize,
    /// Those at the end.
    pub(super) last: usize,
    /// The most memory that the machine's TCP sockets took, beyond what they took before.
    pub(super) memory: u64,
}

/// Looks at the sockets now and then.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Sockets>,
}

impl Watch {
    pub(super) fn start(addr: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let over = Arc::clone(&over);
            move || {
                let before = socket_memory();
                let mut seen = Sockets::default();
                while !over.load(Ordering::Relaxed) {
                    seen.last = connections(addr.port());
                    seen.most = seen.most.max(seen.last);
                    let memory = socket_memory().saturating_sub(before);
                    seen.memory = seen.memory.max(memory);
                    thread::sleep(Duration::from_millis(500));
                }
                seen
            }
        });
        Self { over, thread }
    }

    pub(super) fn stop(self) -> Sockets {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Memory of all TCP sockets of this machine: `TCP: ... mem PAGES` of proc(5).
fn socket_memory() -> u64 {
    let text = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = text
        .lines()
        .find_map(|line| line.strip_prefix("TCP: ")?.split_once("mem "))
        .and_then(|(_, pages)| pages.trim().parse::<u64>().ok());
    pages.unwrap_or(0) * rustix::param::page_size() as u64
}

/// Established connections whose local port is this one: the server's ends.
fn connections(port: u16) -> usize {
    const ESTABLISHED: &str = "01";
    let text = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let local = format!(":{port:04X}");
    text.lines()
        .skip(1)
        .filter(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|here| here.ends_with(&local))
                && words.nth(1) == Some(ESTABLISHED)
        })
        .count()
}
