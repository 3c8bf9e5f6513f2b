//! Reads files, folders and standard input.

use super::MAX_BYTES;
use super::error::ClusterError;
use super::kinds::append;
use super::parse::{Counts, parse_documents, parse_objects};
use super::shares::in_shares;
use crate::inventory::Objects;
use crate::net::FileKind;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file of a folder that was left out, and the reason.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SkippedFile {
    pub file: PathBuf,
    pub reason: String,
}

/// The key in [`Objects::skipped`] that counts the files of a folder without Kubernetes objects.
const NOT_KUBERNETES: &str = "(files without Kubernetes objects)";

/// Reads snapshots and manifests: files, folders (recursively, ordered by name; `*.yaml`, `*.yml`, `*.json`,
/// each also with `.gz` or `.zst`), and `-` for standard input.
///
/// Files of a folder that are not Kubernetes objects are left out and listed. A file that is named directly
/// must contain Kubernetes objects.
///
/// # Errors
/// See [`ClusterError`].
pub fn read_cluster(paths: &[PathBuf]) -> Result<(Objects, Vec<SkippedFile>), ClusterError> {
    let (mut objects, mut skipped) = (Objects::default(), Vec::new());
    for path in paths {
        let known = (objects.not_judged.len(), objects.remarks.len());
        let singles = if path.as_os_str() == "-" {
            let bytes = read_limited(io::stdin().lock(), "standard input")?;
            let bytes = as_text(unpack(bytes, "standard input")?, "standard input")?;
            parse_objects(&bytes, "standard input", &mut objects)?.singles
        } else if is_folder(path)? {
            read_folder(path, &mut objects, &mut skipped)?
        } else {
            parse_objects(&read_file(path)?, &text(path), &mut objects)?.singles
        };
        objects.snapshots += usize::from(singles > 0);
        name_file(&mut objects, known, path);
    }
    Ok((objects, skipped))
}

/// Records the file of each policy that is not judged and of each remark, beginning with those at the indexes `from`.
fn name_file(objects: &mut Objects, from: (usize, usize), file: &Path) {
    let remarks = objects.remarks.iter_mut().skip(from.1);
    for one in remarks.filter(|one| one.file.is_empty()) {
        one.file = text(file);
    }
    let read = objects.not_judged.iter_mut().skip(from.0);
    for one in read.filter(|one| one.file.is_empty()) {
        one.file = text(file);
    }
}

/// Returns true if [`read_cluster`] would read anything of this path: a folder may have no file that it reads.
///
/// # Errors
/// The path does not exist or cannot be read.
pub fn has_files(path: &Path) -> Result<bool, ClusterError> {
    Ok(path.as_os_str() == "-" || !files(path)?.is_empty())
}

/// The files that [`read_cluster`] reads for a path. Standard input has none.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, ClusterError> {
    if path.as_os_str() == "-" {
        return Ok(Vec::new());
    }
    if !is_folder(path)? {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
    list(path, &mut files, &mut seen)?;
    Ok(files)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> ClusterError {
    move |problem| ClusterError::Io {
        file: text(path),
        problem,
    }
}

fn is_folder(path: &Path) -> Result<bool, ClusterError> {
    Ok(fs::metadata(path).map_err(io_error(path))?.is_dir())
}

/// Reads the files of a folder. Returns the number of objects that were not in a list.
fn read_folder(
    folder: &Path,
    objects: &mut Objects,
    skipped: &mut Vec<SkippedFile>,
) -> Result<usize, ClusterError> {
    let (mut singles, mut read) = (0, 0);
    let files = files(folder)?;
    let contents = in_shares(&files, |file| read_of_folder(file))?;
    for (file, content) in files.into_iter().zip(contents) {
        let reason = match content {
            Content::Objects(mut found, counts) => {
                name_file(&mut found, (0, 0), &file);
                append(objects, *found);
                singles += counts.singles;
                read += 1;
                continue;
            }
            Content::Other(reason) => reason,
        };
        *objects
            .skipped
            .entry(NOT_KUBERNETES.to_owned())
            .or_default() += 1;
        skipped.push(SkippedFile {
            file,
            reason: reason.to_owned(),
        });
    }
    if read == 0 {
        return Err(ClusterError::EmptyFolder {
            folder: text(folder),
        });
    }
    Ok(singles)
}

/// The content of a file of a folder.
enum Content {
    Objects(Box<Objects>, Counts),
    /// No Kubernetes objects, with the reason why the file is left out.
    Other(&'static str),
}

fn read_of_folder(file: &Path) -> Result<Content, ClusterError> {
    let bytes = read_file(file)?;
    let mut objects = Box::default();
    match parse_documents(&bytes, &text(file), false, &mut objects) {
        Ok(counts) if counts.lists + counts.singles > 0 => Ok(Content::Objects(objects, counts)),
        Ok(_) => Ok(Content::Other("not a Kubernetes object (no kind)")),
        Err(ClusterError::Syntax { .. }) if is_template(&bytes) => Ok(Content::Other(
            "a template; render it first (helm template)",
        )),
        Err(error) => Err(error),
    }
}

fn is_template(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"{{")
}

/// The files to read of a folder and of its subfolders, in order. Hidden files and folders are left out, and
/// also a folder that a symbolic link leads to again.
fn list(
    folder: &Path,
    files: &mut Vec<PathBuf>,
    seen: &mut BTreeSet<PathBuf>,
) -> Result<(), ClusterError> {
    if !seen.insert(fs::canonicalize(folder).map_err(io_error(folder))?) {
        return Ok(());
    }
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(io_error(folder))? {
        paths.push(entry.map_err(io_error(folder))?.path());
    }
    paths.sort();
    for path in paths {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if is_folder(&path)? {
            list(&path, files, seen)?;
        } else {
            let plain = [".gz", ".zst"]
                .iter()
                .find_map(|packed| name.strip_suffix(packed));
            let plain = plain.unwrap_or(&name);
            if [".yaml", ".yml", ".json"]
                .iter()
                .any(|ending| plain.ends_with(ending))
            {
                files.push(path);
            }
        }
    }
    Ok(())
}

/// The bytes of a file, decompressed.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ClusterError> {
    let file = fs::File::open(path).map_err(io_error(path))?;
    as_text(
        unpack(read_limited(file, &text(path))?, &text(path))?,
        &text(path),
    )
}

