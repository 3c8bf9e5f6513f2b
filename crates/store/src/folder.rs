//! The output folder: replaces what nanoseg wrote before, and nothing else.
//!
//! What nanoseg wrote is known exactly: `kustomization.yaml` begins with a comment that names it, and
//! lists the policy files; of those only files that still carry the managed-by label count. Everything is
//! written beside its place first and then renamed, `kustomization.yaml` last, so that it never names a file that is
//! not there. What a run that was killed has written is in a list of its own ([`staging`]).

mod place;
mod staging;
#[cfg(test)]
mod tests;

use nanoseg_inventory::MANAGED_BY;
pub(crate) use place::Place;
use staging::Staging;
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
    #[error(
        "refused to write {path}: there is no folder on the way to it but a link or a file; move that away or choose another --out"
    )]
    NoFolder { path: PathBuf },
    #[error(
        "refused to write into {path}: another nanoseg writes into it; wait until it has ended"
    )]
    Busy { path: PathBuf },
}

/// What a write changed, in file names relative to the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteSummary {
    pub written: Vec<PathBuf>,
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

    /// Replaces our files in the folder by `files` (names relative to it). Files of others stay. What an earlier run
    /// that was killed left is mended.
    ///
    /// # Errors
    /// If a file of somebody else is in the way, or the disk refuses. The next run mends what is half-done then.
    pub fn replace(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<WriteSummary, FolderError> {
        if let Some(path) = files.keys().find(|name| !is_plain(name)) {
            return Err(FolderError::BadName { path: path.clone() });
        }
        fs::create_dir_all(&self.root).map_err(|e| self.failed("create", "", e))?;
        let root = Place::open(&self.root).map_err(|e| self.failed("open", "", e))?;
        if !root.lock().map_err(|e| self.failed("lock", "", e))? {
            let path = self.root.clone();
            return Err(FolderError::Busy { path });
        }
        Writing { folder: self, root }.replace(files)
    }

    fn failed(
        &self,
        action: &'static str,
        name: impl AsRef<Path>,
        source: io::Error,
    ) -> FolderError {
        let path = self.root.join(name);
        if place::is_no_folder(&source) {
            return FolderError::NoFolder { path };
        }
        FolderError::Io {
            action,
            path,
            source,
        }
    }
}

/// Whether a name leads into the folder, and can be a line of a list.
fn is_plain(name: &Path) -> bool {
    let text = name.to_str().unwrap_or_default();
    let is_normal = |part| matches!(part, Component::Normal(_));
    !text.is_empty() && !text.contains('\n') && name.components().all(is_normal)
}

/// The folder while one run writes into it.
struct Writing<'f> {
    folder: &'f OutputFolder,
    root: Place,
}

