//! Room 3b: the whole way below the wall, once, for every command that needs it: flow records and an
//! inventory in; graph, policies, proof and report out. Nothing here decides a rule; it only calls
//! the rooms in order.

mod files;
mod findings;
mod report;

pub use files::output_files;
pub use report::{ReportInputs, build_report};

use crate::evaluate::{EvaluateError, Proof, prove};
use crate::finding::Finding;
use crate::flow::FlowResult;
use crate::graph::{
    Built, Graph, GraphOptions, Learning, Requirement, ServiceEnforcement, build, estimate,
    requirements,
};
use crate::inventory::{Inventory, WorkloadId};
use crate::net::Timestamp;
use crate::policy::{Synthesis, SynthesisOptions, synthesise};
use std::collections::{BTreeMap, BTreeSet};

/// Which namespaces get policies. Others stay in the graph, as peers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scope {
    /// Empty means all.
    pub namespaces: BTreeSet<String>,
    pub excluded: BTreeSet<String>,
}

impl Scope {
    pub fn contains(&self, namespace: &str) -> bool {
        (self.namespaces.is_empty() || self.namespaces.contains(namespace))
            && !self.excluded.contains(namespace)
    }
}

/// What an operator may choose.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub graph: GraphOptions,
    pub synthesis: SynthesisOptions,
    pub enforcement: ServiceEnforcement,
    pub scope: Scope,
}

/// Everything that a run finds out.
#[derive(Debug, Clone)]
pub struct Generated {
    pub graph: Graph,
    pub requirements: Vec<Requirement>,
    pub synthesis: Synthesis,
    pub proof: Proof,
    pub learning: Learning,
    /// The end of the observation.
    pub end: Timestamp,
    /// Of the graph, the synthesis and the proof; sorted.
    pub findings: Vec<Finding>,
    /// Connections that became no edge, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// Runs the whole way. `begin` and `end` are the first and last time of the observation.
///
/// # Errors
/// If a policy that is already in the inventory is one that no API server accepts.
pub fn generate(
    seen: &FlowResult,
    (begin, end): (Timestamp, Timestamp),
    inventory: &Inventory,
    options: &Options,
) -> Result<Generated, EvaluateError> {
    let built = build(seen, inventory, options.graph);
    generate_from(built, Vec::new(), (begin, end), inventory, options)
}

/// The same from a graph that is there already. `wanted` are requirements beyond what the graph teaches:
/// connections that an operator is to be asked about.
///
/// # Errors
/// As [`generate`].
pub fn generate_from(
    built: Built,
    wanted: Vec<Requirement>,
    (begin, end): (Timestamp, Timestamp),
    inventory: &Inventory,
    options: &Options,
) -> Result<Generated, EvaluateError> {
    let Built {
        graph,
        mut findings,
        skipped,
    } = built;
    let mut requirements = requirements(&graph, inventory, options.enforcement);
    requirements.extend(wanted);
    let in_scope: Vec<WorkloadId> = inventory
        .workloads
        .keys()
        .filter(|id| options.scope.contains(&id.namespace))
        .cloned()
        .collect();
    let synthesis = synthesise(inventory, &requirements, &in_scope, &options.synthesis);
    let policies: Vec<_> = synthesis
        .policies
        .iter()
        .map(|p| p.policy.clone())
        .collect();
    let managed: BTreeSet<WorkloadId> = synthesis
        .policies
        .iter()
        .map(|p| p.workload.clone())
        .collect();
    let proof = prove(inventory, &policies, &requirements, &managed)?;
    findings.extend(synthesis.findings.iter().cloned());
    findings.extend(findings::of_proof(&proof));
    findings.sort();
    findings.dedup();
    let learning = estimate(&graph, begin, end);
    Ok(Generated {
        graph,
        requirements,
        synthesis,
        proof,
        learning,
        end,
        findings,
        skipped,
    })
}
