//! From a folder that `nanoseg generate` wrote.

use super::{Seen, inventory};
use crate::cli::generated::GeneratedFolder;
use crate::inventory::Objects;
use crate::pipeline::evidence::EvidenceInputs;
use crate::report::LearningDocument;
use crate::report::evidence::{Counted, Period, Source};
use anyhow::Context;
use serde_json::Value;
use std::path::Path;

pub fn read(folder: &Path, period: Period, objects: &Objects) -> anyhow::Result<Seen> {
    anyhow::ensure!(
        period == Period::default(),
        "--from and --to need --state, --capture or --flows: a generated folder tells of its whole time only"
    );
    let GeneratedFolder {
        graph,
        policies,
        findings: of_run,
        run,
    } = GeneratedFolder::read(folder)?;
    let (inventory, mut findings) = inventory(objects)?;
    findings.extend(of_run);
    let learning: Option<LearningDocument> = match &run["learning"] {
        Value::Null => None,
        learning => Some(serde_json::from_value(learning.clone()).with_context(|| {
            format!(
                "failed to read the learning estimate in {}; make the folder anew with nanoseg generate",
                folder.join("report.json").display()
            )
        })?),
    };
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
            learning: Some(learning.unwrap_or_default()),
            period: Period {
                counted: Counted::Whole,
                ..period
            },
            ..EvidenceInputs::default()
        },
    })
}
