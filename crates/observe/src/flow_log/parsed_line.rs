//! The content of one line of a flow log, and why a line cannot be read.

use nanoseg_flow::{Loss, NameEntry, Observed, OtherTraffic, ScanSummary};
use std::net::IpAddr;

/// The content of one line of a flow log.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ParsedLine {
    Flow(Observed),
    Name(IpAddr, NameEntry),
    Other(OtherTraffic),
    Scan(ScanSummary),
    Loss(Loss, u64),
}

/// Why a line cannot be read: what is wrong, and where that is not plain what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct LineError(pub String);

impl LineError {
    /// Without serde's "at line 1 column 5": the caller reports the number of the line in the file.
    pub fn of_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let end = text.rfind(" at line ").unwrap_or(text.len());
        LineError(text.get(..end).unwrap_or(&text).to_owned())
    }

    /// The error of a line without `what`.
    pub fn missing(what: &str) -> Self {
        LineError(format!("there is no {what}"))
    }
}
