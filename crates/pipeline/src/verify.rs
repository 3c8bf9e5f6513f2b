//! Compares policies with a graph of observed traffic: what they would block, and what they allow without use.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_evaluate::{
    self as evaluate, BlockedBy, Evaluation, Excess, HostNetwork, Managed, PolicySets, Proof,
    RuleUse, Span, policy_namespace, prove_each_way, rule_use,
};
use nanoseg_graph::{Graph, Lesson, Requirement, ServiceEnforcements, requirements};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Direction;
use nanoseg_report::verification::{Blocked, Unused, Verification};
use nanoseg_report::words::saturated;
use std::collections::BTreeSet;

/// Compares `policies` with the edges of `graph` in the namespaces (all, if none is named). `enforcement`: where the
/// network plugin checks connections through Services. The policies in the inventory itself would take part as well.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn verify(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
    policies: &[NetworkPolicy],
    namespaces: &[String],
) -> Result<Verification, evaluate::EvaluateError> {
    judge(graph, inventory, enforcement, policies, namespaces).map(|judged| judged.verdict)
}

/// A verdict with the data that it was computed from.
pub(super) struct Judged {
    pub verdict: Verification,
    pub evaluation: Evaluation,
    /// The use of the rules of all namespaces.
    pub rules: Vec<RuleUse>,
    /// The edges that are not allowed, as indices into [`Graph::taught`].
    pub blocked: BTreeSet<usize>,
}

pub(super) fn judge(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
    policies: &[NetworkPolicy],
    namespaces: &[String],
) -> Result<Judged, evaluate::EvaluateError> {
    let required = required(graph, inventory, enforcement, namespaces);
    let named = inventory.with_names(&graph.names);
    let inventory = named.as_ref();
    let evaluation = Evaluation::new(inventory, policies, HostNetwork::Exact)?;
    let ways = [Direction::Ingress, Direction::Egress];
    let [closed_in, closed_out] =
        ways.map(|way| standing(&evaluation, namespaces, way, Isolation::Isolated));
    let [open_in, open_out] =
        ways.map(|way| standing(&evaluation, namespaces, way, Isolation::Open));
    let managed = Managed {
        ingress: &closed_in,
        egress: &closed_out,
    };
    let sets = PolicySets::only(policies);
    let proof = all_are_judged(prove_each_way(inventory, sets, &required, managed)?);
    let rules = rule_use(&evaluation, &required);
    // The traffic of these namespaces does not show whether a rule of another namespace is used.
    let in_scope = |policy: &str| {
        let namespace = policy_namespace(policy);
        namespaces.is_empty() || namespaces.iter().any(|one| one == namespace)
    };
    let judged = || rules.iter().filter(|one| in_scope(&one.rule.policy));
    let names = |ids: &BTreeSet<WorkloadId>| ids.iter().map(WorkloadId::to_string).collect();
    let counted = Counted::of(graph, &required, &proof);
    let verdict = Verification {
        policies: policies.len() + inventory.other_kinds.policies.len(),
        observed: counted.observed,
        allowed: counted.allowed,
        implied: counted.implied,
        implied_allowed: counted.implied_allowed,
        would_block: blocked(&proof, graph),
        unused: unused(&evaluation, &proof),
        unused_total: proof.excess.total,
        unused_connections: saturated(proof.excess.connections),
        rules: judged().count(),
        unused_rules: judged()
            .filter(|one| one.edges.is_empty())
            .map(|one| one.rule.clone())
            .collect(),
        open: open_in
            .union(&open_out)
            .map(WorkloadId::to_string)
            .collect(),
        open_ingress: names(&open_in),
        open_egress: names(&open_out),
    };
    Ok(Judged {
        verdict,
        evaluation,
        rules,
        blocked: proof.blocked.iter().map(|one| one.edge).collect(),
    })
}

/// The policies of other kinds that are in force are judged as well: what they block or allow counts like the rest.
fn all_are_judged(mut proof: Proof) -> Proof {
    proof.blocked.append(&mut proof.blocked_by_existing);
    proof.blocked.sort();
    let more = std::mem::take(&mut proof.excess_by_existing);
    proof.excess.entries.extend(more.entries);
    proof.excess.entries.sort();
    proof.excess.entries.truncate(Proof::MAX_LISTED);
    proof.excess.total += more.total;
    proof.excess.connections = proof.excess.connections.saturating_add(more.connections);
    proof
}

