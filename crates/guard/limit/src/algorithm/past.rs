//! What a state says about the past, in the words of no algorithm.
//!
//! When a limit changes, its states are read once more: how much was counted, and when. Most algorithms do not know that to the
//! millisecond. Then each request is taken to have come as late as it can have, so that it counts for as long as it may have to.
//! What an algorithm has forgotten is not made up: with one exception, see [`Known::edge`].

/// How much was counted, and when.
#[derive(Clone, Debug)]
pub(super) enum Past {
    /// Newest first: a time, and how much was counted then.
    Times(Vec<(u64, u64)>),
    /// Of no stretch of time is more known than that it held no more than what is owed after it and what came back during it.
    Rates {
        /// When it was owed.
        at: u64,
        tiers: Vec<Rate>,
    },
}

/// What a tier of a bucket owes, in parts of a token.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) owed: u64,
    pub(super) refill: u64,
    pub(super) token: u64,
}

/// What one tier knows of the past.
#[derive(Clone, Debug)]
pub(super) struct Known {
    /// Oldest first: a time, and how much was counted then.
    times: Vec<(u64, u64)>,
    /// What came before, it has forgotten.
    from: u64,
}

impl Rate {
    /// The most that was counted in so many milliseconds.
    fn within(&self, ms: u64) -> u64 {
        self.owed.saturating_add(ms.saturating_mul(self.refill)) / self.token
    }

    /// In how many milliseconds so much was counted, at least.
    fn takes(&self, many: u64) -> u64 {
        let parts = many.saturating_mul(self.token);
        parts.saturating_sub(self.owed).div_ceil(self.refill)
    }
}

impl Known {
    /// Nothing, from this time on.
    pub(super) const fn from(from: u64) -> Self {
        Self {
            times: Vec::new(),
            from,
        }
    }

    /// So much was counted, no later than this; more recently than what was added before.
    pub(super) fn add(&mut self, time: u64, many: u32) {
        if many > 0 {
            self.times.push((time, u64::from(many)));
        }
    }

    /// That the window of the clock before may have been full, just before it ended. Nothing is known of that, and around its edge a
    /// fixed window promises little enough. But a bucket would add its own promise to that.
    pub(super) fn edge(mut self, window_ms: u64, count: u32) -> Self {
        if let Some(before) = self.from.checked_sub(1) {
            self.times.insert(0, (before, u64::from(count)));
            self.from = self.from.saturating_sub(window_ms);
        }
        self
    }
}

impl Past {
    /// From what all tiers of a key know: they saw the same requests, so each came no later than any of them says.
    pub(super) fn of(mut tiers: Vec<Known>) -> Self {
        let mut times = Vec::new();
        loop {
            // Of the next request before those, a tier that knows no more knows at least that it came before its window.
            let latest = tiers.iter().map(|tier| match tier.times.last() {
                Some((time, _)) => *time,
                None => tier.from.saturating_sub(1),
            });
            let many = tiers.iter().filter_map(|tier| tier.times.last());
            let many = many.map(|(_, many)| *many).min();
            let (Some(time), Some(many)) = (latest.min(), many) else {
                return Self::Times(times);
            };
            times.push((time, many));
            for tier in &mut tiers {
                if let Some((_, left)) = tier.times.last_mut() {
                    *left -= many;
                    if *left == 0 {
                        tier.times.pop();
                    }
                }
            }
        }
    }

    /// The most that was counted at a time or after it.
    pub(super) fn since(&self, time: u64) -> u64 {
        match self {
            Self::Times(times) => {
                let since = times.iter().take_while(|(at, _)| *at >= time);
                since.map(|(_, many)| *many).sum()
            }
            Self::Rates { at, tiers } => {
                let ms = at.saturating_sub(time);
                tiers.iter().map(|tier| tier.within(ms)).min().unwrap_or(0)
            }
        }
    }

    /// The last `most` that were counted, less than `within` milliseconds before the last of all: newest first, a time and how
    /// much was counted then.
    pub(super) fn last(&self, most: u32, within: u64) -> Vec<(u64, u64)> {
        let most = u64::from(most);
        match self {
            Self::Times(times) => {
                let newest = times.first().map_or(0, |(at, _)| *at);
                let mut left = most;
                let recent = times.iter().take_while(|(at, _)| newest - at < within);
                let last = recent.map(|(at, many)| {
                    let many = left.min(*many);
                    left -= many;
                    (*at, many)
                });
                last.take_while(|(_, many)| *many > 0).collect()
            }
            Self::Rates { at, tiers } => {
                let before = |many| tiers.iter().map(|tier| tier.takes(many)).max();
                let times = (1..=most).map_while(|many| before(many).filter(|ms| *ms < within));
                let times = times.map_while(|ms| at.checked_sub(ms));
                times.map(|time| (time, 1)).collect()
            }
        }
    }

    /// The most that can be owed at a time if so many parts come back each millisecond and one request owes a `token` of them.
    pub(super) fn owed(&self, at: u64, refill: u64, token: u64) -> u64 {
        let mut counted = 0u64;
        let owed = |&(time, many): &(u64, u64)| {
            counted += many;
            let came_back = at.saturating_sub(time).saturating_mul(refill);
            counted.saturating_mul(token).saturating_sub(came_back)
        };
        match self {
            Self::Times(times) => times.iter().map(owed).max().unwrap_or(0),
            // Buckets know of each other without this.
            Self::Rates { .. } => 0,
        }
    }
}
