//! From a folder that `nanoseg generate` wrote.

use super::{LoadedEvidence, inventory};
use crate::inventory::Objects;
use crate::load::error::LoadError;
use crate::load::generated_folder::GeneratedFolder;
use crate::load::notice::NoticeSink;
use crate::pipeline::evidence::EvidenceInputs;
use crate::report::LearningDocument;
use crate::report::evidence::{Counted, Period, Source};
use serde_json::Value;
use std::path::Path;

/// Loads the graph and the policies of a generated folder.
///
/// # Errors
/// A period, which such a folder cannot be cut to; a folder that `nanoseg generate` did not write.
pub fn from_generated(
    folder: &Path,
    period: Period,
    objects: &Objects,
    notices: &dyn NoticeSink,
) -> Result<LoadedEvidence, LoadError> {
    if period != Period::default() {
        return Err(LoadError::PeriodOfGenerated);
    }
    let GeneratedFolder {
        graph,
        policies,
        findings: of_run,
        run,
    } = GeneratedFolder::read(folder, notices)?;
    let (inventory, mut findings) = inventory(objects)?;
    findings.extend(of_run);
    let learning = learning(&run, folder)?;
    let source = Source {
        name: folder.display().to_string(),
        what: format!("a generated folder with {} policies", policies.len()),
    };
    Ok(LoadedEvidence {
        graph,
        inventory,
        policies,
        inputs: EvidenceInputs {
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

/// The learning estimate of the run, if it has one.
fn learning(run: &Value, folder: &Path) -> Result<Option<LearningDocument>, LoadError> {
    if run["learning"].is_null() {
        return Ok(None);
    }
    let learning = serde_json::from_value(run["learning"].clone());
    learning.map(Some).map_err(|error| {
        let file = folder.join("report.json");
        LoadError::unreadable(
            format!("the learning estimate in {}", file.display()),
            "generate the folder again with nanoseg generate",
            error,
        )
    })
}
