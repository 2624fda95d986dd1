//! `routes`: what a big routing table costs a request.

use std::fmt::Write as _;

use weir_testkit::{Weir, Wrk};

use super::sample::{Sample, Samples, mebibytes};
use super::{LOAD_CORE, Lab, subject};
use crate::Result;

/// How many routes the big table has.
pub(super) const MANY: usize = 10_000;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "routes: 10,000 routes and one",
        "Prefix, exact and parameter routes of many hosts; the same 1,000 paths in turn.",
    );
    if lab.weir.is_none() {
        lab.report.line("Weir does not take part in this run.");
        return Ok(());
    }
    let origin = subject::origin()?;
    let one = "  - { path: /*, service: app }\n".to_owned();
    let mut rows = Vec::new();
    for (name, routes) in [("1 route", one), ("10,000 routes", many(MANY, "a"))] {
        let launch = lab
            .launch_weir(&config(&routes))?
            .value("origin", origin.addr("web"));
        rows.push((name, Weir::try_launch(launch)?, Samples::default()));
    }
    for round in 0..=lab.options.rounds {
        for (_, weir, samples) in &mut rows {
            let wrk = Wrk::new(weir.addr("web"), "/")
                .paths(paths())
                .cores(LOAD_CORE);
            if round == 0 {
                wrk.run()?;
            } else {
                samples.push(Sample::take(weir, &wrk.duration(lab.options.turn))?);
            }
        }
    }
    let base = rows[0].2.median(|sample| sample.cpu);
    let table: Vec<Vec<String>> = rows
        .iter()
        .map(|(name, weir, samples)| cells(name, weir, samples, base))
        .collect();
    lab.report.table(
        &[
            "Weir with",
            "CPU µs/request",
            "of 1 route",
            "requests/s",
            "p99",
            "peak memory",
        ],
        &table,
    );
    Ok(())
}

fn cells(name: &str, weir: &Weir, samples: &Samples, base: f64) -> Vec<String> {
    if samples.errors() > 0 {
        return vec![
            name.to_owned(),
            format!("void: {} errors", samples.errors()),
        ];
    }
    let cpu = samples.median(|sample| sample.cpu);
    vec![
        name.to_owned(),
        format!("{cpu:.1}"),
        format!("{:.3}", cpu / base),
        format!("{:.0}", samples.median(|sample| sample.rate)),
        samples.median_time(|sample| sample.p99),
        mebibytes(weir.usage().peak),
    ]
}

/// A config of Weir with these routes, all to one service.
pub(super) fn config(routes: &str) -> String {
    format!(
        "workers: 1\nadmin: \"@admin@\"\nlog: {{ access: \"@log@\" }}\nlisteners: {{ web: \"@web@\" }}\n\
         services: {{ app: [\"@origin@\"] }}\nroutes:\n{routes}"
    )
}

/// A table of `count` routes, as a large company would have: per API a prefix, an exact path and a parameter, a
/// tenth of them on hosts of their own, and one for everything else. `salt` makes tables differ.
pub(super) fn many(count: usize, salt: &str) -> String {
    let mut text = "  - { path: /*, service: app }\n".to_owned();
    for number in 1..count {
        let api = number / 3;
        let host = if number % 10 == 0 {
            format!("host: h{api}.example.com, ")
        } else {
            String::new()
        };
        let path = match number % 3 {
            0 => format!("/api/{salt}{api}/*"),
            1 => format!("/api/{salt}{api}/status"),
            _ => format!("/api/{salt}{api}/items/{{id}}"),
        };
        let _ = writeln!(text, "  - {{ {host}path: \"{path}\", service: app }}");
    }
    text
}

fn paths() -> Vec<String> {
    (0..1000)
        .map(|number| {
            let api = number * 7 % (MANY / 3);
            match number % 3 {
                0 => format!("/api/a{api}/some/where"),
                1 => format!("/api/a{api}/status"),
                _ => format!("/api/a{api}/items/{number}"),
            }
        })
        .collect()
}
