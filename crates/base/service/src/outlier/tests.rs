//! The detector by example, and in thousands of random services.

use std::time::Duration;

use super::{
    Decision, Detector, Ejection, EjectionReason, OutlierCounts, OutlierSpec, OutlierView,
    Returned, Totals, Trip,
};
use crate::outcome::Outcome;
use crate::rng::Rng;

use Outcome::{Connect, GatewayError, Invalid, Reset, ServerError, Success, Timeout};

/// An endpoint as its keeper keeps it.
#[derive(Default)]
struct Peer {
    counts: OutlierCounts,
    unusable: bool,
    checked_ok_ms: u64,
    recovered_ms: u64,
    ejection: Ejection,
}

struct Service {
    spec: OutlierSpec,
    detector: Detector,
    peers: Vec<Peer>,
    now_ms: u64,
}

impl Service {
    fn new(spec: OutlierSpec, peers: usize, seed: u64) -> Self {
        Self {
            detector: Detector::new(spec.clone(), seed, 0),
            spec,
            peers: (0..peers).map(|_| Peer::default()).collect(),
            now_ms: 0,
        }
    }

    fn record(&self, peer: usize, outcomes: &[Outcome]) -> Option<Trip> {
        let counts = &self.peers[peer].counts;
        let trips = outcomes.iter().map(|o| counts.record(*o, &self.spec));
        trips.fold(None, Option::or)
    }

    fn fill(&self, peer: usize, outcome: Outcome, times: usize) {
        (0..times).for_each(|_| _ = self.record(peer, &[outcome]));
    }

    fn look(&mut self) -> Vec<Decision> {
        let before: Vec<_> = self.peers.iter().map(|p| p.ejection).collect();
        let mut views: Vec<_> = self
            .peers
            .iter()
            .map(|peer| OutlierView {
                counts: &peer.counts,
                usable: !peer.unusable,
                checked_ok_ms: peer.checked_ok_ms,
                recovered_ms: peer.recovered_ms,
                ejection: peer.ejection,
            })
            .collect();
        let decisions = self.detector.look(&mut views, self.now_ms);
        assert!(self.detector.next_ms(&views) > self.now_ms);
        let after: Vec<_> = views.into_iter().map(|view| view.ejection).collect();
        for (peer, ejection) in self.peers.iter_mut().zip(after) {
            peer.ejection = ejection;
        }
        self.check(&before, &decisions);
        decisions
    }

    /// What must hold after every look.
    fn check(&self, before: &[Ejection], decisions: &[Decision]) {
        let mut ejected: Vec<_> = before.iter().map(Ejection::is_active).collect();
        for decision in decisions {
            match *decision {
                Decision::Eject {
                    index, until_ms, ..
                } => {
                    assert!(!ejected[index] && !self.peers[index].unusable);
                    ejected[index] = true;
                    let ejection = self.peers[index].ejection;
                    assert_eq!(ejection.until_ms, until_ms);
                    assert_eq!(ejection.since_ms, self.now_ms);
                    assert_eq!(ejection.in_a_row, before[index].in_a_row + 1);
                    let lasts = until_ms - self.now_ms;
                    let due = self.spec.eject_ms(ejection.in_a_row);
                    assert!(lasts <= self.spec.max_eject_ms());
                    assert!(lasts >= due - due / 10 && lasts <= due + due / 10);
                }
                Decision::Return { index, .. } => {
                    assert!(ejected[index]);
                    ejected[index] = false;
                }
            }
        }
        let active = |peer: &&Peer| peer.ejection.is_active();
        let usable: Vec<_> = self.peers.iter().filter(|p| !p.unusable).collect();
        let of_usable = usable.iter().copied().filter(active).count();
        let of_all = self.peers.iter().filter(active).count();
        assert!(of_usable <= self.spec.most_ejected(usable.len()));
        assert!(of_all <= self.spec.most_ejected(self.peers.len()));
        assert!(usable.is_empty() || of_usable < usable.len());
        for (peer, ejected) in self.peers.iter().zip(ejected) {
            assert_eq!(peer.ejection.is_active(), ejected);
            assert!(!ejected || peer.ejection.until_ms > self.now_ms);
        }
    }

