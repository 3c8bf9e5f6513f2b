//! A report's folder against its manifest, file by file.

use super::{EvidenceError, MANIFEST, SCHEMA, SCHEMAS, SIGNATURE, io_error, plain};
use nanoseg_net::sha256_hex_of;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::FileType;
use std::io::{self, Read};
use std::path::{Component, Path};

/// A signature is some hundred bytes; of what is longer the beginning is read, which is none.
const SIGNATURE_BYTES: u64 = 64 << 10;

/// More than a manifest of a million files; of what is longer the beginning is read, which is none.
const MANIFEST_BYTES: u64 = 512 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
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

/// The manifest of a report, and its bytes.
pub(super) fn read_manifest(folder: &Path) -> Result<(Manifest, Vec<u8>), EvidenceError> {
    let path = folder.join(MANIFEST);
    let wrong = |problem: String| EvidenceError::Manifest {
        path: path.clone(),
        problem,
    };
    let bytes = match plain::read(&path, MANIFEST_BYTES) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err(wrong("it is not a plain file".into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EvidenceError::NoReport { path });
        }
        Err(error) => return Err(io_error("read", &path)(error)),
    };
    let manifest: Manifest =
        serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    match manifest.schema.as_str() {
        SCHEMA => Ok((manifest, bytes)),
        other if other.starts_with(SCHEMAS) => Err(EvidenceError::OtherVersion {
            path,
            found: manifest.schema,
        }),
        other => Err(wrong(format!("its schema is {other:?}"))),
    }
}

/// What is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wrong {
    Missing(String),
    Changed(String),
    /// A link, a pipe, a device or a folder in the place of a file. It is not opened.
    NotPlain(String),
    /// The name, and why it cannot be read.
    Unreadable(String, String),
    /// The manifest does not know it.
    Unlisted(String),
    /// A name that leads out of the folder.
    BadName(String),
    /// The manifest has it more than once.
    Twice(String),
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Wrong::Missing(name) => write!(f, "{name}: missing"),
            Wrong::Changed(name) => write!(f, "{name}: changed: its digest is not the manifest's"),
            Wrong::NotPlain(name) => write!(f, "{name}: is not a plain file"),
            Wrong::Unreadable(name, why) => write!(f, "{name}: cannot be read: {why}"),
            Wrong::Unlisted(name) => write!(f, "{name}: not in the manifest"),
            Wrong::BadName(name) => write!(f, "{name}: not a name for a file of a report"),
            Wrong::Twice(name) => write!(f, "{name}: more than once in the manifest"),
        }
    }
}

/// A checked folder.
#[derive(Debug)]
pub struct Checked {
    /// How many files the manifest lists.
    pub files: usize,
    /// Sorted; empty if every byte is as in the manifest.
    pub wrong: Vec<Wrong>,
    /// The manifest, for its signature.
    pub manifest: Vec<u8>,
    /// The fingerprint of the key that signed it, by the manifest.
    pub signed_by: Option<String>,
    /// `manifest.json.sig`, if there is one; what is no text in it cannot be a signature's.
    pub signature: Option<String>,
}

/// Compares every file of a report with its manifest.
///
/// # Errors
/// There is no manifest that this can read, or the folder cannot be read.
pub fn check(folder: &Path) -> Result<Checked, EvidenceError> {
    let (manifest, bytes) = read_manifest(folder)?;
    let found = plain::list(folder)?;
    let (mut wrong, mut known) = (Vec::new(), BTreeSet::new());
    for file in &manifest.files {
        wrong.extend(if known.insert(file.path.as_str()) {
            of_file(folder, file, &found)
        } else {
            Some(Wrong::Twice(file.path.clone()))
        });
    }
    wrong.extend(strangers(&manifest, &found).map(Wrong::Unlisted));
    let signature = signature(folder, &mut wrong);
    wrong.sort();
    wrong.dedup();
    Ok(Checked {
        files: manifest.files.len(),
        wrong,
        manifest: bytes,
        signed_by: manifest.signed_by,
        signature,
    })
}

/// Returns what is in a folder and is no part of its report, also a folder in which no file of it is.
pub(super) fn strangers<'f>(
    manifest: &Manifest,
    found: &'f BTreeMap<String, FileType>,
) -> impl Iterator<Item = String> + use<'f> {
    let known: BTreeSet<String> = manifest.files.iter().map(|one| one.path.clone()).collect();
    let folders = known
        .iter()
        .flat_map(|name| Path::new(name).ancestors().skip(1));
    let folders: BTreeSet<String> = folders.map(|one| one.display().to_string()).collect();
    let names = found.iter();
    names.filter_map(move |(name, kind)| {
        let is_signature = name.strip_suffix(SIGNATURE) == Some(MANIFEST);
        let is_known = if kind.is_dir() {
            folders.contains(name)
        } else {
            name == MANIFEST || is_signature || known.contains(name)
        };
        (!is_known).then(|| name.clone())
    })
}

/// Returns what is wrong with a file that the manifest lists.
fn of_file(
    folder: &Path,
    file: &ManifestFile,
    found: &BTreeMap<String, FileType>,
) -> Option<Wrong> {
    let name = || file.path.clone();
    let mut parts = Path::new(&file.path).components();
    if file.path.is_empty() || !parts.all(|part| matches!(part, Component::Normal(_))) {
        return Some(Wrong::BadName(name()));
    }
    // Nothing is found behind a link.
    let kind = match found.get(&file.path) {
        None => return Some(Wrong::Missing(name())),
        Some(kind) => kind,
    };
    if !kind.is_file() {
        return Some(Wrong::NotPlain(name()));
    }
    match is_same(&folder.join(&file.path), file) {
        Ok(None) => Some(Wrong::NotPlain(name())),
        Ok(Some(is_same)) => (!is_same).then(|| Wrong::Changed(name())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Wrong::Missing(name())),
        Err(error) => Some(Wrong::Unreadable(name(), error.to_string())),
    }
}

/// Returns true if a file has the bytes that the manifest lists; `None` if it is no plain file. However large it is, little
/// of it is in memory.
fn is_same(path: &Path, wanted: &ManifestFile) -> io::Result<Option<bool>> {
    let Some(file) = plain::open(path)? else {
        return Ok(None);
    };
    let is_as_long = file.metadata()?.len() == wanted.bytes;
    Ok(Some(
        is_as_long && sha256_hex_of(file.take(wanted.bytes))? == wanted.sha256,
    ))
}

/// The text of the signature. What is wrong with its file is added to `wrong`.
fn signature(folder: &Path, wrong: &mut Vec<Wrong>) -> Option<String> {
    let name = format!("{MANIFEST}{SIGNATURE}");
    match plain::read(&folder.join(&name), SIGNATURE_BYTES) {
        Ok(Some(bytes)) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Ok(None) => {
            wrong.push(Wrong::NotPlain(name));
            Some(String::new())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            wrong.push(Wrong::Unreadable(name, error.to_string()));
            Some(String::new())
        }
    }
}
