//! The limit of open files of this process. A connection is a file, and so are the database, watches of the cluster and
//! the Lease's renewal: whoever could use up all of them would stop the process.

#![allow(
    unsafe_code,
    reason = "getrlimit(2) and setrlimit(2) have no safe wrapper in std"
)]

/// What POSIX promises at least (`_POSIX_OPEN_MAX`); only used if the system does not tell.
const AT_LEAST: u64 = 20;

/// Raises the limit of open files to the most that the system allows this process, and returns it. Is called once, at
/// the start of a process that listens. Many systems start programs with 1024 for the sake of `select(2)`, which
/// nothing here uses.
pub fn raise_descriptor_limit() -> u64 {
    let Some(mut limit) = read() else {
        return AT_LEAST;
    };
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a value that lives until the call returns, and the kernel only reads it.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } != 0;
    if failed {
        tracing::warn!(
            "failed to raise the limit of open files: {}",
            std::io::Error::last_os_error()
        );
    }
    descriptor_limit()
}

/// How many files this process may have open.
pub fn descriptor_limit() -> u64 {
    read().map_or(AT_LEAST, |limit| limit.rlim_cur)
}

fn read() -> Option<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to a value that lives until the call returns, and the kernel fills it.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0;
    (!failed).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_as_far_as_the_system_allows() {
        let most = read().unwrap().rlim_max;
        assert_eq!(raise_descriptor_limit(), most);
        assert_eq!(descriptor_limit(), most);
    }
}
