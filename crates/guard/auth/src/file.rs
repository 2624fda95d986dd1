//! Files that the config names.

use std::path::Path;

/// None of them is larger.
const MOST_BYTES: u64 = 64 << 20;

/// Whether a file can be read without waiting for somebody, and in bounded time: a pipe waits for a writer, and some devices
/// never end. Symbolic links are followed.
///
/// # Errors
/// Why not.
pub(crate) fn check(path: &Path) -> Result<(), String> {
    let metadata = std::fs::metadata(path).map_err(|error| format!("cannot read it: {error}"))?;
    if !metadata.is_file() {
        return Err("this is not a file".to_owned());
    }
    if metadata.len() > MOST_BYTES {
        return Err("it holds more than 64 MiB".to_owned());
    }
    Ok(())
}
