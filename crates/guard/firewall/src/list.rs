//! Lists of prefixes in files: one address or prefix a line, `#` and `;` begin a comment.

use weir_config::{Cidr, Text};

use crate::{live::Content, prefix_set::PrefixSet};

impl Content for PrefixSet {
    fn read(bytes: Vec<u8>) -> Result<Self, String> {
        parse_list(&bytes).map_err(|error| error.to_string())
    }

    fn entries(&self) -> usize {
        self.len()
    }
}

/// How many bad lines are told about.
const TOLD: usize = 3;
/// How much of a bad line is shown.
const SHOWN: usize = 40;

/// Which lines of a list are neither an address nor a prefix.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.describe())]
pub struct ListError {
    /// The first of them: their number from 1, and what is wrong.
    lines: Vec<(usize, String)>,
    /// How many there are.
    count: usize,
}

impl ListError {
    /// The first lines that are wrong, by number, from 1.
    pub fn lines(&self) -> impl Iterator<Item = usize> {
        self.lines.iter().map(|(line, _)| *line)
    }

    fn describe(&self) -> String {
        let told = self.lines.iter();
        let told: Vec<String> = told
            .map(|(line, why)| format!("line {line}: {why}"))
            .collect();
        let mut text = told.join("; ");
        if self.count > self.lines.len() {
            text.push_str(&format!("; and {} more", self.count - self.lines.len()));
        }
        text
    }
}

/// Reads a list.
///
/// # Errors
/// When a line is neither empty, a comment, an address nor a prefix. Nothing of such a list is used: an `allow` that
/// lost a line locks people out, a `deny` that lost one lets them in.
pub fn parse_list(bytes: &[u8]) -> Result<PrefixSet, ListError> {
    let mut lines = Vec::new();
    let mut count = 0;
    let prefixes = prefixes(bytes, |line, why| {
        count += 1;
        if lines.len() < TOLD {
            lines.push((line, why));
        }
    });
    // Nobody looks at the set after an error, but building it tells whether there was one.
    let set = prefixes.collect();
    if count == 0 {
        Ok(set)
    } else {
        Err(ListError { lines, count })
    }
}

fn prefixes<'a>(
    bytes: &'a [u8],
    mut wrong: impl FnMut(usize, String) + 'a,
) -> impl Iterator<Item = Cidr> + 'a {
    // Some editors mark a file as UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let ends = memchr::memchr_iter(b'\n', bytes).chain(std::iter::once(bytes.len()));
    let mut start = 0;
    ends.enumerate().filter_map(move |(index, end)| {
        let line = &bytes[start..end];
        start = end + 1;
        let line = memchr::memchr2(b'#', b';', line).map_or(line, |comment| &line[..comment]);
        let line = line.trim_ascii();
        if line.is_empty() {
            return None;
        }
        match std::str::from_utf8(line)
            .map_err(|_| String::new())
            .and_then(Cidr::from_text)
        {
            Ok(prefix) => Some(prefix),
            Err(hint) => {
                wrong(index + 1, describe(line, &hint));
                None
            }
        }
    })
}

fn describe(line: &[u8], hint: &str) -> String {
    let shown: String = String::from_utf8_lossy(line).chars().take(SHOWN).collect();
    let dots = if shown.len() < line.len() { "..." } else { "" };
    let shown = shown.escape_debug();
    if hint.is_empty() {
        format!("`{shown}{dots}` is neither an address nor a range such as `10.0.0.0/8`")
    } else {
        format!("`{shown}{dots}`: {hint}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_line_ends_of_all_kinds_are_skipped() {
        let text = b"# bad people\r\n192.0.2.0/24 ; AS64500\r\n\n  2001:db8::/32\t# v6\n10.0.0.1";
        let list = parse_list(text).expect("it is a list");
        assert_eq!(list.len(), 3);
        for inside in ["192.0.2.7", "2001:db8::1", "10.0.0.1"] {
            assert!(
                list.contains(inside.parse().expect("an address")),
                "{inside}"
            );
        }
        assert!(parse_list(b"").expect("an empty list is one").is_empty());
        let marked = parse_list(b"\xef\xbb\xbf10.0.0.1\n").expect("it is marked as UTF-8");
        assert!(marked.contains("10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn bad_lines_are_told_by_number() {
        let text = b"10.0.0.1\n10.0.0.1/8\nexample.com\n\xff\xfe\n# fine\n10.0.0.0/33\n";
        let error = parse_list(text).expect_err("four lines are wrong");
        assert_eq!(error.lines().collect::<Vec<_>>(), [2, 3, 4]);
        let told = error.to_string();
        assert!(
            told.contains("line 2: `10.0.0.1/8`: the range begins at another address"),
            "{told}"
        );
        assert!(told.contains("line 3: `example.com`"), "{told}");
        assert!(told.ends_with("and 1 more"), "{told}");
    }
}
