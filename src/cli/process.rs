//! The process that runs a command: its name, and its memory at the end.

use std::path::{Path, PathBuf};

/// The name for usage texts: `nanoseg`, or `kubectl nanoseg` if the binary runs as kubectl's plug-in, under the name
/// `kubectl-nanoseg`.
pub fn program() -> &'static str {
    let called = std::env::args_os().next().map(PathBuf::from);
    let name = called.as_deref().and_then(Path::file_stem);
    if name.is_some_and(|name| name == "kubectl-nanoseg") {
        "kubectl nanoseg"
    } else {
        "nanoseg"
    }
}

/// Does not free a value: the process ends right after, and freeing the memory of a large cluster piece by piece takes
/// a tenth of a second.
pub fn leak<T>(what: T) {
    std::mem::forget(what);
}
