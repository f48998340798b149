//! What a process used so far, as Linux counts it.

use std::time::Duration;

/// CPU time of all its threads.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process has threads");
    let nanos = threads.filter_map(|thread| {
        let stat = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        stat.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
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

/// The memory that it holds now, in MiB, with its part of what it shares with others.
#[must_use]
pub fn share_of_memory(pid: u32) -> f64 {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
    let kib = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
