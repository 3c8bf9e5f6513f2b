//! The promise (rule: sound-or-nothing, excess-is-listed), computed: is every requirement allowed (*sound*), and what is allowed
//! beyond the requirements (*tight*)?

mod required;
mod sound;
#[cfg(test)]
mod tests;
mod tight;

use super::policy_ref::PolicyRef;
use super::rules::Names;
use super::tables::Tables;
use super::{ClassId, EvaluateError, Evaluation, HostNetwork};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_graph::Requirement;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use nanoseg_policy_kinds::OtherKindPolicy;
use required::Required;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One end of connections that are blocked or allowed in excess.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// Pods of a workload.
    Workload(WorkloadId),
    Addresses(AddressSet),
    /// Any pod and any address: the other end is not isolated in this direction.
    Anything,
}

impl Span {
    /// Returns how many ends it stands for: a workload is one, however many pods it has; each address is one; anything
    /// counts as all IPv4 addresses.
    pub fn count(&self) -> u128 {
        match self {
            Span::Workload(_) => 1,
            Span::Addresses(set) => set.count(),
            Span::Anything => AddressSet::all_v4().count(),
        }
    }
}

impl fmt::Display for Span {
    /// `namespace/name`, address ranges, or `anything`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Workload(id) => write!(f, "{id}"),
            Span::Addresses(set) => write!(f, "{set}"),
            Span::Anything => f.write_str("anything"),
        }
    }
}

/// A requirement, or a part of one, that the policies do not allow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Blocked {
    /// Index into the requirements.
    pub requirement: usize,
    /// Index of the edge in [`nanoseg_graph::Graph::taught`].
    pub edge: usize,
    pub client: Span,
    pub server: Span,
    pub connections: ConnectionSet,
    pub by: BlockedBy,
}

/// Why something is blocked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockedBy {
    /// These policies (`namespace/name`) isolate the server and none allows it.
    Ingress(Vec<String>),
    /// These policies (`namespace/name`) isolate the client and none allows it.
    Egress(Vec<String>),
    /// The inventory has no pod of this workload, so nothing can be proven for it.
    UnknownWorkload(WorkloadId),
}

impl BlockedBy {
    /// Returns true if policies block it, and none of them is among `names`.
    fn is_without(&self, names: &BTreeSet<String>) -> bool {
        match self {
            BlockedBy::Ingress(by) | BlockedBy::Egress(by) => {
                !by.iter().any(|name| names.contains(name))
            }
            BlockedBy::UnknownWorkload(_) => false,
        }
    }
}

impl fmt::Display for BlockedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockedBy::Ingress(names) => write!(f, "blocked on ingress by {}", names.join(", ")),
            BlockedBy::Egress(names) => write!(f, "blocked on egress by {}", names.join(", ")),
            BlockedBy::UnknownWorkload(id) => write!(f, "not checked: no pod of {id} is known"),
        }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Blocked {
            client,
            server,
            connections,
            by,
            ..
        } = self;
        write!(f, "{client} => {server} : {connections} {by}")
    }
}

/// Connections that are allowed although no requirement needs them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Excess {
    pub client: Span,
    pub server: Span,
    pub connections: ConnectionSet,
    /// The existing policies (`namespace/name`) that allow them; empty if the generated ones do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
}

impl Excess {
    /// Returns the number of connections: each workload and each address at one end, with each at the other end, once
    /// for each protocol and range of ports. At most `u128::MAX`.
    pub fn count(&self) -> u128 {
        let ranges = self.connections.iter();
        let ranges: usize = if self.connections.is_all() {
            1
        } else {
            ranges.map(|(_, ports)| ports.ranges().iter().count()).sum()
        };
        self.client
            .count()
            .saturating_mul(self.server.count())
            .saturating_mul(ranges.max(1) as u128)
    }
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} => {} : {}",
            self.client, self.server, self.connections
        )
    }
}

