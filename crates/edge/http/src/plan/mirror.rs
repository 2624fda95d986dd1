//! Copies of requests for another service.

use weir_net::Micros;

use super::listener::micros;
use crate::config::{MirrorConfig, thousandths};

/// Which requests are copied, and within which bounds.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// Index in [`Plan::services`](super::Plan).
    pub(crate) service: u32,
    /// Thousandths of a percent.
    share: u32,
    pub(crate) max_body: usize,
    pub(crate) timeout: Micros,
    /// Copies under way at once, on one worker.
    pub(crate) pending: u32,
}

impl Mirror {
    const ALL: u32 = 100_000;

    pub(super) fn compile(config: &MirrorConfig, service: u32) -> Self {
        Self {
            service,
            share: thousandths(config.share),
            max_body: config.max_body.as_usize(),
            timeout: micros(config.timeout),
            pending: config.pending.as_u32(),
        }
    }

    /// Whether a request is copied that drew these 64 random bits.
    #[inline]
    pub(crate) fn takes(&self, random: impl FnOnce() -> u64) -> bool {
        self.share >= Self::ALL || Part::of(Self::ALL).draw(random()) < self.share
    }

    /// How many of the requests are copied, as a part of one.
    pub(crate) fn share(&self) -> f64 {
        f64::from(self.share) / f64::from(Self::ALL)
    }
}

/// A number of equal parts, one of which is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part(u32);

impl Part {
    pub(crate) const fn of(parts: u32) -> Self {
        Self(parts)
    }

    /// The part that 64 random bits fall on, from 0 on. The bias is below `parts / 2^32`.
    #[inline]
    pub(crate) fn draw(self, random: u64) -> u32 {
        (((random >> 32) * u64::from(self.0)) >> 32) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_config::{Cx, Name};

    fn mirror(text: &str) -> Mirror {
        let mut cx = Cx::from_text("weir.yaml", text, &|_| None);
        let config = cx.decode::<MirrorConfig>();
        let config = cx.finish(config).expect("good").value;
        assert_eq!(Some(&config.service.value), Name::new("shadow").as_ref());
        Mirror::compile(&config, 3)
    }

    #[test]
    fn a_share_of_the_requests_is_copied() {
        for (share, expected) in [("0%", 0), ("10%", 1000), ("0.5%", 50), ("100%", 10_000)] {
            let mirror = mirror(&format!("{{ service: shadow, share: {share} }}"));
            let draws = (0..10_000_u64).map(|n| n * (u64::MAX / 10_000));
            let taken = draws.filter(|draw| mirror.takes(|| *draw)).count();
            assert!(taken.abs_diff(expected) <= 1, "{share}: {taken}");
        }
    }

    #[test]
    fn the_defaults_are_small() {
        let mirror = mirror("shadow");
        assert_eq!(mirror.service, 3);
        assert_eq!(mirror.max_body, 64 * 1024);
        assert_eq!((mirror.timeout, mirror.pending), (5_000_000, 64));
        assert!(mirror.takes(|| u64::MAX));
    }
}
