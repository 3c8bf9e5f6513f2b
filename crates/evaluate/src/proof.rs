//! The promise (rule: sound-or-nothing, excess-is-listed), computed: is every requirement allowed (*sound*), and what is allowed
//! beyond the requirements (*tight*)?

mod required;
mod sound;
#[cfg(test)]
mod tests;
mod tight;

use super::rules::Names;
use super::tables::Tables;
use super::{ClassId, EvaluateError, Evaluation, HostNetwork};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_graph::Requirement;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use required::Required;
use rustc_hash::FxHashMap;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One end of what is blocked or allowed in excess.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// Pods of a workload.
    Workload(WorkloadId),
    Addresses(AddressSet),
    /// Any pod and any address: the other end is not isolated at all.
    Anything,
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
    /// The inventory knows no pod of that workload, so nothing can be said of it.
    UnknownWorkload(WorkloadId),
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

/// Connections that are allowed and that no requirement asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Excess {
    pub client: Span,
    pub server: Span,
    pub connections: ConnectionSet,
    /// The existing policies (`namespace/name`) that allow it; empty where the generated ones do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
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

/// Excess, counted wholly and listed up to a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ExcessList {
    /// Sorted; at most [`Proof::MAX_LISTED`].
    pub entries: Vec<Excess>,
    /// How many entries there are: pairs of client and server, where all addresses that one workload
    /// may have the same connections with are one end.
    pub total: u64,
}

impl ExcessList {
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn push_with(&mut self, excess: impl FnOnce() -> Excess) {
        self.total += 1;
        if self.entries.len() < Proof::MAX_LISTED {
            self.entries.push(excess());
        }
    }
}

/// What [`prove`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// How many requirements were checked.
    pub requirements: usize,
    /// How many of them are allowed wholly.
    pub allowed: usize,
    /// What is not allowed of the others; empty if the policies are sound.
    pub blocked: Vec<Blocked>,
    /// What the generated policies allow beyond the requirements; empty if they are tight.
    pub excess: ExcessList,
    /// What is allowed beyond the requirements only because of policies that were there before.
    pub excess_by_existing: ExcessList,
}

impl Proof {
    /// How many entries of excess are listed at most. All are counted.
    pub const MAX_LISTED: usize = 10_000;

    pub fn is_sound(&self) -> bool {
        self.blocked.is_empty()
    }

    /// Whether the generated policies allow nothing beyond the requirements.
    pub fn is_tight(&self) -> bool {
        self.excess.is_empty()
    }
}

impl Evaluation {
    /// What of a requirement the policies block, by the policies that block it; empty if it is allowed
    /// for every pod and address that it names.
    pub fn blocked(&self, requirement: &Requirement) -> Vec<Blocked> {
        sound::blocked(self, 0, requirement)
    }
}

/// Judges `generated`, together with the policies that `inventory` already holds, by `requirements`.
///
/// *Sound*: every requirement is allowed from every pod of the client workload to every pod of the
/// server workload, past and expected pods included, and for every address of an address end.
///
/// *Tight*: everything that is allowed with a workload of `managed` at one end at least, without the
/// requirements. A pair of workloads counts if any of their pods may talk. Not counted: a pod with
/// itself, a node with its own pods, workloads of `managed` that use the host network, and
/// connections between two workloads of which none is managed. Replicas of one workload are pods
/// like any others: if they may talk to each other and need not, that is excess.
///
/// # Errors
/// A policy that the API server would refuse, named with the field.
pub fn prove(
    inventory: &Inventory,
    generated: &[NetworkPolicy],
    requirements: &[Requirement],
    managed: &BTreeSet<WorkloadId>,
) -> Result<Proof, EvaluateError> {
    let managed = Managed {
        ingress: managed,
        egress: managed,
    };
    prove_each_way(inventory, generated, requirements, managed)
}

/// The workloads whose excess counts, by direction.
#[derive(Debug, Clone, Copy)]
pub struct Managed<'a> {
    /// What others may open to these.
    pub ingress: &'a BTreeSet<WorkloadId>,
    /// What these may open to others.
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

/// The same as [`prove`] where a workload may be managed in one direction only: excess is what is allowed
/// to a server that is managed for ingress, or to a client that is managed for egress.
///
/// # Errors
/// See [`prove`].
pub fn prove_each_way(
    inventory: &Inventory,
    generated: &[NetworkPolicy],
    requirements: &[Requirement],
    managed: Managed<'_>,
) -> Result<Proof, EvaluateError> {
    let policies = generated.iter().chain(&inventory.policies);
    let mut evaluation = Evaluation::new(inventory, policies, HostNetwork::Exact)?;
    let mut proof = Proof {
        requirements: requirements.len(),
        ..Proof::default()
    };
    for (index, requirement) in requirements.iter().enumerate() {
        let blocked = sound::blocked(&evaluation, index, requirement);
        proof.allowed += usize::from(blocked.is_empty());
        proof.blocked.extend(blocked);
    }
    let Evaluation {
        world,
        policies,
        names,
        tables,
    } = &mut evaluation;
    let required = Required::build(requirements, world, &mut names.pool);
    let alone = (!inventory.policies.is_empty())
        .then(|| Tables::build(world, policies, names, |index| index < generated.len()));
    let mut existing_at: FxHashMap<ClassId, Vec<usize>> = FxHashMap::default();
    for (index, policy) in policies.iter().enumerate().skip(generated.len()) {
        for class in &policy.selected {
            existing_at.entry(*class).or_default().push(index);
        }
    }
    let numbers = world.workload_numbers();
    let judge = tight::Judge {
        everywhere: world.everywhere().union(&required.families()),
        world,
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
        ids: world.workloads.keys().collect(),
    };
    (proof.excess, proof.excess_by_existing) = judge.judge();
    Ok(proof)
}
