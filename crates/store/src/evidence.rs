//! A report's folder: written whole or not at all, and checked file by file.

mod check;
mod plain;

pub use check::{Checked, Wrong, check};

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that names all others.
pub const MANIFEST: &str = "manifest.json";
/// What the name of the manifest's signature ends in.
pub const SIGNATURE: &str = ".sig";
/// What every version of the manifest's schema begins with.
const SCHEMAS: &str = "nanoseg.dev/report-manifest/";
/// The version that is written and read.
const SCHEMA: &str = "nanoseg.dev/report-manifest/v1";

/// Why a folder could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("failed to {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("failed to find {path}; is its folder that of a report?")]
    NoReport { path: PathBuf },
    #[error("refused to replace {path}: it is not a report; choose another --out")]
    Stranger { path: PathBuf },
    #[error(
        "refused to replace {path}: not of its report is {}; move that elsewhere, or choose another --out", some(.names)
    )]
    Added { path: PathBuf, names: Vec<String> },
    #[error(
        "refused to write {path}: a report takes the place of its whole folder, which this one cannot leave; choose a folder in it with --out NAME, or run this in the folder above"
    )]
    NoPlace { path: PathBuf },
    #[error(
        "failed to read {path}: its schema is {found}, and this nanoseg knows {SCHEMA}; use the nanoseg that wrote it, or a newer one"
    )]
    OtherVersion { path: PathBuf, found: String },
    #[error(
        "failed to read {path}: {problem}; it is not the manifest of a report, or it was changed"
    )]
    Manifest { path: PathBuf, problem: String },
}

fn io_error(action: &'static str, path: &Path) -> impl Fn(io::Error) -> EvidenceError {
    move |source| EvidenceError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Some names in words.
fn some(names: &[String]) -> String {
    const MOST: usize = 5;
    let shown: Vec<&str> = names.iter().take(MOST).map(String::as_str).collect();
    match names.len().saturating_sub(MOST) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether a report may be written there: nothing is there, or a report and nothing that somebody added to it.
///
/// # Errors
/// What else is there.
pub fn may_write(folder: &Path) -> Result<(), EvidenceError> {
    let path = || folder.to_owned();
    let here = folder.components().next_back();
    if !matches!(here, Some(std::path::Component::Normal(_))) {
        return Err(EvidenceError::NoPlace { path: path() });
    }
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => return Ok(()),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io_error("read", folder)(error)),
    }
    let Ok((manifest, _)) = check::read_manifest(folder) else {
        return Err(EvidenceError::Stranger { path: path() });
    };
    let names: Vec<String> = check::strangers(&manifest, &plain::list(folder)?).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(EvidenceError::Added {
        path: path(),
        names,
    })
}

/// Makes `folder` hold exactly `files`. A report that is there is replaced; anything else is not.
///
/// # Errors
/// Something else is there, or the disk refuses; then the folder is as it was.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), EvidenceError> {
    may_write(folder)?;
    // Without a dot at its end, which cannot be renamed.
    let folder = folder.components().collect::<PathBuf>();
    let folder = folder.as_path();
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io_error("make", parent))?;
    // Dropped without a rename both are removed.
    let new = tempfile::Builder::new()
        .prefix(".nanoseg-report-")
        .tempdir_in(parent)
        .map_err(io_error("write in", parent))?;
    let whole = new.path().join("new");
    for (name, bytes) in files {
        let path = whole.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        }
        fs::write(&path, bytes).map_err(io_error("write", &path))?;
    }
    if folder.exists() {
        let old = new.path().join("old");
        fs::rename(folder, &old).map_err(|error| match error.kind() {
            // Such as where something is mounted.
            io::ErrorKind::ResourceBusy => EvidenceError::NoPlace {
                path: folder.to_owned(),
            },
            _ => io_error("replace", folder)(error),
        })?;
        return fs::rename(&whole, folder).map_err(|error| {
            // What was there comes back.
            let _ = fs::rename(&old, folder);
            io_error("write", folder)(error)
        });
    }
    fs::rename(&whole, folder).map_err(io_error("write", folder))
}
