//! Measures time and memory without a framework: medians of complete runs, each in a separate process.

use std::time::Duration;

/// Returns the median; of an even number of values the upper middle one.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Returns milliseconds, for tables.
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// Returns the peak resident memory of this process, in MiB (`VmHWM`, proc_pid_status(5)). Linux only.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn peak_mebibytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kibibytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes / 1024.0)
}

/// Limits malloc to one heap, so that memory that reader threads have freed is not counted with the work after them.
/// glibc only.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn keep_to_one_heap() {
    // SAFETY: the call takes two numbers and changes only how malloc chooses a heap.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Resets [`peak_mebibytes`] to the memory that is in use now (proc_pid_clear_refs(5)). Linux only; elsewhere the
/// peak is kept.
#[allow(dead_code, reason = "each benchmark uses its part")]
pub fn forget_peak() {
    // SAFETY: the call takes no pointer and releases only free memory.
    unsafe { libc::malloc_trim(0) };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
