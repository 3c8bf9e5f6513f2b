//! The paths of test data: the project's own data, and shared data of the machine if it exists.

use std::path::{Path, PathBuf};

/// Returns a folder of the shared data. Returns `None` and prints a message if it does not exist.
pub fn shared(folder: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("NANOSEG_SHARED") {
        Some(root) => PathBuf::from(root),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"),
    };
    let path = root.join("data").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    println!(
        "{} is absent: only the project's own data is used",
        path.display()
    );
    None
}

/// Returns all capture files of the shared data or, if it does not exist, of the project. With `folders`, only those
/// directly in these folders.
pub fn captures_of(folders: &[&str]) -> Vec<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/captures");
    let root = shared("captures").unwrap_or(own);
    let mut files = Vec::new();
    if folders.is_empty() {
        walk(&root, &mut files);
    }
    for folder in folders {
        walk(&root.join(folder), &mut files);
    }
    files.sort();
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of captures") {
        let path = entry.expect("an entry").path();
        let text = path.display().to_string();
        if path.is_dir() {
            walk(&path, files);
        } else if [".pcap", ".pcapng", ".cap", ".pcap.gz"]
            .iter()
            .any(|end| text.ends_with(end))
        {
            files.push(path);
        }
    }
}
