//! Where the parameters of the matched rule lie in the path.

use std::ops::Range;

use regex_automata::util::primitives::NonMaxUsize;

/// Parameter values of one match, as byte ranges of the normalised path. Keep one per connection or worker and
/// use it again: it allocates only until it has seen the largest rule.
#[derive(Clone, Debug, Default)]
pub struct Captures {
    pub(super) spans: Vec<Span>,
    /// Group positions of the last regex.
    pub(super) slots: Vec<Option<NonMaxUsize>>,
    /// A decoded query value, while a regex looks at it.
    pub(super) scratch: Vec<u8>,
}

/// Start and end. Heads are far smaller than 4 GiB, and lookups refuse longer paths.
pub(super) type Span = (u32, u32);

impl Captures {
    /// Nothing captured yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many parameters the matched rule has.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the matched rule has no parameters.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The range of the parameter at `index`, in the order of [`RouteTable::parameters`](super::RouteTable::parameters).
    pub fn range(&self, index: usize) -> Option<Range<usize>> {
        let &(start, end) = self.spans.get(index)?;
        Some(start as usize..end as usize)
    }

    /// The value of the parameter at `index` in the path that was looked up, still percent-encoded.
    pub fn value<'a>(&self, index: usize, path: &'a [u8]) -> Option<&'a [u8]> {
        path.get(self.range(index)?)
    }
}
