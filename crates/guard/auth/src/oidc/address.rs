//! Addresses that a login is made of: where this Weir is for a browser, and where in it somebody wanted to go.

use crate::asked::Asked;

/// Longer ways back are forgotten: they travel in a cookie.
const LONGEST_BACK: usize = 1500;

/// Scheme and host of this Weir as the browser knows them; `None` if the request names no host that could be one.
pub(super) fn base<R: Asked>(request: &R) -> Option<String> {
    let host = std::str::from_utf8(request.host()).ok()?;
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.len() <= 300 && host.bytes().all(fits))
        .then(|| format!("{}://{host}", request.scheme()))
}

/// The path and query of a request as a place to come back to: a path on this host for every browser. What they might read
/// otherwise becomes `/`. Whoever comes back is known by their session, so a key does not make the journey.
pub(super) fn back<R: Asked>(request: &R) -> String {
    let mut back = request.path().to_vec();
    if let Some(query) = request.query_without_keys() {
        back.push(b'?');
        back.extend_from_slice(&query);
    }
    match String::from_utf8(back) {
        Ok(back) if is_local(&back) => back,
        _ => "/".to_owned(),
    }
}

/// Browsers read `//x` and `/\x` as another host, and drop tabs and line breaks before they look.
pub(super) fn is_local(path: &str) -> bool {
    let mut bytes = path.bytes();
    bytes.next() == Some(b'/')
        && !matches!(bytes.next(), Some(b'/' | b'\\'))
        && path.len() <= LONGEST_BACK
        && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether somebody looks at the answer in a browser's window, so that it can lead them to the provider. Scripts cannot be
/// led there: their requests are refused, and what they do about it is their own.
pub(super) fn is_navigation<R: Asked>(request: &R) -> bool {
    // https://www.w3.org/TR/fetch-metadata/: browsers say what a request is for, and scripts cannot.
    if let Some(mode) = request.fields(b"sec-fetch-mode").next() {
        return mode.trim_ascii() == b"navigate";
    }
    let contains = |value: &[u8], word: &[u8]| {
        value
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word))
    };
    let by_script = request
        .fields(b"x-requested-with")
        .any(|value| contains(value, b"xmlhttprequest"));
    !by_script
        && request
            .fields(b"accept")
            .any(|value| contains(value, b"text/html"))
}

/// The parameters of a query that are asked for, decoded. `None` if one of them is there twice (RFC 6749, section 3.1) or
/// not encoded correctly.
pub(super) fn parameters<const N: usize>(
    query: &[u8],
    names: [&str; N],
) -> Option<[Option<String>; N]> {
    let mut found = [const { None }; N];
    for pair in query.split(|byte| *byte == b'&') {
        let pair = std::str::from_utf8(pair).ok()?;
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = names.iter().position(|wanted| *wanted == name) else {
            continue;
        };
        let value = weir_client::percent_decoded(value)?;
        if found[at].replace(value).is_some() {
            return None;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ways_back_lead_to_this_host() {
        for path in [
            "/",
            "/a",
            "/a?b=c&d=//e",
            "/a//b",
            "/a/\\b",
            "/?u=https://evil.example/",
        ] {
            assert!(is_local(path), "{path}");
        }
        let long = format!("/{}", "a".repeat(LONGEST_BACK));
        for path in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example/",
            "/\t/evil.example",
            "/a b",
            "/\r\nx: y",
            "/é",
            "/\0",
            &long,
        ] {
            assert!(!is_local(path), "{path:?}");
        }
    }

    #[test]
    fn parameters_of_a_query() {
        let read = |query: &str| parameters(query.as_bytes(), ["code", "state"]);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            read("code=a%2Fb&state=c&x=1"),
            Some([some("a/b"), some("c")])
        );
        assert_eq!(read("state=c&y"), Some([None, some("c")]));
        assert_eq!(read("code"), Some([some(""), None]));
        assert_eq!(read(""), Some([None, None]));
        assert_eq!(read("code=a&code=b"), None);
        assert_eq!(read("code=%zz"), None);
        assert_eq!(read("code=%ff"), None);
    }

    proptest! {
        #[test]
        fn what_is_local_has_no_host(path in "[/\\\\a.:?#@ \t]{0,8}") {
            if is_local(&path) {
                let url = weir_client::Url::parse(&format!("https://here.example{path}"));
                if let Ok(url) = url {
                    prop_assert_eq!(url.host(), "here.example");
                }
                prop_assert!(!path.starts_with("//") && !path.starts_with("/\\"));
            }
        }

        #[test]
        fn nothing_panics(query in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = parameters(&query, ["code", "state"]);
        }
    }
}
