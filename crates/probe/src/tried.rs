//! A connection that was tried.

use super::cause::Cause;
use super::fault::Fault;
use super::message::Told;
use super::outcome::Verdict;
use super::plan::Probe;
use serde::{Deserialize, Serialize};

/// One connection that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tried {
    #[serde(flatten)]
    pub probe: Probe,
    /// `None`: nothing was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The likely causes of a difference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}
