//! A server that looks at whole requests, bodies included, and answers as it is told.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Without the query.
    pub(crate) path: String,
    /// The value of Authorization.
    pub(crate) authorization: Option<String>,
    pub(crate) body: String,
}

impl Seen {
    /// A field of the form, decoded.
    pub(crate) fn form(&self, name: &str) -> Option<String> {
        let value = self.body.split('&').find_map(|pair| {
            let (own, value) = pair.split_once('=')?;
            (own == name).then_some(value)
        })?;
        weir_client::percent_decoded(value)
    }
}

/// What to answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: u16,
    body: String,
    fields: String,
    delay: Duration,
    act: Act,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Answer,
    Break,
    Hold,
}

impl Answer {
    pub(crate) fn json(body: impl ToString) -> Self {
        Self::status(200, body)
    }

    pub(crate) fn status(status: u16, body: impl ToString) -> Self {
        Self {
            status,
            body: body.to_string(),
            fields: String::new(),
            delay: Duration::ZERO,
            act: Act::Answer,
        }
    }

    /// Closes the connection instead.
    pub(crate) fn broken() -> Self {
        Self {
            act: Act::Break,
            ..Self::status(200, "")
        }
    }

    /// Says nothing until the other side goes.
    pub(crate) fn hold() -> Self {
        Self {
            act: Act::Hold,
            ..Self::status(200, "")
        }
    }

    /// With one more field, if there is something in it.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.fields.push_str(&format!("{name}: {value}\r\n"));
        }
        self
    }

    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

type Script = Arc<dyn Fn(&Seen) -> Answer + Send + Sync>;

/// The server; dropped, it accepts no more.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    script: Mutex<Script>,
    seen: Mutex<Vec<Seen>>,
    stopped: AtomicBool,
}

impl Server {
    pub(crate) fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            seen: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if acceptor.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&acceptor);
                if let Ok(stream) = stream {
                    // How the other side goes is its own affair.
                    thread::spawn(move || drop(serve(stream, &shared)));
                }
            }
        });
        Self { addr, shared }
    }

    /// Answers otherwise from now on.
    pub(crate) fn behave(&self, script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) {
        *self.shared.script.lock().expect("the script") = Arc::new(script);
    }

    /// What it was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("what it saw").clone()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
    }
}

fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split(' ').nth(1).unwrap_or_default();
        let mut seen = Seen {
            path: target.split('?').next().unwrap_or_default().to_owned(),
            authorization: None,
            body: String::new(),
        };
        let mut length = 0;
        loop {
            let mut field = String::new();
            reader.read_line(&mut field)?;
            let Some((name, value)) = field.trim_end().split_once(": ") else {
                break;
            };
            match name {
                "content-length" => length = value.parse().map_err(io::Error::other)?,
                "authorization" => seen.authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        seen.body = String::from_utf8(body).map_err(io::Error::other)?;
        shared.seen.lock().expect("what it saw").push(seen.clone());
        let script = Arc::clone(&*shared.script.lock().expect("the script"));
        let answer = script(&seen);
        thread::sleep(answer.delay);
        match answer.act {
            Act::Break => return stream.shutdown(Shutdown::Both),
            Act::Hold => {
                reader.read_to_end(&mut Vec::new())?;
                return Ok(());
            }
            Act::Answer => {}
        }
        write!(
            stream,
            "HTTP/1.1 {} Status\r\nContent-Type: application/json\r\n{}Content-Length: {}\r\n\r\n{}",
            answer.status,
            answer.fields,
            answer.body.len(),
            answer.body,
        )?;
    }
}
