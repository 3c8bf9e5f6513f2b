//! From a folder that `nanoseg generate` wrote.

use super::{Seen, inventory};
use crate::cli::policies::read_policies;
use crate::inventory::Objects;
use crate::pipeline::evidence::EvidenceInputs;
use crate::report::evidence::Source;
use crate::report::graph::parse;
use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::Path;

pub fn read(folder: &Path, objects: &Objects) -> anyhow::Result<Seen> {
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
    let (inventory, findings) = inventory(objects)?;
    let policies = read_policies(&[folder.to_owned()])?;
    let source = Source {
        name: folder.display().to_string(),
        what: format!("a generated folder with {} policies", policies.len()),
    };
    Ok(Seen {
        graph,
        inventory,
        policies,
        given: EvidenceInputs {
            sources: vec![source],
            findings,
            ..EvidenceInputs::default()
        },
    })
}
