//! Only one controller at a time has the state open, even if two believe that they hold the Lease: an exclusive lock on a
//! file beside it, which the kernel releases when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// Why the state could not be locked.
#[derive(Debug, thiserror::Error)]
pub enum StateLockError {
    #[error(
        "failed to lock state {path}: another process holds it{holder}; let one controller at a time write, or give each its own volume"
    )]
    Held { path: PathBuf, holder: String },
    #[error("failed to lock state {path}: {source}; make the file's folder writable")]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// The lock, held as long as this value lives.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Locks the state file at `state` (by `<state>.lock`) without waiting.
    ///
    /// # Errors
    /// If another process holds it, or the file cannot be made.
    pub fn acquire(state: &Path) -> Result<StateLock, StateLockError> {
        let mut name = state.as_os_str().to_owned();
        name.push(".lock");
        let path = PathBuf::from(name);
        let failed = |source| StateLockError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(StateLockError::Held { path, holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        // For people only: the process that holds it.
        file.set_len(0).map_err(failed)?;
        file.rewind().map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(StateLock { _file: file })
    }
}

/// Returns what the holder wrote about itself. Best effort: it may be a process number of another machine.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(20).read_to_string(&mut text);
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match read {
        Ok(_) if is_number => format!(" (process {digits})"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_on_the_same_state_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("nanoseg.sqlite");
        let first = StateLock::acquire(&state).unwrap();
        let error = StateLock::acquire(&state).unwrap_err();
        assert!(matches!(error, StateLockError::Held { .. }), "{error}");
        let own = format!("(process {})", std::process::id());
        assert!(error.to_string().contains(&own), "{error}");
        drop(first);
        StateLock::acquire(&state).unwrap();
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("missing/nanoseg.sqlite");
        let error = StateLock::acquire(&state).unwrap_err();
        assert!(matches!(error, StateLockError::Io { .. }), "{error}");
    }
}
