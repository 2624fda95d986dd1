//! Decides who is ejected and who returns.

use std::cmp::Reverse;
use std::fmt;

use super::rate::{Below, Rates};
use super::{OutlierCounts, OutlierSpec};
use crate::rng::Rng;

/// Decides for the endpoints of one service. It remembers only when the interval ends; what concerns an endpoint is its
/// [`Ejection`], which belongs where the endpoint is kept, so that it outlives reloads and changes of the set.
#[derive(Debug)]
pub struct Detector {
    spec: OutlierSpec,
    rng: Rng,
    interval_ends_ms: u64,
}

/// An endpoint as the detector sees it.
#[derive(Debug)]
pub struct OutlierView<'a> {
    /// How its attempts went.
    pub counts: &'a OutlierCounts,
    /// May it be used, as far as health checks and operators say? Ejection is not part of this.
    pub usable: bool,
    /// When a health check last succeeded; 0 for never. Matters only if [`OutlierSpec::return_on_check`].
    pub checked_ok_ms: u64,
    /// When health checks, which had found it down, found it up again; 0 for never. Whatever it was ejected for before that
    /// went away with what was down.
    pub recovered_ms: u64,
    /// What the detector left here before; at first the default. It is to be kept after every look.
    pub ejection: Ejection,
}

/// What is remembered of an endpoint's ejections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ejection {
    /// When it was last ejected, or returned.
    pub since_ms: u64,
    /// Until when it is ejected; 0 if it is not.
    pub until_ms: u64,
    /// How often it was ejected without being well for long in between.
    pub in_a_row: u32,
}

/// What is to be done with the endpoint at `index` of the slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Leave it alone.
    Eject {
        /// Which.
        index: usize,
        /// Until then.
        until_ms: u64,
        /// Why.
        reason: EjectionReason,
    },
    /// Use it again.
    Return {
        /// Which.
        index: usize,
        /// Why.
        reason: Returned,
    },
}

/// Why an endpoint is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EjectionReason {
    /// So many attempts failed one after the other.
    Consecutive(u32),
    /// It fails more often than the others.
    SuccessRate {
        /// Its success rate in percent, rounded down.
        percent: u32,
        /// The median of the others'.
        others: u32,
    },
}

/// Why an endpoint returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Its time is over.
    TimeOver,
    /// A health check succeeded.
    Checked,
    /// Too few others are left.
    Needed,
}

impl Detector {
    /// A detector whose first interval begins now. The jitter follows from `seed`.
    pub fn new(spec: OutlierSpec, seed: u64, now_ms: u64) -> Self {
        Self {
            interval_ends_ms: now_ms.saturating_add(spec.interval_ms()),
            rng: Rng::new(seed),
            spec,
        }
    }