/// Excess: counted completely, listed up to a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExcessList {
    /// Sorted; at most [`Proof::MAX_LISTED`].
    pub entries: Vec<Excess>,
    /// The number of entries: pairs of client and server, where all addresses with which one workload is allowed
    /// the same connections are one end.
    pub total: u64,
    /// The number of connections of all entries, those that are not listed included ([`Excess::count`]).
    pub connections: u128,
}

impl ExcessList {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn push_with(&mut self, excess: impl FnOnce() -> Excess) {
        let excess = excess();
        self.total += 1;
        self.connections = self.connections.saturating_add(excess.count());
        if self.entries.len() < Proof::MAX_LISTED {
            self.entries.push(excess);
        }
    }
}

/// The result of [`prove`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The number of requirements that were checked.
    pub requirements: usize,
    /// The number of them that are allowed completely.
    pub allowed: usize,
    /// The parts of the others that a generated policy does not allow; empty if the policies are sound.
    pub blocked: Vec<Blocked>,
    /// The parts that only existing policies do not allow, where no generated one isolates: as judged here, they were
    /// blocked before.
    pub blocked_by_existing: Vec<Blocked>,
    /// What the generated policies allow beyond the requirements; empty if they are tight.
    pub excess: ExcessList,
    /// What is allowed beyond the requirements only because of the existing policies.
    pub excess_by_existing: ExcessList,
}

impl Proof {
    /// The most entries of excess that are listed. All are counted.
    pub const MAX_LISTED: usize = 10_000;

    /// Returns true if the generated policies block nothing that is required.
    pub fn is_sound(&self) -> bool {
        self.blocked.is_empty()
    }

    /// Returns true if the generated policies allow nothing beyond the requirements.
    pub fn is_tight(&self) -> bool {
        self.excess.is_empty()
    }
}

impl Evaluation {
    /// Returns the parts of a requirement that the policies block, each with the policies that block it. Empty if the
    /// requirement is allowed for every pod and address that it names.
    pub fn blocked(&self, requirement: &Requirement) -> Vec<Blocked> {
        sound::blocked(self, 0, requirement)
    }
}

/// The policies of a proof. Together they are what is in force; the excess is counted apart for each.
#[derive(Debug, Clone, Copy, Default)]
pub struct PolicySets<'a> {
    /// The policies that are to be proven.
    pub generated: &'a [NetworkPolicy],
    /// Policies of other kinds that are to be proven.
    pub generated_others: &'a [OtherKindPolicy],
    /// The policies that somebody else manages in the cluster. Those of other kinds are part of the inventory.
    pub existing: &'a [NetworkPolicy],
}

impl<'a> PolicySets<'a> {
    /// Returns sets where nobody else manages a policy.
    pub fn only(generated: &'a [NetworkPolicy]) -> PolicySets<'a> {
        PolicySets {
            generated,
            ..PolicySets::default()
        }
    }
}

/// Compares what the policies of both sets allow together with `requirements`.
///
/// *Sound*: every requirement is allowed from every pod of the client workload to every pod of the
/// server workload, past and expected pods included, and for every address of an address end.
///
/// *Tight*: nothing is allowed beyond the requirements where at least one end is a workload of `managed`. A pair
/// of workloads counts if some connection between any of their pods is allowed. Not counted: a pod with
/// itself, a node with its own pods, workloads of `managed` that use the host network, and connections
/// between two workloads of which none is managed. Replicas of one workload are pods like any others:
/// connections between them that are allowed and not required are excess.
///
/// # Errors
/// Returns an error with the policy and the field if the API server would refuse a policy.
pub fn prove(
    inventory: &Inventory,
    sets: PolicySets<'_>,
    requirements: &[Requirement],
    managed: &BTreeSet<WorkloadId>,
) -> Result<Proof, EvaluateError> {
    let managed = Managed {
        ingress: managed,
        egress: managed,
    };
    prove_each_way(inventory, sets, requirements, managed)
}

/// The workloads for which excess is counted, by direction.
#[derive(Debug, Clone, Copy)]
pub struct Managed<'a> {
    /// Excess of connections to these workloads is counted.
    pub ingress: &'a BTreeSet<WorkloadId>,
    /// Excess of connections from these workloads is counted.
    pub egress: &'a BTreeSet<WorkloadId>,
}

