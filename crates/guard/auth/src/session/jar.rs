//! Cookies (RFC 6265 and its successor): names, attributes, and values that are too long for one.
//!
//! Browsers keep cookies of 4096 bytes at most, so a longer value is split: the first cookie says how many there are
//! (`3.…`), the others are numbered (`NAME.1`, `NAME.2`). Where the client speaks HTTPS, names begin with `__Host-`, and
//! cookies without that are not looked at: browsers take such a name only from the host itself, over HTTPS, so neither a
//! neighbour under the same domain nor somebody on the way can plant one.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::iter::once;

use crate::asked::{Asked, split_cookie};

/// How much of a value one cookie carries; the rest of 4096 is for the name and the attributes.
const CHUNK: usize = 3800;
/// How many cookies one value may take. More would not leave much of a request's head.
const MOST_CHUNKS: usize = 4;
/// Of several values under one name, so many are tried.
const MOST_TRIES: usize = 16;

/// Where a value is kept in browsers.
#[derive(Clone, Debug)]
pub(crate) struct Jar {
    name: Box<str>,
    /// Whether browsers come by HTTPS, if requests do not tell.
    secure: Option<bool>,
}

/// How a browser is to be spoken to, and what it has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Presence {
    /// Whether it speaks HTTPS.
    pub(crate) secure: bool,
    /// A bit for each chunk that it has.
    chunks: u8,
}

impl Jar {
    /// Cookies of this name. `secure` says whether browsers come by HTTPS, where requests cannot be believed about it.
    pub(crate) fn new(name: &str, secure: Option<bool>) -> Self {
        Self {
            name: name.into(),
            secure,
        }
    }

    /// Whether the browser speaks HTTPS.
    pub(crate) fn is_secure<R: Asked>(&self, request: &R) -> bool {
        self.secure.unwrap_or_else(|| request.scheme() == "https")
    }

    /// The name as browsers know it: all of the jar's cookies begin like this.
    pub(crate) fn full_name(&self, secure: bool) -> String {
        let prefix = if secure { "__Host-" } else { "" };
        format!("{prefix}{}", self.name)
    }

    /// What a request tells about the browser.
    pub(crate) fn presence<R: Asked>(&self, request: &R) -> Presence {
        let secure = self.is_secure(request);
        let chunks = (0..MOST_CHUNKS)
            .filter(|chunk| {
                let name = self.chunk_name(*chunk, secure);
                values(request, &name).next().is_some()
            })
            .fold(0, |chunks, chunk| chunks | 1 << chunk);
        Presence { secure, chunks }
    }

