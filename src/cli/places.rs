//! Where findings about policies point: the file and line of a policy or a rule.

use crate::cluster::{PolicyPlace, policy_places};
use crate::evaluate::{Direction, RuleRef};
use crate::report::sarif::Place;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The policies of some files, and where they are written.
#[derive(Debug, Default)]
pub struct Places(BTreeMap<String, PolicyPlace>);

impl Places {
    /// Those of one file or folder; none for the word cluster.
    pub fn find(path: &Path) -> anyhow::Result<Places> {
        match path.as_os_str() == "cluster" {
            true => Ok(Places::default()),
            false => Places::find_all(&[path.to_owned()]),
        }
    }

    /// Those of files and folders.
    pub fn find_all(paths: &[PathBuf]) -> anyhow::Result<Places> {
        Ok(Places(policy_places(paths)?))
    }

    /// The line of a rule, else of its policy (`namespace/name`).
    pub fn of(&self, policy: &str, rule: Option<&RuleRef>) -> Option<Place> {
        let place = self.0.get(policy)?;
        let line = rule.and_then(|rule| {
            let rules = match rule.direction {
                Direction::Ingress => &place.ingress,
                Direction::Egress => &place.egress,
            };
            rules.get(rule.index).copied()
        });
        Some(Place {
            file: place.file.display().to_string(),
            line: line.unwrap_or(place.line),
        })
    }
}
