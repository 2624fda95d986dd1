//! Ranges: by table, and against a model that marks bytes.

use proptest::prelude::*;

use super::super::range::{self, ByteRange, Selection};
use super::*;

fn one(offset: u64, len: u64) -> Selection {
    Selection::One(ByteRange { offset, len })
}

fn many(ranges: &[(u64, u64)]) -> Selection {
    let ranges = ranges
        .iter()
        .map(|&(offset, len)| ByteRange { offset, len });
    Selection::Many(ranges.collect())
}

#[test]
fn a_range_field_selects_or_is_ignored() {
    use Selection::{Unsatisfiable, Whole};
    let cases = [
        ("bytes=0-0", one(0, 1)),
        ("bytes=0-99", one(0, 100)),
        ("bytes=0-", one(0, 100)),
        ("bytes=99-", one(99, 1)),
        ("bytes=10-19", one(10, 10)),
        ("bytes=10-1000", one(10, 90)),
        ("BYTES=10-19", one(10, 10)),
        ("bytes=-1", one(99, 1)),
        ("bytes=-100", one(0, 100)),
        ("bytes=-101", one(0, 100)),
        ("bytes=00010-00019", one(10, 10)),
        ("bytes=0-18446744073709551615", one(0, 100)),
        ("bytes=0-18446744073709551616", one(0, 100)),
        ("bytes=-99999999999999999999999", one(0, 100)),
        ("bytes= 0-0 ", one(0, 1)),
        ("bytes=,0-0,,", one(0, 1)),
        // Nothing of it is there.
        ("bytes=100-", Unsatisfiable),
        ("bytes=100-200", Unsatisfiable),
        ("bytes=-0", Unsatisfiable),
        ("bytes=18446744073709551615-", Unsatisfiable),
        (
            "bytes=18446744073709551616-18446744073709551617",
            Unsatisfiable,
        ),
        ("bytes=100-,200-300,-0", Unsatisfiable),
        // Not valid, or not bytes.
        ("", Whole),
        ("bytes", Whole),
        ("bytes=", Whole),
        ("bytes=,", Whole),
        ("bytes=-", Whole),
        ("bytes=--1", Whole),
        ("bytes=1", Whole),
        ("bytes=a-b", Whole),
        ("bytes=0-b", Whole),
        ("bytes=+0-1", Whole),
        ("bytes=0 - 1", Whole),
        ("bytes=0- 1", Whole),
        ("bytes=0-1-2", Whole),
        ("bytes=5-4", Whole),
        ("bytes=200-100", Whole),
        ("bytes=0-1;2-3", Whole),
        ("bytes=0-1,5-4", Whole),
        ("bytes=0-1,x", Whole),
        ("bytes =0-1", Whole),
        ("bytes:0-1", Whole),
        ("lines=0-1", Whole),
        ("bytesx=0-1", Whole),
        // Several.
        ("bytes=0-0,-1", many(&[(0, 1), (99, 1)])),
        ("bytes=0-0 , 2-2\t,4-4", many(&[(0, 1), (2, 1), (4, 1)])),
        ("bytes=50-59,0-9", many(&[(50, 10), (0, 10)])),
        ("bytes=0-9,200-", one(0, 10)),
        ("bytes=0-9,5-14", one(0, 15)),
        ("bytes=0-9,10-19", one(0, 20)),
        ("bytes=10-19,0-9", one(0, 20)),
        ("bytes=0-9,11-19", many(&[(0, 10), (11, 9)])),
        ("bytes=90-99,0-9,5-14", many(&[(90, 10), (0, 15)])),
        ("bytes=50-59,0-9,5-49", one(0, 60)),
        ("bytes=5-9,90-99,0-4", many(&[(0, 10), (90, 10)])),
        ("bytes=0-99,10-20,30-40", one(0, 100)),
        // More overlaps than anybody needs.
        ("bytes=0-99,10-20,30-40,50-60", Whole),
        ("bytes=0-,0-,0-,0-", Whole),
    ];
    for (value, expected) in cases {
        assert_eq!(range::select(value.as_bytes(), 100), expected, "{value}");
    }
}

