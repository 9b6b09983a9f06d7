//! What a figure was taken on.

use std::fs;
use std::process::Command;
use std::time::Duration;

/// The unit of `/proc/PID/stat`, the same on every Linux that we know.
const TICK: Duration = Duration::from_millis(10);

/// One line: processor, cores, load, commit, threads.
pub(crate) fn head_line(threads: &str) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unknown processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    format!(
        "{model}, {cores} cores, load {load}; commit {}; {threads}",
        commit()
    )
}

fn commit() -> String {
    let described = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output();
    match described {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// A line of `/proc/self/status` in megabytes: `VmRSS` is the resident memory now, `VmHWM` its peak.
pub(crate) fn memory_mb(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = status.lines().find_map(|found| {
        let (name, value) = found.split_once(':')?;
        (name == line).then(|| value.trim().trim_end_matches(" kB").parse::<u64>().ok())?
    });
    kilobytes.unwrap_or(0) / 1024
}

/// Processor time that a process has used, all its threads together; `None` where there is no such process.
pub(crate) fn processor_time(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; user and system time are the 12th and 13th value after it.
    let values: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |position: usize| values.get(position)?.parse::<u64>().ok();
    Some(TICK * (ticks(11)? + ticks(12)?) as u32)
}
