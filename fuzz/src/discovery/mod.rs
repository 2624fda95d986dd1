//! What sources of endpoints say. Each function takes bytes as a registry could send them, reads them as Weir does, and
//! checks what came of it.

#[path = "../../../crates/base/service/src/discovery/base64.rs"]
mod base64;
#[path = "../../../crates/base/service/src/discovery/listing.rs"]
#[allow(dead_code, unreachable_pub, reason = "Weir uses more of it")]
mod listing;

mod consul;
mod etcd;
mod file;
mod srv;

pub use consul::consul_answer;
pub use etcd::etcd_messages;
pub use file::endpoints_file;
pub use srv::srv_records;

use listing::{Listed, Listing, MAX_LISTED, MAX_WEIGHT, SourceError};

/// What holds for every listing, wherever it came from.
fn check(listing: &Listing) {
    assert!(listing.entries.len() <= MAX_LISTED);
    listing.entries.iter().for_each(check_entry);
    if let Some((count, why)) = &listing.skipped {
        assert!(*count > 0);
        check_text(why);
    }
}

fn check_entry(listed: &Listed) {
    assert!((1..=MAX_WEIGHT).contains(&listed.weight), "{listed:?}");
    // What it is called means the same when it is read again.
    let text = listed.at.to_string();
    let again = Listed::parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.at, listed.at);
    if let Some(name) = &listed.zone {
        assert_eq!(listing::zone(name).as_deref(), Some(&**name));
    }
}

fn check_error(error: &SourceError) {
    check_text(&error.to_string());
}

/// Reasons go to logs and status pages: one line, not too long.
fn check_text(text: &str) {
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.len() < 8192, "{} bytes", text.len());
}
