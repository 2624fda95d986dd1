//! etcd from the system's package, and as much of its JSON gateway as tests need.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::path::Path;

use serde_json::{Value, json};

use crate::{Launch, RawClient, Server};

/// A running etcd of one member.
#[derive(Debug)]
pub struct Etcd {
    server: Server,
}

impl Etcd {
    /// Prepares an etcd that keeps its data in `data` and serves clients at `@client@`. It notices the end of a lease fast.
    pub fn launch(data: &Path) -> Launch {
        let data = data.join("etcd").display().to_string();
        Launch::new(
            "etcd",
            "etcd",
            "unused",
            "",
            &[
                "--data-dir",
                &data,
                "--listen-client-urls",
                "http://@client@",
                "--advertise-client-urls",
                "http://@client@",
                "--listen-peer-urls",
                "http://@peer@",
                "--initial-advertise-peer-urls",
                "http://@peer@",
                "--initial-cluster",
                "default=http://@peer@",
                "--heartbeat-interval",
                "50",
                "--election-timeout",
                "500",
                "--log-level",
                "error",
            ],
        )
    }

    /// Starts one at this address, with what `data` holds, and waits until it serves.
    pub fn start_at(data: &Path, addr: SocketAddr) -> Self {
        let launch = Self::launch(data).value("client", addr);
        let mut server = launch
            .start_when_listening("client")
            .unwrap_or_else(|why| panic!("{why}"));
        server
            .wait_ready(|| try_call(addr, "/v3/kv/range", &json!({ "key": "AA==" })).is_ok())
            .unwrap_or_else(|why| panic!("{why}"));
        Self { server }
    }

    /// Starts one at a free address.
    pub fn start(data: &Path) -> Self {
        Self::start_at(data, crate::free_addr())
    }

    /// Asks the gateway.
    pub fn call(&self, path: &str, question: &Value) -> Value {
        try_call(self.addr("client"), path, question).unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    /// Writes a key.
    pub fn put(&self, key: &str, value: &str) {
        self.call(
            "/v3/kv/put",
            &json!({ "key": base64(key), "value": base64(value) }),
        );
    }

    /// Writes a key that disappears after some seconds.
    pub fn put_for(&self, key: &str, value: &str, seconds: u32) {
        let lease = self.call("/v3/lease/grant", &json!({ "TTL": seconds }))["ID"].clone();
        self.call(
            "/v3/kv/put",
            &json!({ "key": base64(key), "value": base64(value), "lease": lease }),
        );
    }

    /// Deletes a key.
    pub fn delete(&self, key: &str) {
        self.call("/v3/kv/deleterange", &json!({ "key": base64(key) }));
    }

    /// Forgets all history up to now.
    pub fn compact(&self) {
        let now = self.call("/v3/kv/range", &json!({ "key": "AA==" }));
        let revision = &now["header"]["revision"];
        self.call(
            "/v3/kv/compaction",
            &json!({ "revision": revision, "physical": true }),
        );
    }
}

impl Deref for Etcd {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl DerefMut for Etcd {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

fn try_call(addr: SocketAddr, path: &str, question: &Value) -> Result<Value, String> {
    let mut client = RawClient::try_connect(addr).map_err(|e| e.to_string())?;
    let body = question.to_string();
    let length = body.len();
    client
        .try_send(format!(
            "POST {path} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .map_err(|e| e.to_string())?;
    let response = client.try_response().map_err(|e| e.to_string())?;
    match response.status {
        200 => Ok(response.json()),
        status => Err(format!("status {status}: {}", response.text())),
    }
}

/// RFC 4648, section 4.
fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let group = chunk
            .iter()
            .fold(0u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for index in 0..4 {
            let letter = ALPHABET[(group >> (18 - 6 * index)) as usize & 63];
            out.push(if index <= chunk.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain), coded);
        }
    }
}
