//! `${NAME}` and `${NAME:-default}` in scalars.
//!
//! The environment is a function, so that loading a config is a pure thing to test. What a variable holds is never
//! expanded again. `$${` is a literal `${`; any other `$` stands for itself, so regular expressions need no escapes.

/// Where `${NAME}` is looked up.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The environment of this process. A variable that is not UTF-8 counts as missing.
pub fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// What is wrong with a `${...}`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Missing(String),
    Unclosed,
    BadName(String),
}

/// The text with its variables filled in, or `None` where there is nothing to do.
pub(crate) fn expand(
    text: &str,
    environment: Environment<'_>,
) -> Result<Option<String>, Vec<Wrong>> {
    if !text.contains("${") {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut wrong = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let Some(close) = body.find('}') else {
            wrong.push(Wrong::Unclosed);
            rest = "";
            break;
        };
        let (name, default) = match body[..close].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&body[..close], None),
        };
        // As in a shell, `:-` also replaces a variable that is set but empty.
        let value = environment(name).filter(|value| default.is_none() || !value.is_empty());
        match (is_name(name), value, default) {
            (false, _, _) => wrong.push(Wrong::BadName(name.to_owned())),
            (true, Some(value), _) => out.push_str(&value),
            (true, None, Some(default)) => out.push_str(default),
            (true, None, None) => wrong.push(Wrong::Missing(name.to_owned())),
        }
        rest = &body[close + 1..];
    }
    out.push_str(rest);
    if wrong.is_empty() {
        Ok(Some(out))
    } else {
        Err(wrong)
    }
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("example.com".to_owned()),
            "EMPTY" => Some(String::new()),
            "NESTED" => Some("${HOST}".to_owned()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_filled_in() {
        for (text, want) in [
            ("${HOST}", "example.com"),
            ("https://${HOST}:${PORT:-443}/", "https://example.com:443/"),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NESTED}", "${HOST}"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("a$b ${HOST}$", "a$b example.com$"),
        ] {
            assert_eq!(
                expand(text, &environment),
                Ok(Some(want.to_owned())),
                "{text}"
            );
        }
        assert_eq!(expand("~^/a/\\d+$", &environment), Ok(None));
    }

    #[test]
    fn what_cannot_be_filled_in_is_reported_at_once() {
        let wrong = expand("${A} ${b-c} ${", &environment);
        assert_eq!(
            wrong,
            Err(vec![
                Wrong::Missing("A".to_owned()),
                Wrong::BadName("b-c".to_owned()),
                Wrong::Unclosed
            ])
        );
    }
}