    /// The value that a request has; if it has several, the first one that opens.
    pub(crate) fn find<'r, R: Asked>(
        &self,
        request: &'r R,
        opens: impl Fn(&[u8]) -> bool,
    ) -> Option<Cow<'r, [u8]>> {
        let secure = self.is_secure(request);
        let name = self.chunk_name(0, secure);
        let mut found = values(request, &name)
            .flat_map(|first| self.wholes(request, secure, first))
            .take(MOST_TRIES);
        let first = found.next()?;
        // Nearly always there is one, and whoever wants it will see whether it opens.
        match found.next() {
            Some(second) if !opens(&first) => once(second)
                .chain(found)
                .find(|value| opens(value))
                .or(Some(first)),
            _ => Some(first),
        }
    }

    /// What a first chunk is the beginning of.
    fn wholes<'r, R: Asked>(
        &self,
        request: &'r R,
        secure: bool,
        first: &'r [u8],
    ) -> impl Iterator<Item = Cow<'r, [u8]>> + use<'r, R> {
        let (count, first) = split_count(first).unwrap_or((1, first));
        let chunks: Vec<Vec<&[u8]>> = (1..count)
            .map(|chunk| {
                let name = self.chunk_name(chunk, secure);
                values(request, &name).take(MOST_TRIES).collect()
            })
            .collect();
        // Each way to take one of each.
        let ways = chunks.iter().map(Vec::len).product();
        (0..ways).map(move |mut way: usize| {
            if chunks.is_empty() {
                return Cow::Borrowed(first);
            }
            let mut value = first.to_vec();
            for chunk in &chunks {
                value.extend_from_slice(chunk[way % chunk.len()]);
                way /= chunk.len();
            }
            Cow::Owned(value)
        })
    }

    /// Whether a value is short enough for a browser to keep.
    pub(crate) fn fits(value: &str) -> bool {
        value.len() <= CHUNK * MOST_CHUNKS
    }

    /// Writes lines that make the browser keep a value for so many seconds; what is left of a longer one goes.
    pub(crate) fn keep(&self, value: &str, seconds: u64, presence: Presence, out: &mut Vec<u8>) {
        let count = value.len().div_ceil(CHUNK).max(1);
        for chunk in 0..count {
            // A value is ASCII: see `Sealer::seal`.
            let end = value.len().min((chunk + 1) * CHUNK);
            let part = value.get(chunk * CHUNK..end).unwrap_or("");
            let name = self.chunk_name(chunk, presence.secure);
            if chunk == 0 && count > 1 {
                set(
                    &name,
                    &format!("{count}.{part}"),
                    seconds,
                    presence.secure,
                    out,
                );
            } else {
                set(&name, part, seconds, presence.secure, out);
            }
        }
        self.forget_from(count, presence, out);
    }

    /// Writes lines that make the browser forget the value.
    pub(crate) fn forget(&self, presence: Presence, out: &mut Vec<u8>) {
        self.forget_from(0, presence, out);
    }

    fn forget_from(&self, first: usize, presence: Presence, out: &mut Vec<u8>) {
        for chunk in first..MOST_CHUNKS {
            if presence.chunks & 1 << chunk != 0 {
                let name = self.chunk_name(chunk, presence.secure);
                set(&name, "", 0, presence.secure, out);
            }
        }
    }

    fn chunk_name(&self, chunk: usize, secure: bool) -> String {
        let mut name = self.full_name(secure);
        if chunk > 0 {
            // A String takes everything.
            let _ = write!(name, ".{chunk}");
        }
        name
    }

    /// The name of a cookie that belongs to the jar.
    pub(crate) fn side_name(&self, side: &str, secure: bool) -> String {
        let mut name = self.full_name(secure);
        name.push('.');
        name.push_str(side);
        name
    }
}

/// Writes one `Set-Cookie` line; with 0 seconds the browser forgets the cookie. It comes along when somebody follows a
/// link to here, as the provider's redirects do, and not with other requests that other sites cause.
pub(crate) fn set(name: &str, value: &str, seconds: u64, secure: bool, out: &mut Vec<u8>) {
    let secure = if secure { "; Secure" } else { "" };
    let line = format!(
        "set-cookie: {name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}\r\n"
    );
    out.extend_from_slice(line.as_bytes());
}

/// The cookies of a request, in their order.
pub(crate) fn cookies<R: Asked>(request: &R) -> impl Iterator<Item = (&[u8], &[u8])> {
    request
        .fields(b"cookie")
        .flat_map(|line| line.split(|byte| *byte == b';'))
        .filter_map(split_cookie)
}

/// The values of all cookies of this name that have one. There should be one; but anybody who can write cookies for a neighbour
/// or a path can put another one beside it, and browsers send that first.
pub(crate) fn values<'r, 'n, R: Asked>(
    request: &'r R,
    name: &'n str,
) -> impl Iterator<Item = &'r [u8]> + use<'r, 'n, R> {
    cookies(request)
        .filter(move |(found, value)| *found == name.as_bytes() && !value.is_empty())
        .map(|(_, value)| value)
}

/// The number of chunks in front of the first one, if there are several.
fn split_count(first: &[u8]) -> Option<(usize, &[u8])> {
    match first {
        [digit @ b'2'..=b'4', b'.', rest @ ..] => Some((usize::from(digit - b'0'), rest)),
        _ => None,
    }
}
