//! The command line: what can be typed, and its help, which teaches by example.

use std::convert::Infallible;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use weir_config::{HostPort, ListenAddress, Text};

const EXAMPLES: &str = "\
Examples:
  weir up                      a demo shop behind Weir, to play with
  weir up 3000 3001            Weir in front of two apps on this machine
  weir run                     serves ./weir.yaml
  weir check                   says everything that is wrong with it
  weir explain GET http://api.example.com/users/7
                               which route, service and endpoint, and why

A config is as short as this:

  listeners: { web: \":8080\" }
  routes:
    - { path: /*, service: app }
  services:
    app: [127.0.0.1:3000, 127.0.0.1:3001]

Exit codes: 0 fine, 1 the config or the request was wrong, 2 usage, 3 could not reach a running Weir.";

/// Load balancer, gateway and proxy: one binary, one config file.
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Up(Up),
    Run(Run),
    Check(Check),
    Explain(Explain),
    Status(Status),
    Reload(Reload),
    Drain(Drain),
    Key(Key),
    Schema(Schema),
}

/// Starts without a config: in front of apps on this machine, or of a demo shop.
///
/// With ports, Weir balances over the apps that listen there, on 127.0.0.1. Without, it starts a small shop (users, products
/// and orders, several instances of each) in the same process and stands in front of that.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir up                        the demo shop on http://127.0.0.1:8080
  weir up 3000                   in front of one app
  weir up 3000 3001 3002         balances over three
  weir up 3000 --listen :80      for everyone, on port 80")]
pub(crate) struct Up {
    /// Ports of apps on this machine.
    #[arg(value_name = "PORT", value_parser = port)]
    pub(crate) ports: Vec<u16>,
    /// Where to listen; `:8080` is port 8080 of every address of this machine [default: 127.0.0.1:8080, or the next free port].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(crate) listen: Option<ListenAddress>,
    /// Where the admin API listens [default: 127.0.0.1:9900, or the next free port].
    #[arg(long, value_name = "ADDR", value_parser = listen_address)]
    pub(crate) admin: Option<ListenAddress>,
}

/// Serves a config.
///
/// A changed file, `weir reload` or SIGHUP make it read the config again, without dropping a request; a config that does not
/// compile changes nothing. SIGTERM stops taking connections, lets requests finish, and ends. SIGUSR1 opens the access log's
/// file again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir run                       serves ./weir.yaml
  weir run -c /etc/weir          serves all files of a folder as one config
  TOKEN=secret weir run          fills in ${TOKEN} where the config says so")]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) config: ConfigPath,
}

/// Compiles a config and says everything that is wrong with it.
///
/// Nothing is started, bound or connected to, so this is safe anywhere.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir check                     checks ./weir.yaml
  weir check -c new.yaml && cp new.yaml weir.yaml && weir reload
  weir check --json | jq '.diagnostics[].message'")]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) config: ConfigPath,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Says what would become of a request, and why.
///
/// The answer comes from the config. If a Weir runs with it, the state of the endpoints comes from there. Credentials among the
/// fields are tried, and shown to nobody: whose they are, what they lack, by what the request would be counted. What only
/// somebody else could tell is not asked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir explain GET http://localhost:8080/users/7
  weir explain GET /users/7                         a path alone: for the first listener
  weir explain POST http://api.example.com/orders -H 'content-length: 5000000'
  weir explain GET http://api.example.com/ --from 10.0.0.9 -H 'x-forwarded-for: 192.0.2.1'
  weir explain GET http://api.example.com/ -H 'authorization: Bearer eyJ...'
  weir explain GET /a/../admin --json")]
pub(crate) struct Explain {
    /// The method, such as GET.
    pub(crate) method: String,
    /// `http://host[:port]/path?query`, or a path. The port chooses the listener.
    pub(crate) url: String,
    /// A header field of the request; may be given many times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// Whom the request comes from.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(crate) from: IpAddr,
    /// Where it comes in, by name; otherwise the port of the URL says it.
    #[arg(long, value_name = "NAME")]
    pub(crate) listener: Option<String>,
    #[command(flatten)]
    pub(crate) config: ConfigPath,
    #[command(flatten)]
    pub(crate) admin: Admin,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Shows the listeners, services and endpoints of a running Weir.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir status
  weir status --admin 10.0.0.5:9900      with the token in WEIR_TOKEN
  weir status --json | jq -r '.services[].endpoints[] | select(.state == \"unhealthy\").address'")]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) config: ConfigPath,
    #[command(flatten)]
    pub(crate) admin: Admin,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Makes a running Weir read its config again.
///
/// If the new config does not compile, the old one goes on serving, and this says why. A changed file is noticed after a second
/// anyway; if it was read already, this does nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir reload
  weir reload || echo 'still serving the old config'")]
pub(crate) struct Reload {
    #[command(flatten)]
    pub(crate) config: ConfigPath,
    #[command(flatten)]
    pub(crate) admin: Admin,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Takes an endpoint of a running Weir out of service, or back in.
///
/// It gets no new requests; those that it has may finish. This lasts until --undo, also over reloads, but not over restarts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir drain 127.0.0.1:3001
  weir drain 127.0.0.1:3001 --service users
  weir drain 127.0.0.1:3001 --undo")]
pub(crate) struct Drain {
    /// The address of the endpoint, or what the config says.
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) endpoint: String,
    /// Only in this service.
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Gives it new requests again.
    #[arg(long)]
    pub(crate) undo: bool,
    #[command(flatten)]
    pub(crate) config: ConfigPath,
    #[command(flatten)]
    pub(crate) admin: Admin,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Makes API keys, and the hashes that stand in a config in place of secrets.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir key new --id partner-7 --plan gold --scope orders:read --expires 90d
  weir key new --file keys.yaml             and a running Weir knows it a second later
  weir key password                         asks for one, and prints its hash for `basic`")]
pub(crate) struct Key {
    #[command(subcommand)]
    pub(crate) command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Makes an API key. It is shown once; what is stored is its hash.
    New(NewKeyArguments),
    /// Prints what is stored of an API key that was made elsewhere, which is read from standard input.
    Hash,
    /// Prints the hash of a password, which is read from standard input: for `users` of `basic`.
    Password,
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArguments {
    /// What it is called in logs and limits [default: 12 random characters].
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Whose it is.
    #[arg(long, value_name = "TEXT")]
    pub(crate) subject: Option<String>,
    /// The plan of rate limits that it is on.
    #[arg(long, value_name = "NAME")]
    pub(crate) plan: Option<String>,
    /// What it may do; may be given many times, or separated by commas.
    #[arg(
        long = "scope",
        visible_alias = "scopes",
        value_name = "SCOPE",
        value_delimiter = ','
    )]
    pub(crate) scopes: Vec<String>,
    /// When it ends: `2027-01-31`, `2027-01-31T12:00:00Z`, or `90d` from now [default: never].
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<String>,
    /// What else is known about it; may be given many times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Adds it to this file of keys.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) json: Json,
}

/// Prints the JSON Schema of the config, which editors understand.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir schema > weir.schema.json
  # and in the first line of weir.yaml, for editors with the YAML language server:
  # yaml-language-server: $schema=weir.schema.json")]
pub(crate) struct Schema {}

#[derive(Debug, Args)]
pub(crate) struct ConfigPath {
    /// The config, a file or a folder of files [default: weir.yaml, weir.yml or weir.json in this folder].
    #[arg(short = 'c', long = "config", value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// For those who leave out the -c.
    #[arg(value_name = "CONFIG", hide = true, value_parser = misplaced)]
    misplaced: Option<Infallible>,
}

#[derive(Debug, Args)]
pub(crate) struct Admin {
    /// The admin API of the running Weir [default: what the config says, or else 127.0.0.1:9900].
    #[arg(long = "admin", value_name = "ADDR", value_parser = admin_address)]
    pub(crate) address: Option<String>,
    /// The token of the admin API; others on this machine can see it here, but not in the environment as WEIR_TOKEN.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Json {
    /// Writes JSON, for machines.
    #[arg(long = "json")]
    pub(crate) wanted: bool,
}

fn misplaced(text: &str) -> Result<Infallible, String> {
    Err(format!("a config is named with -c: `-c {text}`"))
}

/// A port that something can listen on.
fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// Where to listen, as the config has it.
fn listen_address(text: &str) -> Result<ListenAddress, String> {
    ListenAddress::from_text(text).map_err(|hint| expected(ListenAddress::EXPECTED, &hint))
}

/// Whom to ask: any host and port, or `:9900` for this machine.
fn admin_address(text: &str) -> Result<String, String> {
    let full = if text.starts_with(':') {
        format!("127.0.0.1{text}")
    } else {
        text.to_owned()
    };
    match HostPort::from_text(&full) {
        Ok(_) => Ok(full),
        Err(hint) => Err(expected(HostPort::EXPECTED, &hint)),
    }
}

fn expected(what: &str, hint: &str) -> String {
    if hint.is_empty() {
        format!("expected {what}")
    } else {
        format!("expected {what}; {hint}")
    }
}

/// `name: value`, as curl takes it.
fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write it as `name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// `name=value`
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as `name=value`")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
