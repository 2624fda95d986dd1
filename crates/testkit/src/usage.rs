//! What a process and its children cost, read from `/proc`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// CPU time and memory of a process with all its descendants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time, of every thread that ever ran in a process that still lives.
    pub cpu: Duration,
    /// Resident memory now, in bytes (VmRSS).
    pub resident: u64,
    /// The most resident memory there ever was, in bytes (VmHWM), summed over the processes.
    pub peak: u64,
    /// Threads now.
    pub threads: u64,
    /// Open file descriptors now.
    pub descriptors: u64,
}

impl Usage {
    /// Reads the usage of `pid` and its descendants. Processes that are gone count as nothing.
    pub fn of(pid: u32) -> Self {
        let mut sum = Self::default();
        for pid in tree(pid) {
            let Some(stat) = Stat::read(pid) else {
                continue;
            };
            sum.cpu += stat.cpu;
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            sum.resident += kibibytes(&status, "VmRSS:") * 1024;
            sum.peak += kibibytes(&status, "VmHWM:") * 1024;
            sum.threads += kibibytes(&status, "Threads:");
            sum.descriptors +=
                fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, |entries| entries.count() as u64);
        }
        sum
    }
}

/// `pid` and all its descendants.
pub(crate) fn tree(pid: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, Stat::read(pid)?.parent)))
        .collect();
    let mut tree = BTreeSet::from([pid]);
    loop {
        let before = tree.len();
        tree.extend(
            parents
                .iter()
                .filter(|(_, parent)| tree.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if tree.len() == before {
            return tree;
        }
    }
}

struct Stat {
    parent: u32,
    cpu: Duration,
}

impl Stat {
    /// proc_pid_stat(5): the command stands in parentheses and may hold anything, so fields count from its end.
    fn read(pid: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
        let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            cpu: Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()),
        })
    }
}

/// The number behind `key` in a `/proc/PID/status` file.
fn kibibytes(status: &str, key: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_costs_something() {
        let mut sink = 0_u64;
        crate::wait_until("some CPU time", || {
            sink = (0..1_000_000_u64).fold(sink, u64::wrapping_add);
            !Usage::of(std::process::id()).cpu.is_zero()
        });
        let usage = Usage::of(std::process::id());
        assert!(
            usage.resident > 0 && usage.peak >= usage.resident,
            "{usage:?}"
        );
        assert!(usage.threads >= 1 && usage.descriptors >= 3, "{usage:?}");
    }
}
