//! What the engine and the enforcer exchange: the plan of the policies in the cluster, and reports of what was done.

use crate::inventory::WorkloadId;
use crate::net::Timestamp;
use crate::record::{Actor, Digest, Drift};
use k8s_openapi::api::networking::v1::NetworkPolicySpec;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The policies of all enforced namespaces, and of those whose policies are to be deleted.
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
    /// It was in the cluster as planned, so what differs now was changed by somebody else.
    pub was_applied: bool,
}

/// The desired state of a policy.
#[derive(Debug, Clone, PartialEq)]
pub enum Desired {
    Present {
        revision: u32,
        digest: Digest,
        spec: Arc<NetworkPolicySpec>,
    },
    /// There must be no policy.
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

/// What the enforcer did or found. Times are those of the comparison or of the write.
#[derive(Debug, Clone, PartialEq)]
pub enum EnforcerReport {
    /// The cluster has it as planned. `wrote`: this took a write.
    InPlace {
        workload: WorkloadId,
        revision: Option<u32>,
        at: Timestamp,
        wrote: bool,
    },
    /// Somebody changed or deleted it, and it was repaired.
    Repaired {
        workload: WorkloadId,
        drift: Drift,
        found: Option<Digest>,
        wanted: Option<Digest>,
        at: Timestamp,
    },
    /// Somebody changed or deleted it, and it is not repaired before `until`; `None`: not by us.
    Drifted {
        workload: WorkloadId,
        drift: Drift,
        until: Option<Timestamp>,
        at: Timestamp,
    },
    /// Its file in the output folder changed. `policy`: `None` if the file was removed.
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
    /// Break-glass came on (`deleted`: how many policies are deleted) or went off (`reason` is `None`).
    BreakGlass {
        namespace: String,
        reason: Option<String>,
        /// Who set or removed it.
        by: Actor,
        deleted: usize,
        at: Timestamp,
    },
}
