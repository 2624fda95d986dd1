//! A server that speaks as much Redis as a store asks for, and answers as a test says.
#![allow(
    dead_code,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// What a server does with a command.
pub(crate) enum Act {
    /// Sends this.
    Say(Vec<u8>),
    /// Sends the first once, and then the second until the connection ends.
    Flood(Vec<u8>, Vec<u8>),
    /// Sends nothing, now and later, but keeps the connection open.
    Hang,
}

/// A scripted server; it goes on until the test ends.
pub(crate) struct Scripted {
    pub(crate) addr: SocketAddr,
    /// How many bytes of floods went out.
    pub(crate) flooded: Arc<AtomicU64>,
    /// How many floods have ended because the connection did.
    pub(crate) dammed: Arc<AtomicU64>,
}

impl Scripted {
    /// A server that acts so on each command, which is given in words.
    pub(crate) fn start(act: impl Fn(&[String]) -> Act + Send + Sync + 'static) -> Self {
        let addr = weir_testkit::free_addr();
        let listener = TcpListener::bind(addr).expect("a free address");
        let (flooded, dammed) = (Arc::default(), Arc::default());
        let server = Self {
            addr,
            flooded: Arc::clone(&flooded),
            dammed: Arc::clone(&dammed),
        };
        let act = Arc::new(act);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (act, flooded, dammed) =
                    (Arc::clone(&act), Arc::clone(&flooded), Arc::clone(&dammed));
                thread::spawn(move || serve(stream, &*act, &flooded, &dammed));
            }
        });
        server
    }
}

fn serve(
    stream: TcpStream,
    act: &(dyn Fn(&[String]) -> Act + Send + Sync),
    flooded: &AtomicU64,
    dammed: &AtomicU64,
) -> Option<()> {
    let mut from = BufReader::new(stream.try_clone().ok()?);
    let mut to = stream;
    loop {
        let command = read_command(&mut from)?;
        match act(&command) {
            Act::Say(answer) => to.write_all(&answer).ok()?,
            Act::Flood(first, then) => {
                to.write_all(&first).ok()?;
                while to.write_all(&then).is_ok() {
                    flooded.fetch_add(then.len() as u64, Ordering::SeqCst);
                }
                dammed.fetch_add(1, Ordering::SeqCst);
                return None;
            }
            Act::Hang => {
                let mut rest = Vec::new();
                let _ = from.read_to_end(&mut rest);
                return None;
            }
        }
    }
}

fn read_command(from: &mut impl BufRead) -> Option<Vec<String>> {
    let words = read_number(from, '*')?;
    let mut command = Vec::new();
    for _ in 0..words {
        let mut word = vec![0; read_number(from, '$')? + 2];
        from.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        command.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(command)
}

fn read_number(from: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

/// Microseconds since 1970, as `TIME` tells them.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is later").as_micros() as i64
}

/// The answer of a script that lets pass, at this time.
pub(crate) fn allowed(at: i64) -> Act {
    numbers(&[1, 1, 9, 1000, 0, at])
}

/// A list of numbers.
pub(crate) fn numbers(numbers: &[i64]) -> Act {
    let mut answer = format!("*{}\r\n", numbers.len());
    for number in numbers {
        answer.push_str(&format!(":{number}\r\n"));
    }
    Act::Say(answer.into_bytes())
}

/// Whether a command is a try of the store's own.
pub(crate) fn is_probe(command: &[String]) -> bool {
    command.iter().any(|word| word.contains("~probe"))
}
