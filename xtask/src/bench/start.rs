//! `start`: from exec to the first response.

use std::thread;
use std::time::{Duration, Instant};

use weir_testkit::RawClient;

use super::sample::{median, millis};
use super::subject::{self, HAPROXY_NO_LOG, NGINX, WEIR};
use super::{LOAD_CORE, Lab};
use crate::Result;

const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "start: from exec to the first response",
        &format!(
            "A client on core {LOAD_CORE} tries every 0.2 ms; medians of four starts a round."
        ),
    );
    let origin = subject::origin()?;
    let subjects = lab.present(&[WEIR, NGINX, HAPROXY_NO_LOG]);
    let mut times = vec![Vec::new(); subjects.len()];
    for _ in 0..lab.options.rounds * 4 {
        for (subject, times) in subjects.iter().zip(&mut times) {
            let launch = lab.launch(*subject, &origin)?;
            let begin = Instant::now();
            let server = launch.spawn();
            let addr = server.addr("web");
            while !served(addr) {
                if begin.elapsed() > LIMIT {
                    return Err(format!(
                        "{} served nothing within {LIMIT:?}\n{}",
                        subject.name,
                        server.stderr()
                    ));
                }
                thread::sleep(Duration::from_micros(200));
            }
            times.push(begin.elapsed().as_secs_f64());
        }
    }
    let rows: Vec<Vec<String>> = subjects
        .iter()
        .zip(times)
        .map(|(subject, times)| {
            let slowest = times.iter().copied().fold(0.0, f64::max);
            vec![
                subject.name.to_owned(),
                millis(median(times)),
                millis(slowest),
            ]
        })
        .collect();
    lab.report.table(&["subject", "median", "slowest"], &rows);
    Ok(())
}

fn served(addr: std::net::SocketAddr) -> bool {
    let Ok(mut client) = RawClient::try_connect(addr) else {
        return false;
    };
    client.send("GET / HTTP/1.1\r\nHost: start.example\r\n\r\n");
    client
        .try_response()
        .is_ok_and(|response| response.status == 200)
}
