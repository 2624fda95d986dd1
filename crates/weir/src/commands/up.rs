//! `weir up`: a config made of nothing.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;
use weir_config::ListenAddress;

use crate::cli::Up;
use crate::demo::Demo;
use crate::process::{self, ConfigSource, Started};
use crate::terminal::{Exit, Output, Paint};

/// Ports to try, from the usual one.
const TRIED: u16 = 100;

/// How long an app on this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(200);

pub(super) fn run(arguments: &Up) -> ExitCode {
    let mut ports = arguments.ports.clone();
    ports.sort_unstable();
    ports.dedup();
    let apps: Vec<SocketAddr> = ports.into_iter().map(local).collect();
    let addresses = match Addresses::choose(arguments, &apps) {
        Ok(addresses) => addresses,
        Err(message) => return Output::error(Exit::Wrong, message).print(),
    };
    if apps.is_empty() {
        return in_front_of_demo(&addresses);
    }
    let config = in_front_of(&apps, &addresses);
    serve(config.clone(), |started| {
        apps_banner(started, &apps, &config)
    })
}

fn in_front_of_demo(addresses: &Addresses) -> ExitCode {
    // It ends with this function, after Weir.
    let demo = match Demo::start() {
        Ok(demo) => demo,
        Err(error) => {
            return Output::error(Exit::Wrong, format!("the demo shop cannot start: {error}"))
                .print();
        }
    };
    serve(config_of_demo(&demo, addresses), demo_banner)
}

