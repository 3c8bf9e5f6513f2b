//! The file and line of a policy or a rule, for findings about policies.

use super::error::LoadError;
use crate::cluster::{PolicyPlace, policy_places};
use crate::evaluate::{EvaluateError, RuleRef};
use crate::net::Direction;
use crate::report::sarif::Place;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The policies of some files, with the files and lines in which they are written.
#[derive(Debug, Default)]
pub struct PolicyLocations {
    policies: BTreeMap<String, PolicyPlace>,
    repository: Repository,
}

impl PolicyLocations {
    /// Those of one file or folder; none for the word cluster.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn find(path: &Path) -> Result<PolicyLocations, LoadError> {
        if path.as_os_str() == "cluster" {
            Ok(PolicyLocations::default())
        } else {
            PolicyLocations::find_all(&[path.to_owned()])
        }
    }

    /// Those of files and folders.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn find_all(paths: &[PathBuf]) -> Result<PolicyLocations, LoadError> {
        Ok(PolicyLocations {
            policies: policy_places(paths)?,
            repository: Repository::around(
                &std::env::current_dir().map_err(LoadError::CurrentFolder)?,
            ),
        })
    }

    /// The line of a rule, else of its policy (`namespace/name`).
    pub fn of(&self, policy: &str, rule: Option<&RuleRef>) -> Option<Place> {
        let place = self.policies.get(policy)?;
        let line = rule.and_then(|rule| {
            if let Some(field) = &rule.field {
                return place.rules.get(field).copied();
            }
            let rules = match rule.direction {
                Direction::Ingress => &place.ingress,
                Direction::Egress => &place.egress,
            };
            rules.get(rule.index).copied()
        });
        Some(self.at(place, line))
    }

    /// The location of a result that no policy causes: the first policy of the namespace, else of all. Tools refuse
    /// a result without a file.
    pub fn nearest(&self, namespace: &str) -> Option<Place> {
        let from = format!("{namespace}/");
        let own = self.policies.range(from.clone()..).next();
        let place = own
            .filter(|(name, _)| name.starts_with(&from))
            .or_else(|| self.policies.first_key_value());
        place.map(|(_, place)| self.at(place, None))
    }

    /// `file:line` of a policy, with the file as it was named.
    fn text(&self, policy: &str) -> Option<String> {
        let place = self.policies.get(policy)?;
        Some(format!("{}:{}", place.file.display(), place.line))
    }

    /// The beginning of a file.
    pub fn file(&self, file: &str) -> Place {
        Place {
            file: self.repository.path_of(Path::new(file)),
            line: 1,
        }
    }

    fn at(&self, place: &PolicyPlace, line: Option<usize>) -> Place {
        Place {
            file: self.repository.path_of(&place.file),
            line: line.unwrap_or(place.line),
        }
    }
}

/// The error for a policy that cannot be judged, with its file and line among `paths`.
pub fn invalid_policy(error: EvaluateError, paths: &[PathBuf]) -> LoadError {
    let locations = PolicyLocations::find_all(paths).unwrap_or_default();
    let at = locations.text(&error.policy);
    let at = at.map_or(String::new(), |at| format!("{at}: "));
    LoadError::InvalidPolicy { at, error }
}

/// Code-review tools know files by their path in the repository.
#[derive(Debug, Default)]
struct Repository {
    /// The current folder.
    current: PathBuf,
    /// The nearest folder above that has a `.git`, else the current folder.
    root: PathBuf,
}

impl Repository {
    fn around(current: &Path) -> Repository {
        let root = current
            .ancestors()
            .find(|folder| folder.join(".git").exists());
        Repository {
            current: current.to_owned(),
            root: root.unwrap_or(current).to_owned(),
        }
    }

    /// Relative to the root, if the file is under it.
    fn path_of(&self, file: &Path) -> String {
        let mut whole = PathBuf::new();
        for part in self.current.join(file).components() {
            match part {
                Component::ParentDir => drop(whole.pop()),
                Component::CurDir => {}
                other => whole.push(other),
            }
        }
        let inside = whole.strip_prefix(&self.root).unwrap_or(&whole);
        inside.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_are_named_from_the_root_of_the_repository() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("deploy/k8s")).unwrap();
        let path =
            |from: &str, file: &str| Repository::around(&root.join(from)).path_of(Path::new(file));
        assert_eq!(
            path("deploy", "./k8s/a.yaml"),
            "k8s/a.yaml",
            "no repository"
        );
        fs::create_dir(root.join(".git")).unwrap();
        assert_eq!(path("deploy", "./k8s/a.yaml"), "deploy/k8s/a.yaml");
        assert_eq!(path("deploy/k8s", "../../b.yaml"), "b.yaml");
        let whole = root.join("deploy/c.yaml").display().to_string();
        assert_eq!(path("deploy", &whole), "deploy/c.yaml");
        assert_eq!(path("deploy", "/elsewhere/d.yaml"), "/elsewhere/d.yaml");
    }
}
