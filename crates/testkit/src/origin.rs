//! A scripted origin: it accepts connections, keeps every byte it receives, and answers exactly as it is told.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client;
use crate::wire::{TIMEOUT, Tape, Wire};

/// One thing that a scripted origin does on a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads a whole request, body included.
    ReadRequest,
    /// Reads a request's head, up to the empty line.
    ReadHead,
    /// Reads that many bytes.
    Read(usize),
    /// Reads up to and with these bytes.
    ReadUntil(Vec<u8>),
    /// Reads until the peer closes its sending side.
    ReadToEnd,
    /// Sends all bytes at once.
    Send(Vec<u8>),
    /// Sends in two writes, cut at that place.
    SendSplit(Vec<u8>, usize),
    /// Sends every byte in its own segment, with a pause after each.
    SendBytewise(Vec<u8>, Duration),
    /// Does nothing for a while.
    Wait(Duration),
    /// Closes the sending side.
    HalfClose,
    /// Resets the connection.
    Reset,
    /// Goes back to the first step: for keep-alive.
    Again,
    /// Keeps the connection open and silent until the peer closes it or the origin stops.
    Hold,
}

/// Sends `bytes`: shorthand for [`Step::Send`].
pub fn send(bytes: impl AsRef<[u8]>) -> Step {
    Step::Send(bytes.as_ref().to_vec())
}

/// A scripted origin on a thread per connection. A script that ends closes its connection. Dropped, the origin stops
/// and cuts what is open.
#[derive(Debug)]
pub struct Origin {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopped: AtomicBool,
    connections: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
struct Connection {
    /// A second handle, for cutting the connection; gone with the script, since a socket closes with its last handle.
    stream: Option<TcpStream>,
    received: Tape,
    ended: Option<Result<(), String>>,
}

impl Origin {
    /// Every connection plays this script.
    pub fn script(steps: impl Into<Vec<Step>>) -> Self {
        Self::scripts(vec![steps.into()])
    }

    /// The first connection plays the first script, and so on; those beyond the last play the last.
    pub fn scripts(scripts: Vec<Vec<Step>>) -> Self {
        assert!(!scripts.is_empty(), "an origin needs a script");
        let addr = crate::free_addr();
        let listener = TcpListener::bind(addr).unwrap_or_else(|e| panic!("bind {addr}: {e}"));
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &scripts, &shared)
        });
        Self {
            addr,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Answers every request on every connection with these bytes, and keeps the connection open.
    pub fn answering(response: impl AsRef<[u8]>) -> Self {
        Self::script([Step::ReadRequest, send(response), Step::Again])
    }

    /// Reads one request, sends these bytes, and closes.
    pub fn answering_once(response: impl AsRef<[u8]>) -> Self {
        Self::script([Step::ReadRequest, send(response)])
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.shared.lock().len()
    }

    /// All bytes that connection `number` (from 0) has received; none if there was no such connection.
    pub fn received(&self, number: usize) -> Vec<u8> {
        self.shared
            .lock()
            .get(number)
            .map(Connection::bytes)
            .unwrap_or_default()
    }

    /// As [`Origin::received`], as text.
    pub fn received_text(&self, number: usize) -> String {
        String::from_utf8_lossy(&self.received(number)).into_owned()
    }

    /// All bytes received, on every connection in turn.
    pub fn received_anywhere(&self) -> Vec<u8> {
        self.shared
            .lock()
            .iter()
            .flat_map(Connection::bytes)
            .collect()
    }

    /// Waits until connection `number` has ended; the error says why its script could not go on.
    pub fn wait_end(&self, number: usize) -> Result<(), String> {
        let mut end = None;
        crate::wait_until(&format!("the end of connection {number}"), || {
            end = self
                .shared
                .lock()
                .get(number)
                .and_then(|connection| connection.ended.clone());
            end.is_some()
        });
        end.expect("awaited")
    }

    /// Waits until that many connections were accepted.
    pub fn wait_connections(&self, count: usize) {
        crate::wait_until(&format!("{count} connections"), || {
            self.connections() >= count
        });
    }

    /// Waits until connection `number` has received these bytes somewhere.
    pub fn wait_received(&self, number: usize, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let what = format!(
            "{:?} on connection {number}",
            String::from_utf8_lossy(bytes)
        );
        crate::wait_until(&what, || {
            self.received(number)
                .windows(bytes.len())
                .any(|window| window == bytes)
        });
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.addr); // wakes the acceptor
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for connection in self.shared.lock().iter() {
            if let Some(stream) = &connection.stream {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        if thread::panicking() {
            for number in 0..self.connections() {
                eprintln!(
                    "--- origin {} received on connection {number}\n{}",
                    self.addr,
                    self.received_text(number)
                );
            }
        }
    }
}

impl Connection {
    fn bytes(&self) -> Vec<u8> {
        self.received
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, scripts: &[Vec<Step>], shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let tape = Tape::default();
        let number = {
            let mut connections = shared.lock();
            connections.push(Connection {
                stream: stream.try_clone().ok(),
                received: Arc::clone(&tape),
                ended: None,
            });
            connections.len() - 1
        };
        let script = scripts[number.min(scripts.len() - 1)].clone();
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let result = play(stream, tape, &script, &shared);
            let connection = &mut shared.lock()[number];
            connection.stream = None;
            connection.ended = Some(result.map_err(|e| e.to_string()));
        });
    }
}

