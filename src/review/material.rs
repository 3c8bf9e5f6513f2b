use super::*;
use crate::evaluate::EvaluateError;
use crate::finding::Finding;
use crate::graph::{Graph, Requirement};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicySpec};
pub struct Question<'a> {
    pub inventory: &'a Inventory,
    pub graph: &'a Graph,
    pub requirements: &'a [Requirement],
    pub wanted_blocked: &'a [Violation],
    pub workload: &'a WorkloadId,
    pub policy_name: &'a str,
    pub base: Option<&'a NetworkPolicySpec>,
    pub policy: &'a NetworkPolicySpec,
    pub others: &'a [NetworkPolicy],
    pub findings: &'a [Finding],
    pub coverage: Option<f64>,
    pub reason: &'a str,
    pub now: Timestamp,
}
pub fn build_material(_q: &Question<'_>) -> Result<resources::Material, EvaluateError> {
    Ok(resources::Material {
        revision: Digest::of_policy(_q.policy).to_string(),
        reason: _q.reason.into(),
        coverage: _q.coverage.map(|c| (c * 100.0) as u8),
        ..Default::default()
    })
}
