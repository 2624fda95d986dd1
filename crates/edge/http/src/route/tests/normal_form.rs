//! Hostile paths, and what normalisation promises.

use proptest::prelude::*;

use super::super::{Normalized, PathError, normalize};
use crate::config::EscapedSlashes;

fn normal(path: &[u8]) -> Result<Vec<u8>, PathError> {
    normal_with(path, EscapedSlashes::Keep)
}

fn normal_with(path: &[u8], escaped: EscapedSlashes) -> Result<Vec<u8>, PathError> {
    let mut out = b"left over".to_vec();
    Ok(match normalize(path, escaped, &mut out)? {
        Normalized::AsSent => path.to_vec(),
        Normalized::Rewritten => {
            assert_ne!(out, path);
            out
        }
    })
}

#[test]
fn resolved() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "/"),
        (b"/", "/"),
        (b"/a/b", "/a/b"),
        (b"/a/b/", "/a/b/"),
        (b"//", "/"),
        (b"//a", "/a"),
        (b"/a///b//", "/a/b/"),
        (b"/.", "/"),
        (b"/./a", "/a"),
        (b"/a/.", "/a/"),
        (b"/a/./b", "/a/b"),
        (b"/a/..", "/"),
        (b"/a/../b", "/b"),
        (b"/a/b/..", "/a/"),
        (b"/a/b/../../c/", "/c/"),
        (b"/a//../b", "/b"),
        (b"/%61dmin", "/admin"),
        (b"/a/%2e%2E/b", "/b"),
        (b"/a/%2e/b", "/a/b"),
        (b"/%7euser", "/~user"),
        (b"/a%2fb", "/a%2Fb"),
        (b"/a%2Fb", "/a%2Fb"),
        (b"/%252e%252e/a", "/%252e%252e/a"),
        (b"/caf\xc3\xa9", "/caf%C3%A9"),
        (b"/a|b[0]{}\"<>^`", "/a%7Cb%5B0%5D%7B%7D%22%3C%3E%5E%60"),
        (b"/.well-known/x", "/.well-known/x"),
        (b"/...", "/..."),
        (b"/a;v=1/b", "/a;v=1/b"),
        (b"/a;v=1.2/b..;x", "/a;v=1.2/b..;x"),
        (b"/%0d%0a", "/%0D%0A"),
        (b"/!$&'()*+,;=:@-._~", "/!$&'()*+,;=:@-._~"),
    ];
    for (path, expected) in cases {
        let found = normal(path).map(|path| String::from_utf8_lossy(&path).into_owned());
        assert_eq!(found.as_deref(), Ok(*expected), "{}", path.escape_ascii());
    }
}

#[test]
fn refused() {
    let cases: &[(&[u8], PathError)] = &[
        (b"a", PathError::NotAbsolute),
        (b"*", PathError::NotAbsolute),
        (b"/..", PathError::AboveRoot),
        (b"/../a", PathError::AboveRoot),
        (b"/a/../../b", PathError::AboveRoot),
        (b"/a/%2e%2e/%2e%2e/b", PathError::AboveRoot),
        (b"//../a", PathError::AboveRoot),
        (b"/a/%", PathError::BadPercent),
        (b"/a/%4", PathError::BadPercent),
        (b"/a/%4/1", PathError::BadPercent),
        (b"/%zz", PathError::BadPercent),
        (b"/%+1", PathError::BadPercent),
        (b"/a%00b", PathError::Nul),
        (b"/a\\b", PathError::Backslash),
        (b"/..\\..\\a", PathError::Backslash),
        (b"/a b", PathError::InvalidByte),
        (b"/a\r\nb", PathError::InvalidByte),
        (b"/a\0", PathError::InvalidByte),
        (b"/a\x7f", PathError::InvalidByte),
        (b"/a?b", PathError::InvalidByte),
        (b"/a#b", PathError::InvalidByte),
        (b"/a/..;/b", PathError::HiddenDotSegment),
        (b"/a/.;x=1/b", PathError::HiddenDotSegment),
        (b"/a/%2e%2e;/b", PathError::HiddenDotSegment),
        (b"/a/..%2fb", PathError::HiddenDotSegment),
        (b"/a/b%2F..", PathError::HiddenDotSegment),
        (b"/a/b%2f.%2fc", PathError::HiddenDotSegment),
        (b"/a/..%5cb", PathError::HiddenDotSegment),
        (b"/a/x%5C..;y%2Fz", PathError::HiddenDotSegment),
    ];
    for (path, expected) in cases {
        assert_eq!(normal(path), Err(*expected), "{}", path.escape_ascii());
    }
}

