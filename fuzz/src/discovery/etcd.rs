#[path = "../../../crates/base/service/src/discovery/etcd/message.rs"]
#[allow(dead_code, reason = "Weir uses more of it")]
mod message;

use message::{Change, Watched};

use super::listing::Listed;
use super::{base64, check_entry, check_error, check_text};

/// A page of keys, or a message of a watch: any message is read as all three, and its bytes as base64.
pub fn etcd_messages(input: &[u8]) {
    match message::page(input) {
        Ok(page) => page
            .entries
            .iter()
            .for_each(|(_, value)| check_value(value)),
        Err(error) => check_error(&error),
    }
    if let Err(error) = message::created(input) {
        check_error(&error);
    }
    match message::watched(input) {
        Ok(Watched::Changes(changes)) => {
            assert!(!changes.is_empty());
            for change in changes {
                if let Change::Put { value, .. } = change {
                    check_value(&value);
                }
            }
        }
        Ok(Watched::Canceled(why)) => check_text(&why),
        Ok(Watched::Progress { .. } | Watched::Compacted) => {}
        Err(error) => check_error(&error),
    }
    assert_eq!(
        base64::decode(&base64::encode(input)).as_deref(),
        Some(input)
    );
    if let Ok(text) = str::from_utf8(input)
        && let Some(bytes) = base64::decode(text)
    {
        assert_eq!(base64::decode(&base64::encode(&bytes)), Some(bytes));
    }
}

fn check_value(value: &Result<Listed, String>) {
    match value {
        Ok(listed) => check_entry(listed),
        Err(why) => check_text(why),
    }
}
