//! `idle`: memory for keep-alive connections that wait.

use std::net::SocketAddr;

use weir_testkit::{RawClient, Response, raise_descriptor_limit};

use super::Lab;
use super::sample::mebibytes;
use super::subject::{self, HAPROXY_NO_LOG, NGINX, WEIR};
use crate::Result;

const CONNECTIONS: usize = 10_000;

pub(super) fn run(lab: &mut Lab) -> Result<()> {
    lab.report.heading(
        "idle: 10,000 keep-alive connections",
        "Each had a response and waits; growth of the resident memory of the subject, kernel buffers not included.",
    );
    let limit = raise_descriptor_limit(65_536);
    if limit < CONNECTIONS as u64 + 1000 {
        lab.report.line(&format!(
            "Not measured: only {limit} open files are allowed (ulimit -n)."
        ));
        return Ok(());
    }
    let mut table = Vec::new();
    let origin = subject::origin()?;
    for subject in lab.present(&[WEIR, NGINX, HAPROXY_NO_LOG]) {
        let running = lab.start(subject, &origin)?;
        let (server, addr) = (running.server(), running.server().addr("web"));
        open(addr, 100)?
            .into_iter()
            .try_for_each(|mut client| ask(&mut client))?;
        let before = server.usage().resident;
        let mut clients = open(addr, CONNECTIONS)?;
        let growth = server.usage().resident.saturating_sub(before);
        // All of them must still be there.
        let alive = clients
            .iter_mut()
            .map(ask)
            .filter(std::result::Result::is_ok)
            .count();
        table.push(match alive {
            CONNECTIONS => vec![
                subject.name.to_owned(),
                format!("{:.2} KiB", growth as f64 / 1024.0 / CONNECTIONS as f64),
                mebibytes(before),
                mebibytes(before + growth),
            ],
            _ => vec![
                subject.name.to_owned(),
                format!("void: {} closed", CONNECTIONS - alive),
            ],
        });
    }
    lab.report
        .table(&["subject", "per connection", "before", "with all"], &table);
    Ok(())
}

/// Opens connections one after the other, with one request on each.
fn open(addr: SocketAddr, count: usize) -> Result<Vec<RawClient>> {
    (0..count)
        .map(|number| {
            let mut client =
                RawClient::try_connect(addr).map_err(|e| format!("connection {number}: {e}"))?;
            ask(&mut client)?;
            Ok(client)
        })
        .collect()
}

fn ask(client: &mut RawClient) -> Result<()> {
    let sent = client.try_send("GET / HTTP/1.1\r\nHost: idle.example\r\n\r\n");
    match sent.and_then(|()| client.try_response()) {
        Ok(Response { status: 200, .. }) => Ok(()),
        Ok(response) => Err(format!("status {}", response.status)),
        Err(e) => Err(e.to_string()),
    }
}
