//! The listeners that a rule serves, as a bit set.

/// Listener indices, or every listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListenerSet(Option<Box<[u64]>>);

impl ListenerSet {
    /// An empty list means every listener.
    pub(super) fn new(indices: &[u16]) -> Self {
        let Some(highest) = indices.iter().max() else {
            return Self(None);
        };
        let mut words = vec![0_u64; usize::from(*highest) / 64 + 1];
        for &index in indices {
            words[usize::from(index) / 64] |= 1 << (index % 64);
        }
        Self(Some(words.into()))
    }

    pub(super) fn is_every(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn contains(&self, index: u16) -> bool {
        let Some(words) = &self.0 else { return true };
        words
            .get(usize::from(index) / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => a.iter().zip(b).any(|(a, b)| a & b != 0),
            _ => true,
        }
    }
}
