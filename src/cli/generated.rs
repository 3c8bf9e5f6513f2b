//! A folder that `nanoseg generate` wrote, read again.

use super::policies::read_generated_policies;
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
            run,
            graph,
            policies: read_generated_policies(folder)?,
        })
    }
}
