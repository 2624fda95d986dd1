//! `setup`: the real servers and clients that tests run against.

use std::process::{Command, Stdio};

use weir_testkit::find_program;

use crate::Result;

/// Programs that tests start, each with the Debian package that has it.
const NEEDED: &[(&str, &str)] = &[
    ("chromedriver", "chromium-driver"),
    ("chromium", "chromium"),
    ("curl", "curl"),
    ("etcd", "etcd-server"),
    ("haproxy", "haproxy"),
    ("nginx", "nginx"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("redis-server", "redis-server"),
    ("slowhttptest", "slowhttptest"),
    ("ss", "iproute2"),
    ("wrk", "wrk"),
];

/// The oldest Node.js that the OpenID provider of the tests runs on.
const NODE: u32 = 18;

/// Installs the packages in `$@`. Debian starts a service once it is installed, unless `policy-rc.d` forbids it: tests
/// start their own, and nothing may listen on a machine just because it ran them.
const INSTALL: &str = r#"
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
saved=$policy.before-weir
restore() {
    rm -f "$policy"
    if [ -e "$saved" ]; then mv "$saved" "$policy"; fi
}
if [ -e "$policy" ]; then mv "$policy" "$saved"; fi
trap restore EXIT
trap 'exit 1' INT TERM
printf '#!/bin/sh\nexit 101\n' > "$policy"
chmod 755 "$policy"
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -y -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
for service in nginx haproxy etcd redis-server; do
    case " $* " in
    *" $service"*) if command -v systemctl >/dev/null; then systemctl disable --quiet "$service" || true; fi ;;
    esac
done
"#;

/// Installs what is missing, or says how to.
pub(crate) fn run() -> Result<()> {
    check_node()?;
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let by_hand = format!(
        "missing: {}\ninstall with: apt-get update && apt-get install --no-install-recommends {}",
        missing
            .iter()
            .map(|(program, _)| *program)
            .collect::<Vec<_>>()
            .join(", "),
        packages.join(" "),
    );
    let Some(mut command) = privileged_shell() else {
        return Err(by_hand);
    };
    command
        .args(["-c", INSTALL, "setup"])
        .args(&packages)
        .stdin(Stdio::null());
    eprintln!("installing {}", packages.join(", "));
    if !command.status().is_ok_and(|status| status.success()) || !self::missing().is_empty() {
        return Err(format!("the installation failed\n{by_hand}"));
    }
    Ok(())
}

/// A Node.js that is there stays as it is, whoever installed it: one from Debian beside it, or in its place, is nothing
/// that a test run should leave behind.
fn check_node() -> Result<()> {
    let Some(node) = find_program("node") else {
        return Ok(());
    };
    let said = output(Command::new(&node).arg("--version")).unwrap_or_default();
    if major(&said).is_none_or(|major| major < NODE) {
        let said = said.trim();
        return Err(format!(
            "{} is {said}; tests need {NODE} or newer",
            node.display()
        ));
    }
    if find_program("npm").is_none() {
        let node = node.display();
        return Err(format!(
            "{node} is there without npm; install that of its version"
        ));
    }
    Ok(())
}

/// The first number of `v20.20.2`.
fn major(version: &str) -> Option<u32> {
    version
        .trim()
        .strip_prefix('v')?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

fn missing() -> Vec<(&'static str, &'static str)> {
    NEEDED
        .iter()
        .copied()
        .filter(|(program, _)| find_program(program).is_none())
        .collect()
}

/// A shell with root's rights, where there is apt-get and a way to them that asks no questions.
fn privileged_shell() -> Option<Command> {
    find_program("apt-get")?;
    if rustix::process::geteuid().is_root() {
        return Some(Command::new("sh"));
    }
    let mut probe = Command::new("sudo");
    probe
        .args(["-n", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !probe.status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["-n", "sh"]);
    Some(sudo)
}

#[cfg(test)]
mod tests {
    use super::major;

    #[test]
    fn versions_of_node_are_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("v18.0.0-pre"), Some(18));
        assert_eq!(major("20.1.0"), None);
        assert_eq!(major(""), None);
    }
}
