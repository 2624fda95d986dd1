//! From parts and values to bytes.

use super::super::host::without_port;
use super::super::normalize::{
    PathError, has_dot_segment, is_path_byte, is_unreserved, push_encoded,
};
use super::{Part, Place, Source, Template, Values, starts_with_triple};

impl Template {
    /// Appends the rendered target to `out`. Fails only when the values join to a dot segment: a 400.
    pub fn render(&self, values: &Values<'_>, out: &mut Vec<u8>) -> Result<(), PathError> {
        out.extend_from_slice(self.scheme.as_bytes());
        let mut path_start = out.len();
        let mut path_end = None;
        for part in &self.parts {
            match part.place {
                Place::Authority => {
                    push_authority(part, values, out);
                    path_start = out.len();
                }
                Place::Path => push_path(part, values, path_start, out),
                Place::Query | Place::Fragment => {
                    let end = *path_end.get_or_insert(out.len());
                    if part.place == Place::Fragment {
                        drop_empty_query(end, out);
                    }
                    push_query(part, values, out);
                }
            }
        }
        let path_end = path_end.unwrap_or(out.len());
        drop_empty_query(path_end, out);
        if has_dot_segment(&out[path_start..path_end]) {
            return Err(PathError::HiddenDotSegment);
        }
        Ok(())
    }
}

impl Template {
    /// Whether what it renders leads to the host that was asked, and from https (`https`) nowhere that others can read it on
    /// the way.
    pub fn stays(&self, values: &Values<'_>, https: bool) -> bool {
        match &*self.scheme.to_ascii_lowercase() {
            "" => return true,
            "https://" => {}
            "http://" if !https => {}
            _ => return false,
        }
        let mut authority = Vec::new();
        let parts = self.parts.iter();
        for part in parts.take_while(|part| part.place == Place::Authority) {
            push_authority(part, values, &mut authority);
        }
        without_port(&authority).eq_ignore_ascii_case(without_port(values.host))
    }
}

fn value<'a>(source: &'a Source, values: &Values<'a>) -> &'a [u8] {
    match source {
        Source::Literal(text) => text,
        Source::Parameter(index) => values
            .captures
            .value(*index, values.path)
            .unwrap_or_default(),
        Source::Host => without_port(values.host),
        Source::Path => values.path,
        Source::Query | Source::KeptQuery => values.query.unwrap_or_default(),
    }
}

/// Appends `bytes`, keeping what `allowed` allows and whole percent triples, encoding the rest.
fn push_allowed(bytes: &[u8], allowed: impl Fn(u8) -> bool, out: &mut Vec<u8>) {
    for (at, &byte) in bytes.iter().enumerate() {
        // A regex group may begin or end inside a triple: a `%` on its own is data.
        if allowed(byte) || byte == b'%' && starts_with_triple(&bytes[at..]) {
            out.push(byte);
        } else {
            push_encoded(byte, out);
        }
    }
}

fn push_authority(part: &Part, values: &Values<'_>, out: &mut Vec<u8>) {
    let bytes = value(&part.source, values);
    let is_host = part.source == Source::Host;
    match part.source {
        Source::Literal(_) => out.extend_from_slice(bytes),
        _ => {
            for &byte in bytes {
                // Percent triples too: a name with an encoded slash in it is read in too many ways.
                if is_unreserved(byte) || is_host && matches!(byte, b'[' | b']' | b':') {
                    out.push(byte);
                } else {
                    push_encoded(byte, out);
                }
            }
        }
    }
}

fn push_path(part: &Part, values: &Values<'_>, start: usize, out: &mut Vec<u8>) {
    let bytes = value(&part.source, values);
    if matches!(part.source, Source::Host | Source::Query) {
        return push_allowed(bytes, is_path_byte, out);
    }
    if out.len() == start && bytes.first() != Some(&b'/') {
        out.push(b'/');
    }
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        if first == b'/' {
            if out.len() == start || out.last() != Some(&b'/') {
                out.push(b'/');
            }
            rest = &rest[1..];
            continue;
        }
        let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
        push_allowed(&rest[..end], is_path_byte, out);
        rest = &rest[end..];
    }
}

/// Removes a `?` at `start` that nothing follows.
fn drop_empty_query(start: usize, out: &mut Vec<u8>) {
    if &out[start..] == b"?" {
        out.truncate(start);
    }
}

fn push_query(part: &Part, values: &Values<'_>, out: &mut Vec<u8>) {
    let bytes = value(&part.source, values);
    let is_query_byte = |byte| is_path_byte(byte) || matches!(byte, b'/' | b'?');
    match part.source {
        Source::Literal(_) => out.extend_from_slice(bytes),
        Source::KeptQuery if bytes.is_empty() => {}
        Source::KeptQuery => {
            out.push(b'?');
            push_allowed(bytes, is_query_byte, out);
        }
        Source::Query => push_allowed(bytes, is_query_byte, out),
        // `&`, `=` and `+` are data in a path, and syntax in a query.
        Source::Parameter(_) | Source::Path | Source::Host => {
            push_allowed(bytes, |byte| is_unreserved(byte) || byte == b'/', out);
        }
    }
}
