//! What the model of a network plugin leaves open.

use serde::{Deserialize, Serialize};

/// The port on which a plugin checks a connection through a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckedPort {
    /// The pod's, after translation.
    Pod,
    /// The Service's, before translation.
    Service,
}

impl CheckedPort {
    pub(super) fn other(self) -> CheckedPort {
        match self {
            CheckedPort::Pod => CheckedPort::Service,
            CheckedPort::Service => CheckedPort::Pod,
        }
    }
}

/// A question that a try answers: the policies let one of the two ports through and the other not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// It gets through if this port is checked.
    pub passes_if: CheckedPort,
}
