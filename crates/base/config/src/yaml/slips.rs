//! What people write into YAML that means something else there.

/// The place of the first tab that indents a line, from the line on where the scanner stopped: it often stops at the end of
/// the line before.
pub(super) fn indenting_tab(text: &str, from: u32) -> Option<(u32, u32)> {
    let lines = (1..).zip(text.lines()).skip(from as usize - 1).take(2);
    let mut tabs = lines.filter_map(|(number, line)| {
        let indent = line.len() - line.trim_start().len();
        let at = line[..indent].chars().position(|c| c == '\t')?;
        Some((number, at as u32 + 1))
    });
    tabs.next()
}

/// What to do if the scanner stopped at a bracket within a value: `/a/{id}` without quotes, in a mapping or list that stands
/// in brackets itself.
pub(super) fn unquoted(text: &str, line: u32, column: u32) -> Option<String> {
    let line = text.lines().nth(line as usize - 1)?;
    let (at, bracket) = line.char_indices().nth(column as usize - 1)?;
    if !matches!(bracket, '{' | '[') {
        return None;
    }
    let before = &line[..at];
    let ends = [": ", ", ", "{ ", "[ ", "{", "["];
    let begins = |end: &&str| before.rfind(*end).map(|at| at + end.len());
    let begin = ends.iter().filter_map(begins).max().unwrap_or(0);
    let value = &line[begin..];
    // Only paths and patterns are repeated: anything else may be a secret.
    let variable = value.starts_with("${") && !value.contains(":-");
    let shown = value.starts_with(['/', '~', '^']) || variable;
    let end = value.find([',', ' ']).unwrap_or(value.len());
    let value = balanced(&value[..end]);
    Some(if shown {
        format!("within brackets, a value that holds brackets goes in quotes: '{value}'")
    } else {
        "within brackets, a value that holds brackets goes in quotes".to_owned()
    })
}

/// A value without the brackets behind it that close what it stands in.
fn balanced(value: &str) -> &str {
    let mut open = 0;
    for (at, c) in value.char_indices() {
        match c {
            '{' | '[' => open += 1,
            '}' | ']' if open == 0 => return &value[..at],
            '}' | ']' => open -= 1,
            _ => {}
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_with_brackets_is_shown_in_quotes() {
        for (line, bracket, shown) in [
            (
                "- { path: /a/{id}, service: app }",
                "{id",
                Some("'/a/{id}'"),
            ),
            ("- {path: /a/{id}}", "{id", Some("'/a/{id}'")),
            (
                "[{ path: ~^/a/\\d{3}$, x: 1 }]",
                "{3",
                Some("'~^/a/\\d{3}$'"),
            ),
            ("- { rewrite: /b/[x]/{y} }", "[x", Some("'/b/[x]/{y}'")),
            ("{ token: ${NAME} }", "{NAME", Some("'${NAME}'")),
            ("{ token: ${NAME:-ab} }", "{NAME", None),
            ("- { password: ab{cd }", "{cd", None),
        ] {
            let column = line.find(bracket).expect("a bracket") as u32 + 1;
            let help = unquoted(line, 1, column).expect(line);
            match shown {
                Some(shown) => assert!(help.ends_with(shown), "{line}: {help}"),
                None => assert!(!help.contains("ab"), "{line}: {help}"),
            }
        }
        assert_eq!(unquoted("a: b", 1, 1), None);
        assert_eq!(unquoted("a: b", 7, 9), None);
    }

    #[test]
    fn the_tab_is_found_that_the_scanner_means() {
        assert_eq!(indenting_tab("a:\n  - b\n\tc: d\n", 2), Some((3, 1)));
        assert_eq!(indenting_tab("a:\n \tb: c\n", 2), Some((2, 2)));
        assert_eq!(indenting_tab("a: b\tc\n", 1), None);
    }
}