impl Writing<'_> {
    fn replace(&self, files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<WriteSummary, FolderError> {
        let fail = |action| move |e| self.folder.failed(action, "", e);
        let left = staging::left_over(&self.root).map_err(fail("read"))?;
        let unfinished = staging::unfinished(&self.root, &left).map_err(fail("read"))?;
        let known = self.known(&unfinished)?;
        let ours = self.still_ours(&known)?;
        let mut summary = WriteSummary::default();
        for (name, content) in files {
            match self.read(name)? {
                Some(old) if ours.contains(name) && old == *content => summary.unchanged += 1,
                _ => summary.written.push(name.clone()),
            }
            if !ours.contains(name) && self.is_there(name)? {
                let path = self.folder.root.join(name);
                return Err(FolderError::Stranger { path });
            }
        }
        let gone = ours.iter().filter(|name| !files.contains_key(*name));
        summary.removed = gone.cloned().collect();
        if summary.written.is_empty() && summary.removed.is_empty() && left.is_empty() {
            return Ok(summary);
        }
        let staging = Staging::make(&self.root).map_err(fail("write into"))?;
        let staged = self.stage(&staging, &summary, files, &known);
        if let Err(error) = staged {
            // Nothing was renamed yet.
            let _ = staging::remove(&self.root, &staging.name);
            return Err(error);
        }
        self.put(&staging, &summary)?;
        self.remove(&summary, &known, files)?;
        for name in left.iter().chain([&staging.name]) {
            staging::remove(&self.root, name).map_err(fail("tidy up"))?;
        }
        self.root.sync().map_err(fail("write"))?;
        Ok(summary)
    }

    /// Writes the new files beside their places, and then the list.
    fn stage(
        &self,
        staging: &Staging,
        summary: &WriteSummary,
        files: &BTreeMap<PathBuf, Vec<u8>>,
        known: &BTreeSet<PathBuf>,
    ) -> Result<(), FolderError> {
        for (number, name) in summary.written.iter().enumerate() {
            let content = files.get(name).map(Vec::as_slice).unwrap_or_default();
            let created = staging.place.create(&number.to_string(), content);
            created.map_err(|e| self.folder.failed("write", name, e))?;
        }
        let names: BTreeSet<PathBuf> = known.iter().chain(files.keys()).cloned().collect();
        let listed = staging.list(&self.root, &names);
        listed.map_err(|e| self.folder.failed("write into", "", e))
    }

    /// Renames the new files to their places, the list of them last.
    fn put(&self, staging: &Staging, summary: &WriteSummary) -> Result<(), FolderError> {
        let is_list = |name: &Path| name == Path::new(KUSTOMIZATION);
        for turn in [false, true] {
            let numbered = summary.written.iter().enumerate();
            let theirs: Vec<_> = numbered.filter(|(_, name)| is_list(name) == turn).collect();
            for (number, name) in &theirs {
                let fail = |e| self.folder.failed("write", name, e);
                if let Some((place, last)) = self.root.parent_or_new(name).map_err(fail)? {
                    let renamed = staging.place.rename(&number.to_string(), &place, last);
                    renamed.map_err(fail)?;
                }
            }
            self.sync(theirs.into_iter().map(|(_, name)| name))?;
        }
        Ok(())
    }

    /// Puts the folders that these files are in on the disk.
    fn sync<'n>(&self, names: impl Iterator<Item = &'n PathBuf>) -> Result<(), FolderError> {
        let files: BTreeMap<Option<&Path>, &PathBuf> =
            names.map(|name| (name.parent(), name)).collect();
        for name in files.into_values() {
            let fail = |e| self.folder.failed("write", name, e);
            if let Some((place, _)) = self.root.parent(name).map_err(fail)? {
                place.sync().map_err(fail)?;
            }
        }
        Ok(())
    }

    /// Removes the files of ours that are not wanted any more, and the folders that are empty without them.
    fn remove(
        &self,
        summary: &WriteSummary,
        known: &BTreeSet<PathBuf>,
        files: &BTreeMap<PathBuf, Vec<u8>>,
    ) -> Result<(), FolderError> {
        for name in &summary.removed {
            let fail = |e| self.folder.failed("remove", name, e);
            if let Some((place, last)) = self.root.parent(name).map_err(fail)? {
                place.remove(last).map_err(fail)?;
            }
        }
        self.sync(summary.removed.iter())?;
        // Also those that a killed run has emptied.
        let gone = known.iter().filter(|name| !files.contains_key(*name));
        let folders: BTreeSet<&Path> = gone.filter_map(|name| name.parent()).collect();
        for folder in folders.into_iter().rev() {
            if !folder.as_os_str().is_empty()
                && let Ok(Some((place, last))) = self.root.parent(folder)
            {
                // Only succeeds when it is empty, which is when it was ours alone.
                let _ = place.remove_folder(last);
            }
        }
        Ok(())
    }

    /// Returns the names that earlier runs wrote here, or were about to, whether or not they are there.
    fn known(&self, unfinished: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>, FolderError> {
        let mut known: BTreeSet<PathBuf> = TOP_FILES.iter().map(PathBuf::from).collect();
        if let Some(list) = self.read(Path::new(KUSTOMIZATION))?
            && head(&list).contains(MARK)
        {
            known.extend(resources(&list));
        }
        known.extend(unfinished.iter().cloned());
        known.retain(|name| is_plain(name));
        Ok(known)
    }

    /// Returns those that are there and that nobody has taken over since.
    fn still_ours(&self, known: &BTreeSet<PathBuf>) -> Result<BTreeSet<PathBuf>, FolderError> {
        let label = format!("{}: {}", MANAGED_BY.0, MANAGED_BY.1);
        let mut ours = BTreeSet::new();
        for name in known {
            let is_top = TOP_FILES.iter().any(|top| Path::new(top) == name);
            let is_ours = match self.read(name)? {
                None => false,
                Some(content) if is_top => head(&content).contains(MARK),
                Some(content) => String::from_utf8_lossy(&content).contains(&label),
            };
            if is_ours {
                ours.insert(name.clone());
            }
        }
        Ok(ours)
    }

    /// Whether anything is at the name's place.
    fn is_there(&self, name: &Path) -> Result<bool, FolderError> {
        let fail = |e| self.folder.failed("read", name, e);
        let found = self.root.parent(name).map_err(fail)?;
        let kind = found.map(|(place, last)| place.kind(last)).transpose();
        Ok(kind.map_err(fail)?.flatten().is_some())
    }

    /// Returns a file's content; `None` if there is no such plain file, or no folder on the way.
    fn read(&self, name: &Path) -> Result<Option<Vec<u8>>, FolderError> {
        let read = match self.root.parent(name) {
            Ok(Some((place, last))) => place.read(last),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match read {
            // Somebody has put a link there: nothing behind it is ours.
            Err(error) if place::is_no_folder(&error) => Ok(None),
            other => other.map_err(|e| self.folder.failed("read", name, e)),
        }
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
