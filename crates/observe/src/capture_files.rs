//! Finds the files behind the paths that a user gives.

use super::ObserveError;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders inside folders are followed this deep; links that run in circles end here.
const MAX_FOLDER_DEPTH: usize = 32;

/// One capture to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Input {
    File {
        path: PathBuf,
        /// Named by the user: that it is no capture is an error, not a file to skip.
        named: bool,
    },
    Stdin,
}

/// All files behind `paths`, each once and in the order of their paths, whatever order they were
/// given in.
pub(super) fn list(paths: &[PathBuf]) -> Result<Vec<Input>, ObserveError> {
    let mut files: BTreeMap<PathBuf, (PathBuf, bool)> = BTreeMap::new();
    let mut stdin = false;
    let mut add = |path: PathBuf, named: bool| {
        // The same file under two names (a link, `./a` and `a`) is one capture.
        let identity = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let entry = files
            .entry(identity)
            .or_insert_with(|| (path.clone(), named));
        entry.1 |= named;
        if path < entry.0 {
            entry.0 = path;
        }
    };
    for path in paths {
        if path == Path::new("-") {
            if stdin {
                return Err(ObserveError::StdinTwice);
            }
            stdin = true;
        } else if path.is_dir() {
            walk(path, 0, &mut |file| add(file, false))?;
        } else {
            add(path.clone(), true);
        }
    }
    let files = files
        .into_values()
        .map(|(path, named)| Input::File { path, named });
    let mut inputs: Vec<_> = files.chain(stdin.then_some(Input::Stdin)).collect();
    inputs.sort();
    Ok(inputs)
}

fn walk(folder: &Path, depth: usize, add: &mut impl FnMut(PathBuf)) -> Result<(), ObserveError> {
    let failed = |source| ObserveError::List {
        path: folder.to_path_buf(),
        source,
    };
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if !path.is_dir() {
            add(path);
        } else if depth < MAX_FOLDER_DEPTH {
            walk(&path, depth + 1, add)?;
        }
    }
    Ok(())
}
