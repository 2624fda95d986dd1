//! What tests of credentials share: API keys, tokens, and an application that tells what it got.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary compiles this module and uses a part of it"
)]

use std::process::{Command, Stdio};

use weir_testkit::{App, Reply};

/// The binary under test.
pub const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// An application that answers with the head that it got.
pub fn mirror() -> App {
    App::start("app", |request| {
        let mut text = format!("{}\n", request.target);
        for (name, value) in &request.headers.0 {
            text.push_str(&format!("{}: {value}\n", name.to_ascii_lowercase()));
        }
        Reply::ok().body(text)
    })
}

/// `weir key ...` with something on its standard input.
pub fn key(arguments: &[&str], input: &str) -> String {
    use std::io::Write;
    let mut child = Command::new(WEIR)
        .arg("key")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("weir key");
    child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("an end");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

/// A new API key with this id, and its hash.
pub fn new_key(id: &str) -> (String, String) {
    let made: serde_json::Value =
        serde_json::from_str(&key(&["new", "--json", "--id", id], "")).expect("JSON");
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let hash = text(&made["hash"]).or_else(|| text(&made["entry"]["hash"]));
    (text(&made["key"]).expect("a key"), hash.expect("a hash"))
}

/// A token in compact form, signed with HMAC and SHA-256 whatever its header says.
pub fn jwt(header: &str, claims: &str, secret: &[u8]) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let url = |bytes: &[u8]| {
        base64(bytes)
            .replace('+', "-")
            .replace('/', "_")
            .replace('=', "")
    };
    let signed = format!("{}.{}", url(header.as_bytes()), url(claims.as_bytes()));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret).expect("any length");
    mac.update(signed.as_bytes());
    format!("{signed}.{}", url(&mac.finalize().into_bytes()))
}

/// Bytes as text (RFC 4648, section 4).
pub fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for at in 0..4 {
            if at <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}
