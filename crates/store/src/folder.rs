//! The output folder: replaces what nanoseg wrote before, and nothing else.
//!
//! What nanoseg wrote is known exactly: `kustomization.yaml` begins with a comment that names it, and
//! lists the policy files; of those only files that still carry the managed-by label count. Everything is
//! written beside its place first and then renamed, so a failure leaves the folder as it was.

use nanoseg_inventory::MANAGED_BY;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The mark that every file at the top of a folder that nanoseg wrote has near its start.
const MARK: &str = "nanoseg";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// The files at the top of the folder.
const TOP_FILES: [&str; 4] = [KUSTOMIZATION, "report.md", "report.json", "graph.svg"];
/// The mark is within this many bytes from the start.
const MARK_WITHIN: usize = 512;

/// Why a folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("failed to {action} {path}: {source}")]
    Io {
        action: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error(
        "refused to overwrite {path}: nanoseg did not write it; move it away or choose another --out"
    )]
    Stranger { path: PathBuf },
    #[error("failed to use {path} as a file name inside the output folder")]
    BadName { path: PathBuf },
}

/// What a write changed, in file names relative to the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSummary {
    pub written: usize,
    pub unchanged: usize,
    pub removed: Vec<PathBuf>,
}

/// A folder of generated policies and reports.
#[derive(Debug, Clone)]
pub struct OutputFolder {
    root: PathBuf,
}

impl OutputFolder {
    pub fn new(root: impl Into<PathBuf>) -> Self {
        OutputFolder { root: root.into() }
    }

    /// Replaces our files in the folder by `files` (names relative to it). Files of others stay.
    ///
    /// # Errors
    /// If a file of somebody else is in the way, or the disk refuses; then the folder is unchanged.
    pub fn replace(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<WriteSummary, FolderError> {
        let ours = self.written_before()?;
        for name in files.keys() {
            let plain = name.components().all(|c| matches!(c, Component::Normal(_)));
            if !plain || name.as_os_str().is_empty() {
                return Err(FolderError::BadName { path: name.clone() });
            }
            let path = self.root.join(name);
            let exists = path.symlink_metadata().is_ok();
            if exists && !ours.contains(name) {
                return Err(FolderError::Stranger { path });
            }
        }
        fs::create_dir_all(&self.root).map_err(|e| failed("create", &self.root, e))?;
        let staging = tempfile::Builder::new()
            .prefix(".nanoseg-")
            .tempdir_in(&self.root)
            .map_err(|e| failed("write into", &self.root, e))?;
        let mut summary = WriteSummary::default();
        let mut staged = Vec::new();
        for (name, content) in files {
            let path = self.root.join(name);
            if fs::read(&path).is_ok_and(|old| old == *content) {
                summary.unchanged += 1;
                continue;
            }
            let temporary = staging.path().join(staged.len().to_string());
            fs::write(&temporary, content).map_err(|e| failed("write", &path, e))?;
            staged.push((temporary, path));
        }
        for (temporary, path) in staged {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(|e| failed("create", parent, e))?;
            }
            fs::rename(&temporary, &path).map_err(|e| failed("write", &path, e))?;
            summary.written += 1;
        }
        for gone in ours.iter().filter(|name| !files.contains_key(*name)) {
            let path = self.root.join(gone);
            fs::remove_file(&path).map_err(|e| failed("remove", &path, e))?;
            if let Some(parent) = path.parent().filter(|parent| *parent != self.root) {
                // Only succeeds when it is empty, which is when it was ours alone.
                let _ = fs::remove_dir(parent);
            }
            summary.removed.push(gone.clone());
        }
        Ok(summary)
    }

    /// Returns the files that an earlier run wrote here and that nobody has taken over since.
    fn written_before(&self) -> Result<BTreeSet<PathBuf>, FolderError> {
        let mut ours = BTreeSet::new();
        for name in TOP_FILES {
            if let Some(content) = self.read(name)?
                && head(&content).contains(MARK)
            {
                ours.insert(PathBuf::from(name));
            }
        }
        if !ours.contains(Path::new(KUSTOMIZATION)) {
            return Ok(ours);
        }
        let listed = self.read(KUSTOMIZATION)?.unwrap_or_default();
        let label = format!("{}: {}", MANAGED_BY.0, MANAGED_BY.1);
        for name in resources(&listed) {
            let inside = name.components().all(|c| matches!(c, Component::Normal(_)));
            let text = name.to_str().filter(|_| inside);
            if let Some(content) = text.map(|text| self.read(text)).transpose()?.flatten()
                && String::from_utf8_lossy(&content).contains(&label)
            {
                ours.insert(name);
            }
        }
        Ok(ours)
    }

