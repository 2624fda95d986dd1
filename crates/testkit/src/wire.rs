//! One TCP connection with a read buffer, and every wait on it bounded.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::message::{self, Framing, Headers, Request, Response, malformed};

/// How long one whole operation may take unless the test says otherwise.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Heads and lines longer than this are a mistake of the test or of its subject.
const MAX_HEAD: usize = 1 << 20;

/// Received bytes that another thread may look at while they come.
pub(crate) type Tape = Arc<Mutex<Vec<u8>>>;

#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    start: usize,
    timeout: Duration,
    /// Gets every byte that is read, as soon as it is.
    tape: Option<Tape>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        Ok(Self {
            stream,
            buffer: Vec::new(),
            start: 0,
            timeout,
            tape: None,
        })
    }

    pub(crate) fn set_timeout(&mut self, timeout: Duration) -> io::Result<()> {
        self.timeout = timeout;
        self.stream.set_read_timeout(Some(timeout))?;
        self.stream.set_write_timeout(Some(timeout))
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Bytes that were read from the socket and not yet consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Takes what was read from the socket and not yet consumed.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        self.consume(self.unread().len())
    }

    /// Copies every byte that is read from now on to the tape.
    pub(crate) fn record(&mut self, tape: Tape) {
        self.tape = Some(tape);
    }

    /// Reads more into the buffer; 0 is the end of the stream.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(count) => {
                    self.buffer.extend_from_slice(&chunk[..count]);
                    if let Some(tape) = &self.tape {
                        tape.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .extend_from_slice(&chunk[..count]);
                    }
                    return Ok(count);
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // The socket's own timeout reads as WouldBlock.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    return Err(io::Error::new(ErrorKind::TimedOut, "no byte in time"));
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn consume(&mut self, count: usize) -> Vec<u8> {
        let taken = self.buffer[self.start..self.start + count].to_vec();
        self.start += count;
        taken
    }

    /// Reads until `end` was seen and returns all up to and with it; `None` at an end before the first byte.
    pub(crate) fn until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + self.timeout;
        let mut searched = 0;
        loop {
            let unread = self.unread();
            let from = searched.min(unread.len());
            if let Some(at) = unread[from..]
                .windows(end.len())
                .position(|window| window == end)
            {
                return Ok(Some(self.consume(from + at + end.len())));
            }
            if unread.len() > MAX_HEAD {
                return Err(malformed("no end in sight", &unread[..64]));
            }
            searched = unread.len().saturating_sub(end.len() - 1);
            if self.fill_before(deadline)? == 0 {
                if self.unread().is_empty() {
                    return Ok(None);
                }
                return Err(self.truncated());
            }
        }
    }

    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        while self.unread().len() < count {
            if self.fill_before(deadline)? == 0 {
                return Err(self.truncated());
            }
        }
        Ok(self.consume(count))
    }

    /// Reads until the end of the stream.
    pub(crate) fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + self.timeout;
        while self.fill_before(deadline)? > 0 {}
        Ok(self.take_unread())
    }

    /// Reads a request; `None` when the peer closed without sending one.
    pub(crate) fn request(&mut self) -> io::Result<Option<Request>> {
        let Some(mut request) = self.request_head()? else {
            return Ok(None);
        };
        self.request_body(&mut request)?;
        Ok(Some(request))
    }

    pub(crate) fn request_head(&mut self) -> io::Result<Option<Request>> {
        self.until(b"\r\n\r\n")?
            .map(|head| message::request_head(&head))
            .transpose()
    }

    pub(crate) fn request_body(&mut self, request: &mut Request) -> io::Result<()> {
        (request.body, request.trailers) = self.body(message::request_framing(request)?)?;
        Ok(())
    }

    /// Reads a response to `method`, with the 1xx before it; `None` when the peer closed without sending one.
    pub(crate) fn response(&mut self, method: &str) -> io::Result<Option<Response>> {
        let mut interim = Vec::new();
        loop {
            let Some(head) = self.until(b"\r\n\r\n")? else {
                return if interim.is_empty() {
                    Ok(None)
                } else {
                    Err(self.truncated())
                };
            };
            let mut response = message::response_head(&head)?;
            if matches!(response.status, 100..=199) && response.status != 101 {
                interim.push((response.status, response.headers));
                continue;
            }
            (response.body, response.trailers) =
                self.body(message::response_framing(&response, method)?)?;
            response.interim = interim;
            return Ok(Some(response));
        }
    }

    fn body(&mut self, framing: Framing) -> io::Result<(Vec<u8>, Headers)> {
        match framing {
            Framing::Empty => Ok((Vec::new(), Headers::default())),
            Framing::Length(length) => Ok((self.exactly(length)?, Headers::default())),
            Framing::UntilClose => Ok((self.read_to_end()?, Headers::default())),
            Framing::Chunked => self.chunked(),
        }
    }

    /// RFC 9112, 7.1.
    fn chunked(&mut self) -> io::Result<(Vec<u8>, Headers)> {
        let mut body = Vec::new();
        loop {
            let line = self.until(b"\r\n")?.ok_or_else(|| self.truncated())?;
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let digits = text
                .split(';')
                .next()
                .unwrap_or_default()
                .trim_end_matches([' ', '\t']);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(malformed("chunk size", &line));
            }
            let size =
                usize::from_str_radix(digits, 16).map_err(|_| malformed("chunk size", &line))?;
            if size == 0 {
                return Ok((body, self.trailers()?));
            }
            body.extend(self.exactly(size)?);
            let end = self.exactly(2)?;
            if end != b"\r\n" {
                return Err(malformed("chunk end", &end));
            }
        }
    }

    fn trailers(&mut self) -> io::Result<Headers> {
        let mut block = Vec::new();
        loop {
            let line = self.until(b"\r\n")?.ok_or_else(|| self.truncated())?;
            block.extend_from_slice(&line);
            if line == b"\r\n" {
                return message::trailer_fields(&block);
            }
        }
    }

    fn fill_before(&mut self, deadline: Instant) -> io::Result<usize> {
        if Instant::now() >= deadline {
            return Err(io::Error::new(ErrorKind::TimedOut, "not finished in time"));
        }
        self.fill()
    }

    fn truncated(&self) -> io::Error {
        io::Error::new(
            ErrorKind::UnexpectedEof,
            format!(
                "closed in the middle, after {:?}",
                String::from_utf8_lossy(self.unread())
            ),
        )
    }
}
