//! Requests shared out among services.

use super::Part;
use crate::sticky::Sticky;

/// Which of several services a request goes to.
#[derive(Debug)]
pub(crate) struct Split {
    lanes: Box<[Lane]>,
    total: u32,
    /// The cookie that keeps a user on a lane.
    pub(crate) sticky: Option<Sticky>,
}

/// One of the services.
#[derive(Debug)]
pub(crate) struct Lane {
    /// What cookies call it: the name of the service.
    pub(crate) name: Box<str>,
    /// Index in [`Plan::services`](super::Plan).
    pub(crate) service: u32,
    /// Its share and those of all lanes before it.
    upto: u32,
    share: u32,
}

impl Split {
    /// `lanes` are names, services and shares, which are relative to each other and not all zero.
    pub(super) fn new(
        lanes: impl Iterator<Item = (Box<str>, u32, u32)>,
        sticky: Option<Sticky>,
    ) -> Self {
        let mut total = 0_u32;
        let lanes: Box<[Lane]> = lanes
            .map(|(name, service, share)| {
                total = total.saturating_add(share);
                Lane {
                    name,
                    service,
                    upto: total,
                    share,
                }
            })
            .collect();
        Self {
            lanes,
            total,
            sticky,
        }
    }

    /// The lane that 64 random bits fall on.
    #[inline]
    pub(crate) fn draw(&self, random: u64) -> &Lane {
        let at = Part::of(self.total).draw(random);
        let index = self.lanes.partition_point(|lane| lane.upto <= at);
        // A config without any share does not compile; the last lane stands for it all the same.
        &self.lanes[index.min(self.lanes.len() - 1)]
    }

    /// The lane of this name, if it still gets requests.
    #[inline]
    pub(crate) fn lane(&self, name: &[u8]) -> Option<&Lane> {
        self.lanes
            .iter()
            .find(|lane| lane.name.as_bytes() == name && lane.share > 0)
    }

    /// The lanes with their shares of all requests, as parts of one.
    pub(crate) fn shares(&self) -> impl Iterator<Item = (&Lane, f64)> {
        let total = f64::from(self.total.max(1));
        self.lanes
            .iter()
            .map(move |lane| (lane, f64::from(lane.share) / total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(shares: &[u32]) -> Split {
        let lanes = (0..).zip(shares);
        Split::new(
            lanes.map(|(at, share)| (at.to_string().into(), at * 10, *share)),
            None,
        )
    }

    /// How many of evenly spread random numbers fall on each lane.
    fn counts(split: &Split, draws: u64) -> Vec<u64> {
        let mut counts = vec![0; split.lanes.len()];
        for n in 0..draws {
            let lane = split.draw((u64::MAX / draws) * n);
            counts[lane.service as usize / 10] += 1;
        }
        counts
    }

    #[test]
    fn lanes_get_their_shares() {
        for (shares, expected) in [
            (&[95, 5][..], &[950, 50][..]),
            (&[1], &[1000]),
            (&[0, 1, 0], &[0, 1000, 0]),
            (&[1, 0, 1], &[500, 0, 500]),
            (&[1000, 1000, 0, 2000], &[250, 250, 0, 500]),
            (&[99_900, 100], &[999, 1]),
        ] {
            let counts = counts(&split(shares), 1000);
            let near = counts
                .iter()
                .zip(expected)
                .all(|(a, b)| a.abs_diff(*b) <= 1);
            assert!(near, "{shares:?}: {counts:?}");
            for (count, share) in counts.iter().zip(shares) {
                assert!(*share > 0 || *count == 0, "{shares:?}: {counts:?}");
            }
        }
        assert_eq!(split(&[0, 3, 0]).draw(u64::MAX).service, 10);
        assert_eq!(split(&[0, 3, 0]).draw(0).service, 10);
    }

    #[test]
    fn a_lane_without_a_share_is_gone() {
        let split = split(&[5, 0]);
        assert_eq!(split.lane(b"0").map(|lane| lane.service), Some(0));
        assert!(split.lane(b"1").is_none());
        assert!(split.lane(b"2").is_none());
        let shares: Vec<f64> = split.shares().map(|(_, share)| share).collect();
        assert_eq!(shares, [1.0, 0.0]);
    }
}
