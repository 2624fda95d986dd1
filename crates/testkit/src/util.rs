//! Small things that many tests need.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit};

/// Polls until `done` is true; panics with `what` was awaited after 10 seconds.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < deadline, "waited 10 s for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// FNV-1a, 64 bits: a body's fingerprint, the same everywhere.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// `size` printable bytes in which every position is recognisable, so that a lost, doubled or moved piece shows.
pub fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .step_by(8)
        .flat_map(|at| format!("{at:07x} ").into_bytes())
        .take(size)
        .collect()
}

/// Where a program is: in `PATH`, or in the folders for system programs, which are missing in most users' `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// Raises this process's limit of open files (and so that of the servers it starts) to at least `wanted`; returns what
/// it is now.
pub fn raise_descriptor_limit(wanted: u64) -> u64 {
    let now = rustix::process::getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < wanted) {
        let maximum = now.maximum.map(|maximum| maximum.max(wanted));
        // Only root may raise the hard limit; others get as far as it allows.
        let raised = Rlimit {
            current: Some(wanted),
            maximum,
        };
        if rustix::process::setrlimit(Resource::Nofile, raised).is_err() {
            let _ = rustix::process::setrlimit(
                Resource::Nofile,
                Rlimit {
                    current: now.maximum,
                    maximum: now.maximum,
                },
            );
        }
    }
    rustix::process::getrlimit(Resource::Nofile)
        .current
        .unwrap_or(u64::MAX)
}