/// Plays the script and closes the connection.
fn play(stream: TcpStream, tape: Tape, script: &[Step], shared: &Shared) -> io::Result<()> {
    let mut wire = Wire::new(stream, TIMEOUT)?;
    wire.record(tape);
    let mut at = 0;
    while let Some(step) = script.get(at) {
        at += 1;
        match perform(&mut wire, step, shared)? {
            Next::Go => {}
            Next::Again => at = 0,
            Next::End => break,
        }
    }
    Ok(())
}

fn perform(wire: &mut Wire, step: &Step, shared: &Shared) -> io::Result<Next> {
    match step {
        // A peer that closes instead of sending another request ends the script in peace.
        Step::ReadRequest => return Ok(wire.request()?.map_or(Next::End, |_| Next::Go)),
        Step::ReadHead => return Ok(wire.until(b"\r\n\r\n")?.map_or(Next::End, |_| Next::Go)),
        Step::ReadUntil(bytes) => return Ok(wire.until(bytes)?.map_or(Next::End, |_| Next::Go)),
        Step::Read(count) => drop(wire.exactly(*count)?),
        Step::ReadToEnd => drop(wire.read_to_end()?),
        Step::Send(bytes) => wire.write(bytes)?,
        Step::SendSplit(bytes, cut) => {
            wire.write(&bytes[..*cut])?;
            thread::sleep(Duration::from_millis(2));
            wire.write(&bytes[*cut..])?;
        }
        Step::SendBytewise(bytes, pause) => {
            for &byte in bytes {
                wire.write(&[byte])?;
                thread::sleep(*pause);
            }
        }
        Step::Wait(span) => thread::sleep(*span),
        Step::HalfClose => wire.stream().shutdown(Shutdown::Write)?,
        Step::Reset => {
            client::reset(wire.stream());
            return Ok(Next::End);
        }
        Step::Again => return Ok(Next::Again),
        Step::Hold => hold(wire, shared)?,
    }
    Ok(Next::Go)
}

fn hold(wire: &mut Wire, shared: &Shared) -> io::Result<()> {
    while !shared.stopped.load(Ordering::Relaxed) {
        match wire.fill() {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

enum Next {
    Go,
    Again,
    End,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RawClient;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

    #[test]
    fn received_bytes_show_while_they_come() {
        let origin = Origin::answering(OK);
        let mut client = RawClient::connect(origin.addr());
        client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab");
        origin.wait_received(0, "\r\n\r\nab");
        client.expect_silence(Duration::from_millis(20));
        client.send("cd");
        assert_eq!(client.response().text(), "hi");
        assert_eq!(client.get("/again").text(), "hi");
        assert_eq!(origin.connections(), 1);
        assert!(origin.received_text(0).contains("GET /again"));
        drop(client);
        origin.wait_end(0).expect("a peaceful end");
    }

    #[test]
    fn each_connection_has_its_script() {
        let origin = Origin::scripts(vec![
            vec![Step::ReadHead, Step::Reset],
            vec![
                Step::ReadHead,
                send("HTTP/1.1 200 OK\r\n\r\nto the end"),
                Step::HalfClose,
                Step::ReadToEnd,
            ],
            vec![
                Step::ReadHead,
                Step::SendBytewise(OK.into(), Duration::ZERO),
            ],
        ]);
        let get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut first = RawClient::connect(origin.addr());
        let error = first.send(get).try_response().expect_err("a reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        let mut second = RawClient::connect(origin.addr());
        assert_eq!(second.send(get).response().text(), "to the end");
        second.send("more").half_close().expect_close();
        origin.wait_end(1).expect("a peaceful end");
        assert!(origin.received_text(1).ends_with("more"));
        let mut third = RawClient::connect(origin.addr());
        assert_eq!(third.send_split(get, 5).response().text(), "hi");
        third.expect_close();
    }

    #[test]
    fn a_stopped_origin_lets_go() {
        let origin = Origin::script([Step::Hold]);
        let mut client = RawClient::connect(origin.addr());
        client.send("x");
        origin.wait_received(0, "x");
        drop(origin);
        client.expect_close();
    }
}