fn serve(config: String, banner: impl FnOnce(&Started) -> String) -> ExitCode {
    let source = ConfigSource::Text {
        name: "weir up".to_owned(),
        text: config,
    };
    process::run(source, |started| {
        let _ = std::io::stdout().write_all(banner(started).as_bytes());
    })
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Where Weir itself listens.
#[derive(Debug)]
struct Addresses {
    listen: ListenAddress,
    admin: ListenAddress,
}

impl Addresses {
    /// What was asked for, or what is free. Never where one of the apps is, or is about to be: Weir would stand in front of
    /// itself.
    fn choose(arguments: &Up, apps: &[SocketAddr]) -> Result<Self, String> {
        let mut taken: Vec<ListenAddress> = apps.iter().copied().map(ListenAddress::new).collect();
        taken.extend(arguments.admin);
        let listen = choose(arguments.listen, 8080, "--listen", &taken)?;
        taken.push(listen);
        let admin = choose(arguments.admin, 9900, "--admin", &taken)?;
        for (own, option) in [(listen, "--listen"), (admin, "--admin")] {
            let app = apps
                .iter()
                .find(|app| own.overlaps(ListenAddress::new(**app)));
            if let Some(app) = app {
                return Err(format!(
                    "`{option} {own}` is where the app {app} should be: Weir would call itself"
                ));
            }
        }
        Ok(Self { listen, admin })
    }
}

/// The address that was asked for, or a free one of this machine only: nobody asked for more.
fn choose(
    given: Option<ListenAddress>,
    from: u16,
    option: &str,
    taken: &[ListenAddress],
) -> Result<ListenAddress, String> {
    let free = || {
        (from..from.saturating_add(TRIED))
            .map(local)
            .find(|address| {
                let own = ListenAddress::new(*address);
                !taken.iter().any(|other| own.overlaps(*other))
                    && TcpListener::bind(address).is_ok()
            })
            .map(ListenAddress::new)
    };
    given
        .or_else(free)
        .ok_or_else(|| format!("no port from {from} on is free: say {option} ADDR"))
}

/// What every config here begins with.
fn common(addresses: &Addresses) -> String {
    let Addresses { listen, admin } = addresses;
    format!(
        "listeners: {{ web: \"{listen}\" }}
admin: \"{admin}\"
log: {{ format: text }}
shutdown: 1s   # for a quick Ctrl-C; without this line requests get 30s to finish
"
    )
}

/// The config in front of apps. It is shown as it is used, so it is written for people.
fn in_front_of(apps: &[SocketAddr], addresses: &Addresses) -> String {
    format!(
        "{}routes: [{{ path: /*, service: app }}]
services:
  app:
    endpoints: [{}]
    health: {{ tcp: true, interval: 2s, healthy_after: 1, unhealthy_after: 2 }}
",
        common(addresses),
        listed(apps)
    )
}

fn config_of_demo(demo: &Demo, addresses: &Addresses) -> String {
    let mut shop = json!({});
    demo.configure(&mut shop);
    // JSON is YAML.
    let (routes, services) = (&shop["routes"], &shop["services"]);
    format!(
        "{}routes: {routes}\nservices: {services}\n",
        common(addresses)
    )
}

fn listed(apps: &[SocketAddr]) -> String {
    let apps: Vec<String> = apps.iter().map(ToString::to_string).collect();
    apps.join(", ")
}

/// A line for each app where nobody answers yet.
fn missing(apps: &[SocketAddr], paint: Paint) -> String {
    apps.iter()
        .filter(|app| TcpStream::connect_timeout(app, PATIENCE).is_err())
        .map(|app| {
            format!(
                "{} nothing listens on {app} yet\n",
                paint.yellow("warning:")
            )
        })
        .collect()
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

fn apps_banner(started: &Started, apps: &[SocketAddr], config: &str) -> String {
    let paint = Paint::of_stdout();
    let url = url(started);
    let mut out = format!(
        "{} on {}, in front of {}\n{}\n",
        paint.bold("Weir is up"),
        paint.bold(&url),
        listed(apps),
        missing(apps, paint)
    );
    let _ = writeln!(out, "  try        curl -i {url}/");
    about_admin(&mut out, started);
    out.push_str(
        "\nThis is its config. To keep it, put it into weir.yaml, and start `weir run`:\n\n",
    );
    for line in config.lines() {
        let _ = writeln!(out, "  {line}");
    }
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
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn compiles(text: String) {
        let source = ConfigSource::Text {
            name: "weir up".to_owned(),
            text,
        };
        let compiled = process::compile(&source).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(compiled.warnings.is_empty(), "{}", compiled.warnings);
    }

    fn up(line: &str) -> Up {
        match Cli::try_parse_from(line.split(' ')) {
            Ok(Cli {
                command: Command::Up(arguments),
            }) => arguments,
            other => panic!("{other:?}"),
        }
    }

    fn chosen(line: &str, apps: &[u16]) -> Result<Addresses, String> {
        let apps: Vec<SocketAddr> = apps.iter().copied().map(local).collect();
        Addresses::choose(&up(line), &apps)
    }

    #[test]
    fn what_it_makes_up_is_a_config() {
        let here = chosen("weir up", &[]).unwrap();
        compiles(in_front_of(&[local(3000), local(3001)], &here));
        let everywhere = chosen("weir up --listen :80", &[]).unwrap();
        compiles(in_front_of(&[local(3000)], &everywhere));
        let demo = Demo::start().unwrap();
        compiles(config_of_demo(&demo, &here));
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let free = |from| choose(None, from, "", &[]).unwrap().socket_addr();
        let first = free(18_080);
        let _taken = TcpListener::bind(first).unwrap();
        assert_ne!(free(first.port()), first);
    }

    #[test]
    fn weir_is_never_in_front_of_itself() {
        let addresses = chosen("weir up", &[8080, 8081, 9900]).unwrap();
        assert!(addresses.listen.port() > 8081 && addresses.admin.port() > 9900);
        let addresses = chosen("weir up --listen :9900", &[]).unwrap();
        assert_ne!(addresses.admin.port(), 9900);
        for (line, refused) in [
            ("weir up --listen :8080", true),
            ("weir up --listen 127.0.0.1:8080", true),
            ("weir up --admin 127.0.0.1:8080", true),
            ("weir up --listen 127.0.0.2:8080", false),
        ] {
            assert_eq!(chosen(line, &[8080]).is_err(), refused, "{line}");
        }
    }
}