    fn ejected(&self) -> Vec<usize> {
        let all = self.peers.iter().enumerate();
        all.filter(|(_, peer)| peer.ejection.is_active())
            .map(|(index, _)| index)
            .collect()
    }

    /// Fails `peer` until it is ejected; says for how long.
    fn eject(&mut self, peer: usize) -> u64 {
        self.record(peer, &[Connect; 5]);
        let decisions = self.look();
        let of = decisions.iter().find_map(|decision| match decision {
            Decision::Eject {
                index, until_ms, ..
            } if *index == peer => Some(until_ms - self.now_ms),
            _ => None,
        });
        of.expect("ejected")
    }
}

#[test]
fn runs_by_table() {
    let all = [GatewayError, Connect, Reset, Timeout, Invalid];
    for (outcomes, trip, run) in [
        (&all[..], Some(5), 5),
        (&all[..4], None, 4),
        (&[Connect, Connect, Success, Connect], None, 1),
        // The application's own errors end a run: it answers.
        (&[Connect, Connect, Connect, Connect, ServerError], None, 0),
        (&[ServerError; 20], None, 0),
    ] {
        let service = Service::new(OutlierSpec::default(), 1, 0);
        let trip = trip.map(|failures| Trip { failures });
        assert_eq!(service.record(0, outcomes), trip, "{outcomes:?}");
        assert_eq!(service.peers[0].counts.consecutive(), run, "{outcomes:?}");
    }
}

#[test]
fn a_run_that_goes_on_is_told_ever_more_rarely() {
    let service = Service::new(OutlierSpec::default(), 1, 0);
    let told = (1..=100).filter(|_| service.record(0, &[Reset]).is_some());
    assert_eq!(told.collect::<Vec<_>>(), [5, 10, 20, 40, 80]);
    let off = OutlierSpec {
        consecutive_failures: 0,
        ..OutlierSpec::default()
    };
    let mut service = Service::new(off, 3, 0);
    assert_eq!(service.record(0, &[Reset; 100]), None);
    assert_eq!(service.look(), []);
}

#[test]
fn totals_are_of_an_interval() {
    let mut service = Service::new(OutlierSpec::default(), 2, 0);
    service.record(0, &[Success, ServerError, Connect, Success]);
    let totals = Totals {
        requests: 4,
        failures: 2,
    };
    let of = |service: &Service| {
        let counts = &service.peers[0].counts;
        (counts.interval(), counts.last_interval())
    };
    assert_eq!(of(&service), (totals, Totals::default()));
    service.now_ms = 9_999;
    service.look();
    assert_eq!(of(&service), (totals, Totals::default()));
    service.now_ms = 10_000;
    service.look();
    assert_eq!(of(&service), (Totals::default(), totals));
}

#[test]
fn five_failures_in_a_row_eject_at_once() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    service.now_ms = 1_000;
    service.record(1, &[Connect; 5]);
    let decisions = service.look();
    let [
        Decision::Eject {
            index: 1,
            until_ms,
            reason,
        },
    ] = decisions[..]
    else {
        panic!("{decisions:?}");
    };
    assert_eq!(reason.to_string(), "5 failures in a row");
    assert!((31_000..=34_000).contains(&until_ms));
    service.now_ms = until_ms - 1;
    assert_eq!(service.look(), []);
    service.now_ms = until_ms;
    let reason = Returned::TimeOver;
    assert_eq!(service.look(), [Decision::Return { index: 1, reason }]);
}

#[test]
fn returns_on_probation() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    service.now_ms += service.eject(0);
    // What was under way when it was ejected.
    service.record(0, &[Reset; 7]);
    service.look();
    assert!(service.ejected().is_empty());
    assert_eq!(service.record(0, &[Connect]), Some(Trip { failures: 5 }));
    service.look();
    assert_eq!(service.ejected(), [0]);
    service.now_ms = service.peers[0].ejection.until_ms;
    service.look();
    assert_eq!(service.record(0, &[Success]), None);
    assert_eq!(service.record(0, &[Connect; 4]), None);
    service.look();
    assert!(service.ejected().is_empty());
}

