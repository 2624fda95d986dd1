//! Asking a running Weir: which one, with what token, and what a refusal means.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::Value as Json;
use weir_admin::{AdminConfig, ClientError, Response};
use weir_config::{OrOff, Secret, process_environment};

use super::locate;
use crate::cli::{Admin, ConfigPath};
use crate::config;
use crate::terminal::{Exit, Output};

/// The admin API of a running Weir.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) address: String,
    token: Option<Secret>,
    /// Why it may be somewhere else.
    note: Option<String>,
}

impl Remote {
    /// Where it is: as given, or as the config says, or where it is by default.
    pub(super) fn find(admin: &Admin, config: &ConfigPath) -> Result<Self, Output> {
        let token = admin
            .token
            .clone()
            .or_else(|| process_environment("WEIR_TOKEN"));
        let token = token
            .filter(|token| !token.is_empty())
            .map(|token| Secret::new(&token));
        if let Some(address) = &admin.address {
            return Ok(Self {
                address: address.clone(),
                token,
                note: None,
            });
        }
        if let Some(path) = config.path.as_ref().filter(|path| !path.exists()) {
            let message = format!("there is no config {}", locate::name(path));
            return Err(Output::error(Exit::Wrong, message));
        }
        let (configured, note) = match locate::config(config).ok() {
            None => (AdminConfig::default(), None),
            Some(path) => {
                let name = locate::name(&path);
                match config::admin(&path, &process_environment) {
                    Ok(OrOff::On(admin)) => {
                        let note = format!(
                            "this address is from {name}; if `admin` has just changed there, the running Weir may still be at the old one: --admin OLD"
                        );
                        (admin, Some(note))
                    }
                    Ok(OrOff::Off) => {
                        let message = format!(
                            "{name} says `admin: off`, so a Weir that runs with it cannot be asked\n  if that is new, the running Weir may still be at the old address: --admin ADDR"
                        );
                        return Err(Output::error(Exit::Unreachable, message));
                    }
                    Err(problems) => {
                        let note = format!(
                            "this address is a guess, since {name} does not tell:\n\n{problems}"
                        );
                        (AdminConfig::default(), Some(note))
                    }
                }
            }
        };
        Ok(Self {
            address: reachable(configured.address.socket_addr()).to_string(),
            token: token.or(configured.token),
            note,
        })
    }

    /// The answer, or what to tell the user instead.
    pub(super) fn ask(&self, method: &str, path: &str) -> Result<Response, Output> {
        let answer = self.request(method, path).map_err(|error| {
            let note = self
                .note
                .as_ref()
                .map(|note| format!("\n  {note}"))
                .unwrap_or_default();
            Output::error(
                Exit::Unreachable,
                format!("{error}\n  does a Weir run? `--admin ADDR` says where{note}"),
            )
        })?;
        match answer.status {
            401 => {
                let shown = if self.token.is_some() {
                    "does not take this token"
                } else {
                    "wants a token"
                };
                let message = format!(
                    "the Weir at {} {shown}\n  set WEIR_TOKEN, or say --token",
                    self.address
                );
                Err(Output::error(Exit::Wrong, message))
            }
            403 | 404 | 400 | 405 => {
                let detail =
                    parsed(&answer).and_then(|body| Some(body["detail"].as_str()?.to_owned()));
                let detail = detail.unwrap_or_else(|| {
                    format!("{} answers with status {}", self.address, answer.status)
                });
                Err(Output::error(Exit::Wrong, detail))
            }
            _ => Ok(answer),
        }
    }

    /// The answer, whatever its status.
    pub(super) fn request(&self, method: &str, path: &str) -> Result<Response, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(|error| ClientError::Connect {
            address: self.address.clone(),
            error,
        })?;
        runtime.block_on(weir_admin::request(
            &self.address,
            self.token.as_ref(),
            method,
            path,
        ))
    }
}

/// The body as JSON.
pub(super) fn parsed(answer: &Response) -> Option<Json> {
    serde_json::from_slice(&answer.body).ok()
}

/// For an answer that makes no sense.
pub(super) fn nonsense(remote: &Remote, answer: &Response) -> Output {
    let message = format!(
        "{} does not answer like Weir: status {}",
        remote.address, answer.status
    );
    Output::error(Exit::Unreachable, message)
}

/// Where to connect to get to a socket that is bound to `address`.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
