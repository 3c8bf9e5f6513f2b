//! What tries tell of what the model of a network plugin leaves open.

use super::outcome::Verdict;
use super::question::CheckedPort;
use super::tried::Tried;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What the tries found out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundOut {
    /// The port on which connections through Services are checked; absent: nothing told it, or tries contradict each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked_port: Option<CheckedPort>,
    /// How many tries told it.
    #[serde(default)]
    pub tries: usize,
}

impl FoundOut {
    pub fn of(tried: &[Tried]) -> FoundOut {
        let answer = |one: &Tried| {
            let question = one.probe.asks?;
            match one.verdict {
                Verdict::Passes => Some(question.passes_if),
                Verdict::IsStopped => Some(question.passes_if.other()),
                _ => None,
            }
        };
        let answers: Vec<CheckedPort> = tried.iter().filter_map(answer).collect();
        let different: BTreeSet<CheckedPort> = answers.iter().copied().collect();
        FoundOut {
            checked_port: different.first().copied().filter(|_| different.len() == 1),
            tries: answers.len(),
        }
    }
}

impl fmt::Display for FoundOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (port, option) = match self.checked_port {
            None => return Ok(()),
            Some(CheckedPort::Pod) => ("the pod's port", "after-translation"),
            Some(CheckedPort::Service) => ("the Service's port", "before-translation"),
        };
        write!(
            f,
            "the network plugin checks connections through Services on {port} ({} tries): --service-enforcement {option}",
            self.tries
        )
    }
}
