//! What all test servers share: a config with placeholders, a folder, a process, and a moment when it is ready.

use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process::{Process, missing, on_cores};
use crate::template::Template;
use crate::{TempDir, Usage, find_program};

/// How long a server may take until it accepts.
const START: Duration = Duration::from_secs(10);

/// A server about to start: which program, on which config, with which placeholder values, on which cores.
#[derive(Debug)]
pub struct Launch {
    name: &'static str,
    program: OsString,
    args: Vec<String>,
    config_name: &'static str,
    config: String,
    template: Template,
    cores: Option<String>,
    env: Vec<(String, String)>,
    dir: TempDir,
}

impl Launch {
    /// `args` may hold placeholders; `@config@` is the path of the config file.
    pub(crate) fn new(
        name: &'static str,
        program: impl Into<OsString>,
        config_name: &'static str,
        config: &str,
        args: &[&str],
    ) -> Self {
        let dir = TempDir::new(name);
        let mut template = Template::default();
        template.set_dir(dir.path());
        template.set("config", dir.path().join(config_name).display().to_string());
        Self {
            name,
            program: program.into(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            config_name,
            config: config.to_owned(),
            template,
            cores: None,
            env: Vec::new(),
            dir,
        }
    }

    /// Gives the placeholder `@name@` a value.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl ToString) -> Self {
        self.template.set(name, value.to_string());
        self
    }

    /// Runs the server on these cores only, as `taskset -c` writes them.
    #[must_use]
    pub fn cores(mut self, cores: &str) -> Self {
        self.cores = Some(cores.to_owned());
        self
    }

    /// Sets an environment variable of the server.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes a file into the server's folder (`@dir@`), before it starts.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        self.dir.write(name, content);
        self
    }

    /// Starts the process, and does not wait for anything.
    pub fn spawn(mut self) -> Server {
        let config = self.template.expand(&self.config);
        self.dir.write(self.config_name, config);
        let args: Vec<String> = self
            .args
            .iter()
            .map(|arg| self.template.expand(arg))
            .collect();
        // A name that is found nowhere fails below, with what to do.
        let program = self
            .program
            .to_str()
            .filter(|name| !name.contains('/'))
            .and_then(find_program)
            .map_or_else(|| self.program.clone(), OsString::from);
        let mut command = on_cores(&program, self.cores.as_deref());
        command
            .args(args)
            .envs(self.env)
            .current_dir(self.dir.path());
        let process = Process::spawn(self.name, command, self.dir.path())
            .unwrap_or_else(|e| panic!("{}", missing(&self.program.to_string_lossy(), &e)));
        Server {
            process,
            template: self.template,
            config_name: self.config_name,
            dir: self.dir,
        }
    }

    /// Starts the server and waits until it accepts connections at `@name@`.
    pub(crate) fn start_when_listening(self, name: &str) -> Result<Server, String> {
        let mut server = self.spawn();
        let addr = server.addr(name);
        server.wait_ready(|| TcpStream::connect(addr).is_ok())?;
        Ok(server)
    }
}

/// A running server; dropped, it stops (SIGTERM, then SIGKILL) and its folder disappears.
#[derive(Debug)]
pub struct Server {
    process: Process,
    template: Template,
    config_name: &'static str,
    dir: TempDir,
}

impl Server {
    /// Rewrites the config file; the server does not know yet. Placeholders mean what they meant at the start.
    pub fn rewrite(&mut self, config: &str) {
        // Written beside it and moved, so that a server that watches the file never sees half of it.
        let path = self.config();
        let text = self.template.expand(config);
        let beside = self.dir.write(&format!("{}.new", self.config_name), text);
        fs::rename(beside, path).expect("both are in one folder");
    }

    /// Sends a signal to the process.
    pub fn signal(&mut self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Stops the process and its children where they are (SIGSTOP): connections still open and stay silent, as those to
    /// a machine that hangs.
    pub fn pause(&mut self) {
        self.process.signal_tree(Signal::STOP);
    }

    /// Lets the process and its children go on after [`Server::pause`].
    pub fn resume(&mut self) {
        self.process.signal_tree(Signal::CONT);
    }

    /// Waits for the process to end by itself; panics when it takes longer than `limit`.
    pub fn wait_exit(&mut self, limit: Duration) -> ExitStatus {
        match self.process.wait_exit(limit) {
            Some(status) => status,
            None => panic!("still running after {limit:?}\n{}", self.process.report()),
        }
    }

    /// True until the process has ended.
    pub fn is_running(&mut self) -> bool {
        self.process.poll_exit().is_none()
    }

    /// Kills the process and its children at once, as a crash would.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks the process to stop with SIGTERM, kills it when it does not within 2 seconds.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// Polls `ready` until it is true; the error has the server's output, when it ended or took too long.
    pub(crate) fn wait_ready(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + START;
        loop {
            if ready() {
                return Ok(());
            }
            if self.process.poll_exit().is_some() {
                return Err(format!(
                    "it ended before it was ready\n{}",
                    self.process.report()
                ));
            }
            if Instant::now() >= deadline {
                return Err(format!(
                    "not ready within {START:?}\n{}",
                    self.process.report()
                ));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The address that `@name@` stands for in the config.
    pub fn addr(&self, name: &str) -> SocketAddr {
        self.template
            .addr(name)
            .unwrap_or_else(|| panic!("the config has no address @{name}@"))
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The server's folder, `@dir@`.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The config file.
    pub fn config(&self) -> PathBuf {
        self.dir.path().join(self.config_name)
    }

    /// The access log, `@log@`.
    pub fn log_path(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    /// What it has written to standard output so far.
    pub fn stdout(&self) -> String {
        self.process.stdout()
    }

    /// What it has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.process.stderr()
    }

    /// What it and its children cost so far.
    pub fn usage(&self) -> Usage {
        Usage::of(self.pid())
    }
}
