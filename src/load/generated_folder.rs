//! The content of a folder that `nanoseg generate` wrote.

use super::error::LoadError;
use super::notice::NoticeSink;
use super::policies::read_generated_policies;
use crate::finding::{Code, Finding};
use crate::graph::Graph;
use crate::report::graph::parse;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The content of such a folder.
pub struct GeneratedFolder {
    /// `report.json`.
    pub run: Value,
    pub graph: Graph,
    pub policies: Vec<NetworkPolicy>,
    /// The findings of the run.
    pub findings: Vec<Finding>,
}

impl GeneratedFolder {
    /// Reads it.
    ///
    /// # Errors
    /// A file that is missing, or that `nanoseg generate` did not write.
    pub fn read(folder: &Path, notices: &dyn NoticeSink) -> Result<GeneratedFolder, LoadError> {
        const ADVICE: &str = "is it a folder that nanoseg generate wrote?";
        let path = folder.join("report.json");
        let text = fs::read_to_string(&path)
            .map_err(|error| LoadError::unreadable(path.display(), ADVICE, error))?;
        let run: Value = serde_json::from_str(&text)
            .map_err(|error| LoadError::unreadable(path.display(), ADVICE, error))?;
        let graph = parse(&run["graph"].to_string())
            .map_err(|error| LoadError::unreadable(path.display(), ADVICE, error))?;
        Ok(GeneratedFolder {
            findings: findings(&run),
            run,
            graph,
            policies: read_generated_policies(folder, notices)?,
        })
    }
}

/// The findings of `report.json`. A finding with a code that this version does not know is left out.
fn findings(run: &Value) -> Vec<Finding> {
    let all = run["findings"].as_array().into_iter().flatten();
    let finding = |one: &Value| {
        let code = Code::ALL.iter().find(|code| one["code"] == code.name())?;
        let samples = one["samples"].as_array().into_iter().flatten();
        let samples = samples.filter_map(|sample| sample.as_str().map(str::to_owned));
        let (subject, message) = (one["subject"].as_str()?, one["message"].as_str()?);
        Some(Finding::new(*code, subject, message).with_samples(samples))
    };
    all.filter_map(finding).collect()
}
