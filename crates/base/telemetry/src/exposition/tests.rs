//! Among them a strict reader of the text format, which is what says that the output is right.

use super::*;
use crate::families;
use crate::levels::ServiceLevel;
use crate::sets::Refusal;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

type Labels = BTreeMap<String, String>;

#[derive(Debug, Default)]
struct Read {
    kind: String,
    help: String,
    samples: Vec<(String, Labels, f64)>,
}

/// Reads the text format as its specification has it, and panics at anything odd.
fn read(text: &str) -> BTreeMap<String, Read> {
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let mut families: BTreeMap<String, Read> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in text.trim_end_matches('\n').split('\n') {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(is_name(name) && !families.contains_key(name), "{line}");
            assert!(!help.is_empty());
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current);
            let family = families.get_mut(name).unwrap();
            assert!(family.kind.is_empty() && family.samples.is_empty());
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            family.kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&current).unwrap();
            let suffix = name
                .strip_prefix(&current)
                .unwrap_or_else(|| panic!("{line} among {current}"));
            if family.kind == "histogram" {
                assert!(["_bucket", "_sum", "_count"].contains(&suffix), "{line}");
            } else {
                assert_eq!(suffix, "", "{line}");
            }
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            family.samples.push((suffix.to_owned(), labels, value));
        }
    }
    for (name, family) in &families {
        if family.kind == "histogram" {
            check_histogram(name, family);
        }
        if family.kind == "counter" {
            assert!(family.samples.iter().all(|(_, _, value)| *value >= 0.0));
        }
    }
    families
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn sample(line: &str) -> (String, Labels, f64) {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let mut value = String::new();
            let mut chars = after.chars();
            loop {
                match chars.next().unwrap() {
                    '"' => break,
                    '\\' => value.push(match chars.next().unwrap() {
                        'n' => '\n',
                        c @ ('"' | '\\') => c,
                        c => panic!("escape {c:?} in {line}"),
                    }),
                    c => value.push(c),
                }
            }
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            rest = chars.as_str();
            match rest.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap();
    assert!(
        !value.contains(' ') && value.parse::<f64>().is_ok_and(f64::is_finite),
        "{line}"
    );
    (name.to_owned(), labels, value.parse().unwrap())
}

fn check_histogram(name: &str, family: &Read) {
    let mut series: BTreeMap<Labels, Vec<(&str, f64, f64)>> = BTreeMap::new();
    for (suffix, labels, value) in &family.samples {
        let mut labels = labels.clone();
        let le = labels.remove("le");
        assert_eq!(le.is_some(), suffix == "_bucket", "{name}");
        let le = le.map_or(f64::NAN, |le| {
            if le == "+Inf" {
                f64::INFINITY
            } else {
                le.parse().unwrap()
            }
        });
        series.entry(labels).or_default().push((suffix, le, *value));
    }
    for samples in series.values() {
        let [buckets @ .., (sum, ..), (count, _, n)] = &samples[..] else {
            panic!("{name}")
        };
        assert_eq!((*sum, *count), ("_sum", "_count"));
        assert!(
            buckets
                .windows(2)
                .all(|w| w[0].1 < w[1].1 && w[0].2 <= w[1].2),
            "{name} is not cumulative"
        );
        let (_, le, all) = buckets.last().unwrap();
        assert!(le.is_infinite() && all == n, "{name}");
    }
}

fn scrape() -> Scrape<'static> {
    Scrape {
        version: "1.2.3",
        uptime: Duration::from_millis(1500),
        process: Some(ProcessSample {
            max_fds: Some(1024),
            cpu_seconds: 0.25,
            ..ProcessSample::default()
        }),
        guard: &GUARD,
    }
}

static GUARD: LazyLock<GuardSample> = LazyLock::new(|| GuardSample {
    limits: vec![LimitSample {
        name: "per_ip".into(),
        keys: 7,
        evicted: 1,
    }],
    engines: vec![EngineSample {
        name: "shared".to_owned(),
        checks: vec![("answered", 5), ("timeout", 2)],
        breaker: 2,
    }],
    lists: vec![("deny.txt".to_owned(), 1000)],
});

