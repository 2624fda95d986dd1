//! The cookies of a request, as RFC 6265, section 4.2.1 writes them: `a=b; c=d`, one Cookie field or several.
//!
//! Values are opaque. A server splits at every semicolon (section 5.4 lets none stand in a value), so this does too.

use crate::codec::{FieldId, Fields};

/// The values of all cookies with this name, in order.
pub(crate) fn values<'a>(fields: &'a Fields, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
    fields
        .all(FieldId::Cookie)
        .flat_map(pairs)
        .filter_map(move |pair| {
            let (found, value) = split(pair);
            (found == name).then_some(value)
        })
}

/// The name in a pair, or in the value of Set-Cookie.
pub(crate) fn name(pair: &[u8]) -> &[u8] {
    split(pair.split(|byte| *byte == b';').next().unwrap_or_default()).0
}

/// Writes the Cookie fields without the cookies whose names `drops` wants out; what is left stays as it was, and a field
/// of which nothing is left is left out.
pub(crate) fn write_without(out: &mut Vec<u8>, fields: &Fields, drops: impl Fn(&[u8]) -> bool) {
    for line in fields.all(FieldId::Cookie) {
        let start = out.len();
        out.extend_from_slice(b"Cookie: ");
        let before = out.len();
        push_without(out, line, &drops);
        if out.len() == before {
            out.truncate(start);
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends the cookies of one field, without those whose names `drops` wants out.
pub(crate) fn push_without(out: &mut Vec<u8>, line: &[u8], drops: impl Fn(&[u8]) -> bool) {
    let start = out.len();
    for pair in pairs(line) {
        if pair.is_empty() || drops(split(pair).0) {
            continue;
        }
        if out.len() > start {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(pair);
    }
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii)
}

/// Name and value; a pair without `=` is a value without a name, as browsers see it (RFC 6265bis, 5.6).
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii()),
        None => (b"", pair),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[&str]) -> Fields {
        let mut fields = Fields::new();
        fields.push(b"Host", b"a");
        for line in lines {
            fields.push(b"cookie", line.as_bytes());
        }
        fields
    }

    #[test]
    fn values_are_found_by_their_whole_name() {
        let fields = request(&["a=1; b=2;a=3", "", "aa=4; A=5; =6; 7; a", "a = 8 ;a=x=y"]);
        let of = |name: &str| -> Vec<String> {
            let values = values(&fields, name.as_bytes());
            values
                .map(|value| value.escape_ascii().to_string())
                .collect()
        };
        assert_eq!(of("a"), ["1", "3", "8", "x=y"]);
        assert_eq!(of("b"), ["2"]);
        assert_eq!(of("aa"), ["4"]);
        assert!(of("c").is_empty());
    }

    #[test]
    fn others_stay_as_they_were() {
        for (lines, names, left) in [
            (&["a=1; b=2; c=3"][..], &["b"][..], "Cookie: a=1; c=3\r\n"),
            (&["b=2"], &["b"], ""),
            (&["b=2; b=3", "a=\"1\""], &["b"], "Cookie: a=\"1\"\r\n"),
            (&["a=1", "c=3; b"], &["b", "a"], "Cookie: c=3; b\r\n"),
            (&["a=1;c=3"], &["b"], "Cookie: a=1; c=3\r\n"),
            (&[], &["b"], ""),
        ] {
            let names: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
            let mut out = Vec::new();
            write_without(&mut out, &request(lines), |name| names.contains(&name));
            assert_eq!(String::from_utf8_lossy(&out), left, "{lines:?}");
        }
    }

    #[test]
    fn the_name_of_a_set_cookie_ends_before_its_attributes() {
        assert_eq!(name(b"lb=1; Path=/a=b"), b"lb");
        assert_eq!(name(b" lb = 1"), b"lb");
        assert_eq!(name(b"lb; a=b"), b"");
    }
}
