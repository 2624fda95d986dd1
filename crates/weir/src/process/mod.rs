//! A running Weir: the control side that owns the workers.
//!
//! ```text
//! config -> compile -> [bind, open logs] -> commit: services, plan to workers, listeners, logs
//!    ^                                                      |
//!    +-- SIGHUP, changed file, POST /reload <---------------+
//! ```
//!
//! Everything that can fail happens before the first thing changes, so a config
//! that does not work changes nothing. The control runtime is this thread; it runs
//! health checks, name resolution, the admin API and reloads, and never a request.

mod compile;
mod control;
mod guard;
mod logs;
mod refusals;
mod reload;
mod signals;
mod sockets;
mod source_failures;
mod state;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use weir_config::Diagnostics;

pub use self::compile::{Compiled, compile};
pub(crate) use self::reload::UNCHANGED;
use self::state::State;

/// Where the config comes from.
#[derive(Clone, Debug)]
pub enum ConfigSource {
    /// A file or a folder.
    Path(PathBuf),
    /// Text that a command made.
    Text {
        /// What messages call it.
        name: String,
        /// YAML.
        text: String,
    },
}

impl ConfigSource {
    /// What messages and `/status` call it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Text { name, .. } => name.clone(),
        }
    }
}

/// What serves, once it does.
#[derive(Clone, Debug)]
pub struct Started {
    /// Listeners by name, with the addresses that they are bound to.
    pub listeners: Vec<(String, SocketAddr)>,
    /// The admin API, if it is on.
    pub admin: Option<SocketAddr>,
    /// What is suspicious about the config.
    pub warnings: Diagnostics,
}

/// Serves until a signal ends it. `started` is called once everything listens.
pub fn run(source: ConfigSource, started: impl FnOnce(&Started)) -> ExitCode {
    raise_descriptor_limit();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(8)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(1);
        }
    };
    let code = runtime.block_on(serve(source, started));
    // Whatever still blocks a thread now has had its time.
    runtime.shutdown_background();
    code
}

async fn serve(source: ConfigSource, started: impl FnOnce(&Started)) -> ExitCode {
    let mut signals = match signals::Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("error: cannot listen for signals: {error}");
            return ExitCode::from(1);
        }
    };
    let (state, warnings) = match State::start(source).await {
        Ok(started) => started,
        Err(diagnostics) => {
            eprint!("{diagnostics}");
            return ExitCode::from(1);
        }
    };
    let state = Arc::new(state);
    state.serve_admin();
    let serving = state.started(warnings);
    state.say_serving(&serving);
    started(&serving);
    let watching = tokio::spawn(reload::watch(Arc::clone(&state)));
    let keeping = tokio::spawn(state::keep_house(Arc::clone(&state)));
    signals.handle(&state).await;
    watching.abort();
    keeping.abort();
    tokio::select! {
        code = state.stop() => code,
        () = signals.again() => ExitCode::from(130),
    }
}

/// Every connection takes a descriptor, one towards the endpoint another. The soft limit of 1024 is for programs that
/// use `select`; this one may have all that the administrator allows.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Not allowed to: then the limit stays, and accepting pauses when it is reached.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How long a start waits for names that must be resolved.
const START_WAIT: Duration = Duration::from_millis(500);
/// How long a reload does, while the old plan serves.
const RELOAD_WAIT: Duration = Duration::from_secs(3);
