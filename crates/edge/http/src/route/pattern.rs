//! The path of a rule: complete, prefix or regex.

use std::cmp::Ordering;
use std::sync::Arc;

use super::expression::{Expression, Expressions};
use super::normalize::{PathError, literal_segment};
use super::problem::Complaint;

/// The name under which a prefix captures what follows it.
const REST: &str = "rest";

/// Names that templates give a meaning of their own.
pub(super) const BUILTINS: [&str; 3] = ["host", "path", "query"];

/// Parameter names, in the order in which they are captured.
pub(super) type Names = Box<[Box<str>]>;

/// The shape of a path; parameter names do not belong to it.
#[derive(Clone, Debug)]
pub(super) enum PathPattern {
    /// `/a/{id}`: as many segments as the path.
    Complete(Box<[Segment]>),
    /// `/a/*`: these segments, then anything.
    Prefix(Box<[Segment]>),
    /// `~^/a/\d+$`.
    Regex(Arc<Expression>),
}

/// One segment of a rule's path. The order is by specificity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter,
}

impl PathPattern {
    /// The pattern, and the names of its parameters. No path is any path, as `/*`.
    pub(super) fn parse(
        text: Option<&str>,
        segments: usize,
        expressions: &mut Expressions,
    ) -> Result<(Self, Names), Complaint> {
        let Some(text) = text else {
            return Ok((Self::Prefix([].into()), [REST.into()].into()));
        };
        if let Some(regex) = text.strip_prefix('~') {
            return parse_regex(regex, expressions);
        }
        let Some(body) = text.strip_prefix('/') else {
            return Err(Complaint::new(
                format!("the path `{text}` does not begin with `/`"),
                "write `/a/b`, `/a/*`, `/a/{id}`, or a regex after `~`",
            ));
        };
        parse_segments(text, body, segments)
    }

    /// Whether the normalised `path` matches, without captures: for explanations, one rule at a time.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        let Some(body) = path.strip_prefix(b"/") else {
            return false;
        };
        let mut found = body.split(|&byte| byte == b'/');
        let (expected, prefix) = match self {
            Self::Regex(expression) => return expression.is_match(path),
            Self::Complete(expected) => (expected, false),
            Self::Prefix(expected) => (expected, true),
        };
        let all = expected
            .iter()
            .all(|segment| match (segment, found.next()) {
                (Segment::Literal(text), Some(found)) => text.as_bytes() == found,
                (Segment::Parameter, Some(found)) => !found.is_empty(),
                (_, None) => false,
            });
        all && (prefix || found.next().is_none())
    }

    /// The most specific first; equal for equal shapes.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let rank = |path: &Self| match path {
            Self::Complete(_) => 0,
            Self::Regex(_) => 1,
            Self::Prefix(_) => 2,
        };
        match (self, other) {
            (Self::Complete(a), Self::Complete(b)) | (Self::Prefix(a), Self::Prefix(b)) => {
                compare_segments(a, b)
            }
            (Self::Regex(a), Self::Regex(b)) => a.compare(b),
            _ => rank(self).cmp(&rank(other)),
        }
    }
}

/// Literal, then parameter, then the end (which in a prefix is the `*`).
fn compare_segments(a: &[Segment], b: &[Segment]) -> Ordering {
    let mut pairs = a.iter().zip(b);
    let difference = pairs.find_map(|(a, b)| Some(a.cmp(b)).filter(|order| order.is_ne()));
    difference.unwrap_or_else(|| b.len().cmp(&a.len()))
}

