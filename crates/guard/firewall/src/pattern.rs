//! Patterns for values and paths: complete, a beginning with `*` after it, or a regular expression after `~`.

use crate::expression::Expression;

/// A pattern for a value.
#[derive(Debug)]
pub(crate) enum Pattern {
    Complete(Box<[u8]>),
    /// `*` alone is the beginning of every value.
    Beginning(Box<[u8]>),
    Regex(Expression),
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            return expression(regex).map(Self::Regex);
        }
        Ok(match text.strip_suffix('*') {
            Some(beginning) => Self::Beginning(beginning.as_bytes().into()),
            None => Self::Complete(text.as_bytes().into()),
        })
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match self {
            Self::Complete(text) => **text == *value,
            Self::Beginning(text) => value.starts_with(text),
            Self::Regex(expression) => expression.is_match(value),
        }
    }
}

/// A pattern for a path.
#[derive(Debug)]
pub(crate) enum PathPattern {
    Complete(Spellings),
    /// `/a/*`: `/a`, and all beneath it, as in the path of a route.
    Beneath(Spellings),
    /// `/a*`.
    Beginning(Spellings),
    Regex(Expression),
}

/// A path in normal form and decoded.
#[derive(Debug)]
pub(crate) struct Spellings {
    normal: Box<[u8]>,
    decoded: Box<[u8]>,
}

impl PathPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(regex) = text.strip_prefix('~') {
            return expression(regex).map(Self::Regex);
        }
        if !text.starts_with('/') {
            return Err("it does not begin with `/`".to_owned());
        }
        if let Some(text) = text.strip_suffix("/*") {
            return Spellings::of(text).map(Self::Beneath);
        }
        match text.strip_suffix('*') {
            Some(text) => Spellings::of(text).map(Self::Beginning),
            None => Spellings::of(text).map(Self::Complete),
        }
    }

    /// Whether the path matches, in normal form or, where given, decoded.
    pub(crate) fn matches(&self, normal: &[u8], decoded: Option<&[u8]>) -> bool {
        self.fits(normal, |spellings| &spellings.normal)
            || decoded.is_some_and(|decoded| self.fits(decoded, |spellings| &spellings.decoded))
    }

    fn fits(&self, path: &[u8], spelling: impl Fn(&Spellings) -> &[u8]) -> bool {
        match self {
            Self::Complete(text) => spelling(text) == path,
            Self::Beginning(text) => path.starts_with(spelling(text)),
            Self::Beneath(text) => (path.strip_prefix(spelling(text)))
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'/'))),
            Self::Regex(expression) => expression.is_match(path),
        }
    }
}

impl Spellings {
    /// Brings what a user wrote, encoded or not, into the form that paths of requests have (RFC 3986, section 6.2.2).
    fn of(text: &str) -> Result<Self, String> {
        let unfit = |b: u8| b.is_ascii_control() || matches!(b, b'?' | b'#' | b'\\');
        if text.bytes().any(unfit) {
            return Err("it holds a character that no path has".to_owned());
        }
        let segments: Vec<&str> = text.split('/').skip(1).collect();
        let inner = segments.split_last().map_or(&[][..], |(_, inner)| inner);
        if inner.iter().any(|segment| segment.is_empty())
            || segments
                .iter()
                .any(|segment| matches!(*segment, "." | ".."))
        {
            return Err(
                "no path has an empty segment, `.` or `..` once it is in normal form".to_owned(),
            );
        }
        let decoded: Vec<u8> = decoded(text.as_bytes(), false).collect();
        let mut normal = Vec::with_capacity(text.len());
        let mut at = 0;
        while let Some(&byte) = text.as_bytes().get(at) {
            at += 1;
            match (byte, text.as_bytes().get(at..at + 2)) {
                (b'%', Some(&[high, low])) => {
                    let Some(byte) = hex_byte(high, low) else {
                        return Err("`%` is not followed by two hex digits".to_owned());
                    };
                    at += 2;
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        normal.push(byte);
                    } else {
                        push_encoded(byte, &mut normal);
                    }
                }
                (b'%', _) => return Err("`%` is not followed by two hex digits".to_owned()),
                (b' ' | b'"' | b'<' | b'>' | b'[' | b']' | b'^' | b'`' | b'{' | b'|' | b'}', _) => {
                    push_encoded(byte, &mut normal);
                }
                _ if byte.is_ascii() => normal.push(byte),
                _ => push_encoded(byte, &mut normal),
            }
        }
        Ok(Self {
            normal: normal.into(),
            decoded: decoded.into(),
        })
    }
}

