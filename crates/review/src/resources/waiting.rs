//! What a workload without a proposal waits for, and what all workloads share, in a Segmentation's status.

use nanoseg_graph::{Missing, Progress};
use nanoseg_inventory::WorkloadId;
use nanoseg_risk::SharedFinding;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A workload that has no proposal yet.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WaitingWorkload {
    pub kind: String,
    pub name: String,
    /// Conversations that were seen.
    #[serde(default)]
    pub connections: u64,
    /// The edges that they belong to; an edge is a client, a server, a protocol and a port.
    #[serde(default)]
    pub edges: u32,
    /// The clients by address, of each edge 8 at most.
    #[serde(default)]
    pub clients: u32,
    /// The estimated share of its edges that were observed, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<u8>,
    /// All of these are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<WaitReason>,
    /// The same in words, with about how long each takes.
    #[serde(default)]
    pub message: String,
}

/// A warning that nearly all workloads of the cluster have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedFindingLine {
    /// The stable code, docs/findings.md.
    pub code: String,
    /// How many workloads have it.
    #[serde(default)]
    pub workloads: u32,
    /// How many workloads there are.
    #[serde(default)]
    pub of: u32,
    /// What it means.
    #[serde(default)]
    pub message: String,
}

impl From<&SharedFinding> for SharedFindingLine {
    fn from(finding: &SharedFinding) -> Self {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        SharedFindingLine {
            code: finding.code.name().to_owned(),
            workloads: number(finding.workloads),
            of: number(finding.of),
            message: finding.code.meaning().to_owned(),
        }
    }
}

/// What is missing before a proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WaitReason {
    /// The first conversation.
    Traffic,
    /// The rest of learning.minimumDuration.
    MinimumDuration,
    /// More time windows to compare.
    TimeWindows,
    /// Edges that were seen in one time window and of one client have to be seen again.
    SecondSight,
    /// Edges that are seen rarely have to be seen again, until learning.minimumCoverage is reached.
    Coverage,
    /// A policy can be written only when something else is solved: see the conditions Ready and Observed.
    Policy,
}

impl From<&Missing> for WaitReason {
    fn from(missing: &Missing) -> Self {
        match missing {
            Missing::Traffic => WaitReason::Traffic,
            Missing::Duration { .. } => WaitReason::MinimumDuration,
            Missing::Windows { .. } => WaitReason::TimeWindows,
            Missing::SecondSight { .. } => WaitReason::SecondSight,
            Missing::Coverage { .. } => WaitReason::Coverage,
        }
    }
}

impl WaitingWorkload {
    /// `message` is the same in words.
    pub fn new(id: &WorkloadId, progress: &Progress, message: String) -> WaitingWorkload {
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let mut waits_for: Vec<WaitReason> =
            progress.missing.iter().map(WaitReason::from).collect();
        if waits_for.is_empty() {
            waits_for.push(WaitReason::Policy);
        }
        WaitingWorkload {
            kind: id.kind.clone(),
            name: id.name.clone(),
            connections: progress.connections,
            edges: number(progress.edges),
            clients: number(progress.clients),
            coverage: progress
                .coverage
                .map(|share| (share.clamp(0.0, 1.0) * 100.0) as u8),
            waits_for,
            message,
        }
    }
}
