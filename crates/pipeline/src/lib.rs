//! Room 3b: the whole pipeline below the wall, in one place for every command that needs it: flow records and an
//! inventory in; graph, policies, proof and report out. Nothing here decides a rule; it only calls the rooms in order.

#![cfg_attr(
    not(feature = "evidence"),
    allow(
        dead_code,
        reason = "some of it is used by the reports that are left out"
    )
)]
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod baseline;
mod deviations;
#[cfg(feature = "evidence")]
pub mod evidence;
mod files;
mod findings;
mod isolated_already;
mod live_graph;
mod network_plugin;
mod report;
pub mod risk;
pub mod verify;
mod view;
mod written;

pub use baseline::{ProvenBaseline, baseline_files, prove_baseline};
pub use files::output_files;
pub use live_graph::{LiveGraph, Update};
pub use network_plugin::network_plugin_findings;
pub use report::{ReportInputs, build_report};
pub use risk::RiskChoices;
pub use view::View;

use isolated_already::note_isolated_already;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{
    EvaluateError, Evaluation, HostNetwork, Managed, PolicySets, Proof, Reach, prove_each_way,
};
use nanoseg_finding::Finding;
use nanoseg_flow::FlowResult;
use nanoseg_graph::{
    Built, DnsEvidence, Graph, GraphOptions, IsolationOptions, Learning, OpenDirections,
    PublicEntryChoice, Requirement, ServiceEnforcements, Vantage, build, estimate, public_entries,
    public_entry_findings, requirements,
};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Timestamp};
use nanoseg_plugin::ClusterPlugin;
use nanoseg_policy::{Synthesis, SynthesisOptions, open_entry_requirements, synthesise};
use nanoseg_report::UnattributedEdge;
use nanoseg_risk::Weakness;
use std::collections::{BTreeMap, BTreeSet};
use view::unattributed;
use written::Written;

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

/// The options of an operator.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub graph: GraphOptions,
    pub synthesis: SynthesisOptions,
    /// Who may call a public entry (rule: public-entry-is-a-decision).
    pub public_entry: PublicEntryChoice,
    pub isolation: IsolationOptions,
    pub enforcement: ServiceEnforcements,
    pub scope: Scope,
    pub risk: RiskChoices,
}

/// The results of a run.
#[derive(Debug, Clone)]
pub struct Generated {
    pub graph: Graph,
    pub requirements: Vec<Requirement>,
    pub synthesis: Synthesis,
    pub proof: Proof,
    pub learning: Learning,
    pub view: View,
    /// Answered traffic of the workloads in scope with somebody whom nobody can name.
    pub unattributed: Vec<UnattributedEdge>,
    /// The network plugin that the proof holds for.
    pub network_plugin: ClusterPlugin,
    /// The end of the observation.
    pub end: Timestamp,
    /// Findings of the graph, the synthesis and the proof; sorted.
    pub findings: Vec<Finding>,
    /// Connections that did not become an edge, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
}

/// Runs the whole pipeline. `begin` and `end` are the first and last time of the observation, `vantage` is what could
/// be seen in it; `existing` are the policies in the cluster that somebody else manages.
///
/// # Errors
/// Returns an error if a policy of `existing` is one that no API server accepts.
pub fn generate(
    seen: &FlowResult,
    (begin, end): (Timestamp, Timestamp),
    vantage: &Vantage,
    inventory: &Inventory,
    existing: &[NetworkPolicy],
    options: &Options,
) -> Result<Generated, EvaluateError> {
    let Built {
        graph,
        mut findings,
        skipped,
        ..
    } = build(seen, inventory, options.graph);
    let named = inventory.with_names(&graph.names);
    let inventory = named.as_ref();
    let mut requirements = requirements(&graph, inventory, &options.enforcement);
    let in_scope: Vec<WorkloadId> = inventory
        .workloads
        .keys()
        .filter(|id| options.scope.contains(&id.namespace))
        .cloned()
        .collect();
    let mut open = OpenDirections::find(
        &graph,
        inventory,
        vantage,
        (begin, end),
        inventory.workloads.keys(),
        options.isolation,
    );
    let opened = opened_entries(&graph, inventory, options, &mut open, &mut findings);
    requirements.extend(opened);
    let groups = [(in_scope, options.synthesis)];
    let dns = DnsEvidence::of(&graph);
    let proven = synthesise_and_prove((&requirements, &dns), &groups, &open, inventory, existing)?;
    findings.extend(proven.findings);
    findings.extend(network_plugin_findings(inventory, existing));
    let in_scope = |id: &WorkloadId| options.scope.contains(&id.namespace);
    findings.extend(options.risk.findings(inventory, in_scope));
    findings.extend(weak_findings(
        inventory,
        &graph,
        &proven.synthesis,
        options,
    )?);
    findings.sort();
    findings.dedup();
    let learning = estimate(&graph, begin, end);
    let in_scope = |id: &WorkloadId| options.scope.contains(&id.namespace);
    Ok(Generated {
        view: View::of(inventory, vantage, (begin, end), in_scope),
        unattributed: unattributed(&graph, in_scope),
        graph,
        requirements,
        synthesis: proven.synthesis,
        proof: proven.proof,
        learning,
        network_plugin: inventory.network_plugin.clone(),
        end,
        findings,
        skipped,
    })
}

