//! Conditional requests.

use std::time::{Duration, SystemTime};

use super::super::FilesMethod;
use super::*;

/// Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110.
const MODIFIED: u64 = 784_111_777;
const SAME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn site() -> Site {
    let site = Site::new().with("a.txt", "0123456789");
    fs::File::options()
        .write(true)
        .open(site.at("a.txt"))
        .and_then(|file| file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(MODIFIED)))
        .expect("set the time");
    site
}

/// Conditions in the order of `FilesRequest`, `{}` being the entity tag; the status for GET and for HEAD.
type Case = ([Option<&'static str>; 4], u16);

#[test]
fn preconditions_are_evaluated_in_their_order() {
    let site = site();
    let plan = site.plan();
    let etag = site.get("a.txt").etag();
    let cases: &[Case] = &[
        ([None, None, None, None], 200),
        // If-Match
        ([Some("{}"), None, None, None], 200),
        ([Some("*"), None, None, None], 200),
        ([Some("\"other\""), None, None, None], 412),
        ([Some("\"other\", {}"), None, None, None], 200),
        ([Some(",, \"other\" ,,\t{} ,"), None, None, None], 200),
        ([Some("\"a,b\",{}"), None, None, None], 200),
        ([Some("W/{}"), None, None, None], 412),
        ([Some("W/{}, {}"), None, None, None], 200),
        ([Some("other"), None, None, None], 412),
        ([Some(""), None, None, None], 412),
        ([Some("\""), None, None, None], 412),
        ([Some("\"unfinished"), None, None, None], 412),
        // If-None-Match
        ([None, Some("{}"), None, None], 304),
        ([None, Some("W/{}"), None, None], 304),
        ([None, Some("*"), None, None], 304),
        ([None, Some("\"other\", W/\"more\", W/{}"), None, None], 304),
        ([None, Some("\"other\""), None, None], 200),
        ([None, Some("garbage"), None, None], 200),
        ([None, Some("w/{}"), None, None], 200),
        // If-Modified-Since
        ([None, None, Some(SAME), None], 304),
        ([None, None, Some(AFTER), None], 304),
        ([None, None, Some(BEFORE), None], 200),
        (
            [None, None, Some("Sunday, 06-Nov-94 08:49:37 GMT"), None],
            304,
        ),
        ([None, None, Some("Sun Nov  6 08:49:37 1994"), None], 304),
        ([None, None, Some("yesterday"), None], 200),
        ([None, None, Some("784111777"), None], 200),
        ([None, None, Some(""), None], 200),
        // If-Unmodified-Since
        ([None, None, None, Some(SAME)], 200),
        ([None, None, None, Some(AFTER)], 200),
        ([None, None, None, Some(BEFORE)], 412),
        ([None, None, None, Some("yesterday")], 200),
        // If-Match makes If-Unmodified-Since count for nothing, If-None-Match does that to If-Modified-Since.
        ([Some("{}"), None, None, Some(BEFORE)], 200),
        ([Some("\"other\""), None, None, Some(AFTER)], 412),
        ([None, Some("\"other\""), Some(AFTER), None], 200),
        ([None, Some("{}"), Some(BEFORE), None], 304),
        // 412 goes before 304.
        ([Some("\"other\""), Some("{}"), None, None], 412),
        ([Some("{}"), Some("{}"), None, None], 304),
        ([None, Some("{}"), None, Some(BEFORE)], 412),
    ];
    for (conditions, status) in cases {
        let values = conditions.map(|value| value.map(|value| value.replace("{}", &etag)));
        let [if_match, if_none_match, since, unmodified] = values
            .each_ref()
            .map(|value| value.as_deref().map(str::as_bytes));
        for method in [FilesMethod::Get, FilesMethod::Head] {
            let reply = reply(
                &plan,
                FilesRequest {
                    method,
                    if_match,
                    if_none_match,
                    if_modified_since: since,
                    if_unmodified_since: unmodified,
                    ..request("a.txt")
                },
            );
            assert_eq!(reply.status, *status, "{values:?}");
            let sends = *status == 200 && method == FilesMethod::Get;
            assert_eq!(reply.body.is_empty(), !sends);
            if *status == 304 {
                assert_eq!(reply.fields, [("ETag", etag.clone())]);
                assert_eq!(reply.length, None);
            }
        }
    }
}

#[test]
fn conditions_do_not_turn_other_answers() {
    let site = site();
    for (path, status) in [("absent", 404), ("%2e%2e", 400), ("/", 403)] {
        for value in ["*", "\"other\""] {
            let reply = site.ask(path, |request| FilesRequest {
                if_match: Some(value.as_bytes()),
                if_none_match: Some(value.as_bytes()),
                range: Some(b"bytes=0-1"),
                ..request
            });
            assert_eq!(reply.status, status, "{path}");
        }
    }
}

#[test]
fn a_range_applies_if_the_file_is_the_same() {
    let site = site();
    let etag = site.get("a.txt").etag();
    let weak = format!("W/{etag}");
    let cases = [
        (etag.as_str(), NOW, 206),
        (weak.as_str(), NOW, 200),
        ("\"other\"", NOW, 200),
        ("*", NOW, 200),
        (SAME, NOW, 206),
        (BEFORE, NOW, 200),
        // Exact, not "no later than".
        (AFTER, NOW, 200),
        ("yesterday", NOW, 200),
        ("", NOW, 200),
        // The second of the change is not over: the date may stand for two versions.
        (SAME, MODIFIED, 200),
        (SAME, MODIFIED + 1, 206),
        (etag.as_str(), MODIFIED, 206),
    ];
    for (value, now, status) in cases {
        let reply = site.ask("a.txt", |request| FilesRequest {
            range: Some(b"bytes=2-3"),
            if_range: Some(value.as_bytes()),
            now,
            ..request
        });
        assert_eq!(reply.status, status, "{value} at {now}");
        assert_eq!(reply.body.len(), if status == 206 { 2 } else { 10 });
    }
    // An unsatisfiable range of a changed file is the changed file.
    let reply = site.ask("a.txt", |request| FilesRequest {
        range: Some(b"bytes=50-"),
        if_range: Some(b"\"other\""),
        ..request
    });
    assert_eq!(reply.status, 200);
    // If-Range alone means nothing.
    let reply = site.ask("a.txt", |request| FilesRequest {
        if_range: Some(b"\"other\""),
        ..request
    });
    assert_eq!(reply.status, 200);
}

#[test]
fn conditions_go_before_ranges() {
    let site = site();
    let etag = site.get("a.txt").etag();
    let ask = |range: &'static str, none_match: &str| {
        let plan = site.plan();
        reply(
            &plan,
            FilesRequest {
                range: Some(range.as_bytes()),
                if_none_match: Some(none_match.as_bytes()),
                ..request("a.txt")
            },
        )
        .status
    };
    assert_eq!(ask("bytes=0-1", &etag), 304);
    assert_eq!(ask("bytes=50-", &etag), 304);
    assert_eq!(ask("bytes=0-1", "\"other\""), 206);
    assert_eq!(ask("bytes=50-", "\"other\""), 416);
}
