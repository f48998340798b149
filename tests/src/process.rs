//! What a process used so far, as Linux counts it.

use std::time::Duration;

/// CPU time, user and system, in ticks of 10 ms.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process has a state");
    // The name, in parentheses, may hold anything.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// The most memory at a time, in MiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn peak_memory(pid: u32) -> f64 {
    mebibytes(pid, "VmHWM:")
}

/// The memory that it holds now, in MiB.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn memory(pid: u32) -> f64 {
    mebibytes(pid, "VmRSS:")
}

fn mebibytes(pid: u32, of: &str) -> f64 {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process has a state");
    let line = status.lines().find(|line| line.starts_with(of)).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