/// What opens the public entries in scope to anywhere, if that was chosen (rule: public-entry-is-a-decision). The
/// findings about them then say so.
fn opened_entries(
    graph: &Graph,
    inventory: &Inventory,
    options: &Options,
    open: &mut OpenDirections,
    findings: &mut Vec<Finding>,
) -> Vec<Requirement> {
    let mut entries = public_entries(graph);
    entries.retain(|entry| options.scope.contains(&entry.workload.namespace));
    if options.public_entry == PublicEntryChoice::Anywhere {
        open.let_in_anywhere(&entries);
    }
    let stays_open = |id: &WorkloadId| open.contains(id, Direction::Ingress);
    let told = public_entry_findings(&entries, options.public_entry, stays_open);
    findings.retain(|one| {
        let same = |told: &Finding| (told.code, &told.subject) == (one.code, &one.subject);
        !told.iter().any(same)
    });
    findings.extend(told);
    match options.public_entry {
        PublicEntryChoice::Seen => Vec::new(),
        PublicEntryChoice::Anywhere => {
            open_entry_requirements(inventory, &entries, &options.enforcement)
        }
    }
}

/// Findings about known vulnerabilities, with the distance to the internet under the generated policies.
fn weak_findings(
    inventory: &Inventory,
    graph: &Graph,
    synthesis: &Synthesis,
    options: &Options,
) -> Result<Vec<Finding>, EvaluateError> {
    if options.risk.vulnerabilities.is_empty() {
        return Ok(Vec::new());
    }
    // Only the generated policies: those of others are not considered here.
    let written = Written::of(synthesis);
    let evaluation = Evaluation::new(inventory, written.all(), HostNetwork::Exact)?;
    let reach = Reach::of(&evaluation);
    let distances = risk::distances(inventory, graph, &evaluation, &reach);
    let weak = options.risk.weaknesses(inventory, &distances);
    let in_scope = weak
        .iter()
        .filter(|one| options.scope.contains(&one.workload.namespace));
    Ok(in_scope.filter_map(Weakness::finding).collect())
}

/// Policies with their proof.
#[derive(Debug, Clone, Default)]
pub struct Proven {
    pub synthesis: Synthesis,
    pub proof: Proof,
    /// Findings of both; sorted.
    pub findings: Vec<Finding>,
}

/// Synthesises policies for groups of workloads, each with its own options, and proves all of them together with the
/// policies of others in `existing`. The requirements come with what lookups tell about their edges.
///
/// # Errors
/// As [`generate`].
pub fn synthesise_and_prove(
    (requirements, dns): (&[Requirement], &DnsEvidence),
    groups: &[(Vec<WorkloadId>, SynthesisOptions)],
    open: &OpenDirections,
    inventory: &Inventory,
    existing: &[NetworkPolicy],
) -> Result<Proven, EvaluateError> {
    let mut open = open.clone();
    let by_name: BTreeSet<&WorkloadId> = groups
        .iter()
        .filter(|(_, options)| options.dialect.names_nodes(&inventory.network_plugin))
        .flat_map(|(workloads, _)| workloads)
        .collect();
    open.leave_open_not_honoured(requirements, inventory, |id| by_name.contains(id));
    note_isolated_already(&mut open, requirements, inventory, existing)?;
    let mut synthesis = Synthesis::default();
    for (workloads, options) in groups {
        let part = synthesise(inventory, requirements, workloads, &open, dns, options);
        synthesis.policies.extend(part.policies);
        synthesis.findings.extend(part.findings);
        synthesis.open.merge(part.open);
    }
    synthesis
        .policies
        .sort_by(|a, b| a.workload.cmp(&b.workload));
    let written = Written::of(&synthesis);
    let isolated = |direction: Direction| -> BTreeSet<WorkloadId> {
        let policies = synthesis.policies.iter();
        let isolated = policies.filter(|p| !p.open.iter().any(|(open, _)| *open == direction));
        isolated.map(|p| p.workload.clone()).collect()
    };
    let managed = Managed {
        ingress: &isolated(Direction::Ingress),
        egress: &isolated(Direction::Egress),
    };
    let sets = PolicySets {
        generated: &written.network,
        generated_others: &written.others,
        existing,
    };
    let judged = written::for_proof(inventory, (requirements, dns), &written);
    let proof = prove_each_way(&judged, sets, requirements, managed)?;
    let mut findings = synthesis.findings.clone();
    findings.extend(synthesis.open.findings());
    findings.extend(network_plugin::policy_findings(
        &synthesis.policies,
        inventory,
    ));
    findings.extend(findings::of_proof(&proof));
    findings.sort();
    findings.dedup();
    Ok(Proven {
        synthesis,
        proof,
        findings,
    })
}
