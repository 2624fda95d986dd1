//! The client: one exchange at a time per connection, complete or not at all.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::InvalidUri;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::connect::{Sender, connect, name};
use crate::pool::Pool;
use crate::tls::{Roots, Tls};
use crate::{ClientError, Request, Response, Url};

/// How many exchanges go on at once; further ones wait for their turn as part of their deadline.
const AT_ONCE: usize = 64;

/// An HTTP client. Clones share their connections.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    pool: Pool,
    tls: Tls,
    permits: Semaphore,
}

impl Client {
    /// A client that believes servers whose certificates these roots have signed.
    pub fn new(roots: Roots) -> Self {
        Self(Arc::new(Inner {
            pool: Pool::default(),
            tls: Tls::new(roots),
            permits: Semaphore::new(AT_ONCE),
        }))
    }

    /// Sends a request and waits for the whole response: no longer than `deadline`, name lookup and handshakes
    /// included, and no more than `max_body` bytes of body. Every status is a response; redirects are not followed.
    ///
    /// A request that may be repeated goes out on a kept connection first, and on a new one when that breaks before
    /// the response begins.
    pub async fn send(
        &self,
        request: Request,
        deadline: Duration,
        max_body: usize,
    ) -> Result<Response, ClientError> {
        let host = name(&request.url);
        match timeout(deadline, self.0.exchange(request, max_body)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Deadline { host }),
        }
    }
}

impl Default for Client {
    /// A client with the roots of the system.
    fn default() -> Self {
        Self::new(Roots::System)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl Inner {
    async fn exchange(&self, request: Request, max_body: usize) -> Result<Response, ClientError> {
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let Request {
            method,
            url,
            headers,
            body,
            repeatable,
        } = request;
        let (target, host) = url.target();
        let mut message = hyper::Request::new(Full::new(body));
        *message.method_mut() = method;
        *message.uri_mut() = target
            .parse()
            .map_err(|error: InvalidUri| broken(&url, &error))?;
        *message.headers_mut() = headers;
        let headers = message.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("weir"));
        // RFC 9112, section 3.2: a client MUST send a Host field.
        let host = HeaderValue::from_str(host).map_err(|error| broken(&url, &error))?;
        headers.insert(HOST, host);

        // A server may close a kept connection while a request is on its way to it, and nobody can tell whether it was
        // read. RFC 9110, 9.2.2: a client SHOULD NOT then repeat what is not idempotent; so that never meets one.
        while repeatable && let Some(mut sender) = self.pool.take(url.origin()) {
            if let Ok(response) = sender.try_send_request(message.clone()).await {
                return self.read(&url, sender, response, max_body).await;
            }
        }
        let mut sender = connect(&url, &self.tls).await?;
        let response = sender
            .send_request(message)
            .await
            .map_err(|error| broken(&url, &error))?;
        self.read(&url, sender, response, max_body).await
    }

    async fn read(
        &self,
        url: &Url,
        sender: Sender,
        response: hyper::Response<Incoming>,
        max_body: usize,
    ) -> Result<Response, ClientError> {
        let (head, body) = response.into_parts();
        let body: Bytes = match Limited::new(body, max_body).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(ClientError::TooLarge {
                    host: name(url),
                    most: max_body,
                });
            }
            Err(error) => return Err(broken(url, &*error)),
        };
        self.pool.keep(url.origin(), sender);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}

fn broken(url: &Url, error: &(dyn Error + 'static)) -> ClientError {
    // hyper says what it was doing, its source says what happened.
    let mut why = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        why = format!("{why}: {cause}");
        source = cause.source();
    }
    ClientError::Exchange {
        host: name(url),
        why,
    }
}
