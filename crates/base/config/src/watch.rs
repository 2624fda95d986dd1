//! Noticing that a file changed, without a thread or a watch descriptor of its own.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A number that changes when one of the files is written, replaced, removed or created, and when a folder among them gains or
/// loses a file. Links are followed, so switching a link counts too. Asking costs one `stat` for each path; the caller asks as
/// often as it likes.
pub fn fingerprint<'a>(paths: impl IntoIterator<Item = &'a Path>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let state = std::fs::metadata(path).ok().map(|file: Metadata| {
            let modified = (file.mtime(), file.mtime_nsec());
            // A rename over the file may keep size and time; the inode tells.
            (modified, file.size(), file.ino(), file.dev())
        });
        state.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_is_seen() {
        let folder = std::env::temp_dir().join(format!("weir-watch-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temp folder");
        let file = folder.join("a.yaml");
        let paths = [folder.as_path(), file.as_path()];
        let mut seen = vec![fingerprint(paths)];
        std::fs::write(&file, "a").expect("written");
        seen.push(fingerprint(paths));
        std::fs::write(&file, "ab").expect("written");
        seen.push(fingerprint(paths));
        let other = folder.join("other");
        std::fs::write(&other, "ab").expect("written");
        std::fs::rename(&other, &file).expect("renamed");
        seen.push(fingerprint(paths));
        assert_eq!(fingerprint(paths), fingerprint(paths));
        std::fs::remove_dir_all(&folder).expect("removed");
        seen.push(fingerprint(paths));
        for pair in seen.windows(2) {
            assert_ne!(pair[0], pair[1]);
        }
    }
}
