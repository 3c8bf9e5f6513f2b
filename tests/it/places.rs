//! Where test data is: what the project holds, and what the machine shares where it is there.

use std::path::{Path, PathBuf};

/// A folder of the shared data; `None` (and a message) where it is absent.
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

/// All capture files, of the shared data where it is there, else of the project; with `folders`
/// only those directly in these folders.
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