#[test]
fn ejections_grow_up_to_a_limit_and_are_forgiven() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    for in_a_row in 1..=12u64 {
        let lasts = service.eject(0);
        let due = (30_000 * in_a_row).min(300_000);
        assert!(lasts <= 300_000 && lasts.abs_diff(due) <= due / 10);
        service.now_ms += lasts;
        service.look();
    }
    // Each interval in use takes one back; the one in which it returned is not a whole one.
    service.record(0, &[Success]);
    for interval in 0..=13 {
        let in_a_row = service.peers[0].ejection.in_a_row;
        assert!((12..=13).contains(&(in_a_row + interval)) || interval == 13);
        service.now_ms += 10_000;
        service.look();
    }
    assert_eq!(service.peers[0].ejection.in_a_row, 0);
    assert!(service.eject(0) <= 33_000);
}

#[test]
fn endpoints_that_go_together_do_not_return_together() {
    let mut service = Service::new(OutlierSpec::default(), 100, 1);
    (0..50).for_each(|peer| service.fill(peer, Connect, 5));
    service.look();
    let ejections = service.peers[..50].iter().map(|p| p.ejection.until_ms);
    let (min, max) = (ejections.clone().min().unwrap(), ejections.max().unwrap());
    assert!(min >= 30_000 && max <= 33_000 && max - min > 2_000);
}

#[test]
fn a_low_success_rate_ejects() {
    let mut service = Service::new(OutlierSpec::default(), 5, 1);
    for i in 0..100 {
        let ill = if i % 8 < 3 { ServerError } else { Success };
        service.record(3, &[ill]);
        let well = if i == 50 { ServerError } else { Success };
        for peer in [0, 1, 2, 4] {
            service.record(peer, &[well]);
        }
    }
    assert_eq!(service.look(), []);
    service.now_ms = 10_000;
    let decisions = service.look();
    let [
        Decision::Eject {
            index: 3, reason, ..
        },
    ] = decisions[..]
    else {
        panic!("{decisions:?}");
    };
    assert_eq!(reason.to_string(), "success rate 61 %, the others 99 %");
    let expected = EjectionReason::SuccessRate {
        percent: 61,
        others: 99,
    };
    assert_eq!(reason, expected);
}

#[test]
fn success_rates_need_requests_and_to_be_wanted() {
    for (min_requests, success_rate, ejected) in [(20, true, 1), (21, true, 0), (20, false, 0)] {
        let spec = OutlierSpec {
            min_requests,
            success_rate,
            ..OutlierSpec::default()
        };
        let mut service = Service::new(spec, 3, 1);
        for peer in 0..3 {
            let outcome = if peer == 0 { ServerError } else { Success };
            service.record(peer, &[outcome; 20]);
        }
        service.now_ms = 10_000;
        assert_eq!(service.look().len(), ejected);
    }
}

/// What the requests say that were under way when it was ejected is not held against it when it is back.
#[test]
fn the_time_of_an_ejection_is_not_judged() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    service.now_ms = 9_000;
    service.now_ms += service.eject(0);
    service.record(0, &[Timeout; 100]);
    (1..3).for_each(|peer| service.fill(peer, Success, 100));
    assert!(matches!(service.look()[..], [Decision::Return { .. }]));
    assert!(service.ejected().is_empty());
}

#[test]
fn bounds_by_table() {
    for (max_ejected, most) in [
        (0, [0, 0, 0, 0, 0, 0]),
        (10, [0, 0, 1, 1, 1, 10]),
        (50, [0, 0, 1, 1, 5, 50]),
        (99, [0, 0, 1, 2, 9, 99]),
        (100, [0, 0, 1, 2, 9, 99]),
        (u32::MAX, [0, 0, 1, 2, 9, 99]),
    ] {
        let spec = OutlierSpec {
            max_ejected,
            ..OutlierSpec::default()
        };
        let found = [0, 1, 2, 3, 10, 100].map(|endpoints| spec.most_ejected(endpoints));
        assert_eq!(found, most, "{max_ejected} %");
    }
}

