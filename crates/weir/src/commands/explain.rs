//! `weir explain`: the way of a request that is never sent.

mod live;
mod report;
mod url;

use std::time::{SystemTime, UNIX_EPOCH};

use weir_http::{Decision, ExplainedAction, Explanation, Question};

use self::live::Live;
use self::url::Url;
use super::locate;
use crate::cli::Explain;
use crate::config::{Config, ListenerConfig};
use crate::process::{self, Compiled, ConfigSource};
use crate::terminal::{Exit, Output, Paint};

pub(super) fn run(arguments: &Explain) -> Output {
    explain(arguments).unwrap_or_else(|output| output)
}

fn explain(arguments: &Explain) -> Result<Output, Output> {
    let path =
        locate::config(&arguments.config).map_err(|message| Output::error(Exit::Wrong, message))?;
    let compiled =
        process::compile(&ConfigSource::Path(path.clone())).map_err(|problems| Output {
            stdout: String::new(),
            stderr: if Paint::of_stderr().colors {
                problems.colored().to_string()
            } else {
                problems.to_string()
            },
            exit: Exit::Wrong,
        })?;
    let url = Url::parse(&arguments.url).map_err(|message| Output::error(Exit::Usage, message))?;
    let told =
        tell(arguments, &url, &compiled).map_err(|message| Output::error(Exit::Wrong, message))?;
    let live = if told.service().is_some() {
        Live::ask(arguments, &path)
    } else {
        Live::default()
    };
    Ok(Output::fine(if arguments.json.wanted {
        format!("{:#}\n", report::for_machines(&told, &live))
    } else {
        report::for_people(&told, &live, Paint::of_stdout())
    }))
}

/// What there is to report.
struct Told<'a> {
    arguments: &'a Explain,
    /// The Host field of the request.
    host: String,
    listener: &'a ListenerConfig,
    /// Why it is this listener, if nobody said so.
    guess: Option<String>,
    explanation: Explanation,
    config: &'a Config,
}

fn tell<'a>(arguments: &'a Explain, url: &Url, compiled: &'a Compiled) -> Result<Told<'a>, String> {
    let config = &compiled.config;
    let (listener, guess) = listener(arguments, url, config)?;
    let given = arguments
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = match (given, &url.authority) {
        (Some((_, host)), _) => host.clone(),
        (None, Some(authority)) => authority.clone(),
        (None, None) => format!("localhost:{}", listener.address.port()),
    };
    let mut fields = arguments.headers.clone();
    if given.is_none() {
        fields.insert(0, ("Host".to_owned(), host.clone()));
    }
    let question = Question {
        listener: &listener.address.to_string(),
        from: arguments.from,
        method: &arguments.method,
        target: &url.target,
        fields: &fields,
        now: now(),
    };
    let explanation = compiled
        .plan
        .explain(&question)
        .ok_or("this listener does not speak HTTP")?;
    Ok(Told {
        arguments,
        host,
        listener,
        guess,
        explanation,
        config,
    })
}

/// Seconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs())
}

/// The listener that was named, or has the port, or is the first.
fn listener<'a>(
    arguments: &Explain,
    url: &Url,
    config: &'a Config,
) -> Result<(&'a ListenerConfig, Option<String>), String> {
    let mut all = config.listeners.iter();
    if let Some(wanted) = &arguments.listener {
        let found = all.find(|(name, _)| name.value.as_str() == wanted);
        let known = || {
            config
                .listeners
                .keys()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        return match found {
            Some((_, listener)) => Ok((listener, None)),
            None => Err(format!(
                "there is no listener `{wanted}`: there is {}",
                known()
            )),
        };
    }
    let by_port = url
        .port
        .and_then(|port| all.find(|(_, listener)| listener.address.port() == port));
    if let Some((_, listener)) = by_port {
        return Ok((listener, None));
    }
    let (name, first) = config
        .listeners
        .iter()
        .next()
        .ok_or("there is no listener")?;
    let guess = url.port.map(|port| {
        format!(
            "no listener has port {port}, so `{}` is assumed",
            name.value
        )
    });
    Ok((first, guess))
}

impl Told<'_> {
    /// What was asked about, without credentials in its query.
    fn url(&self) -> String {
        let given = &self.arguments.url;
        match given.split_once('?') {
            Some((before, _)) => {
                let query = self.explanation.target.split_once('?');
                format!("{before}?{}", query.map_or("", |(_, query)| query))
            }
            None => given.clone(),
        }
    }

    /// The service that the request goes to, if it does.
    fn service(&self) -> Option<&str> {
        match &self.explanation.decision {
            Decision::Routed(route) => match &route.action {
                ExplainedAction::Service(service) => Some(&service.service),
                _ => None,
            },
            Decision::Answered(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
