//! Content by each kind of framing.

use super::super::{BodyLength, BodyReader, ChunkError, Run};
use super::LIMITS;

fn reader(length: BodyLength) -> BodyReader {
    let mut reader = BodyReader::new(LIMITS);
    assert!(reader.is_done());
    reader.start(length);
    reader
}

#[test]
fn nothing() {
    for length in [BodyLength::None, BodyLength::Length(0)] {
        assert!(length.is_empty());
        let mut reader = reader(length);
        assert!(reader.is_done());
        assert_eq!(reader.remaining(), Some(0));
        assert_eq!(reader.read(b"GET"), Ok(Run::End { consumed: 0 }));
        assert!(reader.finish());
    }
}

#[test]
fn a_length() {
    let mut reader = reader(BodyLength::Length(10));
    assert_eq!(reader.read(b""), Ok(Run::NeedMore { consumed: 0 }));
    assert_eq!(reader.read(b"abc"), Ok(Run::Data { start: 0, end: 3 }));
    assert_eq!(reader.remaining(), Some(7));
    reader.advance(2);
    assert_eq!(reader.left(), BodyLength::Length(5));
    assert!(!reader.clone().finish(), "cut off");
    assert_eq!(reader.read(b"defghGET"), Ok(Run::Data { start: 0, end: 5 }));
    assert!(reader.is_done());
    assert_eq!(reader.read(b"GET"), Ok(Run::End { consumed: 0 }));
    reader.start(BodyLength::Length(u64::MAX));
    assert_eq!(reader.read(b"abc"), Ok(Run::Data { start: 0, end: 3 }));
    assert_eq!(reader.remaining(), Some(u64::MAX - 3));
    reader.advance(u64::MAX - 3);
    assert!(reader.is_done());
}

#[test]
fn chunks() {
    let mut reader = reader(BodyLength::Chunked);
    assert_eq!(reader.remaining(), None);
    assert_eq!(reader.read(b"3\r\nab"), Ok(Run::Data { start: 3, end: 5 }));
    assert!(!reader.clone().finish(), "cut off");
    assert_eq!(reader.read(b"c"), Ok(Run::Data { start: 0, end: 1 }));
    assert_eq!(reader.read(b"\r\n0\r\n"), Ok(Run::NeedMore { consumed: 5 }));
    assert!(!reader.is_done());
    assert_eq!(
        reader.read(b"X-A: b\r\n\r\nGET"),
        Ok(Run::End { consumed: 10 })
    );
    assert!(reader.is_done());
    assert_eq!(reader.trailers().by_name(b"x-a"), Some(&b"b"[..]));
    assert_eq!(reader.read(b"GET"), Ok(Run::End { consumed: 0 }));
    reader.start(BodyLength::Chunked);
    assert!(reader.trailers().is_empty());
    assert_eq!(reader.read(b"3\nabc"), Err(ChunkError::Size));
}

#[test]
fn until_the_connection_closes() {
    let mut reader = reader(BodyLength::UntilClose);
    assert_eq!(reader.read(b""), Ok(Run::NeedMore { consumed: 0 }));
    assert_eq!(reader.read(b"abc"), Ok(Run::Data { start: 0, end: 3 }));
    reader.advance(1000);
    assert_eq!(reader.remaining(), None);
    assert!(!reader.is_done());
    assert!(reader.finish());
    assert!(reader.is_done());
}
