//! Keys that come in queries, wherever a query travels.
//!
//! A key in the query is between a client and Weir. It is taken out of whatever goes on to somebody else: the target of a
//! request, what rewrites and transforms make of `{query}`, a Location on another host, and `Referer`, in which a browser
//! repeats the address of the page before. Logs get the name of the parameter, with its value blotted out.
//!
//! A Location on the host that the client asked keeps it: the client is to come again, and would be refused without.

use std::borrow::Cow;

use weir_auth::Hidden;

use crate::route::{PathError, Template, Values};

/// Whether parameters of the query are hidden.
pub(crate) fn hides_parameters(hidden: &[Hidden]) -> bool {
    hidden
        .iter()
        .any(|hidden| matches!(hidden, Hidden::Parameter(_)))
}

/// What is left of a query without the parameters that are hidden.
pub(crate) fn without_keys<'q>(
    query: Option<&'q [u8]>,
    hidden: &[Hidden],
) -> Option<Cow<'q, [u8]>> {
    let query = query?;
    if !hides_parameters(hidden) {
        return Some(Cow::Borrowed(query));
    }
    let mut left = Vec::with_capacity(query.len() + 1);
    write_query(&mut left, query, hidden);
    if left.is_empty() {
        return None;
    }
    left.remove(0);
    Some(Cow::Owned(left))
}

/// Writes a `?` and a query without the parameters that are hidden; nothing if nothing is left.
#[inline]
pub(crate) fn write_query(out: &mut Vec<u8>, query: &[u8], hidden: &[Hidden]) {
    if hides_parameters(hidden) {
        copy_query(out, query, hidden, b"");
    } else {
        out.push(b'?');
        out.extend_from_slice(query);
    }
}

/// Writes an address without the parameters of its query that are hidden.
pub(crate) fn write_address(out: &mut Vec<u8>, address: &[u8], hidden: &[Hidden]) {
    copy_address(out, address, hidden, b"");
}

/// Writes an address with the values of hidden parameters blotted out: for logs.
pub(crate) fn write_blotted(out: &mut Vec<u8>, address: &[u8], hidden: &[Hidden]) {
    copy_address(out, address, hidden, b"***");
}

/// Renders the target that an endpoint sees.
pub(crate) fn render_target(
    template: &Template,
    values: &Values<'_>,
    hidden: &[Hidden],
    out: &mut Vec<u8>,
) -> Result<(), PathError> {
    // Taken out before the template moves it: what stands in a path, or in another parameter, is found by nobody.
    let query = without_keys(values.query, hidden);
    let values = Values {
        query: query.as_deref(),
        ..*values
    };
    template.render(&values, out)
}

/// Renders where a client is sent, who came by `https` or not.
pub(crate) fn render_location(
    template: &Template,
    values: &Values<'_>,
    hidden: &[Hidden],
    https: bool,
    out: &mut Vec<u8>,
) -> Result<(), PathError> {
    if hides_parameters(hidden) && !template.stays(values, https) {
        return render_target(template, values, hidden, out);
    }
    template.render(values, out)
}

fn copy_address(out: &mut Vec<u8>, address: &[u8], hidden: &[Hidden], instead: &[u8]) {
    match memchr::memchr(b'?', address) {
        Some(mark) => {
            out.extend_from_slice(&address[..mark]);
            copy_query(out, &address[mark + 1..], hidden, instead);
        }
        None => out.extend_from_slice(address),
    }
}

/// Copies a query. Of a hidden parameter its name and `instead` remain, or nothing if that is empty.
fn copy_query(out: &mut Vec<u8>, query: &[u8], hidden: &[Hidden], instead: &[u8]) {
    let mut separator = b'?';
    for pair in query.split(|byte| *byte == b'&') {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
        let is_hidden = hidden.iter().any(
            |hidden| matches!(hidden, Hidden::Parameter(parameter) if is_encoded(name, parameter.as_bytes())),
        );
        if is_hidden && instead.is_empty() {
            continue;
        }
        out.push(separator);
        if is_hidden {
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(instead);
        } else {
            out.extend_from_slice(pair);
        }
        separator = b'&';
    }
}

/// Whether `text` is `name`, as it is or percent-encoded.
fn is_encoded(text: &[u8], name: &[u8]) -> bool {
    let mut rest = text;
    for &wanted in name {
        let (byte, after) = match rest {
            [b'%', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                    return false;
                };
                (u8::try_from(high * 16 + low).unwrap_or(0), after)
            }
            [byte, after @ ..] => (*byte, after),
            [] => return false,
        };
        if byte != wanted {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> [Hidden; 2] {
        [
            Hidden::Parameter("key".into()),
            Hidden::Field("x-key".into()),
        ]
    }

    #[test]
    fn hidden_parameters_leave_the_address() {
        for (address, without, blotted) in [
            ("/a", "/a", "/a"),
            ("/a?", "/a?", "/a?"),
            ("/a?key=1", "/a", "/a?key=***"),
            ("/a?key=1&b=2", "/a?b=2", "/a?key=***&b=2"),
            (
                "/a?b=2&key=1&key=3&c",
                "/a?b=2&c",
                "/a?b=2&key=***&key=***&c",
            ),
            (
                "/a?keys=1&xkey=2&key",
                "/a?keys=1&xkey=2",
                "/a?keys=1&xkey=2&key=***",
            ),
            ("/a?b=key=1?key=2", "/a?b=key=1?key=2", "/a?b=key=1?key=2"),
            (
                "/a?%6bey=1&k%65%79=2&%zzey=3&b=4",
                "/a?%zzey=3&b=4",
                "/a?%6bey=***&k%65%79=***&%zzey=3&b=4",
            ),
            (
                "https://a.example/b?key=1&c",
                "https://a.example/b?c",
                "https://a.example/b?key=***&c",
            ),
        ] {
            let (mut one, mut other) = (Vec::new(), Vec::new());
            write_address(&mut one, address.as_bytes(), &hidden());
            write_blotted(&mut other, address.as_bytes(), &hidden());
            assert_eq!(String::from_utf8_lossy(&one), without);
            assert_eq!(String::from_utf8_lossy(&other), blotted);
        }
    }

    #[test]
    fn a_query_of_keys_alone_is_none() {
        let left = |query| without_keys(query, &hidden()).map(Cow::into_owned);
        assert_eq!(left(None), None);
        assert_eq!(left(Some(b"key=1")), None);
        assert_eq!(left(Some(b"key=1&key=2")), None);
        assert_eq!(left(Some(b"")), Some(b"".to_vec()));
        assert_eq!(left(Some(b"a=1&key=1")), Some(b"a=1".to_vec()));
        let untouched = without_keys(Some(b"key=1"), &hidden()[1..]);
        assert!(matches!(untouched, Some(Cow::Borrowed(b"key=1"))));
    }
}
