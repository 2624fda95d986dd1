#[path = "../../../crates/base/service/src/discovery/file/format.rs"]
#[allow(dead_code, reason = "Weir uses more of it")]
mod format;

use weir_config::Cx;

use super::{check, check_error};

/// A file of endpoints, read as YAML and as JSON.
pub fn endpoints_file(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else {
        return;
    };
    for name in ["endpoints.yaml", "endpoints.json"] {
        match format::finish(Cx::from_text(name, text, &|_| None), name) {
            Ok(listing) => check(&listing),
            Err(error) => check_error(&error),
        }
    }
}
