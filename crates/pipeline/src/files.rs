//! The files of the output folder, by name: what `kubectl apply -k` takes, and the reports.

use super::Generated;
use nanoseg_policy::{file_name, render, render_kustomization};
use nanoseg_report::graph::{self, Format};
use nanoseg_report::{self as report, RunReport};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Builds all files.
///
/// # Errors
/// Only if serde fails, which no report causes.
pub fn output_files(
    generated: &Generated,
    run: &RunReport,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, report::Error> {
    let mut files = BTreeMap::new();
    let mut names = Vec::new();
    for policy in &generated.synthesis.policies {
        let name = file_name(policy);
        files.insert(PathBuf::from(&name), render(policy).into_bytes());
        names.push(name);
    }
    files.insert(
        "kustomization.yaml".into(),
        render_kustomization(&names).into_bytes(),
    );
    files.insert("report.md".into(), report::markdown(run).into_bytes());
    files.insert("report.json".into(), run.json()?.into_bytes());
    let picture = graph::render(
        &generated.graph,
        Format::Svg,
        graph::Options { only_learned: true },
    )?;
    files.insert("graph.svg".into(), picture.into_bytes());
    Ok(files)
}
