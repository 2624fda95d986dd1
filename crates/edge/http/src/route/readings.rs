//! Other ways to read a path.
//!
//! Servers differ in two things that [`normalize()`](super::normalize()) leaves as they are, because applications rely on either: some take
//! `%2F` (and `%5C`) for a slash, and some drop `;parameters` from segments. So the path that a route was chosen by may be another
//! path to the endpoint. Whoever guards paths compares what both readings lead to.

use super::normalize::{escaped_slashes, resolve};

/// What else a normal path may be to a server; nothing for almost all paths. In whatever order it decodes and drops.
pub(crate) fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    if !may_have_readings(path) {
        return all;
    }
    for backslashes in [false, true] {
        let decoded = with_slashes(path, backslashes);
        let bare = without_parameters(path);
        all.extend([
            without_parameters(&decoded),
            with_slashes(&bare, backslashes),
            decoded,
            bare,
        ]);
    }
    // Slashes side by side and dots come together, as they did in the path itself. What cannot be resolved leads nowhere.
    let mut resolved: Vec<Vec<u8>> = Vec::new();
    for reading in all {
        let mut other = Vec::new();
        if resolve(&reading, &mut other).is_ok() && other != path && !resolved.contains(&other) {
            resolved.push(other);
        }
    }
    resolved
}

/// Whether there is anything in a path that servers read differently.
#[inline]
pub(crate) fn may_have_readings(path: &[u8]) -> bool {
    memchr::memchr2(b'%', b';', path).is_some()
        && (path.contains(&b';') || escaped_slashes(path).next().is_some())
}

fn with_slashes(path: &[u8], backslashes: bool) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut copied = 0;
    for (at, backslash) in escaped_slashes(path) {
        if backslash && !backslashes {
            continue;
        }
        decoded.extend_from_slice(&path[copied..at]);
        decoded.push(b'/');
        copied = at + 3;
    }
    decoded.extend_from_slice(&path[copied..]);
    decoded
}

fn without_parameters(path: &[u8]) -> Vec<u8> {
    let mut bare = Vec::with_capacity(path.len());
    for (index, segment) in path.split(|byte| *byte == b'/').enumerate() {
        if index > 0 {
            bare.push(b'/');
        }
        let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
        bare.extend_from_slice(&segment[..end]);
    }
    bare
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(path: &str) -> Vec<String> {
        let all = readings(path.as_bytes()).into_iter();
        let mut all: Vec<String> = all
            .map(|path| String::from_utf8(path).expect("ASCII"))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn readings_by_table() {
        for (path, expected) in [
            ("/", &[][..]),
            ("/a/b.c/%20d%25", &[]),
            ("/admin%2Fx", &["/admin/x"]),
            ("/admin%5Cx", &["/admin/x"]),
            ("/admin%2F7%5Cy", &["/admin/7%5Cy", "/admin/7/y"]),
            ("/admin%2F", &["/admin/"]),
            ("/a%2F%2Fb", &["/a/b"]),
            ("/%2Fadmin", &["/admin"]),
            ("/admin;a=b/x", &["/admin/x"]),
            ("/admin;", &["/admin"]),
            ("/;/admin", &["/admin"]),
            ("/a;b%2Fc", &["/a", "/a/c", "/a;b/c"]),
            (
                "/users%2F7;%2Fz",
                &["/users%2F7", "/users/7", "/users/7/z", "/users/7;/z"],
            ),
        ] {
            assert_eq!(texts(path), expected, "{path}");
        }
    }
}
