//! What the operating system knows about this process.

use std::{fs, io};

/// One look at `/proc`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessSample {
    /// User and system CPU time, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Virtual memory, in bytes.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// The soft limit on file descriptors, if there is one.
    pub max_fds: Option<u64>,
    /// Threads.
    pub threads: u64,
    /// When the process started, in seconds since 1970.
    pub start_time: f64,
}

impl ProcessSample {
    /// Looks now. An error means that this system has no Linux-like `/proc`.
    pub fn read() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let boot = fs::read_to_string("/proc/stat")?;
        let ticks = rustix::param::clock_ticks_per_second();
        let mut sample =
            parse_stat(&stat, ticks, rustix::param::page_size() as u64).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    "/proc/self/stat has another form",
                )
            })?;
        sample.start_time += parse_boot_time(&boot).unwrap_or(0.0);
        // The listing holds its own descriptor.
        sample.open_fds = (fs::read_dir("/proc/self/fd")?.count() as u64).saturating_sub(1);
        sample.max_fds = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        Ok(sample)
    }
}

/// Reads `/proc/[pid]/stat`, proc(5). The name in parentheses may hold anything, so fields count
/// from the last one.
fn parse_stat(stat: &str, ticks_per_second: u64, page_size: u64) -> Option<ProcessSample> {
    let (_, fields) = stat.rsplit_once(')')?;
    // The first is field 3, the state.
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let seconds = |ticks: u64| ticks as f64 / ticks_per_second.max(1) as f64;
    Some(ProcessSample {
        cpu_seconds: seconds(field(14)? + field(15)?),
        threads: field(20)?,
        start_time: seconds(field(22)?),
        virtual_bytes: field(23)?,
        resident_bytes: field(24)?.saturating_mul(page_size),
        ..ProcessSample::default()
    })
}

fn parse_boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (we) ir (x) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 1000 8192000 300 \
                        18446744073709551615 1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0";

    #[test]
    fn stat_is_read_past_a_hostile_name() {
        let sample = parse_stat(STAT, 100, 4096).unwrap();
        assert_eq!(sample.cpu_seconds, 3.0);
        assert_eq!(sample.threads, 5);
        assert_eq!(sample.start_time, 10.0);
        assert_eq!(sample.virtual_bytes, 8_192_000);
        assert_eq!(sample.resident_bytes, 300 * 4096);
    }

    #[test]
    fn another_form_is_no_sample() {
        for text in [
            "",
            "42 weir S",
            "42 (weir)",
            "42 (weir) S 1 2 3",
            "42 (weir) S x x x x x x x x x x x x",
        ] {
            assert_eq!(parse_stat(text, 100, 4096), None);
        }
        assert_eq!(
            parse_boot_time("cpu 1\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
        assert_eq!(parse_boot_time("cpu 1\n"), None);
    }

    #[test]
    fn this_process_is_alive() {
        let sample = ProcessSample::read().unwrap();
        assert!(sample.resident_bytes > 0 && sample.open_fds >= 3 && sample.threads >= 1);
        assert!(sample.start_time > 1_600_000_000.0);
    }
}
