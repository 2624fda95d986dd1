//! A client that behaves as a browser does: many headers, several connections kept alive, cookies, redirects,
//! revalidation of what it has seen, and a silent second try when a kept connection turns out to be closed.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::Response;
use crate::wire::{TIMEOUT, Wire};

/// Browsers open at most six connections to one host.
const CONNECTIONS: usize = 6;

const HEADERS: &str = "\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate\r\n\
DNT: 1\r\n\
Connection: keep-alive\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: none\r\n\
Sec-Fetch-User: ?1\r\n\
Priority: u=0, i\r\n";

/// A browser with its connections, cookies and cache, for one host.
#[derive(Debug)]
pub struct Browser {
    addr: SocketAddr,
    host: String,
    idle: Mutex<Vec<Wire>>,
    cookies: Mutex<BTreeMap<String, String>>,
    cache: Mutex<BTreeMap<String, Response>>,
}

/// What the browser shows for one address.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path in the end, after redirects.
    pub path: String,
    /// The last response as it came: 304 when the cached page still holds.
    pub response: Response,
    /// What the user sees: the body that came, or the cached one after a 304.
    pub body: Vec<u8>,
    /// How many redirects it followed.
    pub redirects: usize,
}

impl Browser {
    /// A browser that knows nothing, and reaches `host` at `addr`.
    pub fn new(addr: SocketAddr, host: &str) -> Self {
        Self {
            addr,
            host: host.to_owned(),
            idle: Mutex::default(),
            cookies: Mutex::default(),
            cache: Mutex::default(),
        }
    }

    /// Loads one page, following redirects on this host.
    pub fn load(&self, path: &str) -> io::Result<Page> {
        let mut path = path.to_owned();
        for redirects in 0..=10 {
            let (response, body) = self.fetch(&path)?;
            let location = response.header("location").map(str::to_owned);
            match location {
                Some(location) if matches!(response.status, 301 | 302 | 303 | 307 | 308) => {
                    let origin = format!("http://{}", self.host);
                    location
                        .strip_prefix(&origin)
                        .unwrap_or(&location)
                        .clone_into(&mut path);
                }
                _ => {
                    return Ok(Page {
                        path,
                        response,
                        body,
                        redirects,
                    });
                }
            }
        }
        Err(io::Error::other(format!("too many redirects at {path}")))
    }

    /// Loads all pages, on up to six connections at once; results come in the order of `paths`.
    pub fn load_all(&self, paths: &[&str]) -> Vec<io::Result<Page>> {
        let share = paths.len().div_ceil(CONNECTIONS).max(1);
        thread::scope(|scope| {
            let loaders: Vec<_> = paths
                .chunks(share)
                .map(|chunk| {
                    scope
                        .spawn(move || chunk.iter().map(|path| self.load(path)).collect::<Vec<_>>())
                })
                .collect();
            loaders
                .into_iter()
                .flat_map(|loader| loader.join().expect("loading does not panic"))
                .collect()
        })
    }

    /// One request, conditional when the path is cached.
    fn fetch(&self, path: &str) -> io::Result<(Response, Vec<u8>)> {
        let cached = lock(&self.cache).get(path).cloned();
        let response = self.exchange(&self.request(path, cached.as_ref()))?;
        for cookie in response.headers.all("set-cookie") {
            if let Some((name, value)) = cookie
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
            {
                lock(&self.cookies).insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
        let body = match (response.status, cached) {
            (304, Some(cached)) => cached.body,
            _ => response.body.clone(),
        };
        let has_validator = response
            .header("etag")
            .or_else(|| response.header("last-modified"))
            .is_some();
        if response.status == 200 && has_validator {
            lock(&self.cache).insert(path.to_owned(), response.clone());
        }
        Ok((response, body))
    }

    fn request(&self, path: &str, cached: Option<&Response>) -> String {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{HEADERS}", self.host);
        let cookies: Vec<String> = lock(&self.cookies)
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !cookies.is_empty() {
            request.push_str(&format!("Cookie: {}\r\n", cookies.join("; ")));
        }
        for (validator, condition) in [
            ("etag", "If-None-Match"),
            ("last-modified", "If-Modified-Since"),
        ] {
            if let Some(value) = cached.and_then(|cached| cached.header(validator)) {
                request.push_str(&format!("{condition}: {value}\r\n"));
            }
        }
        request.push_str("\r\n");
        request
    }

    /// Sends on a kept connection, or on a new one. RFC 9112, 9.3.1: a client may repeat an idempotent request when a
    /// kept connection closed before any of the response came.
    fn exchange(&self, request: &str) -> io::Result<Response> {
        let kept = lock(&self.idle).pop();
        if let Some(mut wire) = kept {
            match wire
                .write(request.as_bytes())
                .and_then(|()| wire.response("GET"))
            {
                Ok(Some(response)) => return Ok(self.keep(wire, response)),
                Ok(None) => {}
                Err(e)
                    if matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
                        && wire.unread().is_empty() => {}
                Err(e) => return Err(e),
            }
        }
        let mut wire = Wire::new(TcpStream::connect_timeout(&self.addr, TIMEOUT)?, TIMEOUT)?;
        wire.write(request.as_bytes())?;
        let response = wire
            .response("GET")?
            .ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "closed before a response"))?;
        Ok(self.keep(wire, response))
    }

    fn keep(&self, wire: Wire, response: Response) -> Response {
        let mut idle = lock(&self.idle);
        if response.keeps_alive() && idle.len() < CONNECTIONS {
            idle.push(wire);
        }
        response
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Echo, Nginx};

    #[test]
    fn it_revalidates_what_it_has_seen() {
        let origin = Nginx::origin("site");
        let browser = Browser::new(origin.addr("web"), "site.example");
        let first = browser.load("/small.txt").expect("loads");
        let second = browser.load("/small.txt").expect("loads");
        assert_eq!((first.response.status, second.response.status), (200, 304));
        assert_eq!(first.body, second.body);
    }

    #[test]
    fn it_uses_few_connections_for_many_pages() {
        let echo = Echo::start("site");
        let browser = Browser::new(echo.addr(), "site.example");
        let paths: Vec<String> = (0..30).map(|number| format!("/page/{number}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        for (page, path) in browser.load_all(&paths).into_iter().zip(&paths) {
            assert_eq!(page.expect("loads").response.json()["target"], *path);
        }
        assert!(echo.connections() <= CONNECTIONS, "{}", echo.connections());
    }
}