impl<'a> Managed<'a> {
    fn of(self, direction: Direction) -> &'a BTreeSet<WorkloadId> {
        match direction {
            Direction::Ingress => self.ingress,
            Direction::Egress => self.egress,
        }
    }
}

/// Does the same as [`prove`] for workloads that may be managed in one direction only. Excess is what is
/// allowed to a server that is managed for ingress, or to a client that is managed for egress.
///
/// # Errors
/// See [`prove`].
pub fn prove_each_way(
    inventory: &Inventory,
    sets: PolicySets<'_>,
    requirements: &[Requirement],
    managed: Managed<'_>,
) -> Result<Proof, EvaluateError> {
    let PolicySets {
        generated,
        generated_others,
        existing,
    } = sets;
    let network = generated.iter().map(PolicyRef::from);
    let others = generated_others.iter().map(PolicyRef::from);
    let policies = network.chain(others);
    let policies = policies.chain(existing.iter().map(PolicyRef::from));
    let is_own = |source: u32| (source as usize) < generated.len() + generated_others.len();
    let mut evaluation = Evaluation::new(inventory, policies, HostNetwork::Exact)?;
    let mut proof = Proof {
        requirements: requirements.len(),
        ..Proof::default()
    };
    let own = evaluation.policies.iter();
    let own = own.filter(|policy| is_own(policy.source));
    let own: BTreeSet<String> = own.map(|policy| policy.name.clone()).collect();
    for (index, requirement) in requirements.iter().enumerate() {
        let blocked = sound::blocked(&evaluation, index, requirement);
        proof.allowed += usize::from(blocked.is_empty());
        let (foreign, ours): (Vec<_>, Vec<_>) = blocked
            .into_iter()
            .partition(|blocked| blocked.by.is_without(&own));
        proof.blocked.extend(ours);
        proof.blocked_by_existing.extend(foreign);
    }
    let Evaluation {
        pod_classes,
        tiers,
        policies,
        names,
        tables,
    } = &mut evaluation;
    let required = Required::build(requirements, pod_classes, &mut names.pool);
    let is_alone = policies.iter().all(|policy| is_own(policy.source));
    let alone = (!is_alone).then(|| {
        let all = (&*tiers, policies.as_slice());
        Tables::build(pod_classes, all, names, is_own)
    });
    let mut existing_at: FxHashMap<ClassId, Vec<usize>> = FxHashMap::default();
    let existing = policies.iter().enumerate();
    for (index, policy) in existing.filter(|(_, policy)| !is_own(policy.source)) {
        for class in &policy.selected {
            existing_at.entry(*class).or_default().push(index);
        }
    }
    let numbers = pod_classes.workload_numbers();
    let search = tight::ExcessSearch {
        everywhere: pod_classes.everywhere().union(&required.families()),
        pod_classes,
        names,
        policies,
        existing_at,
        all: tables,
        alone: alone.as_ref(),
        required: &required,
        managed,
        is_managed_server: managed
            .ingress
            .iter()
            .filter_map(|id| numbers.get(id).copied())
            .collect(),
        ids: pod_classes.workloads.keys().collect(),
    };
    (proof.excess, proof.excess_by_existing) = search.run();
    if !inventory.network_plugin.behaviour().enforces {
        proof.excess = everything(managed);
    }
    Ok(proof)
}

/// The excess where the cluster's network plugin enforces no policy: everything, in every direction that is managed
/// (rule: unenforced-is-everything).
fn everything(managed: Managed<'_>) -> ExcessList {
    let mut excess = ExcessList::default();
    for direction in [Direction::Ingress, Direction::Egress] {
        for workload in managed.of(direction) {
            let own = Span::Workload(workload.clone());
            excess
                .push_with(|| tight::excess(direction, own, Span::Anything, ConnectionSet::all()));
        }
    }
    excess.entries.sort_unstable();
    excess
}
