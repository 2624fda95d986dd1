//! Sending: the cursor, reads that do not wait, and files that change meanwhile.

use std::io::ErrorKind;

use super::*;

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

fn body(site: &Site, path: &str, range: Option<&str>) -> FilesBody {
    let request = FilesRequest {
        range: range.map(str::as_bytes),
        ..request(path)
    };
    block_on(site.plan().resolve(&request))
        .body
        .expect("a body")
}

#[test]
fn a_large_file_is_sent_in_chunks() {
    let content = content(FilesBody::CHUNK * 2 + 1000);
    let site = Site::new().with("big", &content);
    let mut body = body(&site, "big", None);
    let mut offsets = Vec::new();
    while let Piece::File { offset, len } = body.piece() {
        block_on(body.ensure_resident(offset, len)).expect("read ahead");
        offsets.push((offset, len));
        body.advance(len);
    }
    let chunk = FilesBody::CHUNK;
    assert_eq!(
        offsets,
        [(0, chunk), (chunk as u64, chunk), (2 * chunk as u64, 1000)]
    );
    assert_eq!((body.piece(), body.remaining()), (Piece::End, 0));
    body.advance(1);
    assert_eq!((body.piece(), body.remaining()), (Piece::End, 0));
    assert_eq!(site.get("big").body, content);
}

#[test]
fn reading_gives_the_same_bytes_as_sending() {
    let content = content(40_000);
    let site = Site::new().with("a", &content);
    for range in [None, Some("bytes=100-"), Some("bytes=5-10,200-30000,-7")] {
        let expected = drain(body(&site, "a", range));
        for max in [1, 100, 4096, 16_384, usize::MAX] {
            let mut body = body(&site, "a", range);
            let mut read = b"head".to_vec();
            let mut rounds = 0;
            while body.remaining() > 0 {
                let before = (read.len(), body.remaining());
                let n = block_on(body.read(&mut read, max)).expect("read");
                assert_eq!(n, max.min(before.1 as usize));
                assert_eq!(read.len(), before.0 + n);
                assert_eq!(body.remaining(), before.1 - n as u64);
                rounds += 1;
                if max == 1 && rounds == 1000 {
                    break;
                }
            }
            assert_eq!(read[4..], expected[..read.len() - 4]);
            assert_eq!(&read[..4], b"head");
        }
    }
}

#[test]
fn what_is_in_memory_is_read_at_once() {
    let content = content(10_000);
    let site = Site::new().with("a", &content);
    let mut body = body(&site, "a", Some("bytes=10-19,100-199"));
    let mut read = Vec::new();
    let total = body.remaining();
    assert!(total <= FilesBody::SMALL);
    // Just written, so it is in memory.
    let n = body.read_now(&mut read, usize::MAX).expect("read");
    assert_eq!((n as u64, read.len()), (total, n));
    assert_eq!(body.read_now(&mut read, usize::MAX).expect("the end"), 0);
    assert_eq!(body.piece(), Piece::End);
}

#[test]
fn a_file_that_shrinks_is_an_error_and_one_that_grows_is_not() {
    let site = Site::new().with("a", content(10_000));
    let file = fs::File::options()
        .write(true)
        .open(site.at("a"))
        .expect("open");
    let mut shrunk = body(&site, "a", None);
    file.set_len(4000).expect("shrink");
    let mut read = Vec::new();
    let error = block_on(shrunk.read(&mut read, usize::MAX)).expect_err("too short");
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert_eq!((read.len(), shrunk.remaining()), (4000, 6000));
    // Looking ahead is not where it shows.
    block_on(shrunk.ensure_resident(4000, 6000)).expect("no error");

    let mut grown = body(&site, "a", None);
    file.set_len(20_000).expect("grow");
    read.clear();
    assert_eq!(
        block_on(grown.read(&mut read, usize::MAX)).expect("read"),
        4000
    );
    assert_eq!(grown.piece(), Piece::End);
}

#[test]
fn a_file_that_is_replaced_is_sent_as_it_was() {
    let site = Site::new().with("a", "old").with("b", "newer");
    let mut body = resolve(&site.plan(), "a").body.expect("a body");
    fs::rename(site.at("b"), site.at("a")).expect("rename");
    let mut read = Vec::new();
    block_on(body.read(&mut read, usize::MAX)).expect("read");
    assert_eq!(read, b"old");
    assert_eq!(site.get("a").body, b"newer");
}

#[test]
fn a_file_that_is_not_in_memory_is_read_all_the_same() {
    use rustix::fs::{Advice, fadvise};

    let content = content(300_000);
    let site = Site::new().with("cold", &content);
    let file = fs::File::open(site.at("cold")).expect("open");
    file.sync_all().expect("write to the disk");
    for _ in 0..3 {
        // Advice: the pages may stay, and then this is one more test of the warm path.
        fadvise(&file, 0, None, Advice::DontNeed).expect("advise");
        let mut body = body(&site, "cold", None);
        let mut read = Vec::new();
        block_on(body.read(&mut read, usize::MAX)).expect("read");
        assert_eq!(read, content);
    }
}