#[test]
fn when_all_fail_the_bound_holds() {
    for (peers, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)] {
        let mut service = Service::new(OutlierSpec::default(), peers, 1);
        for _ in 0..20 {
            (0..peers).for_each(|peer| service.fill(peer, Connect, 5));
            service.look();
            assert_eq!(service.ejected().len(), most, "of {peers}");
            service.now_ms += 1_000;
        }
    }
}

#[test]
fn the_last_that_can_be_used_is_used() {
    let mut service = Service::new(OutlierSpec::default(), 4, 1);
    service.eject(0);
    service.eject(1);
    // Health checks take one of the others out: of three, one may be ejected.
    service.peers[2].unusable = true;
    let first =
        usize::from(service.peers[1].ejection.until_ms < service.peers[0].ejection.until_ms);
    let needed = |index| {
        let reason = Returned::Needed;
        [Decision::Return { index, reason }]
    };
    assert_eq!(service.look(), needed(first));
    service.peers[3].unusable = true;
    assert_eq!(service.look(), []);
    service.peers[first].unusable = true;
    assert_eq!(service.look(), needed(1 - first));
    // Without any that can be used, nothing is decided.
    service.peers[1 - first].unusable = true;
    assert_eq!(service.look(), []);
}

#[test]
fn a_smaller_set_has_fewer_ejected() {
    let mut service = Service::new(OutlierSpec::default(), 10, 1);
    (0..5).for_each(|peer| service.fill(peer, Connect, 5));
    service.look();
    service.peers.truncate(6);
    assert_eq!(service.look().len(), 2);
    service.peers.truncate(0);
    assert_eq!(service.look(), []);
}

#[test]
fn who_was_down_and_is_up_again_returns() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    service.now_ms = 5_000;
    service.peers[0].recovered_ms = 4_000;
    service.eject(0);
    assert_eq!(service.look(), []);
    service.now_ms = 7_000;
    service.peers[0].recovered_ms = 6_500;
    let reason = Returned::Checked;
    assert_eq!(service.look(), [Decision::Return { index: 0, reason }]);
}

#[test]
fn health_checks_end_ejections_only_if_wanted() {
    for return_on_check in [false, true] {
        let spec = OutlierSpec {
            return_on_check,
            ..OutlierSpec::default()
        };
        let mut service = Service::new(spec, 3, 1);
        service.now_ms = 5_000;
        service.peers[0].checked_ok_ms = 5_000;
        service.eject(0);
        assert_eq!(service.look(), []);
        service.now_ms = 7_000;
        service.peers[0].checked_ok_ms = 6_000;
        let reason = Returned::Checked;
        let returned = [Decision::Return { index: 0, reason }];
        assert_eq!(service.look() == returned, return_on_check);
        if return_on_check {
            assert_eq!(service.record(0, &[Connect; 4]), None);
        }
    }
}

#[test]
fn a_shorter_limit_applies_to_those_that_are_ejected() {
    let mut service = Service::new(OutlierSpec::default(), 3, 1);
    service.eject(0);
    service.spec.max_eject_for = Duration::from_secs(5);
    service.detector = Detector::new(service.spec.clone(), 1, 0);
    service.now_ms = 5_000;
    assert_eq!(service.look().len(), 1);
}

// ---- random services ----

