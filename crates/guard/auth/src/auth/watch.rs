//! Files of keys change on their own: they are looked at once a second.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::{Event, Inner};

/// How often files of keys are looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How long a file must have been still before it is read.
const SETTLE: Duration = Duration::from_millis(250);

/// Reads files of keys again when they change, for as long as there is anything to authenticate.
pub(super) async fn watch_files(auth: Weak<Inner>) {
    let mut seen = 0;
    loop {
        tokio::time::sleep(WATCH).await;
        let Some(inner) = auth.upgrade() else { return };
        let look = tokio::task::spawn_blocking({
            let inner = Arc::clone(&inner);
            move || fingerprint(&inner)
        });
        let Ok(now) = look.await else { return };
        if now == seen {
            continue;
        }
        // Somebody may be in the middle of writing.
        tokio::time::sleep(SETTLE).await;
        let read = tokio::task::spawn_blocking(move || {
            let again = fingerprint(&inner);
            if again == now {
                inner.refresh();
            }
            again
        });
        let Ok(again) = read.await else { return };
        // One that is still being written is looked at again.
        seen = if again == now { now } else { seen };
    }
}

fn fingerprint(inner: &Inner) -> u64 {
    let live = inner.live.lock().unwrap_or_else(PoisonError::into_inner);
    let paths: Vec<PathBuf> = live
        .key_files
        .keys()
        .chain(live.jwks_files.keys())
        .cloned()
        .collect();
    drop(live);
    weir_config::fingerprint(paths.iter().map(PathBuf::as_path))
}

impl Inner {
    fn refresh(&self) {
        let (key_files, jwks_files) = {
            let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
            let key_files: Vec<_> = live.key_files.values().filter_map(Weak::upgrade).collect();
            let jwks_files: Vec<_> = live.jwks_files.values().filter_map(Weak::upgrade).collect();
            (key_files, jwks_files)
        };
        for file in key_files {
            if let Some(read) = file.refresh() {
                let read = read.map_err(|problems| problems.to_string());
                self.tell_read(file.path(), read);
            }
        }
        for source in jwks_files {
            if let Some((path, read)) = source.refresh_file() {
                self.tell_read(path, read);
            }
        }
    }

    fn tell_read(&self, path: &Path, read: Result<usize, String>) {
        let path = path.to_owned();
        self.events.tell(match read {
            Ok(keys) => Event::FileRead { path, keys },
            Err(error) => Event::FileFailed { path, error },
        });
    }
}
