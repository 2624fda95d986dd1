//! Precompressed siblings.

use super::super::encoding::Accepted;
use super::*;

use Encoding::{Brotli, Gzip, Zstd};

#[test]
fn accept_encoding_chooses_by_weight_and_then_by_our_order() {
    let all = [Brotli, Gzip, Zstd];
    let cases: &[(&str, &[Encoding])] = &[
        ("", &[]),
        ("br", &[Brotli]),
        ("gzip", &[Gzip]),
        ("x-gzip", &[Gzip]),
        ("GZip, BR", &[Brotli, Gzip]),
        ("gzip, deflate, br, zstd", &[Brotli, Gzip, Zstd]),
        ("gzip;q=1.0, br;q=0.5", &[Gzip, Brotli]),
        ("zstd;q=0.9,br;q=0.8,gzip;q=1", &[Gzip, Zstd, Brotli]),
        ("br;q=0.001, gzip;q=0.002", &[Gzip, Brotli]),
        ("br;q=0", &[]),
        ("br;q=0.0, gzip", &[Gzip]),
        ("br;q=0.000, gzip", &[Gzip]),
        ("br ; q=0.5 , gzip\t;\tQ=0.7", &[Gzip, Brotli]),
        ("*", &[Brotli, Gzip, Zstd]),
        ("*;q=0", &[]),
        ("br, *;q=0", &[Brotli]),
        ("br;q=0, *", &[Gzip, Zstd]),
        ("gzip, *;q=0.5", &[Gzip, Brotli, Zstd]),
        ("identity", &[]),
        ("identity, gzip", &[Gzip]),
        ("identity;q=0.5, gzip;q=0.4, br;q=0.6", &[Brotli]),
        ("identity;q=0, br", &[Brotli]),
        ("identity;q=0", &[]),
        // `*` speaks for identity too.
        ("*;q=1, gzip;q=0.5", &[Brotli, Zstd]),
        ("deflate, compress, unknown", &[]),
        ("brotli, gz", &[]),
        // Not valid: as if it were not there.
        ("br;q=2, gzip", &[Gzip]),
        ("br;q=1.001, gzip", &[Gzip]),
        ("br;q=, gzip", &[Gzip]),
        ("br;q=0.1234, gzip", &[Gzip]),
        ("br;q=-1, gzip", &[Gzip]),
        ("br;q=.5, gzip", &[Gzip]),
        ("br;q=0.x, gzip", &[Gzip]),
        ("br;q=1.000, gzip;q=0.", &[Brotli]),
        (",,;,=,br", &[Brotli]),
        ("br;level=5;q=0.5, gzip", &[Gzip, Brotli]),
    ];
    for (field, expected) in cases {
        let accepted: Vec<_> = Accepted::new(Some(field.as_bytes()), &all).iter().collect();
        assert_eq!(accepted, *expected, "{field}");
    }
    let first = |offered: &[Encoding]| {
        Accepted::new(Some(b"*"), offered)
            .iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(first(&[Zstd, Brotli]), [Zstd, Brotli]);
    assert_eq!(
        first(&[Gzip, Gzip, Brotli, Gzip, Zstd]),
        [Gzip, Brotli, Zstd]
    );
    assert_eq!(first(&[]), []);
    assert_eq!(Accepted::new(None, &all).iter().count(), 0);
}

#[test]
fn names_of_codings_are_those_of_the_config() {
    for coding in Encoding::ALL {
        assert_eq!(Encoding::from_token(coding.token()), Some(coding));
    }
    assert_eq!(Encoding::from_token("deflate"), None);
}

#[test]
fn a_sibling_is_sent_as_the_same_thing_in_another_coding() {
    let site = Site::new()
        .precompressed(&[Brotli, Gzip, Zstd])
        .with("app.js", "plain plain")
        .with("app.js.br", "brotli!")
        .with("app.js.gz", "gzip")
        .with("only.css", "css")
        .with("index.html", "index")
        .with("index.html.gz", "index gz")
        .with("folder.txt", "folder")
        .with("folder.txt.br/x", "x")
        .with("orphan.txt.br", "orphan");
    let ask = |path, accept: &'static str| {
        site.ask(path, move |request| FilesRequest {
            accept_encoding: Some(accept.as_bytes()),
            ..request
        })
    };
    let plain = site.get("app.js");
    assert_eq!(plain.body, b"plain plain");
    assert_eq!(plain.field("Content-Encoding"), None);
    // Whatever was chosen: another request might have had another answer.
    assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));

    let brotli = ask("app.js", "gzip, br");
    assert_eq!(brotli.body, b"brotli!");
    assert_eq!(brotli.length, Some(7));
    assert_eq!(brotli.field("Content-Encoding"), Some("br"));
    assert_eq!(brotli.field("Vary"), Some("Accept-Encoding"));
    assert_eq!(
        brotli.field("Content-Type"),
        Some("text/javascript; charset=utf-8")
    );
    assert!(brotli.etag().ends_with("-br\""));
    let gzip = ask("app.js", "gzip, br;q=0.1");
    assert_eq!(gzip.body, b"gzip");
    assert!(gzip.etag().ends_with("-gz\""));
    assert_ne!(
        gzip.etag()[..gzip.etag().len() - 4],
        plain.etag()[..plain.etag().len() - 1]
    );
    // Accepted, but not there.
    assert_eq!(ask("app.js", "zstd").body, b"plain plain");
    assert_eq!(ask("app.js", "zstd, gzip;q=0.5").body, b"gzip");
    assert_eq!(ask("only.css", "br, gzip, zstd").body, b"css");
    // Refusing the plain file does not help if there is nothing else.
    assert_eq!(ask("only.css", "identity;q=0").status, 200);
    let index = ask("/", "gzip");
    assert_eq!(index.body, b"index gz");
    assert_eq!(
        index.field("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(ask("folder.txt", "br").body, b"folder");
    // A sibling of nothing is a file of its own and nothing else.
    assert_eq!(ask("orphan.txt", "br").status, 404);
    let orphan = ask("orphan.txt.br", "br");
    assert_eq!(orphan.field("Content-Encoding"), None);
    assert_eq!(
        orphan.field("Content-Type"),
        Some("application/octet-stream")
    );
}

#[test]
fn ranges_and_conditions_are_about_the_chosen_coding() {
    let site = Site::new()
        .precompressed(&[Gzip])
        .with("a.txt", "0123456789")
        .with("a.txt.gz", "abcdef");
    let ask = |range: &'static str| {
        site.ask("a.txt", move |request| FilesRequest {
            accept_encoding: Some(b"gzip"),
            range: Some(range.as_bytes()),
            ..request
        })
    };
    let part = ask("bytes=2-3");
    assert_eq!((part.status, &*part.body), (206, b"cd".as_slice()));
    assert_eq!(part.field("Content-Range"), Some("bytes 2-3/6"));
    assert_eq!(part.field("Content-Encoding"), Some("gzip"));
    assert_eq!(part.field("Vary"), Some("Accept-Encoding"));
    assert_eq!(ask("bytes=6-7").field("Content-Range"), Some("bytes */6"));
    // Parts of coded bytes cannot be labelled, so there are none.
    let whole = ask("bytes=0-1,4-5");
    assert_eq!((whole.status, &*whole.body), (200, b"abcdef".as_slice()));

    let etag = site.get("a.txt").etag();
    let status = |accept: Option<&'static [u8]>, etag: &str| {
        let reply = reply(
            &site.plan(),
            FilesRequest {
                accept_encoding: accept,
                if_none_match: Some(etag.as_bytes()),
                ..request("a.txt")
            },
        );
        if reply.status == 304 {
            assert_eq!(reply.field("Vary"), Some("Accept-Encoding"));
        }
        reply.status
    };
    assert_eq!(status(None, &etag), 304);
    assert_eq!(status(Some(b"gzip"), &etag), 200);
    assert_eq!(status(Some(b"gzip"), &part.etag()), 304);
}
