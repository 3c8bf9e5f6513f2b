//! A report's folder: written whole or not at all, and checked file by file.

mod check;
mod plain;

pub use check::{Checked, Wrong, check};

use crate::folder::Place;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file that names all others.
pub const MANIFEST: &str = "manifest.json";
/// What the name of the manifest's signature ends in.
pub const SIGNATURE: &str = ".sig";
/// What every version of the manifest's schema begins with.
const SCHEMAS: &str = "nanoseg.dev/report-manifest/";
/// How many random characters the name of a temporary folder ends with.
const RANDOM: usize = 6;
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
    // Dropped without an exchange both are removed.
    let new = temporary(parent, folder)?;
    let _lock = lock(new.path());
    let whole = new.path().join("new");
    for (name, bytes) in files {
        let path = whole.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io_error("make", parent))?;
        }
        let written = fs::File::create(&path).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        written.map_err(io_error("write", &path))?;
    }
    put(folder, &whole, &new.path().join("old"))?;
    let synced = Place::open(parent).and_then(|parent| parent.sync());
    synced.map_err(io_error("write", folder))
}

/// Puts the whole report into its place, in one step where the file system can exchange two folders.
fn put(folder: &Path, whole: &Path, old: &Path) -> Result<(), EvidenceError> {
    if !folder.exists() {
        return fs::rename(whole, folder).map_err(io_error("write", folder));
    }
    // Such as where something is mounted.
    let no_place = |error: io::Error| match error.kind() {
        io::ErrorKind::ResourceBusy => EvidenceError::NoPlace {
            path: folder.to_owned(),
        },
        _ => io_error("replace", folder)(error),
    };
    match rustix::fs::renameat_with(CWD, whole, CWD, folder, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(()),
        Err(Errno::INVAL | Errno::NOSYS) => {}
        Err(error) => return Err(no_place(error.into())),
    }
    fs::rename(folder, old).map_err(no_place)?;
    fs::rename(whole, folder).map_err(|error| {
        // What was there comes back.
        let _ = fs::rename(old, folder);
        io_error("write", folder)(error)
    })
}

/// Makes the folder in which a report is written, and removes those of runs that were killed.
fn temporary(parent: &Path, folder: &Path) -> Result<tempfile::TempDir, EvidenceError> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!(".nanoseg-report-{name}-");
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let random = entry.file_name();
        let random = random.to_str().and_then(|name| name.strip_prefix(&prefix));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        // A run that is not over holds the lock of its own.
        if is_folder
            && random.is_some_and(|rest| rest.len() == RANDOM)
            && lock(&entry.path()).is_some()
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new()
        .prefix(&prefix)
        .rand_bytes(RANDOM)
        .tempdir_in(parent)
        .map_err(io_error("write in", parent))
}

/// Locks a folder until the value is dropped; `None`: somebody else holds it.
fn lock(folder: &Path) -> Option<Place> {
    let place = Place::open(folder).ok()?;
    place.lock().is_ok_and(|locked| locked).then_some(place)
}
