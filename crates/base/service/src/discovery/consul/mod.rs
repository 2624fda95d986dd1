//! Consul: blocking queries for the instances of one service.
//!
//! `GET /v1/health/service/NAME?index=N&wait=60s` answers when the service changed after index N, or when the time is over. The
//! rules that Consul's documentation gives to clients (HTTP API, "Blocking Queries"), all of them learned from failures:
//! an index that goes backwards means a restored or restarted server, and the next question begins at 0; an index of 0 in an
//! answer is a bug, and taken as 1, or the next question would not wait; an answer does not mean a change; Consul adds up to
//! a 16th to the wait, so the client waits longer; and however fast answers come, questions are paced.
//!
//! Answers are of Consul's default consistency: with `stale`, a follower that lags would look like a server that lost data.

mod answer;
mod cursor;

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{HeaderMap, HeaderValue};
use tokio::time::{Instant, sleep};

use super::ConsulSpec;
use super::http::{Answer, Ask, Client, encode};
use super::listing::{Listing, SourceError};
use super::pace::Pace;
use crate::dns::Resolve;
use answer::parse;
use cursor::{Cursor, News};

/// How long Consul may wait for a change.
const WAIT: Duration = Duration::from_secs(60);
/// What the answer may take beyond that: the 16th that Consul adds, and the way.
const GRACE: Duration = Duration::from_millis(WAIT.as_millis() as u64 / 16 + 10_000);

/// One service in Consul.
pub(crate) struct Consul {
    spec: Arc<ConsulSpec>,
    client: Client,
    headers: HeaderMap,
    cursor: Cursor,
    pace: Pace,
}

impl Consul {
    pub(crate) fn new(spec: Arc<ConsulSpec>, resolver: Arc<dyn Resolve>) -> Self {
        let mut headers = HeaderMap::new();
        // The configuration has checked that it can stand in a header.
        let token = spec.token.as_ref();
        if let Some(mut token) = token.and_then(|t| HeaderValue::from_str(t.expose()).ok()) {
            token.set_sensitive(true);
            headers.insert("x-consul-token", token);
        }
        Self {
            client: Client::new(spec.addresses.clone(), resolver),
            spec,
            headers,
            cursor: Cursor::default(),
            pace: Pace::new(),
        }
    }

    /// The next answer that may hold a change.
    pub(crate) async fn next(&mut self) -> Result<Listing, SourceError> {
        loop {
            sleep(self.pace.next(Instant::now())).await;
            match self.ask().await {
                Ok(Some(listing)) => return Ok(listing),
                Ok(None) => {}
                Err(error) => {
                    // What holds for one member may not hold for the next.
                    self.client.turn();
                    self.cursor.restart();
                    return Err(error);
                }
            }
        }
    }

    async fn ask(&mut self) -> Result<Option<Listing>, SourceError> {
        let path = path(&self.spec, self.cursor.index);
        let ask = Ask {
            method: Method::GET,
            path: &path,
            headers: self.headers.clone(),
            body: Vec::new(),
            within: WAIT + GRACE,
        };
        let answer = self.client.ask(&ask).await?;
        if answer.status != 200 {
            return Err(answer.refusal().await);
        }
        let index = index(&answer)?;
        let filtered = answer.headers.get("x-consul-results-filtered-by-acls");
        let filtered = filtered.is_some_and(|value| value == "true");
        let body = answer.read().await?;
        let news = self.cursor.answered(index);
        if news == News::None {
            return Ok(None);
        }
        let mut listing = parse(&body, self.spec.passing)?;
        if filtered && listing.entries.is_empty() {
            // Consul answers 200 and an empty list to a token that may not read it, or is no longer valid.
            self.cursor.restart();
            let why = "the token may not read this service (service:read and node:read)";
            return Err(SourceError::Refused(why.to_owned()));
        }
        listing.reset = news == News::Reset;
        Ok(Some(listing))
    }
}

fn path(spec: &ConsulSpec, index: u64) -> String {
    let mut path = format!(
        "/v1/health/service/{}?wait={}s",
        encode(&spec.service),
        WAIT.as_secs()
    );
    if spec.passing {
        path.push_str("&passing=1");
    }
    if index > 0 {
        path.push_str(&format!("&index={index}"));
    }
    if let Some(datacenter) = &spec.datacenter {
        path.push_str(&format!("&dc={}", encode(datacenter)));
    }
    for tag in &spec.tags {
        path.push_str(&format!("&tag={}", encode(tag)));
    }
    path
}

fn index(answer: &Answer) -> Result<u64, SourceError> {
    let index = answer
        .headers
        .get("x-consul-index")
        .and_then(|value| value.to_str().ok());
    index
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| {
            SourceError::Invalid("the answer has no X-Consul-Index: is this Consul?".to_owned())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ConsulSpec {
        ConsulSpec {
            service: "web".to_owned(),
            addresses: Vec::new(),
            datacenter: None,
            tags: Vec::new(),
            token: None,
            passing: true,
            hold: Duration::ZERO,
        }
    }

    #[test]
    fn questions_by_table() {
        assert_eq!(
            path(&spec(), 0),
            "/v1/health/service/web?wait=60s&passing=1"
        );
        let all = ConsulSpec {
            service: "a/b?c".to_owned(),
            datacenter: Some("dc 1".to_owned()),
            tags: vec!["v&1".to_owned(), "x".to_owned()],
            passing: false,
            ..spec()
        };
        assert_eq!(
            path(&all, 7),
            "/v1/health/service/a%2Fb%3Fc?wait=60s&index=7&dc=dc%201&tag=v%261&tag=x"
        );
    }
}
