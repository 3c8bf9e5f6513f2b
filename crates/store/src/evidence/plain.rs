//! Lists what is in a folder, without following links or opening anything but plain files.

use super::{EvidenceError, io_error};
use std::collections::BTreeMap;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// All that is below a folder, by its path from there; folders are walked through, what links lead to is not.
pub fn list(folder: &Path) -> Result<BTreeMap<String, FileType>, EvidenceError> {
    let (mut found, mut todo) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(here) = todo.pop() {
        for entry in fs::read_dir(&here).map_err(io_error("read", &here))? {
            let entry = entry.map_err(io_error("read", &here))?;
            let kind = entry.file_type().map_err(io_error("read", &here))?;
            let path = entry.path();
            if kind.is_dir() {
                todo.push(path.clone());
            }
            let name = path.strip_prefix(folder).unwrap_or(&path);
            // Of two names that are no text neither may hide the other.
            let name = match name.to_str() {
                Some(name) => name.to_owned(),
                None => format!("{name:?}"),
            };
            found.insert(name, kind);
        }
    }
    Ok(found)
}

/// Opens a plain file, and nothing else: no link is followed, and no pipe waited for. `None` for what is no
/// plain file.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    if !fs::symlink_metadata(path)?.is_file() {
        return Ok(None);
    }
    // Somebody may exchange it in between.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = match opened {
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        other => other?,
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// The bytes of a plain file, of which `most` are read.
pub fn read(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
