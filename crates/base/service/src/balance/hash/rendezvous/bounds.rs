//! The first pass: a bound for each endpoint, which its score is not below.

/// Endpoints in a block.
pub(super) const LANES: usize = 32;
/// A block's bounds are kept as this many, the lowest one of each column of four.
pub(super) const COLUMNS: usize = 8;
/// The lowest bound of each column of a block.
pub(super) type Columns = [i16; COLUMNS];
/// What stands for no endpoint; hardly a bound is as high.
pub(super) const NOBODY: i16 = i16::MAX;

/// What the first pass needs of 32 endpoints.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Block {
    left: [u16; LANES],
    right: [u16; LANES],
    /// 2^15 times the [unit](super::unit) over the endpoint's weight, and less than 2^15.
    reciprocal: [u16; LANES],
}

impl Block {
    pub(super) const EMPTY: Self = Self {
        left: [0; LANES],
        right: [0; LANES],
        reciprocal: [0; LANES],
    };

    /// Puts an endpoint there, with random bits that are its own.
    pub(super) fn put(&mut self, lane: usize, random: u64, reciprocal: u16) {
        self.left[lane] = random as u16;
        self.right[lane] = (random >> 16) as u16;
        self.reciprocal[lane] = reciprocal;
    }

    /// The upper 16 bits of this endpoint's x.
    #[inline(always)]
    pub(super) fn upper(&self, lane: usize, words: Words) -> u16 {
        upper(self.left[lane], self.right[lane], words)
    }

    /// The bound of this endpoint: in units of the scale, or, if all weigh the same (`EVEN`), just in the order of x.
    #[inline(always)]
    pub(super) fn bound<const EVEN: bool>(&self, lane: usize, words: Words) -> i16 {
        if EVEN {
            // The lowest number is the most negative one.
            return self.upper(lane, words.with_other_sign()) as i16;
        }
        let upper = u32::from(self.upper(lane, words));
        ((upper * u32::from(self.reciprocal[lane])) >> 16) as i16
    }

    /// The lowest bound of each column, where each is at least that of `absent`.
    #[inline(always)]
    pub(super) fn bounds<const EVEN: bool>(&self, words: Words, absent: &[i16; LANES]) -> Columns {
        let mut bounds = [0; LANES];
        for (lane, bound) in bounds.iter_mut().enumerate() {
            *bound = self.bound::<EVEN>(lane, words).max(absent[lane]);
        }
        let half = |c: usize, at: usize| bounds[c + at].min(bounds[c + at + COLUMNS]);
        std::array::from_fn(|c| half(c, 0).min(half(c, LANES / 2)))
    }
}

/// For a block that is full.
pub(super) const ALL_THERE: [i16; LANES] = [i16::MIN; LANES];

/// For the last block of so many endpoints.
pub(super) fn absent(endpoints: usize) -> [i16; LANES] {
    let used = endpoints % LANES;
    std::array::from_fn(|lane| match used > 0 && lane >= used {
        true => NOBODY,
        false => i16::MIN,
    })
}

#[inline(always)]
pub(super) fn min(a: Columns, b: Columns) -> Columns {
    std::array::from_fn(|column| a[column].min(b[column]))
}

/// The lowest of all columns.
#[inline(always)]
pub(super) fn lowest(columns: Columns) -> i16 {
    // By halves, which is how compilers have it as vectors.
    let half = |c: usize| columns[c].min(columns[c + COLUMNS / 2]);
    half(0).min(half(2)).min(half(1).min(half(3)))
}

/// The part of a key that the first pass uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct Words {
    left: u16,
    right: u16,
    turn: u16,
}

impl Words {
    #[inline]
    pub(super) fn of(key: u64) -> Self {
        Self {
            left: key as u16,
            right: (key >> 16) as u16,
            turn: (key >> 32) as u16,
        }
    }

    /// Words that give the upper bits with the first one flipped.
    #[inline(always)]
    fn with_other_sign(self) -> Self {
        let turn = self.turn ^ 0x8000;
        Self { turn, ..self }
    }
}

/// The upper 16 bits of x: the halves of a product, folded.
///
/// The last word makes every value equally likely whatever the product is, zero in particular.
#[inline(always)]
fn upper(left: u16, right: u16, words: Words) -> u16 {
    let (left, right) = (left ^ words.left, right ^ words.right);
    // Not one product taken apart: processors have an instruction for each of its halves.
    let low = left.wrapping_mul(right);
    let high = ((u32::from(left) * u32::from(right)) >> 16) as u16;
    low ^ high ^ words.turn
}
