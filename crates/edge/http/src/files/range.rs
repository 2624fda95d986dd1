//! Range requests (RFC 9110, 14).
//!
//! A Range field is a wish: a server MAY ignore it (14.2), and one that is not valid is ignored. That makes the defence
//! against ranges that cost more than the file easy: too many, or more than two that overlap, and the whole file is sent.
//! Ranges that overlap or touch are sent as one, so that no byte is sent twice.

/// More ranges than this in one request, and the field is ignored.
const MAX_RANGES: usize = 64;
/// More ranges than this that overlap an earlier byte, and the field is ignored (RFC 9110, 14.2).
const MAX_OVERLAPS: usize = 2;

/// A part of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// What a Range field selects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    /// The field is to be ignored.
    Whole,
    /// One range.
    One(ByteRange),
    /// Two or more, in the order of the request; none overlap or touch.
    Many(Vec<ByteRange>),
    /// The field is valid, but the file has none of it: 416.
    Unsatisfiable,
}

impl ByteRange {
    /// The offset of the last byte. The range is not empty.
    pub(super) const fn last(self) -> u64 {
        self.end().saturating_sub(1)
    }

    const fn end(self) -> u64 {
        self.offset + self.len
    }
}

/// Applies the Range field `value` to a file of `length` bytes.
pub(super) fn select(value: &[u8], length: u64) -> Selection {
    let Some(set) = range_set(value) else {
        return Selection::Whole;
    };
    let mut ranges = [ByteRange::default(); MAX_RANGES];
    let mut satisfiable = 0;
    let mut specs = 0;
    for spec in set.split(|&byte| byte == b',') {
        let spec = trim(spec);
        if spec.is_empty() {
            // RFC 9110, 5.6.1.2: empty elements MUST be ignored.
            continue;
        }
        specs += 1;
        if specs > MAX_RANGES {
            return Selection::Whole;
        }
        match Spec::parse(spec) {
            None => return Selection::Whole,
            Some(spec) => {
                if let Some(range) = spec.within(length) {
                    ranges[satisfiable] = range;
                    satisfiable += 1;
                }
            }
        }
    }
    match &mut ranges[..satisfiable] {
        // No range of an empty file can be expressed, so it is sent whole: all zero bytes of it.
        _ if specs == 0 || length == 0 => Selection::Whole,
        [] => Selection::Unsatisfiable,
        [range] => Selection::One(*range),
        many => coalesce(many),
    }
}

/// Joins ranges that overlap or touch; each keeps the place of its first (RFC 9110, 15.3.7.2).
fn coalesce(ranges: &mut [ByteRange]) -> Selection {
    let mut sorted: Vec<(usize, ByteRange)> = ranges.iter().copied().enumerate().collect();
    sorted.sort_unstable_by_key(|&(place, range)| (range.offset, place));
    let mut overlaps = 0;
    let mut joined: Vec<(usize, ByteRange)> = Vec::with_capacity(sorted.len());
    for (place, range) in sorted {
        match joined.last_mut() {
            Some((first, last)) if range.offset <= last.end() => {
                overlaps += usize::from(range.offset < last.end());
                last.len = last.end().max(range.end()) - last.offset;
                *first = place.min(*first);
            }
            _ => joined.push((place, range)),
        }
    }
    if overlaps > MAX_OVERLAPS {
        return Selection::Whole;
    }
    joined.sort_unstable_by_key(|&(place, _)| place);
    match joined[..] {
        [(_, range)] => Selection::One(range),
        _ => Selection::Many(joined.into_iter().map(|(_, range)| range).collect()),
    }
}

/// A range as it is written.
#[derive(Clone, Copy, Debug)]
enum Spec {
    From { first: u64, last: u64 },
    Suffix(u64),
}

impl Spec {
    /// `None`: not valid.
    fn parse(spec: &[u8]) -> Option<Self> {
        let dash = memchr::memchr(b'-', spec)?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        if first.is_empty() {
            return Some(Self::Suffix(number(last)?));
        }
        let first = number(first)?;
        let last = if last.is_empty() {
            u64::MAX
        } else {
            number(last)?
        };
        // RFC 9110, 14.1.1: not valid when it ends before it starts.
        (first <= last).then_some(Self::From { first, last })
    }

    /// `None`: not satisfiable (RFC 9110, 14.1.2).
    fn within(self, length: u64) -> Option<ByteRange> {
        match self {
            Self::From { first, last } => (first < length).then(|| ByteRange {
                offset: first,
                len: last.min(length - 1) - first + 1,
            }),
            Self::Suffix(wanted) => {
                let len = wanted.min(length);
                (len > 0).then_some(ByteRange {
                    offset: length - len,
                    len,
                })
            }
        }
    }
}

/// What follows `bytes=`; the unit's name is case-insensitive (RFC 9110, 14.1).
fn range_set(value: &[u8]) -> Option<&[u8]> {
    let (unit, set) = value.split_at_checked(6)?;
    unit.eq_ignore_ascii_case(b"bytes=").then_some(set)
}

/// Digits and nothing else. A number too large for any file becomes the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let mut number: u64 = 0;
    for &digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
    }
    Some(number)
}

fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
