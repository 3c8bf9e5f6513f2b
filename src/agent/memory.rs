//! Keeps the memory of the process small.

#![allow(unsafe_code, reason = "mallopt(3) has no safe wrapper")]

/// Makes all threads allocate from one heap. glibc gives each thread its own, and the free parts of one heap are of no
/// use to other threads; here threads hand memory to each other all the time.
pub fn keep_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt sets a number of the allocator under its own lock.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 256 * 1024);
        }
    }
}