#[test]
fn too_many_ranges_are_ignored() {
    let field = |count: u64| {
        let specs: Vec<_> = (0..count)
            .map(|n| format!("{}-{}", n * 10, n * 10))
            .collect();
        format!("bytes={}", specs.join(","))
    };
    let Selection::Many(ranges) = range::select(field(64).as_bytes(), 10_000) else {
        panic!("64 ranges are allowed");
    };
    assert_eq!(ranges.len(), 64);
    assert_eq!(
        range::select(field(65).as_bytes(), 10_000),
        Selection::Whole
    );
    // Those that are not satisfiable count as well.
    assert_eq!(range::select(field(65).as_bytes(), 5), Selection::Whole);
    assert_eq!(range::select(field(64).as_bytes(), 5), one(0, 1));
}

#[test]
fn the_largest_file_has_ranges_too() {
    let length = i64::MAX as u64;
    assert_eq!(range::select(b"bytes=-1", length), one(length - 1, 1));
    assert_eq!(range::select(b"bytes=1-", length), one(1, length - 1));
    assert_eq!(range::select(b"bytes=0-,-1", u64::MAX), one(0, u64::MAX));
}

#[test]
fn a_part_names_its_place() {
    let site = Site::new().with("a.txt", "0123456789");
    let ask = |range: &'static str| {
        site.ask("a.txt", move |request| FilesRequest {
            range: Some(range.as_bytes()),
            ..request
        })
    };
    let part = ask("bytes=2-4");
    assert_eq!((part.status, &*part.body), (206, b"234".as_slice()));
    assert_eq!(part.length, Some(3));
    assert_eq!(part.field("Content-Range"), Some("bytes 2-4/10"));
    assert_eq!(
        part.field("Content-Type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(part.etag(), site.get("a.txt").etag());
    let none = ask("bytes=10-");
    assert_eq!((none.status, none.length), (416, None));
    assert_eq!(none.field("Content-Range"), Some("bytes */10"));
    let ignored = ask("bytes=5-4");
    assert_eq!((ignored.status, ignored.length), (200, Some(10)));
}

#[test]
fn several_parts_are_a_multipart_message() {
    let site = Site::new().with("a.txt", "0123456789");
    let reply = site.ask("a.txt", |request| FilesRequest {
        range: Some(b"bytes=7-8,0-1,-1"),
        seed: 0xfeed,
        ..request
    });
    // 7-8 and the last byte touch.
    let expected = "--deef000000000000\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Range: bytes 7-9/10\r\n\
        \r\n\
        789\r\n\
        --deef000000000000\r\n\
        Content-Type: text/plain; charset=utf-8\r\n\
        Content-Range: bytes 0-1/10\r\n\
        \r\n\
        01\r\n\
        --deef000000000000--\r\n";
    assert_eq!(reply.status, 206);
    assert_eq!(String::from_utf8_lossy(&reply.body), expected);
    assert_eq!(reply.length, Some(expected.len() as u64));
    assert_eq!(
        reply.field("Content-Type"),
        Some("multipart/byteranges; boundary=deef000000000000")
    );
    assert_eq!(reply.field("Content-Range"), None);
}

/// A range as a client may write it; the numbers are small so that they meet.
fn spec() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (0..60_u64, 0..60_u64).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        2 => (0..60_u64).prop_map(|first| format!("{first}-")),
        2 => (0..60_u64).prop_map(|last| format!("-{last}")),
        1 => "[0-9 ,x-]{0,6}",
    ]
}

