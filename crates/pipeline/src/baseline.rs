//! The baseline of a cluster with its proof: it must block nothing that was observed
//! (rule: baseline-blocks-nothing-observed).

use super::written;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{EvaluateError, Managed, PolicySets, Proof, prove_each_way};
use nanoseg_flow::FlowResult;
use nanoseg_graph::{
    Built, DnsEvidence, Graph, GraphOptions, ServiceEnforcements, build, requirements,
};
use nanoseg_inventory::Inventory;
use nanoseg_policy::{Baseline, BaselineOptions, baseline, render_kustomization};
use nanoseg_policy_kinds::OtherKindPolicy;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A baseline with what it was made from.
#[derive(Debug, Clone)]
pub struct ProvenBaseline {
    pub baseline: Baseline,
    pub graph: Graph,
    pub proof: Proof,
}

/// Writes the baseline for the traffic, and proves it together with the policies that are there: those in `existing`, and
/// those of other kinds in the inventory.
///
/// # Errors
/// Returns an error if a policy of `existing` is one that no API server accepts.
pub fn prove_baseline(
    seen: &FlowResult,
    inventory: &Inventory,
    existing: &[NetworkPolicy],
    graph_options: GraphOptions,
    enforcement: &ServiceEnforcements,
    options: &BaselineOptions,
) -> Result<ProvenBaseline, EvaluateError> {
    let Built { graph, .. } = build(seen, inventory, graph_options);
    let needed = requirements(&graph, inventory, enforcement);
    let baseline = baseline(&graph, inventory, options);
    let objects: Vec<OtherKindPolicy> = baseline
        .policies
        .iter()
        .map(|one| one.policy.clone())
        .collect();
    let generated = written::Written {
        others: objects,
        ..written::Written::default()
    };
    let dns = DnsEvidence::of(&graph);
    let judged = written::for_proof(inventory, (&needed, &dns), &generated);
    let nobody = BTreeSet::new();
    let sets = PolicySets {
        generated: &[],
        generated_others: &generated.others,
        existing,
    };
    let managed = Managed {
        ingress: &nobody,
        egress: &nobody,
    };
    let proof = prove_each_way(&judged, sets, &needed, managed)?;
    Ok(ProvenBaseline {
        baseline,
        graph,
        proof,
    })
}

/// The files of the output folder, by name.
pub fn baseline_files(baseline: &Baseline) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut names = Vec::new();
    for policy in &baseline.policies {
        let name = format!("cluster/{}.yaml", policy.name());
        files.insert(PathBuf::from(&name), policy.render().into_bytes());
        names.push(name);
    }
    let list = render_kustomization(&names);
    files.insert("kustomization.yaml".into(), list.into_bytes());
    files
}
