//! Free ports that stay free.
//!
//! Binding port 0 and closing the socket again hands out a port that the kernel may give to anybody else a moment
//! later, so parallel tests steal each other's addresses. Ports here come from below the kernel's ephemeral range
//! (nobody gets them by accident), each is claimed by a locked file that other test processes respect, and the lock
//! lives as long as this process: a server may stop and start again on its port.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::FlockOperation;

const FIRST: u16 = 10_240;
const COUNT: u16 = 20_000;

/// The ports that this process holds, with the lock that says so to other processes.
static HELD: Mutex<BTreeMap<u16, File>> = Mutex::new(BTreeMap::new());

/// An address on loopback that no other test has, in this process or another, until this process ends.
pub fn free_addr() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()))
}

/// A port that no other test has, in this process or another, until this process ends.
pub fn free_port() -> u16 {
    let mut held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = lock_folder();
    let start = random_start();
    for step in 0..COUNT {
        let port = FIRST + (start + step) % COUNT;
        if held.contains_key(&port) {
            continue;
        }
        let Some(lock) = claim(&folder, port) else {
            continue;
        };
        if !can_be_bound(port) {
            continue; // a server outside the tests has it
        }
        held.insert(port, lock);
        return port;
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Whether nobody listens there. The socket that tries does not listen itself: a process that another thread starts at
/// this moment inherits it until it becomes another program, and would keep the port from whom it is for.
fn can_be_bound(port: u16) -> bool {
    use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
    let Ok(socket) = socket(AddressFamily::INET, SocketType::STREAM, None) else {
        return false;
    };
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    sockopt::set_socket_reuseaddr(&socket, true).is_ok() && bind(&socket, &address).is_ok()
}

/// One folder per user, since another user's files cannot be opened.
fn lock_folder() -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("weir-ports-{}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&folder)
        .unwrap_or_else(|e| panic!("cannot create {}: {e}", folder.display()));
    folder
}

fn claim(folder: &std::path::Path, port: u16) -> Option<File> {
    let file = File::create(folder.join(port.to_string())).ok()?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// Processes start looking at different places, so that they rarely meet.
fn random_start() -> u16 {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.subsec_nanos());
    let seed = u64::from(nanos) ^ (u64::from(std::process::id()) << 20);
    (crate::fnv1a(&seed.to_le_bytes()) % u64::from(COUNT)) as u16
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound_again_and_again() {
        let ports: BTreeSet<u16> = (0..50).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free"));
            drop(TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("still free"));
        }
    }
    #[test]
    fn a_port_that_somebody_listens_on_is_not_free() {
        let port = free_port();
        assert!(can_be_bound(port));
        let _listening = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("free");
        assert!(!can_be_bound(port));
    }
}
