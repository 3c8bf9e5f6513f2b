//! The likely causes of a difference between what was evaluated and what was tried.

use super::judge::Judgement;
use super::outcome::Verdict;
use super::plan::Probe;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// What is known of the cluster beyond the plan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The network plugin, as far as the cluster shows it.
    pub plugin: Option<String>,
    /// Whether the plugin enforces policies, by its profile.
    pub enforces: Option<bool>,
    /// Whether ipBlocks match nodes there, by its profile.
    pub ip_blocks_match_nodes: Option<bool>,
    /// Policies of kinds that were not judged, by kind and name.
    pub not_judged: Vec<String>,
    /// Policies (`namespace/name`) that were changed, and pods that began, less than a minute before.
    pub fresh: BTreeSet<String>,
}

/// A likely cause.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "what")]
pub enum Cause {
    /// Nothing that is denied was stopped anywhere.
    PluginDoesNotEnforce,
    /// Nothing that pods of this node deny was stopped, and elsewhere it was.
    NodeDoesNotEnforce(String),
    /// The plugin may not have seen it yet.
    Fresh(String),
    /// Through the Service it is otherwise than directly.
    Translation,
    /// The server has a node's address.
    NodeAddresses,
    /// The server is the client's own node, which plugins let its pods reach.
    OwnNode,
    /// Policies of other kinds decide as well.
    OtherKinds(String),
    Unknown,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::PluginDoesNotEnforce => f.write_str(
                "the network plugin does not enforce NetworkPolicies: nothing that is denied was stopped; see that its enforcer \
                 runs on all nodes",
            ),
            Cause::NodeDoesNotEnforce(node) => write!(
                f,
                "node {node} does not enforce NetworkPolicies, others do: see the plugin's pod there"
            ),
            Cause::Fresh(what) => write!(
                f,
                "{what} is less than a minute old, and the plugin may not be so far: run it again"
            ),
            Cause::Translation => f.write_str(
                "by the Service's address it is otherwise than by the pod's: the plugin checks before translation; see \
                 --service-enforcement",
            ),
            Cause::NodeAddresses => f.write_str(
                "the server has a node's address, which ipBlocks do not match on every plugin (Cilium: policy-cidr-match-mode)",
            ),
            Cause::OwnNode => {
                f.write_str("it is the pod's own node, which the plugin lets pods reach whatever policies say")
            }
            Cause::OtherKinds(which) => {
                write!(f, "policies of other kinds, which were not judged, decide too: {which}")
            }
            Cause::Unknown => f.write_str(
                "not known: look at the plugin's log on the nodes of both ends, and try it again",
            ),
        }
    }
}

/// How many policies of other kinds are named.
const MOST_NAMED: usize = 5;

/// The likely causes of each probe's difference; empty where there is none.
pub fn causes(probes: &[Probe], judged: &[Judgement], facts: &ClusterFacts) -> Vec<Vec<Cause>> {
    let all: Vec<(&Probe, Verdict)> = probes
        .iter()
        .zip(judged)
        .map(|(probe, judgement)| (probe, judgement.verdict))
        .collect();
    let of = |(probe, verdict): &(&Probe, Verdict)| {
        if verdict.differs() {
            of_one(probe, *verdict, &all, facts)
        } else {
            Vec::new()
        }
    };
    all.iter().map(of).collect()
}

fn of_one(
    probe: &Probe,
    verdict: Verdict,
    all: &[(&Probe, Verdict)],
    facts: &ClusterFacts,
) -> Vec<Cause> {
    let mut causes = Vec::new();
    let is_open = verdict == Verdict::NotBlocked;
    if is_open {
        causes.extend(not_enforced(probe, all, facts));
    }
    if translation_differs(probe, verdict, all) {
        causes.push(Cause::Translation);
    }
    if probe.server.kind.is_node_address() {
        let own = probe.server.node.is_some() && probe.server.node == probe.client.node;
        causes.extend((own && is_open).then_some(Cause::OwnNode));
        let told = facts.ip_blocks_match_nodes != Some(true);
        causes.extend((told && !is_open).then_some(Cause::NodeAddresses));
    }
    causes.extend(fresh(probe, facts).map(Cause::Fresh));
    if !facts.not_judged.is_empty() {
        let named: Vec<&str> = facts
            .not_judged
            .iter()
            .map(String::as_str)
            .take(MOST_NAMED)
            .collect();
        causes.push(Cause::OtherKinds(named.join(", ")));
    }
    if causes.is_empty() {
        causes.push(Cause::Unknown);
    }
    causes
}

/// Nobody enforces, or one node does not.
fn not_enforced(probe: &Probe, all: &[(&Probe, Verdict)], facts: &ClusterFacts) -> Option<Cause> {
    let mut stopped = all
        .iter()
        .filter(|(probe, verdict)| !probe.denied_by.is_empty() && holds(*verdict));
    if facts.enforces == Some(false) || stopped.clone().next().is_none() {
        return Some(Cause::PluginDoesNotEnforce);
    }
    let only = |node: &String| {
        let mut alone = stopped.clone();
        // Where both ends deny, either of the two nodes may have stopped it.
        !alone.any(|(other, _)| other.denied_on.len() == 1 && other.denied_on.contains(node))
    };
    let node = probe.denied_on.iter().find(|node| only(node)).cloned();
    let elsewhere = stopped.any(|(other, _)| other.denied_on != probe.denied_on);
    node.filter(|_| elsewhere).map(Cause::NodeDoesNotEnforce)
}

fn holds(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::AsExpected | Verdict::Late)
}

/// The same connection by the other address is as expected.
fn translation_differs(probe: &Probe, verdict: Verdict, all: &[(&Probe, Verdict)]) -> bool {
    let twin = all.iter().find(|(other, _)| {
        other.client.pod == probe.client.pod
            && other.behind == probe.behind
            && other.protocol == probe.protocol
            && other.through.is_some() != probe.through.is_some()
    });
    twin.is_some_and(|(_, other)| holds(*other)) && verdict.differs()
}

fn fresh(probe: &Probe, facts: &ClusterFacts) -> Option<String> {
    let rules = probe.allowed_by.iter();
    let policies = rules.map(|rule| rule.split(',').next().unwrap_or_default());
    let mut policies = policies.chain(probe.denied_by.iter().map(String::as_str));
    let policy = policies.find(|name| facts.fresh.contains(*name));
    if let Some(policy) = policy {
        return Some(format!("NetworkPolicy {policy}"));
    }
    let ends = [Some(&probe.client.pod), probe.server.pod.as_ref()];
    let mut ends = ends.into_iter().flatten().map(|pod| format!("pod {pod}"));
    ends.find(|name| facts.fresh.contains(name))
}
