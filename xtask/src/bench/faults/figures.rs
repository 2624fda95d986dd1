//! What a run comes to.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_testkit::Histogram;

use super::endpoint::VICTIM;
use super::load::{End, Record};

/// The phases of a run, from its start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spans {
    /// When the fault begins; requests before it only warm up.
    pub(super) strike: Duration,
    /// When it ends.
    pub(super) heal: Duration,
    /// When the load ends.
    pub(super) end: Duration,
}

/// Where in a run something was due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    During,
    After,
}

impl Phase {
    /// Its name, which begins with a letter of its own.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::During => "during",
            Self::After => "after",
        }
    }
}

impl Spans {
    pub(super) fn phase(&self, due: Duration) -> Phase {
        if due < self.strike {
            Phase::Before
        } else if due < self.heal {
            Phase::During
        } else {
            Phase::After
        }
    }
}

/// How long after the fault its echo is looked for.
pub(super) const AFTER: Duration = Duration::from_secs(5);
/// Shares are looked at over this long.
const BUCKET: Duration = Duration::from_millis(250);

/// What users saw, and what endpoints were sent for it.
#[derive(Debug)]
pub(super) struct Figures {
    pub(super) requests: u64,
    /// Failures by kind, such as `503` or `late`.
    pub(super) failed: BTreeMap<String, u64>,
    /// Requests read by endpoints for each request of a user that was due during the fault.
    pub(super) amplification: f64,
    /// Latency of all requests before the fault: how quiet the machine was.
    pub(super) before: Histogram,
    /// Latency of all requests that were due during the fault.
    pub(super) during: Histogram,
    /// From the beginning of the fault until the last failure; none without one.
    pub(super) last_failure: Option<Duration>,
    /// Latency of all requests that were due in the seconds after the fault.
    pub(super) after: Histogram,
    /// From the end of the fault until the endpoint had at least half of its fair share; none if it never did.
    pub(super) back: Option<Duration>,
}

impl Figures {
    /// `sent` is how many requests that were due during the fault the endpoints have read.
    pub(super) fn of(records: &[Record], spans: Spans, sent: u64) -> Self {
        let [mut before, mut during, mut after] = [(); 3].map(|()| Histogram::default());
        let mut failed = BTreeMap::new();
        let mut last_failure = None;
        for record in records {
            match spans.phase(record.due) {
                Phase::Before => before.record(record.latency),
                Phase::During => during.record(record.latency),
                Phase::After if record.due < spans.heal + AFTER => after.record(record.latency),
                Phase::After => {}
            }
            let kind = match record.end {
                End::Answered(_) => continue,
                End::Status(status) => status.to_string(),
                End::Broken => "broken".to_owned(),
                End::Late => "late".to_owned(),
            };
            *failed.entry(kind).or_default() += 1;
            last_failure = last_failure.max(Some(record.due + record.latency));
        }
        Self {
            requests: records.len() as u64,
            failed,
            amplification: sent as f64 / during.count().max(1) as f64,
            before,
            during,
            last_failure: last_failure.map(|at| at.saturating_sub(spans.strike)),
            after,
            back: back(records, spans),
        }
    }

    pub(super) fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

fn back(records: &[Record], spans: Spans) -> Option<Duration> {
    let buckets = ((spans.end - spans.heal).as_nanos() / BUCKET.as_nanos()) as usize;
    let mut shares = vec![(0_u64, 0_u64); buckets];
    for record in records.iter().filter(|record| record.due >= spans.heal) {
        let bucket = (record.due - spans.heal).as_nanos() / BUCKET.as_nanos();
        if let Some((all, victim)) = shares.get_mut(bucket as usize) {
            *all += 1;
            *victim += u64::from(record.end == End::Answered(VICTIM));
        }
    }
    let bucket = shares.iter().position(|(all, victim)| victim * 6 >= *all)?;
    Some(BUCKET * bucket as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_run_is_summed_up() {
        let spans = Spans {
            strike: MS * 1000,
            heal: MS * 3000,
            end: MS * 5000,
        };
        let record = |at: u32| Record {
            due: MS * at,
            latency: MS * if at < 3000 { 7 } else { 3 },
            end: match at {
                1000..1500 => End::Status(503),
                4000.. if at.is_multiple_of(40) => End::Answered(VICTIM),
                _ => End::Answered(0),
            },
        };
        let records: Vec<Record> = (0..5000).step_by(10).map(record).collect();
        let figures = Figures::of(&records, spans, 220);
        assert_eq!((figures.requests, figures.failures()), (500, 50));
        assert!((figures.amplification - 1.1).abs() < 1e-9);
        assert_eq!(figures.last_failure, Some(MS * 497));
        assert_eq!(
            (figures.during.max(), figures.after.max()),
            (MS * 7, MS * 3)
        );
        assert_eq!(figures.back, Some(MS * 1000));
    }
}