fn parse_segments(text: &str, body: &str, limit: usize) -> Result<(PathPattern, Names), Complaint> {
    let mut segments = Vec::new();
    let mut names: Vec<Box<str>> = Vec::new();
    let mut parts = body.split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        if segments.len() == limit {
            return Err(Complaint::new(
                format!("the path has more than {limit} segments"),
                "end it earlier with `/*`",
            ));
        }
        if part == "*" && last {
            push_name(&mut names, REST)?;
            return Ok((PathPattern::Prefix(segments.into()), names.into()));
        }
        if part.is_empty() && !last {
            return Err(Complaint::new(
                format!("the path `{text}` holds an empty segment"),
                "slashes are merged before matching: write one",
            ));
        }
        if part.contains('*') {
            return Err(Complaint::new(
                format!("`*` in the path `{text}` is not a whole last segment"),
                "write `/a/*` for a prefix, `{name}` for one segment, or a regex after `~`",
            ));
        }
        segments.push(match parse_parameter(part)? {
            Some(name) => {
                push_name(&mut names, name)?;
                Segment::Parameter
            }
            None => Segment::Literal(
                literal_segment(part).map_err(|error| literal_complaint(part, error))?,
            ),
        });
    }
    Ok((PathPattern::Complete(segments.into()), names.into()))
}

fn parse_parameter(part: &str) -> Result<Option<&str>, Complaint> {
    let help = "write `{name}` as a whole segment, or a regex after `~`";
    if !part.contains(['{', '}']) {
        return Ok(None);
    }
    let name = part
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some("") => Err(Complaint::new(
            "a parameter has no name",
            "write it like `{id}`",
        )),
        Some(name) if !name.contains(['{', '}']) => check_name(name).map(|()| Some(name)),
        _ if part.matches('{').count() != part.matches('}').count() => Err(Complaint::new(
            format!("`{part}` has a brace without its partner"),
            help,
        )),
        _ => Err(Complaint::new(
            format!("the parameter in `{part}` is not a whole segment"),
            help,
        )),
    }
}

fn check_name(name: &str) -> Result<(), Complaint> {
    let mut bytes = name.bytes();
    let starts = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !starts || !bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')) {
        return Err(Complaint::new(
            format!("`{{{name}}}` is not a parameter name"),
            "use letters, digits, `_` and `-`, beginning with a letter",
        ));
    }
    if BUILTINS.contains(&name) {
        return Err(Complaint::new(
            format!("the parameter name `{name}` already has a meaning in templates"),
            format!("choose another, such as `{name}_part`"),
        ));
    }
    Ok(())
}

fn push_name(names: &mut Vec<Box<str>>, name: &str) -> Result<(), Complaint> {
    if names.iter().any(|known| **known == *name) {
        return Err(Complaint::new(
            format!("the parameter `{{{name}}}` appears twice"),
            if name == REST {
                "`rest` is what a trailing `/*` captures: choose another name"
            } else {
                "give each parameter its own name"
            },
        ));
    }
    names.push(name.into());
    Ok(())
}

fn parse_regex(
    text: &str,
    expressions: &mut Expressions,
) -> Result<(PathPattern, Names), Complaint> {
    if text.is_empty() {
        return Err(Complaint::new(
            "the regex is empty",
            "write it after `~`, such as `~^/a/\\d+$`",
        ));
    }
    if !text.is_ascii() {
        return Err(Complaint::new(
            "the regex holds letters outside ASCII, which a path never does",
            "match the percent-encoded form, such as `%C3%A9`",
        ));
    }
    let expression = expressions.parse(text)?;
    let mut names = Vec::new();
    for name in expression.group_names() {
        check_name(name)?;
        push_name(&mut names, name)?;
    }
    Ok((PathPattern::Regex(expression), names.into()))
}

fn literal_complaint(part: &str, error: PathError) -> Complaint {
    let help = match error {
        PathError::BadPercent => "write a literal percent sign as `%25`",
        PathError::HiddenDotSegment => "dot segments are resolved before matching: leave them out",
        PathError::InvalidByte if part.contains('?') => "conditions on the query belong to `query`",
        PathError::InvalidByte if part.contains('#') => {
            "a fragment never reaches a server: leave it out"
        }
        PathError::InvalidByte if part.contains(' ') => "write a space as `%20`",
        _ => "such requests are refused before routing: leave it out",
    };
    Complaint::new(
        format!("`{}` cannot stand in a path: {error}", part.escape_debug()),
        help,
    )
}
