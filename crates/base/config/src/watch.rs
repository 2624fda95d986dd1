//! Noticing that a file changed, without a thread or a watch descriptor of its own.

use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// Whether a file or folder has been as it is since before this moment, as far as the file system's clock can tell.
#[must_use]
pub fn is_settled(path: &Path, since: SystemTime) -> bool {
    /// Time stamps are those of the last tick of the kernel's clock.
    const TICK: Duration = Duration::from_millis(50);
    let Ok(file) = std::fs::metadata(path) else {
        return false;
    };
    // The time of the change of the inode: unlike that of the content, nobody can set it back.
    let whole = u64::try_from(file.ctime()).unwrap_or(0);
    let parts = u32::try_from(file.ctime_nsec()).unwrap_or(0);
    UNIX_EPOCH + Duration::new(whole, parts) + TICK < since
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

    #[test]
    fn what_has_just_changed_is_not_settled() {
        let file = std::env::temp_dir().join(format!("weir-settled-{}", std::process::id()));
        std::fs::write(&file, "a").expect("written");
        let now = SystemTime::now();
        assert!(!is_settled(&file, now));
        assert!(!is_settled(&file, now - Duration::from_secs(60)));
        assert!(is_settled(&file, now + Duration::from_secs(60)));
        // The time of the content can be set back; that does not make it older.
        let handle = std::fs::File::options()
            .append(true)
            .open(&file)
            .expect("open");
        handle
            .set_modified(now - Duration::from_secs(3600))
            .expect("set");
        assert!(!is_settled(&file, now));
        std::fs::remove_file(&file).expect("removed");
        assert!(!is_settled(&file, now + Duration::from_secs(60)));
    }
}
