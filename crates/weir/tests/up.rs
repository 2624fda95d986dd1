//! `weir up`: Weir without a config, in front of apps and of the demo shop.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use weir_testkit::{Echo, RawClient, Response, free_addr, wait_until};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");

/// A running `weir up`; dropped, it is killed.
struct Up {
    child: Child,
    web: SocketAddr,
    admin: SocketAddr,
}

impl Up {
    fn start(ports: &[&str]) -> Self {
        let mut child = Command::new(WEIR)
            .args(["up", "--listen", &free_addr().to_string()])
            .args(["--admin", &free_addr().to_string()])
            .args(ports)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let lines = lines(child.stdout.take().expect("piped"));
        let (mut web, mut admin) = (None, None);
        let end = Instant::now() + Duration::from_secs(20);
        while admin.is_none() {
            let left = end.saturating_duration_since(Instant::now());
            let line = lines.recv_timeout(left).expect("the banner");
            if line.contains("Weir is up") {
                web = address(&line);
            } else if line.contains("/metrics") {
                admin = address(&line);
            }
        }
        // The access log goes on, and nobody may stop reading it.
        std::thread::spawn(move || while lines.recv().is_ok() {});
        Self {
            child,
            web: web.expect("an address"),
            admin: admin.expect("an address"),
        }
    }

    fn get(&self, path: &str) -> Response {
        RawClient::connect(self.web).get(path)
    }

    fn post(&self, path: &str) -> Response {
        let host = self.web;
        RawClient::exchange(
            host,
            format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"),
        )
    }

    fn interrupt(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .expect("kill");
        assert!(sent.success());
        let mut ended = None;
        wait_until("it ends", || {
            ended = self.child.try_wait().expect("wait");
            ended.is_some()
        });
        ended.expect("awaited")
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stdout: std::process::ChildStdout) -> Receiver<String> {
    let (sender, receiver) = sync_channel(64);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// The address of the first URL in a line.
fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("http://")?;
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':'));
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[test]
fn apps_on_this_machine_are_balanced() {
    let apps = [Echo::start("a"), Echo::start("b")];
    let ports = apps.each_ref().map(|app| app.addr().port().to_string());
    let mut up = Up::start(&[&ports[0], &ports[1]]);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        seen.insert(up.get("/").json()["name"].to_string());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(RawClient::connect(up.admin).get("/readyz").status, 200);
    let exit = up.interrupt();
    assert!(exit.success(), "{exit}");
}

#[test]
fn what_it_prints_is_what_runs() {
    let nobody = free_addr();
    let (web, admin) = (free_addr(), free_addr());
    let mut child = Command::new(WEIR)
        .args(["up", &nobody.port().to_string()])
        .args(["--listen", &web.to_string(), "--admin", &admin.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("start");
    let lines = lines(child.stdout.take().expect("piped"));
    let mut banner = String::new();
    while !banner.contains("Ctrl-C ends it") {
        match lines.recv_timeout(Duration::from_secs(20)) {
            Ok(line) => banner += &(line + "\n"),
            Err(_) => break,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    for part in [
        format!("warning: nothing listens on {nobody} yet"),
        format!("listeners: {{ web: \"{web}\" }}"),
        format!("admin: \"{admin}\""),
        format!("endpoints: [{nobody}]"),
        "health: { tcp: true".to_owned(),
    ] {
        assert!(banner.contains(&part), "{part}\n{banner}");
    }
}

#[test]
fn an_open_stream_does_not_keep_it_alive() {
    let mut up = Up::start(&[]);
    let mut client = RawClient::connect(up.web);
    client.send(format!(
        "GET /api/orders/events HTTP/1.1\r\nHost: {}\r\n\r\n",
        up.web
    ));
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let exit = up.interrupt();
    assert!(
        exit.success() && begun.elapsed() < Duration::from_secs(8),
        "{exit} {:?}",
        begun.elapsed()
    );
}

#[test]
fn the_demo_survives_the_loss_of_an_instance() {
    let mut up = Up::start(&[]);
    let home = up.get("/");
    assert_eq!(home.status, 200);
    assert!(home.text().contains("<title>Weir"), "{}", home.text());
    let by = |up: &Up| up.get("/api/users/1").json()["served_by"].to_string();
    wait_until("users-1 answers", || by(&up) == "\"users-1\"");
    assert_eq!(up.post("/demo/users-1/stop").status, 200);
    for _ in 0..100 {
        let response = up.get("/api/users/1");
        assert_eq!(response.status, 200, "{}", response.text());
    }
    assert_eq!(up.post("/demo/users-1/start").status, 200);
    wait_until("users-1 answers again", || by(&up) == "\"users-1\"");
    let exit = up.interrupt();
    assert!(exit.success(), "{exit}");
}