fn expression(text: &str) -> Result<Expression, String> {
    if text.is_empty() {
        return Err("the regex after `~` is empty".to_owned());
    }
    Expression::parse(text).map_err(|reason| format!("the regex does not compile: {reason}"))
}

/// Bytes with `%` decoded; one that is broken stands for itself. In a form, `+` is a space.
pub(crate) fn decoded(bytes: &[u8], form: bool) -> impl Iterator<Item = u8> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let &byte = bytes.get(at)?;
        at += 1;
        match byte {
            b'+' if form => Some(b' '),
            b'%' => match bytes.get(at..at + 2) {
                Some(&[high, low]) => match hex_byte(high, low) {
                    Some(decoded) => {
                        at += 2;
                        Some(decoded)
                    }
                    None => Some(b'%'),
                },
                _ => Some(b'%'),
            },
            _ => Some(byte),
        }
    })
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16);
    Some((digit(high)? << 4 | digit(low)?) as u8)
}

fn push_encoded(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.extend([
        b'%',
        HEX[usize::from(byte >> 4)],
        HEX[usize::from(byte & 15)],
    ]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PathPattern {
        PathPattern::parse(text).expect(text)
    }

    #[test]
    fn paths_are_compared_as_routes_compare_them() {
        for (pattern, given, fits) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/", false),
            ("/a/*", "/a", true),
            ("/a/*", "/a/", true),
            ("/a/*", "/a/b/c", true),
            ("/a/*", "/ab", false),
            ("/*", "/", true),
            ("/*", "/x", true),
            ("/wp-*", "/wp-login.php", true),
            ("/wp-*", "/wp", false),
            ("~\\.php$", "/x/index.php", true),
            ("~(?i)/ADMIN", "/admin", true),
            ("/caf\u{e9}", "/caf%C3%A9", true),
            ("/caf%c3%a9", "/caf%C3%A9", true),
            ("/%61/*", "/a/x", true),
            ("/a b", "/a%20b", true),
        ] {
            assert_eq!(
                path(pattern).matches(given.as_bytes(), None),
                fits,
                "{pattern} {given}"
            );
        }
    }

    #[test]
    fn a_decoded_path_is_compared_with_a_decoded_pattern() {
        let pattern = path("/wp-admin/*");
        assert!(!pattern.matches(b"/wp-admin%2Fx", None));
        assert!(pattern.matches(b"/wp-admin%2Fx", Some(b"/wp-admin/x")));
        assert!(path("/a%2Fb").matches(b"/a%2Fb", None));
        assert!(path("~^/x y$").matches(b"/x%20y", Some(b"/x y")));
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        for text in [
            "", "a", "/a/../b", "/a//b", "/a?b", "/a%zz", "/a%2", "~", "~(", "/\\x",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        assert!(Pattern::parse("~").is_err() && Pattern::parse("~[").is_err());
        assert!(
            Pattern::parse("~(a{1000}){1000}").is_err(),
            "it is too large"
        );
    }

    #[test]
    fn values_are_complete_or_beginnings_or_expressions() {
        let fits = |pattern, value: &str| {
            Pattern::parse(pattern)
                .expect(pattern)
                .matches(value.as_bytes())
        };
        assert!(fits("curl", "curl") && !fits("curl", "curl/8"));
        assert!(fits("curl*", "curl/8") && fits("*", "") && fits("*", "x"));
        assert!(fits("~sqlmap", "x sqlmap y") && !fits("~^sqlmap$", "x sqlmap"));
    }

    #[test]
    fn broken_encodings_stand_for_themselves() {
        let form = |text: &str| decoded(text.as_bytes(), true).collect::<Vec<_>>();
        assert_eq!(form("a+b%20c%"), b"a b c%");
        assert_eq!(form("%4"), b"%4");
        assert_eq!(form("%zz%C3%a9"), "%zz\u{e9}".as_bytes());
    }
}
