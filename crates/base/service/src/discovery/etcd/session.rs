//! What is asked of etcd, and in which words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::super::http::{Answer, Ask, Client, MAX_BODY, too_large};
use super::super::listing::{Listed, MAX_LISTED, SourceError};
use super::super::{EtcdSpec, base64};
use super::message::{self, Page, Watched};

/// How long a question may take.
const WITHIN: Duration = Duration::from_secs(10);
/// Keys in one page of a listing: gRPC's messages, which the gateway is made of, end at 4 MiB.
const PAGE: usize = 500;

/// A cluster and how to ask it.
pub(super) struct Session {
    spec: Arc<EtcdSpec>,
    client: Client,
}

/// All keys at one revision.
pub(super) struct All {
    pub(super) keys: BTreeMap<Vec<u8>, Result<Listed, String>>,
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

impl Session {
    pub(super) fn new(spec: Arc<EtcdSpec>, client: Client) -> Self {
        Self { spec, client }
    }

    /// The next question goes to another member.
    pub(super) fn turn(&mut self) {
        self.client.turn();
    }

    /// All keys under the prefix, page by page, all of one revision.
    pub(super) async fn list(&mut self) -> Result<All, SourceError> {
        let headers = self.login().await?;
        let end = range_end(self.spec.prefix.as_bytes());
        let mut from = self.spec.prefix.clone().into_bytes();
        let mut all: Option<All> = None;
        loop {
            let mut question = json!({
                "key": base64::encode(&from),
                "range_end": base64::encode(&end),
                "limit": PAGE.to_string(),
            });
            if let Some(all) = &all {
                question["revision"] = json!(all.revision.to_string());
            }
            let answer = self.post("/v3/kv/range", &question, &headers).await?;
            let page: Page = message::page(&answer.read().await?)?;
            let all = all.get_or_insert(All {
                keys: BTreeMap::new(),
                cluster: page.cluster,
                revision: page.revision,
            });
            let last = page.entries.last().map(|(key, _)| key.clone());
            all.keys.extend(page.entries);
            if all.keys.len() > MAX_LISTED {
                return Err(super::too_many());
            }
            match last {
                Some(last) if page.more && last >= from => {
                    from = last;
                    from.push(0);
                }
                _ => break,
            }
        }
        all.ok_or_else(|| SourceError::Invalid("no answer to a listing".to_owned()))
    }

    /// A watch of all keys from a revision on, with the cluster's name and its revision now.
    pub(super) async fn watch(&mut self, from: i64) -> Result<(Stream, u64, i64), SourceError> {
        let mut headers = self.login().await?;
        // A member that lost the others would go on with a watch that never tells anything.
        headers.insert("grpc-metadata-hasleader", HeaderValue::from_static("true"));
        let question = json!({ "create_request": {
            "key": base64::encode(self.spec.prefix.as_bytes()),
            "range_end": base64::encode(&range_end(self.spec.prefix.as_bytes())),
            "start_revision": from.to_string(),
            "progress_notify": true,
        }});
        let answer = self.post("/v3/watch", &question, &headers).await?;
        let mut stream = Stream {
            answer,
            buffer: Vec::new(),
            searched: 0,
        };
        let created = timeout(WITHIN, stream.line()).await;
        let created =
            created.map_err(|_| SourceError::Unreachable("the watch did not begin".to_owned()))?;
        let (cluster, revision) = message::created(&created?)?;
        Ok((stream, cluster, revision))
    }

    /// Gets a token, if the cluster wants one. Tokens end after minutes, so each session gets its own.
    async fn login(&mut self) -> Result<HeaderMap, SourceError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let Some((name, password)) = self.spec.login.clone() else {
            return Ok(headers);
        };
        let question = json!({ "name": name, "password": password.expose() });
        let answer = self
            .post("/v3/auth/authenticate", &question, &headers)
            .await?;
        let token: Option<Value> = serde_json::from_slice(&answer.read().await?).ok();
        let token = token
            .as_ref()
            .and_then(|answer| answer.get("token")?.as_str());
        let token = token.and_then(|token| HeaderValue::from_str(token).ok());
        let mut token =
            token.ok_or_else(|| SourceError::Invalid("the login brought no token".to_owned()))?;
        token.set_sensitive(true);
        headers.insert(AUTHORIZATION, token);
        Ok(headers)
    }

    async fn post(
        &mut self,
        path: &str,
        question: &Value,
        headers: &HeaderMap,
    ) -> Result<Answer, SourceError> {
        let ask = Ask {
            method: Method::POST,
            path,
            headers: headers.clone(),
            body: question.to_string().into_bytes(),
            within: WITHIN,
        };
        let answer = self.client.ask(&ask).await?;
        match answer.status.as_u16() {
            200 => Ok(answer),
            _ => Err(answer.refusal().await),
        }
    }
}

/// The messages of a watch.
pub(super) struct Stream {
    answer: Answer,
    buffer: Vec<u8>,
    /// How much of the buffer holds no line end.
    searched: usize,
}

impl Stream {
    /// The next message. What has arrived is kept if the caller loses patience.
    pub(super) async fn next(&mut self) -> Result<Watched, SourceError> {
        message::watched(&self.line().await?)
    }

    async fn line(&mut self) -> Result<Vec<u8>, SourceError> {
        loop {
            let end = self.buffer[self.searched..]
                .iter()
                .position(|byte| *byte == b'\n');
            if let Some(end) = end {
                let rest = self.buffer.split_off(self.searched + end + 1);
                self.searched = 0;
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            self.searched = self.buffer.len();
            match self.answer.piece().await? {
                Some(piece) if self.buffer.len() + piece.len() > MAX_BODY => {
                    return Err(too_large("the watch"));
                }
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Err(SourceError::Unreachable("the watch ended".to_owned())),
            }
        }
    }
}

/// The end of the range of all keys that begin with `prefix` (etcd, API guide: "key plus one").
fn range_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // All keys from the prefix on.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_behind_the_prefix() {
        assert_eq!(range_end(b"/a/"), b"/a0");
        assert_eq!(range_end(b"a\xff\xff"), b"b");
        assert_eq!(range_end(b"\xff"), b"\0");
    }
}