fn random_spec(rng: &mut Rng) -> OutlierSpec {
    let mut pick = |of: [u32; 4]| of[rng.below(4) as usize];
    let seconds = |s: u32| Duration::from_secs(s.into());
    OutlierSpec {
        consecutive_failures: pick([0, 1, 5, 20]),
        success_rate: pick([0, 1, 1, 1]) == 1,
        interval: seconds(pick([1, 10, 10, 60])),
        eject_for: seconds(pick([0, 1, 30, 600])),
        max_eject_for: seconds(pick([0, 60, 300, 300])),
        max_ejected: pick([0, 10, 50, 100]),
        min_requests: pick([0, 5, 20, 100]),
        return_on_check: pick([0, 0, 0, 1]) == 1,
    }
}

/// A service in which everything changes at random, for some minutes. [`Service::check`] looks at every step.
fn live(seed: u64) -> usize {
    let mut rng = Rng::new(seed);
    let peers = rng.below(20) as usize;
    let mut service = Service::new(random_spec(&mut rng), peers, seed);
    // How many of a thousand requests fail.
    let mut ill = vec![0; peers];
    let mut ejections = 0;
    for _ in 0..60 {
        service.now_ms += [0, 10, 500, 3_000, 10_000, 40_000][rng.below(6) as usize];
        for (peer, ill) in ill.iter_mut().enumerate() {
            match rng.below(30) {
                0 => *ill = [0, 5, 300, 1_000][rng.below(4) as usize],
                1 => service.peers[peer].unusable ^= true,
                2 => service.peers[peer].checked_ok_ms = service.now_ms,
                _ => {}
            }
            // Also those that are ejected get some: panic, and what was under way.
            for _ in 0..rng.below(60) {
                let failed = rng.below(1_000) < *ill;
                let outcome = match rng.below(3) {
                    _ if !failed => Success,
                    0 => ServerError,
                    _ => Timeout,
                };
                service.record(peer, &[outcome]);
            }
        }
        match rng.below(20) {
            0 if !service.peers.is_empty() => {
                let gone = rng.below(service.peers.len() as u32) as usize;
                service.peers.remove(gone);
                ill.remove(gone);
            }
            1 => {
                service.peers.push(Peer::default());
                ill.push(0);
            }
            _ => {}
        }
        let decisions = service.look();
        let is_ejection = |decision: &&Decision| matches!(decision, Decision::Eject { .. });
        ejections += decisions.iter().filter(is_ejection).count();
    }
    // From here on all goes well: every ejection ends in its time and is forgiven in the end.
    for peer in &mut service.peers {
        peer.unusable = false;
        peer.counts = OutlierCounts::default();
    }
    service.now_ms += service.spec.max_eject_ms();
    service.look();
    assert!(service.ejected().is_empty(), "seed {seed}");
    let most = service.peers.iter().map(|p| p.ejection.in_a_row).max();
    for _ in 0..=most.unwrap_or(0) {
        service.now_ms += service.spec.interval_ms();
        service.look();
    }
    assert!(service.peers.iter().all(|p| p.ejection.in_a_row == 0));
    ejections
}

#[test]
fn bounds_hold_in_thousands_of_services() {
    let ejections: usize = (0..2_000).map(live).sum();
    assert!(ejections > 10_000, "only {ejections}");
}

/// One endpoint of ten is dead, nine are well, for half an hour: few requests find it, and never a healthy one is ejected.
#[test]
fn a_dead_endpoint_costs_few_requests() {
    for seed in 0..20 {
        let mut rng = Rng::new(seed);
        let mut service = Service::new(OutlierSpec::default(), 10, seed);
        let mut lost = 0;
        for step in 0..180_000 {
            service.now_ms = step * 10;
            let peer = rng.below(10) as usize;
            if service.peers[peer].ejection.is_active() {
                continue;
            }
            let failed = peer == 3 || rng.below(1_000) == 0;
            lost += u32::from(peer == 3);
            let tripped = service.record(peer, &[if failed { Connect } else { Success }]);
            if tripped.is_some() || step % 100 == 0 {
                service.look();
                assert!(service.ejected().iter().all(|peer| *peer == 3));
            }
        }
        // Five at first, then one for each return: after 30, 60, 90, ... 300, 300 s.
        assert!((5..=20).contains(&lost), "{lost}");
    }
}
