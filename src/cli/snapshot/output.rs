//! The files of a snapshot.

use crate::cli::terminal;
use crate::cluster::live::{Format, Snapshot, write_list};
use anyhow::Context;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Where a snapshot goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    Stdout,
    File(PathBuf, Format),
    /// A folder that gets a new file for each snapshot.
    Folder(PathBuf),
}

impl Target {
    /// What `--out` names: a folder if it is one, or if its name has no ending.
    ///
    /// # Errors
    /// A name that `--cluster` would not find in a folder.
    pub fn of(out: &Path) -> anyhow::Result<Target> {
        if out.as_os_str() == "-" {
            return Ok(Target::Stdout);
        }
        if out.is_dir() {
            return Ok(Target::Folder(out.to_owned()));
        }
        let is_named_as_folder = out.as_os_str().to_string_lossy().ends_with('/');
        match Format::of(out) {
            Some(format) if !is_named_as_folder => Ok(Target::File(out.to_owned(), format)),
            _ if is_named_as_folder || out.extension().is_none() && !out.exists() => {
                Ok(Target::Folder(out.to_owned()))
            }
            _ if is_special(out) => Ok(Target::File(out.to_owned(), Format::Yaml)),
            _ => anyhow::bail!(
                "failed to choose a format for {}: name it *.yaml, *.yml or *.json, or give a folder",
                out.display()
            ),
        }
    }

    /// The file for a snapshot, and its format.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn snapshot_file(&self, snapshot: &Snapshot) -> anyhow::Result<Option<(PathBuf, Format)>> {
        match self {
            Target::Stdout => Ok(None),
            Target::File(path, format) => Ok(Some((path.clone(), *format))),
            Target::Folder(folder) => {
                let path = in_folder(folder, "snapshot", snapshot, "yaml")?;
                Ok(Some((path, Format::Yaml)))
            }
        }
    }

    /// The file for the history after a snapshot: the snapshot's own, or in a folder another one.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn history_file(&self, snapshot: &Snapshot) -> anyhow::Result<Option<(PathBuf, Format)>> {
        match self {
            Target::Folder(folder) => {
                let path = in_folder(folder, "history", snapshot, "json")?;
                Ok(Some((path, Format::Json)))
            }
            _ => self.snapshot_file(snapshot),
        }
    }
}

/// `snapshot-20261129T165400Z.yaml`: files of a folder are read in the order of their names.
fn in_folder(
    folder: &Path,
    what: &str,
    snapshot: &Snapshot,
    ending: &str,
) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("failed to make {}", folder.display()))?;
    let at = snapshot.taken_at.strftime("%Y%m%dT%H%M%SZ");
    Ok(folder.join(format!("{what}-{at}.{ending}")))
}

/// A pipe or a device, as in `--out /dev/stdout` or `>(gzip)`: there is nothing to replace.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| !meta.is_file() && !meta.is_dir())
}

/// Writes a snapshot, whole or not at all, and returns where.
///
/// # Errors
/// Of the file system.
pub fn write(target: &Target, snapshot: &Snapshot) -> anyhow::Result<String> {
    let Some((path, format)) = target.snapshot_file(snapshot)? else {
        let mut text = Vec::new();
        write_list(&mut text, Format::Yaml, snapshot)?;
        terminal::print(&String::from_utf8_lossy(&text))?;
        return Ok("standard output".into());
    };
    let failed = || format!("failed to write {}", path.display());
    if is_special(&path) {
        let file = File::options()
            .write(true)
            .open(&path)
            .with_context(failed)?;
        let mut out = BufWriter::new(file);
        write_list(&mut out, format, snapshot).with_context(failed)?;
        out.flush().with_context(failed)?;
        return Ok(path.display().to_string());
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let file = tempfile::Builder::new()
        .prefix(".nanoseg-")
        // As of any new file; the umask takes away from it.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder.unwrap_or(Path::new(".")))
        .with_context(failed)?;
    let mut out = BufWriter::new(file);
    write_list(&mut out, format, snapshot).with_context(failed)?;
    let file = out
        .into_inner()
        .map_err(|error| error.into_error())
        .with_context(failed)?;
    file.as_file().sync_all().with_context(failed)?;
    file.persist(&path)
        .map_err(|error| error.error)
        .with_context(failed)?;
    Ok(path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_an_ending_is_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let of = |name: &str| Target::of(&folder.path().join(name));
        let path = |name: &str| folder.path().join(name);
        let file = |name: &str, format| Target::File(path(name), format);
        assert_eq!(of("a.yaml").unwrap(), file("a.yaml", Format::Yaml));
        assert_eq!(of("a.yml").unwrap(), file("a.yml", Format::Yaml));
        assert_eq!(of("a.json").unwrap(), file("a.json", Format::Json));
        assert_eq!(of("cluster").unwrap(), Target::Folder(path("cluster")));
        assert_eq!(of("v1.yaml/").unwrap(), Target::Folder(path("v1.yaml/")));
        assert_eq!(of("").unwrap(), Target::Folder(path("")));
        assert_eq!(Target::of(Path::new("-")).unwrap(), Target::Stdout);
        assert_eq!(
            Target::of(Path::new("/dev/null")).unwrap(),
            Target::File("/dev/null".into(), Format::Yaml)
        );
        for name in ["a.txt", "a.yaml.gz"] {
            let error = of(name).unwrap_err().to_string();
            assert!(error.contains("*.json, or give a folder"), "{error}");
        }
        fs::write(path("plain"), "").unwrap();
        assert!(of("plain").is_err(), "a file that no folder reader finds");
    }
}
