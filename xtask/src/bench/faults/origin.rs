//! The endpoint that faults are played on: a process of its own, which can be killed and stopped as a real one.
//!
//! It answers every GET after its latency, and appends the first letter of the path to a file for each request that it
//! has read: what it was sent shows even after it was killed. `/healthz` always answers 200 at once, as the check of an application
//! that is overloaded or broken further inside usually does. `/control?latency_ms=N&status=N` changes how it answers.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::Result;

/// A head longer than this is no request of the benchmark.
const MAX_HEAD: usize = 16 * 1024;

struct Shared {
    name: String,
    latency_ms: AtomicU64,
    status: AtomicU64,
    counted: File,
}

/// Serves until it is killed.
pub(crate) fn run(args: &[&str]) -> Result<()> {
    let &[addr, name, latency_ms, counted] = args else {
        return Err("usage: bench origin ADDRESS NAME LATENCY_MS COUNT_FILE".to_owned());
    };
    let addr: SocketAddr = addr.parse().map_err(|e| format!("{addr}: {e}"))?;
    let shared = Arc::new(Shared {
        name: name.to_owned(),
        latency_ms: AtomicU64::new(
            latency_ms
                .parse()
                .map_err(|e| format!("{latency_ms}: {e}"))?,
        ),
        status: AtomicU64::new(200),
        counted: OpenOptions::new()
            .create(true)
            .append(true)
            .open(counted)
            .map_err(|e| format!("{counted}: {e}"))?,
    });
    let listener = TcpListener::bind(addr).map_err(|e| format!("{addr}: {e}"))?;
    for stream in listener.incoming().flatten() {
        let shared = Arc::clone(&shared);
        // A proxy that goes away is no failure of the endpoint.
        thread::spawn(move || drop(serve(stream, &shared)));
    }
    Ok(())
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut line, mut target) = (String::new(), String::new());
    loop {
        target.clear();
        let mut size = 0;
        loop {
            line.clear();
            let count = reader.read_line(&mut line)?;
            size += count;
            if count == 0 || size > MAX_HEAD {
                return Ok(());
            }
            if target.is_empty() {
                target.push_str(line.split(' ').nth(1).unwrap_or("/"));
            } else if line == "\r\n" {
                break;
            }
        }
        let status = match target.split_once('?') {
            None if target == "/healthz" => 200,
            Some(("/control", query)) => {
                control(query, shared);
                200
            }
            _ => {
                let letter = target.as_bytes().get(1).copied().unwrap_or(b'?');
                (&shared.counted).write_all(&[letter])?;
                let status = shared.status.load(Ordering::Relaxed);
                if status == 200 {
                    thread::sleep(Duration::from_millis(
                        shared.latency_ms.load(Ordering::Relaxed),
                    ));
                }
                status
            }
        };
        let answer = format!(
            "HTTP/1.1 {status} Status\r\nX-Origin: {}\r\nContent-Length: 3\r\n\r\nok\n",
            shared.name
        );
        (&stream).write_all(answer.as_bytes())?;
    }
}

fn control(query: &str, shared: &Shared) {
    for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match (key, value.parse()) {
            ("latency_ms", Ok(value)) => shared.latency_ms.store(value, Ordering::Relaxed),
            ("status", Ok(value)) => shared.status.store(value, Ordering::Relaxed),
            _ => {}
        }
    }
}
