//! Other ways to read a path.
//!
//! Servers differ in two things that [`normalize()`](super::normalize()) leaves as they are, because applications rely on either: some take
//! `%2F` (and `%5C`) for a slash, and some drop `;parameters` from segments. So the path that a route was chosen by may be another
//! path to the endpoint. Whoever guards paths compares what both readings lead to.

use super::normalize::{escaped_slashes, resolve};

/// What else a normal path may be to a server; nothing for almost all paths.
pub(crate) fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let slashes = escaped_slashes(path).next().is_some();
    let parameters = path.contains(&b';');
    let mut all = Vec::new();
    if slashes {
        all.push(with_slashes(path));
    }
    if parameters {
        all.push(without_parameters(path));
    }
    if slashes && parameters {
        all.push(without_parameters(&with_slashes(path)));
    }
    // Slashes side by side and dots come together, as they did in the path itself. What cannot be resolved leads nowhere.
    let resolved = all.iter().filter_map(|reading| {
        let mut path = Vec::new();
        resolve(reading, &mut path).ok().map(|()| path)
    });
    resolved.collect()
}

fn with_slashes(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut copied = 0;
    for (at, _) in escaped_slashes(path) {
        decoded.extend_from_slice(&path[copied..at]);
        decoded.push(b'/');
        copied = at + 3;
    }
    decoded.extend_from_slice(&path[copied..]);
    decoded
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let bare = |segment: &[u8]| {
        let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
        segment[..end].to_vec()
    };
    let segments: Vec<Vec<u8>> = path.split(|byte| *byte == b'/').map(bare).collect();
    segments.join(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str) -> Vec<String> {
        let all = readings(path.as_bytes()).into_iter();
        all.map(|path| String::from_utf8(path).expect("ASCII"))
            .collect()
    }

    #[test]
    fn readings_by_table() {
        for (path, expected) in [
            ("/", &[][..]),
            ("/a/b.c/%20d%25", &[]),
            ("/admin%2Fx", &["/admin/x"]),
            ("/admin%5Cx", &["/admin/x"]),
            ("/admin%2F", &["/admin/"]),
            ("/a%2F%2Fb", &["/a/b"]),
            ("/%2Fadmin", &["/admin"]),
            ("/admin;a=b/x", &["/admin/x"]),
            ("/admin;", &["/admin"]),
            ("/;/admin", &["/admin"]),
            ("/a;b%2Fc", &["/a;b/c", "/a", "/a/c"]),
        ] {
            assert_eq!(texts(path), expected, "{path}");
        }
    }
}
