//! A child process that is bounded in time, leaves its output in files, and never outlives its owner.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use crate::usage;

/// How long a process that is asked to stop may take before it is killed.
const GRACE: Duration = Duration::from_secs(2);

/// A command that runs on these cores only, as `taskset -c` writes them.
pub(crate) fn on_cores(program: impl AsRef<OsStr>, cores: Option<&str>) -> Command {
    match cores {
        Some(cores) => {
            let mut taskset = Command::new("taskset");
            taskset.args(["-c", cores]).arg(program);
            taskset
        }
        None => Command::new(program),
    }
}

/// Why a program does not start, in words for people.
pub(crate) fn missing(program: &str, error: &io::Error) -> String {
    format!("cannot start {program}: {error}; `cargo xtask setup` installs what tests need")
}

/// A running child. Dropped, it gets SIGTERM, then SIGKILL with all its children; when the test is panicking, what it
/// wrote is printed first.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    exit: Option<ExitStatus>,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with no input, its output in `NAME.out` and `NAME.err` in `dir`.
    pub(crate) fn spawn(name: &str, mut command: Command, dir: &Path) -> io::Result<Self> {
        let stdout = dir.join(format!("{name}.out"));
        let stderr = dir.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?)
            .spawn()?;
        Ok(Self {
            name: name.to_owned(),
            child,
            exit: None,
            stdout,
            stderr,
        })
    }

    /// Sends a signal to the process; one that has ended already is left in peace.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.poll_exit().is_none() {
            // It may end between the check and the kill, which is as good.
            let _ = rustix::process::kill_process(pid_of(self.pid()), signal);
        }
    }

    /// Sends a signal to the process and all its descendants, so that none of them acts for the others.
    pub(crate) fn signal_tree(&mut self, signal: Signal) {
        if self.poll_exit().is_none() {
            for pid in usage::tree(self.pid()) {
                let _ = rustix::process::kill_process(pid_of(pid), signal);
            }
        }
    }

    /// The exit status, if the process has ended.
    pub(crate) fn poll_exit(&mut self) -> Option<ExitStatus> {
        if self.exit.is_none() {
            self.exit = self.child.try_wait().ok().flatten();
        }
        self.exit
    }

    /// Waits for the process to end by itself; `None` when it is still running after `limit`.
    pub(crate) fn wait_exit(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        // Readable when it ends, so that waiting takes no time from what is measured.
        let end = pidfd_open(pid_of(self.pid()), PidfdFlags::empty()).ok();
        loop {
            if let Some(status) = self.poll_exit() {
                return Some(status);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            match (&end, Timespec::try_from(left)) {
                (Some(end), Ok(left)) => {
                    // Whatever it says, the next round finds out.
                    let _ = poll(&mut [PollFd::new(end, PollFlags::IN)], Some(&left));
                }
                _ => thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Kills the process and all its descendants at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        if self.poll_exit().is_some() {
            return;
        }
        self.signal_tree(Signal::KILL);
        self.exit = self.child.wait().ok();
    }

    /// Asks the process to stop, and kills it when it does not.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait_exit(GRACE).is_none() {
            self.kill();
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has written to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Both outputs, headed by the name, for messages to people.
    pub(crate) fn report(&self) -> String {
        format!(
            "--- {name} (pid {pid}, {state}) stdout\n{out}--- {name} stderr\n{err}---",
            name = self.name,
            pid = self.pid(),
            state = self
                .exit
                .map_or_else(|| "running".to_owned(), |exit| exit.to_string()),
            out = self.stdout(),
            err = self.stderr(),
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn pid_of(pid: u32) -> Pid {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .expect("the kernel's process ids are positive")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TempDir;

    #[test]
    fn output_is_kept_and_the_end_is_bounded() {
        let dir = TempDir::new("process");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo hello; echo oops >&2; trap '' TERM; while :; do sleep 0.05; done",
        ]);
        let mut process = Process::spawn("sh", command, dir.path()).expect("sh");
        crate::wait_until("its output", || process.stderr() == "oops\n");
        assert_eq!(process.stdout(), "hello\n");
        assert!(process.wait_exit(Duration::from_millis(20)).is_none());
        process.signal(Signal::TERM);
        process.kill();
        assert_eq!(process.poll_exit().map(|exit| exit.success()), Some(false));
    }
}