/// Reads at most [`MAX_BYTES`].
fn read_limited(source: impl Read, name: &str) -> Result<Vec<u8>, ClusterError> {
    let mut bytes = Vec::new();
    let limited = source.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    limited.map_err(|problem| ClusterError::Io {
        file: name.to_owned(),
        problem,
    })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(ClusterError::TooLarge {
            file: name.to_owned(),
        });
    }
    Ok(bytes)
}

/// UTF-16, as PowerShell's `>` writes it, becomes UTF-8; a byte-order mark is left out (rule: text-in-utf-16). What is
/// no text at all is refused by its name.
fn as_text(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>, ClusterError> {
    let unmarked = match bytes.as_slice() {
        [0, 1..=0x7f, 0, 1..=0x7f, ..] => Some((encoding_rs::UTF_16BE, 0)),
        [1..=0x7f, 0, 1..=0x7f, 0, ..] => Some((encoding_rs::UTF_16LE, 0)),
        _ => None,
    };
    let kind = FileKind::of(&bytes).filter(|kind| *kind != FileKind::Text);
    if let Some(kind) = kind {
        return Err(ClusterError::WrongKind {
            file: name.to_owned(),
            kind,
        });
    }
    let Some((encoding, mark)) = encoding_rs::Encoding::for_bom(&bytes).or(unmarked) else {
        return Ok(bytes);
    };
    let rest = bytes.get(mark..).unwrap_or_default();
    if encoding == encoding_rs::UTF_8 {
        return Ok(rest.to_vec());
    }
    match encoding.decode_without_bom_handling_and_without_replacement(rest) {
        Some(text) if text.len() as u64 <= MAX_BYTES => Ok(text.into_owned().into_bytes()),
        Some(_) => Err(ClusterError::TooLarge {
            file: name.to_owned(),
        }),
        None => Err(ClusterError::Encoding {
            file: name.to_owned(),
            encoding: encoding.name(),
        }),
    }
}

/// Decompresses gzip and zstd. The first bytes decide which format it is, not the name.
fn unpack(bytes: Vec<u8>, name: &str) -> Result<Vec<u8>, ClusterError> {
    let problem = |error: ClusterError| match error {
        ClusterError::Io { file, problem } => ClusterError::Unpack {
            file,
            problem: problem.to_string(),
        },
        other => other,
    };
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let gzip = flate2::read::MultiGzDecoder::new(bytes.as_slice());
        return read_limited(gzip, name).map_err(problem);
    }
    if !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Ok(bytes);
    }
    let mut packed = bytes.as_slice();
    let mut plain = Vec::new();
    while !packed.is_empty() {
        let frame = ruzstd::decoding::StreamingDecoder::new(&mut packed).map_err(|error| {
            ClusterError::Unpack {
                file: name.to_owned(),
                problem: error.to_string(),
            }
        })?;
        plain.append(&mut read_limited(frame, name).map_err(problem)?);
        if plain.len() as u64 > MAX_BYTES {
            return Err(ClusterError::TooLarge {
                file: name.to_owned(),
            });
        }
    }
    Ok(plain)
}
