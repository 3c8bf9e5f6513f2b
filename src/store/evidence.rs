//! A report's folder: written whole or not at all, and checked file by file.

use crate::net::sha256_hex;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The file that names all others.
pub const MANIFEST: &str = "manifest.json";
/// What the name of the manifest's signature ends in.
pub const SIGNATURE: &str = ".sig";

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

/// Makes `folder` hold exactly `files`. A report that is there is replaced; anything else is not.
///
/// # Errors
/// Something else is there, or the disk refuses; then the folder is as it was.
pub fn write(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), EvidenceError> {
    let is_there = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(io_error("read", folder)(error)),
    };
    if is_there && read_manifest(folder).is_err() {
        return Err(EvidenceError::Stranger {
            path: folder.to_owned(),
        });
    }
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
        fs::rename(folder, &old).map_err(io_error("replace", folder))?;
        return fs::rename(&whole, folder).map_err(|error| {
            // What was there comes back.
            let _ = fs::rename(&old, folder);
            io_error("write", folder)(error)
        });
    }
    fs::rename(&whole, folder).map_err(io_error("write", folder))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema: String,
    files: Vec<ManifestFile>,
    signed_by: Option<String>,
}

#[derive(Debug, Deserialize)]
struct ManifestFile {
    path: String,
    sha256: String,
    bytes: u64,
}

fn read_manifest(folder: &Path) -> Result<(Manifest, Vec<u8>), EvidenceError> {
    let path = folder.join(MANIFEST);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EvidenceError::NoReport { path });
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let wrong = |problem: String| EvidenceError::Manifest {
        path: path.clone(),
        problem,
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if !manifest.schema.starts_with("nanoseg.dev/report-manifest/") {
        return Err(wrong(format!("its schema is {:?}", manifest.schema)));
    }
    Ok((manifest, bytes))
}

/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    Missing(String),
    Changed(String),
    /// The manifest does not know it.
    Unlisted(String),
    /// A name that leads out of the folder, or is there twice.
    BadName(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Missing(name) => write!(f, "{name}: missing"),
            Wrong::Changed(name) => write!(f, "{name}: changed: its digest is not the manifest's"),
            Wrong::Unlisted(name) => write!(f, "{name}: not in the manifest"),
            Wrong::BadName(name) => write!(f, "{name}: not a name for a file of a report"),
        }
    }
}

/// A checked folder.
#[derive(Debug)]
pub struct Checked {
    /// How many files the manifest lists.
    pub files: usize,
    /// Sorted; empty if every byte is as the manifest says.
    pub wrong: Vec<Wrong>,
    /// The manifest, for its signature.
    pub manifest: Vec<u8>,
    /// The fingerprint of the key that signed it, as the manifest says.
    pub signed_by: Option<String>,
    /// `manifest.json.sig`, if there is one.
    pub signature: Option<String>,
}

/// Compares every file of a report with its manifest.
///
/// # Errors
/// There is no manifest, or something cannot be read.
pub fn check(folder: &Path) -> Result<Checked, EvidenceError> {
    let (manifest, bytes) = read_manifest(folder)?;
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::new());
    for file in &manifest.files {
        let path = Path::new(&file.path);
        let is_plain = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        if !is_plain || !known.insert(file.path.clone()) {
            wrong.push(Wrong::BadName(file.path.clone()));
            continue;
        }
        let path = folder.join(path);
        match fs::read(&path) {
            Ok(content)
                if content.len() as u64 == file.bytes && sha256_hex(&content) == file.sha256 => {}
            Ok(_) => wrong.push(Wrong::Changed(file.path.clone())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                wrong.push(Wrong::Missing(file.path.clone()));
            }
            Err(error) => return Err(io_error("read", &path)(error)),
        }
    }
    let mut found = Vec::new();
    list(folder, Path::new(""), &mut found)?;
    for name in found {
        let is_signature = name.strip_suffix(SIGNATURE) == Some(MANIFEST);
        if name != MANIFEST && !is_signature && !known.contains(&name) {
            wrong.push(Wrong::Unlisted(name));
        }
    }
    wrong.sort();
    let path = folder.join(format!("{MANIFEST}{SIGNATURE}"));
    let signature = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    Ok(Checked {
        files: manifest.files.len(),
        wrong,
        manifest: bytes,
        signed_by: manifest.signed_by,
        signature,
    })
}

fn list(folder: &Path, under: &Path, found: &mut Vec<String>) -> Result<(), EvidenceError> {
    let here = folder.join(under);
    for entry in fs::read_dir(&here).map_err(io_error("read", &here))? {
        let entry = entry.map_err(io_error("read", &here))?;
        let name = under.join(entry.file_name());
        if entry.file_type().map_err(io_error("read", &here))?.is_dir() {
            list(folder, &name, found)?;
        } else {
            found.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(())
}
