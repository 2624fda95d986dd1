//! Conditional requests (RFC 9110, 13).

use super::{
    request::FilesRequest,
    validator::{EntityTag, LastModified},
};

/// What the conditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Go on.
    Proceed,
    /// 304: the client has it.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the conditions in the order of RFC 9110, 13.2.2, but for If-Range. The method is GET or HEAD, and without
/// conditions the answer would be 200 (13.2.1).
pub(super) fn evaluate(
    request: &FilesRequest<'_>,
    etag: &EntityTag,
    modified: &LastModified,
) -> Verdict {
    if let Some(if_match) = request.if_match {
        if !matches(if_match, etag, Comparison::Strong) {
            return Verdict::Failed;
        }
    } else if let Some(date) = request.if_unmodified_since
        // RFC 9110, 13.1.4: MUST be ignored when it is no date.
        && modified.parse(date).is_some_and(|date| modified.seconds() > date)
    {
        return Verdict::Failed;
    }
    if let Some(if_none_match) = request.if_none_match {
        // RFC 9110, 13.1.3: If-Modified-Since MUST be ignored beside it.
        if matches(if_none_match, etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = request.if_modified_since
        && modified
            .parse(date)
            .is_some_and(|date| modified.seconds() <= date)
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a range may be sent: what the client has parts of is still what there is (RFC 9110, 13.1.5).
pub(super) fn range_applies(
    if_range: Option<&[u8]>,
    etag: &EntityTag,
    modified: &LastModified,
    now: u64,
) -> bool {
    let Some(value) = if_range else {
        return true;
    };
    if value.starts_with(b"\"") || value.starts_with(b"W/") {
        // MUST use the strong comparison: a weak tag never matches.
        return value == etag.as_bytes();
    }
    // An exact match, and only of a date that is a strong validator: its second must be over (RFC 9110, 8.8.2.2).
    modified.parse(value) == Some(modified.seconds()) && modified.seconds() < now
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    /// A weak tag matches nothing.
    Strong,
    /// Weak or not does not matter.
    Weak,
}

/// Whether `list` is `*` or holds `etag`. What is not an entity tag ends the list.
fn matches(list: &[u8], etag: &EntityTag, comparison: Comparison) -> bool {
    if list == b"*" {
        return true;
    }
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        if let Some(next) = rest.strip_prefix(b",") {
            rest = next;
            continue;
        }
        let (weak, tag) = match rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        if tag.first() != Some(&b'"') {
            return false;
        }
        let Some(end) = memchr::memchr(b'"', &tag[1..]) else {
            return false;
        };
        let (tag, next) = tag.split_at(end + 2);
        if tag == etag.as_bytes() && !(weak && comparison == Comparison::Strong) {
            return true;
        }
        rest = next;
    }
}
