//! The plan: which connections are tried, from which pods.

use super::ends::{ClientEnd, PodName, ServerEnd, ServerKind};
use super::question::Question;
use super::subject::{Subject, Unfit};
use super::task::{Expected, Task, Way};
use nanoseg_evaluate::Evaluation;
use nanoseg_graph::Graph;
use nanoseg_inventory::Inventory;
use nanoseg_net::{Protocol, sha256_hex};
use nanoseg_plugin::EnforcedPorts;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// The bounds of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections.
    pub sample: usize,
    /// Pods that tries are made from.
    pub pods: usize,
    /// Connections that one pod tries: their outcomes fit into a termination message.
    pub per_pod: usize,
    /// Containers for tries that one pod gets in its life.
    pub containers: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sample: 40,
            pods: 20,
            per_pod: 24,
            containers: 10,
        }
    }
}

/// What a plan is made of.
#[derive(Debug)]
pub struct PlanInputs<'a> {
    pub inventory: &'a Inventory,
    pub evaluation: &'a Evaluation,
    /// On which port the plugin checks connections through Services.
    pub enforced_ports: EnforcedPorts,
    /// What was observed; `None`: servers are those that Services declare.
    pub graph: Option<&'a Graph>,
    /// The pods that can get a container.
    pub subjects: &'a [Subject],
    /// The others, with the reason.
    pub unfit: &'a BTreeMap<PodName, Unfit>,
    /// Every pod that runs, in all namespaces.
    pub running: &'a BTreeSet<PodName>,
    /// The namespaces whose pods may get a container; empty: all.
    pub namespaces: &'a BTreeSet<String>,
    pub limits: Limits,
    /// The same seed gives the same sample of the same cluster.
    pub seed: u64,
}

impl PlanInputs<'_> {
    pub(super) fn is_in_scope(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// One connection that is tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    pub client: ClientEnd,
    pub server: ServerEnd,
    /// The Service through whose address it goes, `namespace/name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<String>,
    pub protocol: Protocol,
    pub to: SocketAddr,
    /// The server's own address and port; the same as `to` unless it goes through a Service.
    pub behind: SocketAddr,
    pub way: Way,
    pub expected: Expected,
    /// What it finds out, where the model of the plugin leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asks: Option<Question>,
    /// Somebody of this workload was seen to reach this server.
    pub seen: bool,
    /// The rules that allow it, as `namespace/name, spec.ingress[0]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_by: Vec<String>,
    /// The policies that deny it, `namespace/name`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub denied_by: Vec<String>,
    /// The nodes of the ends whose policies deny it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub denied_on: BTreeSet<String>,
}

impl Probe {
    pub fn task(&self) -> Task {
        Task {
            expected: self.expected,
            way: self.way,
            to: self.to,
        }
    }
}

/// A server's own pod, which can be asked whether it listens: a pod always reaches itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub pod: PodName,
    pub protocol: Protocol,
    pub task: Task,
}

/// What the plan does not have, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeftOut {
    pub what: String,
    pub why: String,
}

/// What is tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    pub probes: Vec<Probe>,
    pub left_out: Vec<LeftOut>,
}

impl Plan {
    /// The probes of each pod, by their index.
    pub fn by_pod(&self) -> BTreeMap<&PodName, Vec<usize>> {
        let mut found: BTreeMap<&PodName, Vec<usize>> = BTreeMap::new();
        for (index, probe) in self.probes.iter().enumerate() {
            found.entry(&probe.client.pod).or_default().push(index);
        }
        found
    }

    /// Whether the servers of these probes listen, asked in their own pods, as far as these can get a container.
    pub fn checks(&self, probes: &BTreeSet<usize>, subjects: &[Subject]) -> Vec<Check> {
        let fit: BTreeSet<&PodName> = subjects.iter().map(|one| &one.pod).collect();
        let mut checks: Vec<Check> = Vec::new();
        for index in probes {
            let Some(probe) = self.probes.get(*index) else {
                continue;
            };
            let Some(pod) = probe.server.pod.as_ref().filter(|pod| fit.contains(pod)) else {
                continue;
            };
            let check = Check {
                pod: pod.clone(),
                protocol: probe.protocol,
                task: Task {
                    expected: Expected::Allowed,
                    way: probe.way,
                    to: probe.behind,
                },
            };
            if probe.server.kind == ServerKind::Pod && !checks.contains(&check) {
                checks.push(check);
            }
        }
        checks
    }
}

/// The order of the sample: as good as random, and the same for the same seed and name.
pub fn rank(seed: u64, name: &str) -> String {
    sha256_hex(format!("{seed} {name}").as_bytes())
}