/// Whether the pods of a workload are isolated in one direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Isolation {
    /// At least one of its pods is isolated by a policy.
    Isolated,
    /// At least one of its pods is isolated by none.
    Open,
}

/// The workloads of the namespaces that have such pods, without those on the host network.
fn standing(
    evaluation: &Evaluation,
    namespaces: &[String],
    way: Direction,
    wanted: Isolation,
) -> BTreeSet<WorkloadId> {
    let in_scope = |id: &WorkloadId| namespaces.is_empty() || namespaces.contains(&id.namespace);
    let classes = evaluation.classes();
    classes
        .filter(|(_, class)| !class.host_network && in_scope(&class.workload))
        .filter(|(id, _)| evaluation.isolated(*id, way) == (wanted == Isolation::Isolated))
        .map(|(_, class)| class.workload.clone())
        .collect()
}

/// How many observed edges and how many implied edges are completely allowed.
struct Counted {
    observed: usize,
    allowed: usize,
    implied: usize,
    implied_allowed: usize,
}

impl Counted {
    fn of(graph: &Graph, required: &[Requirement], proof: &Proof) -> Counted {
        let taught = graph.taught();
        let is_implied = |index: &usize| {
            let edge = taught.get(*index);
            edge.is_some_and(|(_, _, edge)| matches!(edge.lesson, Lesson::Implied(_)))
        };
        let blocked: BTreeSet<usize> = proof.blocked.iter().map(|one| one.edge).collect();
        let edges: BTreeSet<usize> = required.iter().map(|one| one.edge).collect();
        let (implied, observed): (BTreeSet<usize>, BTreeSet<usize>) =
            edges.into_iter().partition(is_implied);
        Counted {
            allowed: observed.difference(&blocked).count(),
            observed: observed.len(),
            implied_allowed: implied.difference(&blocked).count(),
            implied: implied.len(),
        }
    }
}

/// Connections that are allowed without use, with the policies that allow them.
fn unused(evaluation: &Evaluation, proof: &Proof) -> Vec<Unused> {
    let isolating = [Direction::Ingress, Direction::Egress]
        .map(|direction| evaluation.isolating_by_workload(direction));
    let one = |one: &Excess| {
        let ends = [&one.server, &one.client].into_iter().zip(&isolating);
        let mut policies = ends.filter_map(|(end, isolating)| match end {
            Span::Workload(id) => isolating.get(id),
            Span::Addresses(_) | Span::Anything => None,
        });
        let policies = policies.next().into_iter().flatten();
        Unused {
            client: one.client.to_string(),
            server: one.server.to_string(),
            ports: one.connections.to_string(),
            policies: policies.map(|name| (*name).to_owned()).collect(),
        }
    };
    proof.excess.entries.iter().map(one).collect()
}

/// The requirements of the edges with an end in one of the namespaces.
fn required(
    graph: &Graph,
    inventory: &Inventory,
    enforcement: &ServiceEnforcements,
    namespaces: &[String],
) -> Vec<Requirement> {
    let taught = graph.taught();
    let mut required = requirements(graph, inventory, enforcement);
    required.retain(|one| {
        let ends = taught.get(one.edge).map(|edge| [edge.0, edge.1]);
        let mut ends = ends
            .into_iter()
            .flatten()
            .filter_map(|peer| peer.workload());
        namespaces.is_empty() || ends.any(|id| namespaces.contains(&id.namespace))
    });
    required
}

fn blocked(proof: &Proof, graph: &Graph) -> Vec<Blocked> {
    let taught = graph.taught();
    let one = |one: &evaluate::Blocked| {
        let edge = taught.get(one.edge).map(|(_, _, edge)| *edge);
        Blocked {
            client: one.client.to_string(),
            server: one.server.to_string(),
            ports: one.connections.to_string(),
            connections: edge.map_or(0, |edge| edge.connections()),
            last_seen: edge.and_then(|edge| edge.last),
            by: one.by.to_string(),
            policies: match &one.by {
                BlockedBy::Ingress(names) | BlockedBy::Egress(names) => names.clone(),
                BlockedBy::UnknownWorkload(_) => Vec::new(),
            },
        }
    };
    proof.blocked.iter().map(one).collect()
}
