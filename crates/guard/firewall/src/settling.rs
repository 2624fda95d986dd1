//! When a file that has changed may be read.
//!
//! Nobody can tell from outside whether a writer has finished. Whoever writes a file beside the old one and renames it
//! into place leaves no doubt; whoever writes it in place shows a part of it for as long as that takes, and a part of a
//! list lets people in whom the rest would keep out. What can be done is to wait:
//!
//! * until the file has been still for [`STILL`], by its own time or by ours, and looked the same twice;
//! * for as long as [`RESTING`] if it is, or was on the way, less than half of what is in use, and is still shorter
//!   than that: then somebody is probably writing it anew. An empty one is refused whenever it is read, so that is said
//!   without delay.
//!
//! Pure: what a file looks like and what time it is are arguments.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use weir_config::fingerprint;

/// How long a file must have been still.
const STILL: Duration = Duration::from_secs(2);
/// How long one that has lost much of what it held.
const RESTING: Duration = Duration::from_secs(10);

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Ours, which never jumps.
    pub(crate) steady: Instant,
    /// The one that files are stamped by.
    pub(crate) wall: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            steady: Instant::now(),
            wall: SystemTime::now(),
        }
    }
}

/// What a file looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) fingerprint: u64,
    /// Its length and when it was last written, if it is there.
    pub(crate) written: Option<(u64, SystemTime)>,
}

impl Look {
    pub(crate) fn at(path: &Path) -> Self {
        let metadata = fs::metadata(path).ok();
        Self {
            fingerprint: fingerprint([path]),
            written: metadata.and_then(|file| Some((file.len(), file.modified().ok()?))),
        }
    }
}

/// What was seen of a file since it was last read.
#[derive(Debug)]
pub(crate) struct Settling {
    /// How long it was when it was read.
    loaded: u64,
    /// How long it was when it was shortest.
    least: u64,
    seen: u64,
    since: Instant,
}

impl Settling {
    pub(crate) fn new(fingerprint: u64, length: u64, now: Moment) -> Self {
        Self {
            loaded: length,
            least: length,
            seen: fingerprint,
            since: now.steady,
        }
    }

    /// Whether the file may be read, if it has changed.
    pub(crate) fn is_over(&mut self, look: Look, now: Moment) -> bool {
        let length = look.written.map(|(length, _)| length);
        self.least = self.least.min(length.unwrap_or(u64::MAX));
        if look.fingerprint != self.seen {
            self.seen = look.fingerprint;
            self.since = now.steady;
            return false;
        }
        // A file that was moved here has long been still. One from the future tells nothing.
        let by_itself = look
            .written
            .and_then(|(_, at)| now.wall.duration_since(at).ok());
        let still = now.steady.saturating_duration_since(self.since);
        let still = still.max(by_itself.unwrap_or_default());
        let shrunk = self.least < self.loaded / 2
            && length.is_some_and(|length| (1..self.loaded).contains(&length));
        still >= if shrunk { RESTING } else { STILL }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A file that was read when it held 1000 bytes, and a clock.
    struct Scene {
        settling: Settling,
        start: Moment,
        seconds: u32,
    }

    impl Scene {
        fn new() -> Self {
            let start = Moment::now();
            Self {
                settling: Settling::new(0, 1000, start),
                start,
                seconds: 0,
            }
        }

        fn now(&self) -> Moment {
            Moment {
                steady: self.start.steady + SECOND * self.seconds,
                wall: self.start.wall + SECOND * self.seconds,
            }
        }

        /// Looks once a second, from the next one on, at a file that was written just now. Says after how many seconds
        /// it may be read, if that is within `most`.
        fn written(&mut self, length: u64, most: u32) -> Option<u32> {
            self.seen(Some((length, self.now().wall)), most)
        }

        fn seen(&mut self, written: Option<(u64, SystemTime)>, most: u32) -> Option<u32> {
            let look = Look {
                fingerprint: u64::from(self.seconds) + 1,
                written,
            };
            (1..=most).find(|_| {
                self.seconds += 1;
                let now = self.now();
                self.settling.is_over(look, now)
            })
        }
    }

    #[test]
    fn a_file_is_read_once_it_is_still() {
        assert_eq!(Scene::new().written(1100, 60), Some(2));
        assert_eq!(Scene::new().written(600, 60), Some(2));
        let mut scene = Scene::new();
        for length in 1001..1050 {
            assert_eq!(scene.written(length, 1), None, "it is still written to");
        }
        assert_eq!(scene.written(1100, 60), Some(2));
    }

    #[test]
    fn one_that_lost_more_than_half_is_given_time() {
        assert_eq!(Scene::new().written(499, 60), Some(10));
        assert_eq!(Scene::new().written(1, 60), Some(10));
        // As one that is written in place, with pauses.
        let mut scene = Scene::new();
        assert_eq!(scene.written(0, 1), None);
        for length in [200, 400, 600, 800, 999] {
            assert_eq!(scene.written(length, 9), None, "{length}");
        }
        assert_eq!(scene.written(1000, 60), Some(2), "as long as it was");
        assert_eq!(Scene::new().written(0, 60), Some(2), "told soon");
    }

    #[test]
    fn what_was_moved_into_place_is_taken_at_its_word() {
        let mut scene = Scene::new();
        let hour = scene.start.wall - SECOND * 3600;
        assert_eq!(scene.seen(Some((10, hour)), 60), Some(2));
        // A clock that is ahead says nothing, so it is watched.
        let mut scene = Scene::new();
        let later = scene.start.wall + SECOND * 3600;
        assert_eq!(scene.seen(Some((1100, later)), 60), Some(3));
    }

    #[test]
    fn one_that_is_gone_is_no_short_one() {
        let mut scene = Scene::new();
        assert_eq!(scene.seen(None, 60), Some(3));
        assert_eq!(scene.written(600, 60), Some(2));
    }
}