/// What the RFC says, byte by byte: for each spec the bytes it names. `None`: not valid.
fn model(set: &str, length: u64) -> Option<Vec<Vec<u64>>> {
    let mut specs = Vec::new();
    for spec in set.split(',') {
        let spec = spec.trim_matches([' ', '\t']);
        if spec.is_empty() {
            continue;
        }
        let (first, last) = spec.split_once('-')?;
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(first) || !digits(last) || spec == "-" {
            return None;
        }
        let bytes = 0..length;
        specs.push(if let Ok(first) = first.parse::<u64>() {
            let last = last.parse::<u64>().unwrap_or(u64::MAX);
            if last < first {
                return None;
            }
            bytes.filter(|byte| (first..=last).contains(byte)).collect()
        } else {
            let wanted = last.parse::<u64>().ok()?;
            bytes.filter(|byte| length - byte <= wanted).collect()
        });
    }
    (!specs.is_empty()).then_some(specs)
}

proptest! {
    #[test]
    fn ranges_are_those_of_the_model(
        specs in prop::collection::vec(spec(), 0..8),
        length in 1..50_u64,
    ) {
        let set = specs.join(",");
        let selection = range::select(format!("bytes={set}").as_bytes(), length);
        let Some(model) = model(&set, length) else {
            prop_assert_eq!(selection, Selection::Whole);
            return Ok(());
        };
        let wanted = |byte: u64| model.iter().any(|bytes| bytes.contains(&byte));
        let ranges = match selection {
            Selection::Unsatisfiable => {
                prop_assert!(!(0..length).any(wanted));
                return Ok(());
            }
            Selection::Whole => {
                // Only for ranges that meet too often.
                let starts = model.iter().enumerate().filter(|(place, bytes)| {
                    model.iter().enumerate().any(|(other, others)| {
                        other != *place && bytes.iter().any(|byte| others.contains(byte))
                    })
                });
                prop_assert!(starts.count() > 2);
                return Ok(());
            }
            Selection::One(range) => vec![range],
            Selection::Many(ranges) => {
                prop_assert!(ranges.len() > 1);
                ranges
            }
        };
        let mut sent = vec![0; length as usize];
        for range in &ranges {
            prop_assert!(range.len > 0 && range.offset + range.len <= length);
            for byte in range.offset..range.offset + range.len {
                sent[byte as usize] += 1;
            }
        }
        for byte in 0..length {
            prop_assert_eq!(sent[byte as usize], u32::from(wanted(byte)), "byte {}", byte);
        }
        for (index, range) in ranges.iter().enumerate() {
            for other in &ranges[index + 1..] {
                let apart = range.offset + range.len < other.offset
                    || other.offset + other.len < range.offset;
                prop_assert!(apart, "{:?} touches {:?}", range, other);
            }
        }
        // In the order in which the request first names a byte of them.
        let place = |range: &ByteRange| {
            model.iter().position(|bytes| {
                bytes.first().is_some_and(|first| (range.offset..=range.last()).contains(first))
            })
        };
        let places: Vec<_> = ranges.iter().map(place).collect();
        prop_assert!(places.is_sorted() && places.iter().all(Option::is_some));
    }

    #[test]
    fn no_field_is_too_strange(value in prop::collection::vec(any::<u8>(), 0..64), length: u64) {
        let _ = range::select(&value, length);
        let mut prefixed = b"bytes=".to_vec();
        prefixed.extend_from_slice(&value);
        let _ = range::select(&prefixed, length);
    }

    #[test]
    fn what_is_announced_is_what_is_sent(
        specs in prop::collection::vec(spec(), 1..6),
        content in prop::collection::vec(any::<u8>(), 1..50),
    ) {
        let site = Site::new().with("a", &content);
        let range = format!("bytes={}", specs.join(","));
        let reply = reply(&site.plan(), FilesRequest {
            range: Some(range.as_bytes()),
            ..request("a")
        });
        if reply.status == 416 {
            prop_assert_eq!(reply.length, None);
        } else {
            prop_assert_eq!(reply.length, Some(reply.body.len() as u64));
        }
        if reply.status == 200 {
            prop_assert_eq!(reply.body, content);
        }
    }
}
