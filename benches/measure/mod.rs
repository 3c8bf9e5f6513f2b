//! Time and memory, without a framework: medians of whole runs, each in a process of its own.

use std::time::Duration;

/// The middle one; of an even number the later of the two.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds, for tables.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// The most memory that this process ever had, in MiB (`VmHWM`, proc_pid_status(5)). Linux only.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn peak_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Keeps to one heap from now on, so that what threads that read have given back is not counted with the work that
/// comes after them. glibc only.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn keep_to_one_heap() {
    // SAFETY: it takes two numbers, and changes how memory is found and nothing else.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Begins [`peak_mebibytes`] anew, with what is in use now (proc_pid_clear_refs(5)). Linux only; elsewhere the
/// peak stays.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn forget_peak() {
    // SAFETY: it takes no pointer and only gives memory back that is free.
    unsafe { libc::malloc_trim(0) };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
