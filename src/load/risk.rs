//! Vulnerability scans, and the images that may run.

use super::error::LoadError;
use crate::inventory::{ImageScan, parse_scans};
use crate::pipeline::RiskChoices;
use crate::risk::{Approved, Vulnerabilities};
use std::fs;
use std::path::{Path, PathBuf};

/// Everything that an operator names about images.
#[derive(Debug, Clone, Default)]
pub struct RiskSource {
    pub approved: Approved,
    /// Vulnerability scans: files, or folders of `*.json`.
    pub vulnerabilities: Vec<PathBuf>,
}

impl RiskSource {
    /// Reads the scans. `known` are those that the cluster or snapshot itself has.
    ///
    /// # Errors
    /// A file that cannot be read or is not a scan, or a folder without `*.json`.
    pub fn read(&self, known: &[ImageScan]) -> Result<RiskChoices, LoadError> {
        let mut scans = Vec::new();
        for path in &self.vulnerabilities {
            for file in files(path)? {
                scans.extend(read_file(&file)?);
            }
        }
        Ok(RiskChoices {
            approved: self.approved.clone(),
            vulnerabilities: Vulnerabilities::of(scans.iter().chain(known)),
            ..RiskChoices::default()
        })
    }
}

fn files(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let failed = |error| failed(path, error);
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        if file.extension().is_some_and(|end| end == "json") {
            found.push(file);
        }
    }
    found.sort();
    if found.is_empty() {
        Err(LoadError::NoScans(path.to_owned()))
    } else {
        Ok(found)
    }
}

fn read_file(path: &Path) -> Result<Vec<ImageScan>, LoadError> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, error))?;
    parse_scans(&text).map_err(|error| {
        LoadError::unreadable(
            path.display(),
            "make scans with trivy image -f json, trivy k8s -f json, or kubectl get vulnerabilityreports -A -o json",
            error,
        )
    })
}

fn failed(path: &Path, error: std::io::Error) -> LoadError {
    LoadError::unreadable(path.display(), "check the path and its permissions", error)
}
