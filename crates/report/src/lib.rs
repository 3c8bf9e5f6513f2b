//! Room 3: what people and other programs read: the communication graph in every export format,
//! the report of a run as Markdown and JSON, and the terminal summary.
//!
//! Everything here is a pure function from plain values to text: no files, no clock, no printing.
//! An attacker can choose names in captures (DNS answers), so every format escapes every name;
//! the rules are in [`escape`].

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

pub mod changes;
pub mod diff;
pub mod escape;
#[cfg(feature = "evidence")]
pub mod evidence;
pub mod graph;
pub mod layout;
pub mod learning;
mod markdown;
mod network_plugin;
pub mod period;
mod run;
pub mod sarif;
mod summary;
pub mod table;
pub mod verification;
mod view;
pub mod words;

pub use graph::GraphDocument;
pub use markdown::markdown;
pub use network_plugin::NetworkPluginDocument;
pub use run::{
    CaptureInput, Connection, EstimateDocument, FlowInput, Inputs, LearningDocument, PolicyReport,
    ProofDocument, RuleReport, RunReport, SnapshotInput, WorkloadEstimate,
};
pub use summary::{Summary, summary};
pub use view::{OpenDirection, UnattributedEdge, ViewDocument};

/// Why something could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("failed to write JSON")]
    Json(#[from] serde_json::Error),
    #[error("failed to pack")]
    Pack(#[from] std::io::Error),
}

/// Pretty JSON with a newline at its end.
pub fn json<T: serde::Serialize>(value: &T) -> Result<String, Error> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}
