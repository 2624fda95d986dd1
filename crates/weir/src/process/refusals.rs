//! Tells the event log whose connections are turned away, and why.
//!
//! A flood is the moment in which a line for each would do harm, so the first of a kind at a listener is told at once,
//! and what follows once in [`EVERY`], as a count with the last address. Workers only count; see [`Incidents`].

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use weir_http::Plan;
use weir_net::{Incident, Incidents, Refusal};
use weir_telemetry::{Events, Level, Value};

use crate::config::Config;

/// How often one kind of incident at one listener is told.
const EVERY: Duration = Duration::from_secs(10);

/// What was not told yet, and since when.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashMap<(Arc<str>, Incident), Untold>);

#[derive(Debug)]
struct Untold {
    /// Nothing is told before.
    from: Instant,
    count: u64,
    last: Option<IpAddr>,
}

impl Refusals {
    /// Takes in what happened since the last call. Says what is to be told now.
    pub(super) fn take_in(&mut self, incidents: Vec<Incidents>, now: Instant) -> Vec<Incidents> {
        for new in incidents {
            let key = (new.listener, new.incident);
            let untold = self.0.entry(key).or_insert(Untold {
                from: now,
                count: 0,
                last: None,
            });
            untold.count += new.count;
            untold.last = new.last;
        }
        // Who has been quiet for that long is new when it comes back.
        self.0
            .retain(|_, untold| untold.count > 0 || now < untold.from);
        let due = self
            .0
            .iter_mut()
            .filter(|(_, untold)| untold.count > 0 && now >= untold.from);
        due.map(|((listener, incident), untold)| {
            untold.from = now + EVERY;
            Incidents {
                listener: Arc::clone(listener),
                incident: *incident,
                count: std::mem::take(&mut untold.count),
                last: untold.last,
            }
        })
        .collect()
    }
}

/// Tells about some incidents.
pub(super) fn tell(events: &Events, config: &Config, plan: &Plan, incidents: &Incidents) {
    let Incidents {
        listener: key,
        incident,
        count,
        last,
    } = incidents;
    let mut listeners = config.listeners.iter();
    let named = listeners.find(|(_, listener)| *listener.address.to_string() == **key);
    let listener = named.map_or(&**key, |(name, _)| name.value.as_str());
    let client = last.map(|address| address.to_string());
    let entry = last.and_then(|address| match incident {
        Incident::Refused(Refusal::Denied) => plan.denied_by(key, address),
        Incident::WouldRefuse => plan.would_be_denied_by(key, address),
        _ => None,
    });
    let what = describe(*incident);
    let fields = [
        ("listener", Some(listener)),
        ("reason", what.reason),
        ("rule", what.rule),
        ("policy", entry.as_deref()),
        ("client", client.as_deref()),
        ("help", what.help),
    ];
    let mut said: Vec<(&str, Value<'_>)> = fields
        .into_iter()
        .filter_map(|(name, text)| Some((name, Value::Str(text?))))
        .collect();
    said.push(("count", Value::Uint(*count)));
    events.log(what.level, what.message, &said);
}

struct Description {
    level: Level,
    message: &'static str,
    /// As in the metrics.
    reason: Option<&'static str>,
    /// More exactly.
    rule: Option<&'static str>,
    help: Option<&'static str>,
}

/// What the config asks for is worth a note; what keeps everybody out, a warning.
fn describe(incident: Incident) -> Description {
    let of = |level, reason, rule, help| Description {
        level,
        message: "connections refused",
        reason: Some(reason),
        rule,
        help,
    };
    let header = |rule, help| of(Level::Warn, "proxy_header", Some(rule), help);
    match incident {
        Incident::Refused(Refusal::Denied) => of(Level::Info, "firewall", None, None),
        Incident::Refused(Refusal::Rate) => of(Level::Info, "rate", None, None),
        Incident::Refused(Refusal::PerAddress) => of(Level::Info, "per_ip", None, None),
        Incident::Refused(Refusal::Total) => of(
            Level::Warn,
            "limit",
            None,
            Some("every place is taken: see `limits.connections`"),
        ),
        Incident::Refused(Refusal::NotAProxy) => header(
            "not_a_proxy",
            Some(
                "`proxy_protocol` lets in only the proxies in its `from`: add this one, or say `others: serve`",
            ),
        ),
        Incident::Refused(Refusal::PlainHttp) => header(
            "plain_http",
            Some(
                "an HTTP request came without the PROXY header that `proxy_protocol` expects: let the proxy send it, or take `proxy_protocol` away",
            ),
        ),
        Incident::Refused(Refusal::NoProxyHeader) => header(
            "missing",
            Some("`proxy_protocol` expects a PROXY header first: let the proxy send it"),
        ),
        Incident::Refused(Refusal::BadProxyHeader) => header("malformed", None),
        Incident::Refused(Refusal::LateProxyHeader) => header(
            "late",
            Some("no PROXY header came within the `timeout` of `proxy_protocol`"),
        ),
        Incident::WouldRefuse => Description {
            message: "connections would be refused",
            ..of(Level::Info, "firewall", None, None)
        },
        Incident::NotAccepted => Description {
            level: Level::Error,
            message: "connections cannot be accepted",
            reason: None,
            rule: None,
            help: Some(
                "the system gives no more sockets: raise the descriptor limit (`ulimit -n`, LimitNOFILE=), or lower `limits.connections`",
            ),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: Incident = Incident::Refused(Refusal::Denied);
    const RATE: Incident = Incident::Refused(Refusal::Rate);

    fn some(listener: &str, incident: Incident, count: u64, last: u8) -> Incidents {
        Incidents {
            listener: listener.into(),
            incident,
            count,
            last: Some(IpAddr::from([192, 0, 2, last])),
        }
    }

    #[test]
    fn the_first_is_told_at_once_and_a_flood_every_ten_seconds() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = some("web", DENIED, 1, 1);
        assert_eq!(refusals.take_in(vec![first.clone()], at(0)), [first]);
        let mut told = Vec::new();
        for second in 1..=60 {
            let flood = vec![some("web", DENIED, 5000, second as u8)];
            told.extend(refusals.take_in(flood, at(second)));
        }
        assert_eq!(told.len(), 6, "{told:?}");
        for (told, minute) in told.iter().zip(1..) {
            assert_eq!(*told, some("web", DENIED, 50_000, minute * 10));
        }
        // Who has been quiet is new.
        assert!(refusals.take_in(Vec::new(), at(70)).is_empty());
        assert!(refusals.0.is_empty());
        assert_eq!(
            refusals
                .take_in(vec![some("web", DENIED, 2, 7)], at(71))
                .len(),
            1
        );
    }

    #[test]
    fn what_was_held_back_is_told_though_nothing_follows() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(
            refusals.take_in(vec![some("web", RATE, 3, 1)], at(0)).len(),
            1
        );
        assert!(
            refusals
                .take_in(vec![some("web", RATE, 4, 2)], at(1))
                .is_empty()
        );
        assert!(refusals.take_in(Vec::new(), at(9)).is_empty());
        assert_eq!(
            refusals.take_in(Vec::new(), at(10)),
            [some("web", RATE, 4, 2)]
        );
    }

    #[test]
    fn listeners_and_kinds_do_not_wait_for_each_other() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        let all = vec![
            some("web", DENIED, 1, 1),
            some("web", RATE, 1, 1),
            some("api", DENIED, 1, 1),
        ];
        assert_eq!(refusals.take_in(all.clone(), now).len(), 3);
        assert!(refusals.take_in(all, now).is_empty());
    }
}
