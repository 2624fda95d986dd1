//! The index of blocking queries. Pure.

/// Where in Consul's history the next question begins.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    /// 0 asks for what is, without waiting for a change.
    pub(super) index: u64,
    /// The highest index seen, over failures.
    highest: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    None,
    Some,
    /// The server lost, or was given, other data.
    Reset,
}

impl Cursor {
    /// Takes the index of an answer in.
    pub(super) fn answered(&mut self, index: u64) -> News {
        let index = index.max(1);
        let (asked, highest) = (self.index, self.highest);
        self.highest = index;
        if index < highest {
            self.index = 0;
            return News::Reset;
        }
        self.index = index;
        if asked == index {
            News::None
        } else {
            News::Some
        }
    }

    /// After a failure: what is, at once.
    pub(super) fn restart(&mut self) {
        self.index = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_follows_consuls_rules() {
        let mut cursor = Cursor::default();
        assert_eq!((cursor.answered(10), cursor.index), (News::Some, 10));
        assert_eq!(
            (cursor.answered(10), cursor.index),
            (News::None, 10),
            "only the wait was over"
        );
        assert_eq!((cursor.answered(12), cursor.index), (News::Some, 12));
        assert_eq!(
            (cursor.answered(3), cursor.index),
            (News::Reset, 0),
            "backwards: from 0 again"
        );
        assert_eq!((cursor.answered(3), cursor.index), (News::Some, 3));
        cursor.restart();
        assert_eq!(
            (cursor.answered(3), cursor.index),
            (News::Some, 3),
            "a failure forgets the index"
        );
        cursor.restart();
        assert_eq!(cursor.answered(2), News::Reset, "but not how far it was");
        let mut zero = Cursor::default();
        assert_eq!(
            (zero.answered(0), zero.index),
            (News::Some, 1),
            "or nothing would ever wait"
        );
    }
}