    /// Returns a file's content; `None` if there is no such plain file.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        let path = self.root.join(name);
        match fs::symlink_metadata(&path) {
            Ok(meta) if meta.is_file() => {}
            _ => return Ok(None),
        }
        fs::read(&path)
            .map(Some)
            .map_err(|e| failed("read", &path, e))
    }
}

fn head(content: &[u8]) -> String {
    String::from_utf8_lossy(&content[..content.len().min(MARK_WITHIN)]).into_owned()
}

/// Returns the `resources:` of a kustomization.
fn resources(content: &[u8]) -> Vec<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Kustomization {
        #[serde(default)]
        resources: Vec<PathBuf>,
    }
    serde_yaml::from_slice::<Kustomization>(content)
        .map(|k| k.resources)
        .unwrap_or_default()
}

fn failed(action: &'static str, path: &Path, source: io::Error) -> FolderError {
    FolderError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(names: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files: BTreeMap<PathBuf, Vec<u8>> = names
            .iter()
            .map(|name| {
                (
                    PathBuf::from(name),
                    b"labels:\n  app.kubernetes.io/managed-by: nanoseg\n".to_vec(),
                )
            })
            .collect();
        let list: String = names.iter().map(|name| format!("  - {name}\n")).collect();
        let text = format!("# Written by {MARK}\nresources:\n{list}");
        files.insert(KUSTOMIZATION.into(), text.into_bytes());
        files
    }

    fn listing(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().flatten() {
                match entry.path() {
                    path if path.is_dir() => folders.push(path),
                    path => found.push(path.strip_prefix(root).unwrap().display().to_string()),
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn a_second_run_replaces_its_own_files_and_removes_those_of_gone_workloads() {
        let dir = tempfile::tempdir().unwrap();
        let out = OutputFolder::new(dir.path().join("out"));
        out.replace(&files(&["shop/web.yaml", "shop/old.yaml", "dead/x.yaml"]))
            .unwrap();
        let summary = out.replace(&files(&["shop/web.yaml"])).unwrap();
        assert_eq!(
            summary.removed,
            [PathBuf::from("dead/x.yaml"), PathBuf::from("shop/old.yaml")]
        );
        assert_eq!(summary.unchanged, 1);
        assert_eq!(
            listing(&dir.path().join("out")),
            ["kustomization.yaml", "shop/web.yaml"]
        );
        assert!(!dir.path().join("out/dead").exists());
    }

    #[test]
    fn a_strangers_file_is_neither_overwritten_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let out = OutputFolder::new(dir.path());
        fs::create_dir(dir.path().join("shop")).unwrap();
        fs::write(dir.path().join("shop/web.yaml"), "mine").unwrap();
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        let refused = out.replace(&files(&["shop/web.yaml"])).unwrap_err();
        assert!(matches!(refused, FolderError::Stranger { .. }), "{refused}");
        assert_eq!(
            listing(dir.path()),
            ["notes.txt", "shop/web.yaml"],
            "nothing half-written"
        );
        out.replace(&files(&["shop/app.yaml"])).unwrap();
        out.replace(&files(&[])).unwrap();
        assert_eq!(
            listing(dir.path()),
            ["kustomization.yaml", "notes.txt", "shop/web.yaml"]
        );
    }

    #[test]
    fn a_foreign_kustomization_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(KUSTOMIZATION), "resources: [a.yaml]\n").unwrap();
        let refused = OutputFolder::new(dir.path())
            .replace(&files(&["a/b.yaml"]))
            .unwrap_err();
        assert!(
            refused.to_string().contains("nanoseg did not write it"),
            "{refused}"
        );
    }

    #[test]
    fn names_cannot_leave_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["../x.yaml", "/etc/x.yaml", "a/../../x.yaml"] {
            let refused = OutputFolder::new(dir.path())
                .replace(&files(&[name]))
                .unwrap_err();
            assert!(
                matches!(refused, FolderError::BadName { .. }),
                "{name}: {refused}"
            );
        }
    }
}
