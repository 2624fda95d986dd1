//! A stream that brings no answer larger than it may be.
//!
//! The client's parser keeps what it has of an answer until it is whole, however long that takes and however much it
//! becomes: a server that never ends a line, or announces gigabytes, would fill the memory. So what arrives is counted
//! here first, along the framing of RESP2 (Redis serialization protocol specification, "RESP protocol description"):
//! each answer has a bound, and what cannot be the beginning of one ends the connection.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tls;

/// The first byte of a TLS alert (RFC 8446, 5.1).
const TLS_ALERT: u8 = 21;
/// No number of a length is longer, with a sign.
const LONGEST_NUMBER: usize = 20;

/// A connection whose answers are bounded.
#[derive(Debug)]
pub(crate) struct Frames<S> {
    stream: S,
    meter: Meter,
}

impl<S> Frames<S> {
    /// `most` is how many bytes an answer may have.
    pub(crate) fn new(stream: S, most: usize) -> Self {
        Self {
            stream,
            meter: Meter::new(most),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        match Pin::new(&mut self.stream).poll_read(cx, into) {
            Poll::Ready(Ok(())) => {
                let read = self.meter.take(&into.filled()[before..]);
                Poll::Ready(read.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why)))
            }
            Poll::Ready(Err(why)) => {
                Poll::Ready(Err(io::Error::new(why.kind(), tls::explain(&why))))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Where in an answer the stream is.
#[derive(Debug)]
struct Meter {
    most: usize,
    /// How much of the answer there was.
    size: usize,
    /// How many values are to come until it is whole; 0 between two answers.
    missing: usize,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before the byte that says what kind of value comes.
    Kind,
    /// In a text that ends with its line.
    Text { after_cr: bool },
    /// In the length of a list, or else of a string.
    Length {
        of_list: bool,
        digits: usize,
        number: usize,
        negative: bool,
        after_cr: bool,
    },
    /// In a string that has so many bytes to come, with the end of its line.
    String(usize),
}

impl Meter {
    const fn new(most: usize) -> Self {
        Self {
            most,
            size: 0,
            missing: 0,
            at: At::Kind,
        }
    }

    /// Counts what arrived; an error is the end of the connection.
    fn take(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while let Some((&byte, rest)) = bytes.split_first() {
            let mut used = 1;
            match &mut self.at {
                At::Kind => {
                    if self.missing == 0 {
                        (self.missing, self.size) = (1, 0);
                    }
                    self.at = begin(byte)?;
                }
                At::Text { after_cr } => {
                    let ends = *after_cr && byte == b'\n';
                    *after_cr = byte == b'\r';
                    if ends {
                        self.end_value();
                    }
                }
                At::Length {
                    of_list,
                    digits,
                    number,
                    negative,
                    after_cr,
                } => match byte {
                    b'\n' if *after_cr && *digits > 0 => {
                        let (of_list, number, negative) = (*of_list, *number, *negative);
                        self.announced(of_list, if negative { None } else { Some(number) })?;
                    }
                    b'0'..=b'9' if !*after_cr && *digits < LONGEST_NUMBER => {
                        *digits += 1;
                        *number = number
                            .saturating_mul(10)
                            .saturating_add(usize::from(byte - b'0'));
                    }
                    b'-' if *digits == 0 && !*negative => *negative = true,
                    b'\r' if !*after_cr => *after_cr = true,
                    _ => return Err(not_redis()),
                },
                At::String(left) => {
                    used = (*left).min(bytes.len());
                    *left -= used;
                    if *left == 0 {
                        self.end_value();
                    }
                }
            }
            self.size += used;
            if self.size > self.most {
                return Err(self.too_large());
            }
            bytes = if used == 1 { rest } else { &bytes[used..] };
        }
        Ok(())
    }

    /// How long a string or a list is; `None` for one that is not there.
    fn announced(&mut self, of_list: bool, length: Option<usize>) -> Result<(), String> {
        // Each value of a list has some bytes, so neither can be larger.
        match length {
            Some(length) if length > self.most => return Err(self.too_large()),
            Some(length) if !of_list => {
                self.at = At::String(length + 2);
                return Ok(());
            }
            Some(length) => {
                self.missing += length;
                if self.missing > self.most {
                    return Err(self.too_large());
                }
            }
            None => {}
        }
        self.end_value();
        Ok(())
    }

    fn end_value(&mut self) {
        self.missing -= 1;
        self.at = At::Kind;
    }

    fn too_large(&self) -> String {
        format!("an answer of more than {} bytes", self.most)
    }
}

fn begin(kind: u8) -> Result<At, String> {
    match kind {
        b'+' | b'-' | b':' => Ok(At::Text { after_cr: false }),
        b'$' | b'*' => Ok(At::Length {
            of_list: kind == b'*',
            digits: 0,
            number: 0,
            negative: false,
            after_cr: false,
        }),
        TLS_ALERT => Err("it answers TLS, not Redis: say `rediss://`".to_owned()),
        _ => Err(not_redis()),
    }
}

fn not_redis() -> String {
    "what it answers is not the protocol of Redis".to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 64;

    fn take_all(bytes: &[u8], step: usize) -> Result<Meter, String> {
        let mut meter = Meter::new(MOST);
        for part in bytes.chunks(step.max(1)) {
            meter.take(part)?;
        }
        Ok(meter)
    }

    #[test]
    fn answers_are_followed_to_their_end() {
        let answers = [
            "+OK\r\n",
            "-ERR no\r\n",
            ":-7\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "$0\r\n\r\n",
            "$5\r\n$1\r\n\n\r\n",
            "*3\r\n:1\r\n*2\r\n$2\r\nab\r\n+x\r\n-ERR\r\n",
            "+a\rb\nc\r\r\n",
        ];
        for answer in answers {
            for step in 1..=answer.len() {
                let twice = answer.repeat(9);
                let meter = take_all(twice.as_bytes(), step).expect(answer);
                assert_eq!((meter.missing, meter.size), (0, answer.len()), "{answer}");
                let part = take_all(&answer.as_bytes()[..answer.len() - 1], step);
                assert!(part.expect(answer).missing > 0, "{answer}");
            }
        }
    }

    #[test]
    fn what_is_too_large_or_not_redis_is_refused() {
        let endless = [
            format!("+{}", "a".repeat(MOST)),
            "$65\r\n".to_owned(),
            "*65\r\n".to_owned(),
            format!("${}\r\n", "9".repeat(19)),
            "*40\r\n*40\r\n".to_owned(),
            "*1\r\n".repeat(MOST / 4 + 1),
            format!("*60\r\n{}", ":1\r\n".repeat(16)),
        ];
        for answer in endless {
            let why = take_all(answer.as_bytes(), 7).expect_err(&answer);
            assert!(why.contains("more than 64 bytes"), "{answer}: {why}");
        }
        for answer in [
            "HTTP/1.1 400",
            "$\r\n",
            "$1a\r\n",
            "$--1\r\n",
            "$1\n",
            "%1\r\n",
            "$000000000000000000001\r\n",
        ] {
            let why = take_all(answer.as_bytes(), 3).expect_err(answer);
            assert!(why.contains("not the protocol"), "{answer}: {why}");
        }
        let why = take_all(b"\x15\x03\x01\x00\x02\x02\x46", 1).expect_err("an alert");
        assert!(why.contains("rediss://"), "{why}");
    }

    proptest! {
        /// However it is cut, the same is made of it.
        #[test]
        fn cuts_change_nothing(bytes in "[-+:$*0-9a\r\n]{0,80}", step in 1usize..9) {
            let whole = take_all(bytes.as_bytes(), usize::MAX);
            let cut = take_all(bytes.as_bytes(), step);
            prop_assert_eq!(
                whole.map(|meter| (meter.missing, meter.size)),
                cut.map(|meter| (meter.missing, meter.size))
            );
        }
    }
}
