//! What shall be in the cluster, as the engine tells the enforcer; and what the enforcer tells back.

use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::review::Digest;
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// All segmented namespaces, and those that were and whose policies are to go.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub namespaces: BTreeMap<String, NamespacePlan>,
}

/// One namespace's policies, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NamespacePlan {
    pub policies: BTreeMap<String, PlannedPolicy>,
}

/// One policy of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPolicy {
    pub workload: WorkloadId,
    pub desired: Desired,
    /// It was in the cluster as it shall be: what differs now was changed by somebody else.
    pub was_applied: bool,
}

/// How it shall be.
#[derive(Debug, Clone, PartialEq)]
pub enum Desired {
    Present {
        revision: u32,
        digest: Digest,
        spec: Arc<NetworkPolicySpec>,
    },
    /// There shall be none.
    Absent,
}

impl Desired {
    pub fn revision(&self) -> Option<u32> {
        match self {
            Desired::Present { revision, .. } => Some(*revision),
            Desired::Absent => None,
        }
    }
}

/// What the enforcer did or found.
#[derive(Debug, Clone, PartialEq)]
pub enum EnforcerReport {
    /// The cluster has it as it shall be; `wrote` tells whether that took a write.
    InPlace {
        workload: WorkloadId,
        revision: Option<u32>,
        at: Timestamp,
        wrote: bool,
    },
    /// Somebody changed or deleted it, and it was put right.
    Repaired {
        workload: WorkloadId,
        what: String,
        found: Option<Digest>,
        wanted: Option<Digest>,
        at: Timestamp,
    },
    /// Somebody changed or deleted it, and it is not put right before `until`.
    Drifted {
        workload: WorkloadId,
        what: String,
        until: Option<Timestamp>,
        at: Timestamp,
    },
    /// Its file in the output folder is another than before; `policy`: none if it was taken away.
    Exported {
        workload: WorkloadId,
        policy: Option<Digest>,
        at: Timestamp,
    },
    /// It could not be written.
    Failed {
        workload: WorkloadId,
        why: String,
        at: Timestamp,
    },
    /// The annotation came (`deleted` policies went) or went.
    BreakGlass {
        namespace: String,
        reason: Option<String>,
        deleted: usize,
        at: Timestamp,
    },
}
