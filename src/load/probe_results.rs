//! Files with the results of `nanoseg probe`.

use super::error::LoadError;
use crate::probe::{MOST_BYTES, Results};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads the results, oldest first.
///
/// # Errors
/// A file that cannot be read, is too large, or is no result of `nanoseg probe -o json`.
pub fn read_probes(paths: &[PathBuf]) -> Result<Vec<Results>, LoadError> {
    let all: Result<Vec<Results>, LoadError> = paths.iter().map(|path| read(path)).collect();
    let mut all = all?;
    all.sort_by_key(|one| (one.from, one.to));
    Ok(all)
}

const ADVICE: &str = "give files that nanoseg probe -o json wrote";

fn read(path: &Path) -> Result<Results, LoadError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| {
        LoadError::unreadable(path.display(), ADVICE, error)
    };
    let file = File::open(path).map_err(|error| wrong(error.into()))?;
    let mut text = Vec::new();
    // A byte more shows that there is more.
    let mut bounded = file.take(MOST_BYTES + 1);
    bounded
        .read_to_end(&mut text)
        .map_err(|error| wrong(error.into()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(wrong(format!("it has more than {MOST_BYTES} bytes").into()));
    }
    Results::parse(&text).map_err(|error| wrong(error.into()))
}
