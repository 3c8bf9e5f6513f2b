//! A folder that `nanoseg generate` wrote, read again.

use super::policies::read_generated_policies;
use crate::finding::{Code, Finding};
use crate::graph::Graph;
use crate::report::graph::parse;
use anyhow::Context;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// What is in such a folder.
pub struct GeneratedFolder {
    /// `report.json`.
    pub run: Value,
    pub graph: Graph,
    pub policies: Vec<NetworkPolicy>,
    /// Of the run.
    pub findings: Vec<Finding>,
}

impl GeneratedFolder {
    /// Reads it.
    pub fn read(folder: &Path) -> anyhow::Result<GeneratedFolder> {
        let path = folder.join("report.json");
        let failed = || {
            format!(
                "failed to read {}; is it a folder that nanoseg generate wrote?",
                path.display()
            )
        };
        let text = fs::read_to_string(&path).with_context(failed)?;
        let run: Value = serde_json::from_str(&text).with_context(failed)?;
        let graph = parse(&run["graph"].to_string()).with_context(failed)?;
        Ok(GeneratedFolder {
            findings: findings(&run),
            run,
            graph,
            policies: read_generated_policies(folder)?,
        })
    }
}

/// The findings of `report.json`; one of a code that this version does not know is left out.
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