impl Read {
    fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        self.suffixed("", labels)
    }

    fn suffixed(&self, suffix: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: Labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        self.samples
            .iter()
            .find(|(s, l, _)| s == suffix && *l == labels)
            .map(|(_, _, value)| *value)
    }
}

#[test]
fn every_family_is_shown_as_documented() {
    let registry = Registry::new(2, 100);
    let (listener, route, service) = (
        registry.listener("l"),
        registry.route("r"),
        registry.service("s"),
    );
    let endpoint = registry.endpoint("s", "e");
    listener.on(0).accepted.inc();
    route.on(0).requests.count(200);
    route.on(0).duration.record(Duration::from_millis(3));
    route.on(0).failures.count(Reason::NoRoute);
    route.on(0).mirrored.count(crate::sets::Mirrored::Dropped);
    let policy = registry.policy("rate_limit", "per_ip");
    policy.on(0).decisions.count(crate::sets::Decision::Denied);
    service.on(1).first_byte.record(Duration::from_millis(2));
    let name = Arc::from("s");
    for (level, endpoint) in [
        (ServiceLevel::InFlight, ""),
        (ServiceLevel::Pending, ""),
        (ServiceLevel::Limit, ""),
        (ServiceLevel::Breaker, ""),
        (ServiceLevel::EndpointEjected, "e"),
        (ServiceLevel::EndpointBreaker, "e"),
    ] {
        registry.set_level(level, &name, endpoint, 1);
    }
    endpoint.on(1).requests.count(500);
    endpoint.set_healthy(true);
    registry.workers().on(0).busy_for(Duration::from_secs(1));
    registry.add_log("access", Arc::default());
    let families = read(&registry.render(&scrape()));
    let expected: BTreeSet<_> = families::ALL
        .iter()
        .map(|family| family.name.to_owned())
        .collect();
    assert_eq!(families.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for family in families::ALL {
        let read = &families[family.name];
        assert_eq!(
            (&*read.kind, &*read.help),
            (family.kind.as_str(), family.help)
        );
        let (_, labels, _) = read
            .samples
            .first()
            .unwrap_or_else(|| panic!("{} has no sample", family.name));
        let names: BTreeSet<_> = labels
            .keys()
            .map(String::as_str)
            .filter(|name| *name != "le")
            .collect();
        assert_eq!(
            names,
            family.labels.iter().copied().collect(),
            "{}",
            family.name
        );
    }
}

#[test]
fn values_are_sums_over_workers() {
    let registry = Registry::new(3, 100);
    let listener = registry.listener("web");
    let route = registry.route("users");
    let service = registry.service("users");
    for worker in 0..3 {
        let cells = listener.on(worker);
        cells.accepted.add(10);
        cells.open.inc();
        cells.refused.count(Refusal::PerIp);
        cells.protocol_errors.count(431);
        route.on(worker).requests.count(204);
        route.on(worker).duration.record(Duration::from_micros(700));
        service.on(worker).pool_idle.set(4);
    }
    listener.on(1).open.dec();
    listener.on(1).open.dec();
    registry.set_generation(7);
    registry.count_reload(true);
    registry.count_reload(false);
    registry.count_reload(false);
    let families = read(&registry.render(&scrape()));
    let value = |family: &str, labels: &[(&str, &str)]| families[family].value(labels).unwrap();
    let web = ("listener", "web");
    assert_eq!(
        value("weir_listener_connections_accepted_total", &[web]),
        30.0
    );
    assert_eq!(value("weir_listener_connections_open", &[web]), 1.0);
    assert_eq!(
        value(
            "weir_listener_connections_refused_total",
            &[web, ("reason", "per_ip")]
        ),
        3.0
    );
    assert_eq!(
        value(
            "weir_listener_connections_refused_total",
            &[web, ("reason", "limit")]
        ),
        0.0
    );
    assert_eq!(
        value(
            "weir_listener_protocol_errors_total",
            &[web, ("status", "431")]
        ),
        3.0
    );
    assert_eq!(
        value(
            "weir_http_requests_total",
            &[("route", "users"), ("class", "2xx")]
        ),
        3.0
    );
    assert_eq!(
        value(
            "weir_service_connections",
            &[("service", "users"), ("state", "idle")]
        ),
        12.0
    );
    assert_eq!(value("weir_config_generation", &[]), 7.0);
    assert_eq!(
        value("weir_config_reloads_total", &[("result", "success")]),
        1.0
    );
    assert_eq!(
        value("weir_config_reloads_total", &[("result", "failure")]),
        2.0
    );
    assert_eq!(value("weir_build_info", &[("version", "1.2.3")]), 1.0);
    assert_eq!(value("weir_uptime_seconds", &[]), 1.5);
    assert_eq!(value("process_cpu_seconds_total", &[]), 0.25);
    let duration = &families["weir_http_request_duration_seconds"];
    let users = ("route", "users");
    assert_eq!(
        duration.suffixed("_bucket", &[users, ("le", "0.0005")]),
        Some(0.0)
    );
    assert_eq!(
        duration.suffixed("_bucket", &[users, ("le", "0.001")]),
        Some(3.0)
    );
    assert_eq!(
        duration.suffixed("_bucket", &[users, ("le", "100")]),
        Some(3.0)
    );
    assert_eq!(duration.suffixed("_sum", &[users]), Some(0.0021));
}

#[test]
fn what_is_quiet_or_gone_is_not_shown() {
    let registry = Registry::new(1, 100);
    let _quiet = registry.route("quiet");
    let gone = registry.route("gone");
    gone.on(0).requests.count(200);
    let listener = registry.listener("always");
    drop(gone);
    let text = registry.render(&scrape());
    read(&text);
    assert!(!text.contains("quiet") && !text.contains("gone"));
    assert!(text.contains("weir_listener_connections_open{listener=\"always\"} 0\n"));
    drop(listener);
    assert!(!registry.render(&scrape()).contains("always"));
}

#[test]
fn endpoints_beyond_the_cap_are_other() {
    let registry = Registry::new(1, 2);
    let held: Vec<_> = (0..5)
        .map(|i| registry.endpoint("s", &format!("10.0.0.{i}:80")))
        .collect();
    for endpoint in &held {
        endpoint.on(0).connects.inc();
        endpoint.set_healthy(true);
    }
    let families = read(&registry.render(&scrape()));
    let connects = &families["weir_endpoint_connects_total"];
    assert_eq!(connects.samples.len(), 3);
    assert_eq!(
        connects.value(&[("service", "s"), ("endpoint", "other")]),
        Some(3.0)
    );
    assert_eq!(
        families["weir_endpoint_healthy"].samples.len(),
        2,
        "the others have no one health"
    );
}

#[test]
fn without_proc_there_are_no_process_metrics() {
    let text = Registry::new(1, 1).render(&Scrape {
        process: None,
        ..scrape()
    });
    read(&text);
    assert!(!text.contains("process_"));
}

#[test]
fn counting_goes_on_while_it_is_scraped() {
    let registry = Registry::new(2, 10);
    let route = registry.route("r");
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let route = &route;
            scope.spawn(move || {
                for i in 0..20_000 {
                    route.on(worker).duration.record(Duration::from_micros(i));
                }
            });
        }
        let mut last = 0.0;
        for _ in 0..50 {
            let families = read(&registry.render(&scrape()));
            let count = families["weir_http_request_duration_seconds"]
                .suffixed("_count", &[("route", "r")]);
            assert!(count.unwrap_or(0.0) >= last);
            last = count.unwrap_or(0.0);
        }
    });
    let families = read(&registry.render(&scrape()));
    assert_eq!(
        families["weir_http_request_duration_seconds"].suffixed("_count", &[("route", "r")]),
        Some(40_000.0)
    );
}

proptest! {
    #[test]
    fn any_name_comes_back(name: String, endpoint: String) {
        let registry = Registry::new(1, 10);
        let route = registry.route(&name);
        route.on(0).requests.count(200);
        let metrics = registry.endpoint(&name, &endpoint);
        metrics.on(0).resets.inc();
        let families = read(&registry.render(&scrape()));
        prop_assert_eq!(families["weir_http_requests_total"].value(&[("route", &name), ("class", "2xx")]), Some(1.0));
        let labels = [("service", &*name), ("endpoint", &*endpoint)];
        prop_assert_eq!(families["weir_endpoint_resets_total"].value(&labels), Some(1.0));
    }
}
