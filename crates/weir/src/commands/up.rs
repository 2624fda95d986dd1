//! `weir up`: a config made of nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;

use serde_json::{Value as Json, json};

use crate::cli::Up;
use crate::demo::Demo;
use crate::process::{self, ConfigSource, Started};
use crate::terminal::{Exit, Output, Paint};

/// Ports to try, from the usual one.
const TRIED: u16 = 100;

pub(super) fn run(arguments: &Up) -> ExitCode {
    let addresses = choose(arguments.listen.as_deref(), 8080, "--listen")
        .and_then(|listen| Ok((listen, choose(arguments.admin.as_deref(), 9900, "--admin")?)));
    let (listen, admin) = match addresses {
        Ok(addresses) => addresses,
        Err(message) => return Output::error(Exit::Wrong, message).print(),
    };
    if arguments.ports.is_empty() {
        return in_front_of_demo(&listen, &admin);
    }
    let mut ports = arguments.ports.clone();
    ports.sort_unstable();
    ports.dedup();
    let config = in_front_of(&ports, &listen, &admin);
    serve(&config, |started| apps_banner(started, &ports))
}

fn in_front_of_demo(listen: &str, admin: &str) -> ExitCode {
    // It ends with this function, after Weir.
    let demo = match Demo::start() {
        Ok(demo) => demo,
        Err(error) => {
            return Output::error(Exit::Wrong, format!("the demo shop cannot start: {error}"))
                .print();
        }
    };
    let mut config = common(listen, admin);
    demo.configure(&mut config);
    serve(&config, demo_banner)
}

fn serve(config: &Json, banner: impl FnOnce(&Started) -> String) -> ExitCode {
    // JSON is YAML.
    let source = ConfigSource::Text {
        name: "weir up".to_owned(),
        text: format!("{config:#}"),
    };
    process::run(source, |started| {
        let _ = std::io::stdout().write_all(banner(started).as_bytes());
    })
}

/// The address that was asked for, or a free one.
fn choose(given: Option<&str>, from: u16, option: &str) -> Result<String, String> {
    match given {
        Some(address) => Ok(address.to_owned()),
        None => free(from)
            .map(|address| address.to_string())
            .ok_or_else(|| format!("no port from {from} on is free: say {option} ADDR")),
    }
}

/// An address of this machine only: nobody asked for more.
fn free(from: u16) -> Option<SocketAddr> {
    (from..from.saturating_add(TRIED))
        .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .find(|address| TcpListener::bind(address).is_ok())
}

fn common(listen: &str, admin: &str) -> Json {
    json!({
        "admin": admin,
        "log": { "format": "text" },
        "listeners": { "web": listen },
    })
}

fn in_front_of(ports: &[u16], listen: &str, admin: &str) -> Json {
    let mut config = common(listen, admin);
    config["routes"] = json!([{ "path": "/*", "service": "app" }]);
    config["services"] = json!({
        "app": {
            "endpoints": ports.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>(),
            "health": { "tcp": true, "interval": "2s", "healthy_after": 1, "unhealthy_after": 2 },
        },
    });
    config
}

/// Where Weir is, for a browser or curl on this machine.
fn url(started: &Started) -> String {
    let address = started.listeners.first().map(|(_, address)| *address);
    let Some(mut address) = address else {
        return String::new();
    };
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    format!("http://{address}")
}

/// What both banners say.
fn about_admin(out: &mut String, started: &Started) {
    let Some(admin) = started.admin else { return };
    let option = if admin.port() == 9900 {
        String::new()
    } else {
        format!(" --admin {admin}")
    };
    let _ = writeln!(out, "  state      weir status{option}");
    let _ = writeln!(out, "  metrics    curl http://{admin}/metrics");
}

const CLOSING: &str = "\nCtrl-C ends it. Each request is a line of JSON from here on.\n\n";

fn apps_banner(started: &Started, ports: &[u16]) -> String {
    let paint = Paint::of_stdout();
    let url = url(started);
    let apps: Vec<String> = ports
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let mut out = format!(
        "{} on {}, in front of {}\n\n",
        paint.bold("Weir is up"),
        paint.bold(&url),
        apps.join(", ")
    );
    let _ = writeln!(out, "  try        curl -i {url}/");
    about_admin(&mut out, started);
    let _ = write!(
        out,
        "\nTo keep it, put this into weir.yaml, and start `weir run`:\n\n  listeners: {{ web: \":8080\" }}\n  routes: [{{ path: /*, service: app }}]\n  services: {{ app: [{}] }}\n",
        apps.join(", ")
    );
    out.push_str(CLOSING);
    out
}

fn demo_banner(started: &Started) -> String {
    let paint = Paint::of_stdout();
    let url = url(started);
    let mut out = format!(
        "{} on {}, in front of a demo shop\n\n",
        paint.bold("Weir is up"),
        paint.bold(&url)
    );
    let _ = write!(
        out,
        "  look       {url}/ in a browser
  users      curl {url}/api/users/1        (again: another instance answers)
  products   curl {url}/api/products
  order      curl {url}/api/orders -d '{{\"user\": 1, \"product\": 2, \"quantity\": 3}}'
  events     curl -N {url}/api/orders/events
  failover   curl -X POST {url}/demo/users-1/stop    (and /start): no request fails
"
    );
    about_admin(&mut out, started);
    out.push_str(CLOSING);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiles(config: &Json) {
        let source = ConfigSource::Text {
            name: "weir up".to_owned(),
            text: config.to_string(),
        };
        let compiled = process::compile(&source).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
    }

    #[test]
    fn what_it_makes_up_is_a_config() {
        let admin = "127.0.0.1:9900";
        compiles(&in_front_of(&[3000, 3001], "127.0.0.1:8080", admin));
        compiles(&in_front_of(&[3000], ":80", admin));
        let demo = Demo::start().unwrap();
        let mut config = common("127.0.0.1:8080", admin);
        demo.configure(&mut config);
        compiles(&config);
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let first = free(18_080).unwrap();
        let _taken = TcpListener::bind(first).unwrap();
        assert_ne!(free(first.port()), Some(first));
    }
}
