//! A name server on UDP that knows what a test tells it: A and SRV records.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// How long its answers hold, in seconds.
const TTL: u32 = 1;
const A: u16 = 1;
const SRV: u16 = 33;

/// A running name server; dropped, it stops.
#[derive(Debug)]
pub struct NameServer {
    addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Zone {
    /// By name in lower case and type, the data of the records.
    records: BTreeMap<(String, u16), Vec<Vec<u8>>>,
    failing: bool,
}

impl NameServer {
    /// Starts one that knows no name.
    pub fn start() -> Self {
        let addr = crate::free_addr();
        let socket = UdpSocket::bind(addr).unwrap_or_else(|e| panic!("bind {addr}: {e}"));
        let (zone, stopped) = (Arc::<Mutex<Zone>>::default(), Arc::<AtomicBool>::default());
        let thread = thread::spawn({
            let (zone, stopped) = (Arc::clone(&zone), Arc::clone(&stopped));
            move || serve(&socket, &zone, &stopped)
        });
        Self {
            addr,
            zone,
            stopped,
            thread: Some(thread),
        }
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The A records of a name.
    pub fn set_a(&self, name: &str, addresses: &[Ipv4Addr]) {
        self.set(
            name,
            A,
            addresses.iter().map(|a| a.octets().to_vec()).collect(),
        );
    }

    /// The SRV records of a name: priority, weight, port and target.
    pub fn set_srv(&self, name: &str, records: &[(u16, u16, u16, &str)]) {
        let data = |(priority, weight, port, target): &(u16, u16, u16, &str)| {
            let mut data = Vec::new();
            for number in [priority, weight, port] {
                data.extend(number.to_be_bytes());
            }
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            data
        };
        self.set(name, SRV, records.iter().map(data).collect());
    }

    /// From now on, or no longer, every question is answered with SERVFAIL.
    pub fn fail(&self, failing: bool) {
        lock(&self.zone).failing = failing;
    }

    /// Forgets all names.
    pub fn forget(&self) {
        lock(&self.zone).records.clear();
    }

    fn set(&self, name: &str, kind: u16, data: Vec<Vec<u8>>) {
        lock(&self.zone)
            .records
            .insert((name.to_ascii_lowercase(), kind), data);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
            let _ = socket.send_to(&[], self.addr); // wakes it
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>, stopped: &AtomicBool) {
    let mut buffer = [0; 1500];
    while let Ok((len, from)) = socket.recv_from(&mut buffer) {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        if let Some(reply) = reply(&buffer[..len], &lock(zone)) {
            let _ = socket.send_to(&reply, from);
        }
    }
}

/// RFC 1035, section 4: a header of 12 bytes, one question, answers that name it by a pointer.
fn reply(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut name = Vec::new();
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
        at += length;
    }
    let (name, question) = (name.join("."), query.get(12..at + 4)?);
    let kind = u16::from_be_bytes([query[at], query[at + 1]]);
    let known = zone.records.keys().any(|(known, _)| *known == name);
    let none = Vec::new();
    let answers = zone.records.get(&(name, kind)).unwrap_or(&none);
    let (code, answers) = match (zone.failing, known) {
        (true, _) => (2, &none),
        (false, false) => (3, &none),
        (false, true) => (0, answers),
    };
    let mut out = query[..2].to_vec();
    out.extend([0x81, 0x80 | code, 0, 1]);
    out.extend((answers.len() as u16).to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    for data in answers {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1]);
        out.extend(TTL.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}
