//! Where findings about policies point: the file and line of a policy or a rule.

use crate::cluster::{PolicyPlace, policy_places};
use crate::evaluate::{EvaluateError, RuleRef};
use crate::net::Direction;
use crate::report::sarif::Place;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The policies of some files, and where they are written.
#[derive(Debug, Default)]
pub struct Places {
    policies: BTreeMap<String, PolicyPlace>,
    repository: Repository,
}

impl Places {
    /// Those of one file or folder; none for the word cluster.
    pub fn find(path: &Path) -> anyhow::Result<Places> {
        if path.as_os_str() == "cluster" {
            Ok(Places::default())
        } else {
            Places::find_all(&[path.to_owned()])
        }
    }

    /// Those of files and folders.
    pub fn find_all(paths: &[PathBuf]) -> anyhow::Result<Places> {
        Ok(Places {
            policies: policy_places(paths)?,
            repository: Repository::around(&std::env::current_dir()?),
        })
    }

    /// The line of a rule, else of its policy (`namespace/name`).
    pub fn of(&self, policy: &str, rule: Option<&RuleRef>) -> Option<Place> {
        let place = self.policies.get(policy)?;
        let line = rule.and_then(|rule| {
            let rules = match rule.direction {
                Direction::Ingress => &place.ingress,
                Direction::Egress => &place.egress,
            };
            rules.get(rule.index).copied()
        });
        Some(self.at(place, line))
    }

    /// Where to look for what no policy is the reason of: the first policy of the namespace, else of all. Tools
    /// refuse a result that names no file.
    pub fn nearest(&self, namespace: &str) -> Option<Place> {
        let from = format!("{namespace}/");
        let own = self.policies.range(from.clone()..).next();
        let place = own
            .filter(|(name, _)| name.starts_with(&from))
            .or_else(|| self.policies.first_key_value());
        place.map(|(_, place)| self.at(place, None))
    }

    /// `file:line` of a policy, the file as it was given.
    fn written(&self, policy: &str) -> Option<String> {
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

/// What to tell of a policy that cannot be judged: where in these files it is, and what to do.
pub fn refused(error: EvaluateError, paths: &[PathBuf]) -> anyhow::Error {
    let places = Places::find_all(paths).unwrap_or_default();
    let at = places.written(&error.policy);
    let at = at.map_or(String::new(), |at| format!("{at}: "));
    anyhow::anyhow!("{at}{error}; correct it, the API server refuses it as well")
}

/// Code-review tools know files by their path in the repository.
#[derive(Debug, Default)]
struct Repository {
    /// Where commands are typed.
    current: PathBuf,
    /// The nearest folder above with a `.git`, else the same.
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
