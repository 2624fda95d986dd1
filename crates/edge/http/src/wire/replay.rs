//! The beginning of a request's body, kept so that it can be sent again.
//!
//! A request that is repeated on another endpoint, or mirrored to another service, needs its body a second time, and a
//! client sends it once. Bodies that fit are copied while they pass; of those that do not fit nothing is kept, and the
//! request cannot be repeated from the moment that is known.

/// Copies a body as it passes, up to a limit.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    bytes: Vec<u8>,
    limit: usize,
    /// More passed than may be kept.
    lost: bool,
}

impl Replay {
    /// Keeps a body of up to `limit` bytes.
    pub(crate) fn up_to(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// These bytes pass.
    pub(crate) fn push(&mut self, data: &[u8]) {
        if self.lost {
            return;
        }
        if data.len() > self.limit - self.bytes.len() {
            self.lost = true;
            self.bytes = Vec::new();
            return;
        }
        self.bytes.extend_from_slice(data);
    }

    /// All that passed, unless it was too much.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        (!self.lost).then_some(&self.bytes)
    }

    /// Whether it keeps nothing any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_fits_and_nothing_else() {
        let mut replay = Replay::up_to(5);
        assert_eq!(replay.bytes(), Some(&b""[..]));
        replay.push(b"abc");
        replay.push(b"de");
        assert_eq!(replay.bytes(), Some(&b"abcde"[..]));
        replay.push(b"");
        assert!(!replay.is_lost());
        replay.push(b"f");
        assert_eq!(replay.bytes(), None);
        replay.push(b"g");
        assert!(replay.is_lost());
    }
}