    /// Looks at all endpoints of the service. Call it when [`Self::next_ms`] has come, when an endpoint
    /// [tripped](super::Trip), and when the set or what health checks say has changed; more often does no harm.
    ///
    /// What it decides is already in the views' [`Ejection`]s, and so is what no decision tells of (that an ejection is
    /// being forgotten): keep them all. In the decisions, returns come first.
    pub fn look(&mut self, views: &mut [OutlierView<'_>], now_ms: u64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        self.end(views, now_ms, &mut decisions);
        self.spare(views, now_ms, &mut decisions);
        self.eject_failing(views, now_ms, &mut decisions);
        if now_ms >= self.interval_ends_ms {
            self.interval_ends_ms = now_ms.saturating_add(self.spec.interval_ms());
            self.eject_below_others(views, now_ms, &mut decisions);
            self.forgive(views, now_ms);
        }
        decisions
    }

    /// When to look again, if nothing happens before.
    pub fn next_ms(&self, views: &[OutlierView<'_>]) -> u64 {
        let ejected = views.iter().filter(|view| view.ejection.is_active());
        let ends = ejected.map(|view| self.ends_ms(&view.ejection)).min();
        ends.map_or(self.interval_ends_ms, |end| end.min(self.interval_ends_ms))
    }

    /// Ejections that are over.
    fn end(&self, views: &mut [OutlierView<'_>], now_ms: u64, decisions: &mut Vec<Decision>) {
        for (index, view) in views.iter_mut().enumerate() {
            if !view.ejection.is_active() {
                continue;
            }
            let since_ms = view.ejection.since_ms;
            let reason = if view.recovered_ms > since_ms
                || self.spec.return_on_check && view.checked_ok_ms > since_ms
            {
                Returned::Checked
            } else if now_ms >= self.ends_ms(&view.ejection) {
                Returned::TimeOver
            } else {
                continue;
            };
            self.restore(view, index, reason, now_ms, decisions);
        }
    }

    /// Ends ejections until they are within the bounds again, after endpoints went away: those that would end first.
    fn spare(&self, views: &mut [OutlierView<'_>], now_ms: u64, decisions: &mut Vec<Decision>) {
        loop {
            let surplus = Counts::of(views).surplus(&self.spec);
            let ejected = views.iter_mut().enumerate().filter(|(_, view)| {
                view.ejection.is_active()
                    && match surplus {
                        Surplus::None => false,
                        Surplus::OfUsable => view.usable,
                        Surplus::OfAll => true,
                    }
            });
            let first = ejected.min_by_key(|(_, view)| view.ejection.until_ms);
            let Some((index, view)) = first else {
                return;
            };
            self.restore(view, index, Returned::Needed, now_ms, decisions);
        }
    }

    /// Those with too many failures in a row, the longest run first.
    fn eject_failing(
        &mut self,
        views: &mut [OutlierView<'_>],
        now_ms: u64,
        decisions: &mut Vec<Decision>,
    ) {
        let limit = self.spec.consecutive_failures;
        if limit == 0 {
            return;
        }
        let failing = views.iter().enumerate().filter(|(_, view)| view.in_use());
        let mut failing: Vec<_> = failing
            .map(|(index, view)| (view.counts.consecutive(), index))
            .filter(|(failures, _)| *failures >= limit)
            .collect();
        failing.sort_unstable_by_key(|&(failures, index)| (Reverse(failures), index));
        for (failures, index) in failing {
            let reason = EjectionReason::Consecutive(failures);
            if !self.eject(views, index, reason, now_ms, decisions) {
                return;
            }
        }
    }

    /// Those whose success rate is clearly below that of the others, the worst first. Begins another interval.
    fn eject_below_others(
        &mut self,
        views: &mut [OutlierView<'_>],
        now_ms: u64,
        decisions: &mut Vec<Decision>,
    ) {
        let least = self.spec.min_requests.max(1);
        let totals: Vec<_> = views.iter().map(|view| view.counts.turn()).collect();
        if !self.spec.success_rate {
            return;
        }
        let compared = totals.into_iter().enumerate();
        let mut rates = Rates::new(
            compared.filter(|(i, totals)| views[*i].in_use() && totals.requests >= least),
        );
        while let Some(below) = rates.take_worst() {
            let reason = EjectionReason::from(&below);
            if !self.eject(views, below.index, reason, now_ms, decisions) {
                return;
            }
        }
    }

    /// Those that were in use for a whole interval are a step closer to having been ejected never.
    fn forgive(&self, views: &mut [OutlierView<'_>], now_ms: u64) {
        for view in views.iter_mut().filter(|view| view.in_use()) {
            let ejection = &mut view.ejection;
            if now_ms.saturating_sub(ejection.since_ms) >= self.spec.interval_ms() {
                ejection.in_a_row = ejection.in_a_row.saturating_sub(1);
            }
        }
    }

    /// Ejects it, if the bounds allow one more.
    fn eject(
        &mut self,
        views: &mut [OutlierView<'_>],
        index: usize,
        reason: EjectionReason,
        now_ms: u64,
        decisions: &mut Vec<Decision>,
    ) -> bool {
        if !Counts::of(views).room(&self.spec) {
            return false;
        }
        let in_a_row = views[index].ejection.in_a_row.saturating_add(1);
        let until_ms = now_ms.saturating_add(self.duration_ms(in_a_row));
        views[index].ejection = Ejection {
            since_ms: now_ms,
            until_ms,
            in_a_row,
        };
        decisions.push(Decision::Eject {
            index,
            until_ms,
            reason,
        });
        true
    }

    fn restore(
        &self,
        view: &mut OutlierView<'_>,
        index: usize,
        reason: Returned,
        now_ms: u64,
        decisions: &mut Vec<Decision>,
    ) {
        match reason {
            Returned::Checked => view.counts.forget(),
            _ => view.counts.probation(self.spec.consecutive_failures),
        }
        view.ejection.until_ms = 0;
        view.ejection.since_ms = now_ms;
        decisions.push(Decision::Return { index, reason });
    }

    /// Up to 10 % longer than it should be, or shorter where it would be too long.
    fn duration_ms(&mut self, in_a_row: u32) -> u64 {
        let ms = self.spec.eject_ms(in_a_row);
        let jitter = u64::from(self.rng.below((ms / 10) as u32 + 1));
        let longer = ms + jitter;
        if longer <= self.spec.max_eject_ms() {
            longer
        } else {
            ms - jitter
        }
    }

    /// When an ejection ends: also one from a time when ejections were allowed to be longer.
    fn ends_ms(&self, ejection: &Ejection) -> u64 {
        let latest = ejection.since_ms.saturating_add(self.spec.max_eject_ms());
        ejection.until_ms.min(latest)
    }
}

impl OutlierView<'_> {
    fn in_use(&self) -> bool {
        self.usable && !self.ejection.is_active()
    }
}

impl Ejection {
    /// Is the endpoint ejected?
    pub fn is_active(&self) -> bool {
        self.until_ms != 0
    }
}

/// How many there are.
struct Counts {
    all: usize,
    ejected: usize,
    usable: usize,
    usable_ejected: usize,
}

enum Surplus {
    None,
    OfUsable,
    OfAll,
}

impl Counts {
    fn of(views: &[OutlierView<'_>]) -> Self {
        let count =
            |which: fn(&OutlierView<'_>) -> bool| views.iter().filter(|view| which(view)).count();
        Self {
            all: views.len(),
            ejected: count(|view| view.ejection.is_active()),
            usable: count(|view| view.usable),
            usable_ejected: count(|view| view.usable && view.ejection.is_active()),
        }
    }

    /// May one more that is usable be ejected?
    fn room(&self, spec: &OutlierSpec) -> bool {
        self.ejected < spec.most_ejected(self.all)
            && self.usable_ejected < spec.most_ejected(self.usable)
    }

    /// Of which are too many ejected?
    fn surplus(&self, spec: &OutlierSpec) -> Surplus {
        if self.usable_ejected > spec.most_ejected(self.usable) {
            Surplus::OfUsable
        } else if self.ejected > spec.most_ejected(self.all) {
            Surplus::OfAll
        } else {
            Surplus::None
        }
    }
}

impl From<&Below> for EjectionReason {
    fn from(below: &Below) -> Self {
        // The small addition undoes what binary fractions take from 0.29 * 100.
        let percent = |rate: f64| (rate * 100.0 + 1e-9) as u32;
        Self::SuccessRate {
            percent: percent(below.rate),
            others: percent(below.others),
        }
    }
}

impl fmt::Display for EjectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive(1) => f.write_str("1 failure"),
            Self::Consecutive(failures) => write!(f, "{failures} failures in a row"),
            Self::SuccessRate { percent, others } => {
                write!(f, "success rate {percent} %, the others {others} %")
            }
        }
    }
}

impl fmt::Display for Returned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimeOver => "its time is over",
            Self::Checked => "a health check succeeded",
            Self::Needed => "too few others are left",
        })
    }
}