#[test]
fn encoded_slashes_can_be_refused_or_decoded() {
    let cases: &[(&[u8], bool, Result<&str, PathError>)] = &[
        (b"/a/b", false, Ok("/a/b")),
        (b"/a%20b%c3%a9", false, Ok("/a%20b%C3%A9")),
        (b"/a%2Fb", true, Ok("/a/b")),
        (b"/a%2fb%2F", true, Ok("/a/b/")),
        (b"/a%2F%2f/b%2F", true, Ok("/a/b/")),
        (b"/%2fa", true, Ok("/a")),
        (b"/a/b%2F..%2fc", true, Ok("/a/c")),
        (b"/a%2F%2e%2E/b", true, Ok("/b")),
        (b"/..%2Fa", true, Err(PathError::AboveRoot)),
        (b"/a%2F..;x/b", true, Err(PathError::HiddenDotSegment)),
        (b"/a%5Cb", true, Err(PathError::Backslash)),
        (b"/a%5cb%2F", true, Err(PathError::Backslash)),
        // Decoded once: what is encoded twice is a name.
        (b"/a%252Fb", false, Ok("/a%252Fb")),
        (b"/a%252F%2Fb", true, Ok("/a%252F/b")),
        (b"/a%%2F2F", true, Err(PathError::BadPercent)),
    ];
    for (path, has, decoded) in cases {
        let shown = path.escape_ascii();
        let found = normal_with(path, EscapedSlashes::Decode);
        assert_eq!(
            found,
            decoded.map(|path| path.as_bytes().to_vec()),
            "{shown}"
        );
        let refused = normal_with(path, EscapedSlashes::Reject);
        let expected = if *has {
            Err(PathError::EscapedSlash)
        } else {
            normal(path)
        };
        assert_eq!(refused, expected, "{shown}");
    }
}

/// Paths made of the pieces that confuse parsers.
fn hostile_path() -> impl Strategy<Value = Vec<u8>> {
    let pieces = [
        "/", "/", "/", "//", ".", "..", "/../", "/./", "%2e", "%2E", "%2f", "%2F", "%5c", "%",
        "%0", "%00", "%25", "%41", ";", "a", "b", "A", "é", "\\", " ", "?", "~", "%c3%a9", "|",
        "\r\n",
    ];
    let piece = prop_oneof![
        20 => prop::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| {
        let mut path = b"/".to_vec();
        path.extend(pieces.concat());
        path
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn keeps_its_promises(path in hostile_path()) {
        let Ok(path) = normal(&path) else { return Ok(()) };
        prop_assert_eq!(path[0], b'/');
        prop_assert!(path.iter().all(u8::is_ascii_graphic));
        prop_assert!(!path.contains(&b'?') && !path.contains(&b'#') && !path.contains(&b'\\'));
        prop_assert!(!path.windows(2).any(|pair| pair == b"//"));
        // What a server that decodes slashes and drops `;parameters` would see.
        let text = String::from_utf8_lossy(&path).replace("%2F", "/").replace("%5C", "/");
        for segment in text.split('/') {
            let name = segment.split(';').next();
            prop_assert!(name != Some(".") && name != Some(".."), "{}", text);
        }
        prop_assert_eq!(normal(&path), Ok(path));
    }

    #[test]
    fn no_slash_stays_encoded_that_is_to_be_decoded(path in hostile_path()) {
        let decoded = normal_with(&path, EscapedSlashes::Decode);
        let raw = String::from_utf8_lossy(&path).into_owned();
        let slashes = raw.replace("%2f", "/").replace("%2F", "/");
        if raw.as_bytes() == path && !raw.contains("%5c") {
            prop_assert_eq!(&decoded, &normal(slashes.as_bytes()));
        }
        let Ok(decoded) = decoded else { return Ok(()) };
        prop_assert!(!String::from_utf8_lossy(&decoded).contains("%2F"));
        for escaped in [EscapedSlashes::Keep, EscapedSlashes::Reject, EscapedSlashes::Decode] {
            prop_assert_eq!(normal_with(&decoded, escaped), Ok(decoded.clone()));
        }
    }

    #[test]
    fn takes_any_bytes(path in prop::collection::vec(any::<u8>(), 0..64)) {
        // Only that it returns, and that what it returns is stable.
        if let Ok(path) = normal(&path) {
            prop_assert_eq!(normal(&path), Ok(path));
        }
    }

    #[test]
    fn spelling_does_not_matter(path in "(/[a-c.~]{1,3}){1,4}", upper in any::<bool>(), mask in any::<u32>()) {
        let encoded: String = path.char_indices().map(|(at, letter)| {
            if letter == '/' || mask >> (at % 32) & 1 == 0 {
                letter.to_string()
            } else if upper {
                format!("%{:02X}", u32::from(letter))
            } else {
                format!("%{:02x}", u32::from(letter))
            }
        }).collect();
        prop_assert_eq!(normal(encoded.as_bytes()), normal(path.as_bytes()));
    }
}
