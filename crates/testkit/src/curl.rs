//! The real curl: what a person on the command line gets.

use std::process::Command;

use crate::Response;
use crate::message;

/// What one run of curl gave.
#[derive(Clone, Debug)]
pub struct CurlOutput {
    /// curl's exit code; 0 when the transfer went well, whatever the status.
    pub exit: i32,
    /// The last response's head and the body, decoded as curl does; `None` without a response.
    pub response: Option<Response>,
    /// The messages of `-sS -v`.
    pub log: String,
}

/// Runs curl with these arguments, silent, verbose, without a `.curlrc` or proxies, for at most 20 seconds.
pub fn curl(args: &[&str]) -> CurlOutput {
    let output = Command::new("curl")
        .args([
            "-q",
            "-sS",
            "-v",
            "-i",
            "--noproxy",
            "*",
            "--max-time",
            "20",
        ])
        .args(args)
        .output()
        .unwrap_or_else(|e| {
            panic!("cannot run curl: {e}; `cargo xtask setup` installs what tests need")
        });
    CurlOutput {
        exit: output.status.code().unwrap_or(-1),
        response: last_response(&output.stdout),
        log: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

impl CurlOutput {
    /// The response; panics with curl's log when there is none or curl failed.
    pub fn ok(self) -> Response {
        match self.response {
            Some(response) if self.exit == 0 => response,
            _ => panic!("curl ended with {}\n{}", self.exit, self.log),
        }
    }
}

/// `-i` prints every head (1xx, redirects) before the body of the last.
fn last_response(mut bytes: &[u8]) -> Option<Response> {
    let mut last: Option<Response> = None;
    while bytes.starts_with(b"HTTP/1.") {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
        let mut response = message::response_head(&bytes[..end]).ok()?;
        if let Some(before) = last.take() {
            response.interim = before.interim;
            response.interim.push((before.status, before.headers));
        }
        last = Some(response);
        bytes = &bytes[end..];
    }
    last.map(|response| Response {
        body: bytes.to_vec(),
        ..response
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Echo;

    #[test]
    fn curl_talks_to_an_origin() {
        let echo = Echo::start("app");
        let url = format!("http://{}/hello", echo.addr());
        let response = curl(&["-d", "abc", "-H", "Expect: 100-continue", &url]).ok();
        assert_eq!((response.status, response.interim.len()), (200, 1));
        assert_eq!(response.json()["body_length"], 3);
        let refused = curl(&[&format!("http://{}/", crate::free_addr())]);
        assert_eq!((refused.exit, refused.response), (7, None));
    }
}
