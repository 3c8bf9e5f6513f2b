//! Synthesis: from requirements to one policy per managed workload.

mod open_entry;
mod selections;

pub(super) use open_entry::families;
pub use open_entry::open_entry_requirements;

use super::dialect::{Dialect, Names, Naming, NativePolicy};
use super::ip_blocks::ExcludedRanges;
use super::name::PolicyNames;
use super::ports::port_text;
use super::rule::{
    EndKey, NeedKey, Needs, Rule, RuleContext, RuleOrigin, RulePeer, Summary, build_rules,
    kubernetes_peers, origins_each_way,
};
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use nanoseg_finding::{Code, Finding};
use nanoseg_graph::{DnsEvidence, End, OpenDirections, OpenReason, Requirement};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::Direction;
use rustc_hash::FxHashMap;
use selections::Selections;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The most examples that a finding lists.
const MAX_SAMPLES: usize = 8;

/// The options of the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SynthesisOptions {
    /// Outside addresses per rule before they are summarised to CIDRs (rule: outside-address-blocks).
    pub max_addresses: usize,
    /// How many neighbouring ports inside an `endPort` range may be unobserved (rule: port-range-is-observed).
    pub range_threshold: u16,
    /// Write a deny-all policy for a workload that nothing was seen of (rule: unobserved-workload-left-out).
    pub include_unobserved: bool,
    /// The kind of policy that is written (rule: same-requirements-in-each-dialect).
    pub dialect: Dialect,
    /// From how many looked-up names of one domain on all names below it are allowed, in a dialect that has names
    /// (rule: outside-names-by-lookup); `None`: each name is written.
    pub name_patterns: Option<usize>,
}

impl Default for SynthesisOptions {
    fn default() -> Self {
        SynthesisOptions {
            max_addresses: 16,
            range_threshold: 0,
            include_unobserved: false,
            dialect: Dialect::default(),
            name_patterns: None,
        }
    }
}

/// The result: policies in the order of their workloads, and findings for the operator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Synthesis {
    pub policies: Vec<WorkloadPolicy>,
    /// Sorted.
    pub findings: Vec<Finding>,
    /// The directions of managed workloads that no policy isolates, also those that are open since a policy would
    /// select pods of such a workload.
    pub open: OpenDirections,
}

/// The policy of one workload, with the origin of each rule.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkloadPolicy {
    pub workload: WorkloadId,
    pub policy: NetworkPolicy,
    /// Why a direction that the policy does not isolate stays open, in the order of directions.
    pub open: Vec<(Direction, Vec<OpenReason>)>,
    /// The same in another dialect, if one was chosen: it is what is written then.
    pub native: Option<NativePolicy>,
    /// One origin per rule: first those of ingress, then those of egress, each in the order of the rules.
    pub rules: Vec<RuleOrigin>,
    /// Is set if no labels select the workload alone: all workloads of which the policy selects some pod, including
    /// the workload itself.
    pub reach: Option<Arc<BTreeSet<WorkloadId>>>,
}

impl WorkloadPolicy {
    /// The origins of the rules that are written: those of the dialect.
    pub fn written_rules(&self) -> &[RuleOrigin] {
        self.native
            .as_ref()
            .map_or(&self.rules, |native| &native.rules)
    }
}

/// The requirements by the workload whose policy must allow them.
#[derive(Default)]
struct RequirementsByWorkload<'a> {
    ingress: FxHashMap<&'a WorkloadId, Vec<&'a Requirement>>,
    egress: FxHashMap<&'a WorkloadId, Vec<&'a Requirement>>,
}

impl<'a> RequirementsByWorkload<'a> {
    fn build(requirements: &'a [Requirement]) -> Self {
        let mut by_workload = RequirementsByWorkload::default();
        for requirement in requirements {
            if let End::Workload(id) = &requirement.server {
                by_workload.ingress.entry(id).or_default().push(requirement);
            }
            if let End::Workload(id) = &requirement.client {
                by_workload.egress.entry(id).or_default().push(requirement);
            }
        }
        by_workload
    }

    fn of(&self, id: &WorkloadId, direction: Direction) -> &[&'a Requirement] {
        let all = match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        };
        all.get(id).map_or(&[], Vec::as_slice)
    }

    fn is_empty(&self, id: &WorkloadId) -> bool {
        !self.ingress.contains_key(id) && !self.egress.contains_key(id)
    }
}

/// Writes policies for the `managed` workloads that allow `requirements` and nothing else, as far as labels and the
/// NetworkPolicy API can express it. The directions in `open` are not isolated (rule: isolated-only-if-in-view). `dns`
/// tells the names of outside servers, for dialects that have names.
///
/// Workloads on the node's network are skipped without a finding: the graph has reported them already.
pub fn synthesise(
    inventory: &Inventory,
    requirements: &[Requirement],
    managed: &[WorkloadId],
    open: &OpenDirections,
    dns: &DnsEvidence,
    options: &SynthesisOptions,
) -> Synthesis {
    let managed: BTreeSet<&WorkloadId> = managed
        .iter()
        .filter(|id| !inventory.workloads.get(*id).is_some_and(|w| w.host_network))
        .collect();
    let by_workload = RequirementsByWorkload::build(requirements);
    let selections = Selections::build(inventory, requirements, &managed, options.dialect);
    let mut findings = selections.findings(&managed);
    let is_managed = |id: &WorkloadId| managed.contains(id);
    let open = open_for_all(&managed, &selections, open);
    let is_open = |id: &WorkloadId| {
        [Direction::Ingress, Direction::Egress]
            .iter()
            .all(|direction| open.contains(id, *direction))
    };
    let mut subjects = BTreeSet::new();
    for id in managed.iter().copied() {
        if is_open(id) {
            continue;
        }
        let observed = !by_workload.is_empty(id);
        if !observed {
            let unnamed = has_unnamed_traffic(id, &open);
            findings.push(nothing_observed(id, unnamed, options.include_unobserved));
        }
        if selections.of(id).unselectable || !(observed || options.include_unobserved) {
            continue;
        }
        subjects.insert(id);
    }
    let adopted = adopt(&subjects, &selections, &by_workload);
    let closed = ExcludedRanges::build(inventory);
    let names = PolicyNames::build(inventory.workloads.keys().chain(subjects.iter().copied()));
    let display = |id: &WorkloadId| selections.display(id);
    let behaviour = inventory.network_plugin.behaviour();
    let context = RuleContext {
        closed: &closed,
        max_addresses: options.max_addresses,
        port_gap: (behaviour.end_port).then_some(options.range_threshold),
        display: &display,
    };
    let as_network_policy = SynthesisOptions {
        dialect: Dialect::Kubernetes,
        ..*options
    };
    let plain = Naming::new(&as_network_policy, inventory, dns);
    let naming = Naming::new(options, inventory, dns);
    let writer = Writer {
        dialect: options.dialect,
        plain: &plain,
        naming: &naming,
        by_workload: &by_workload,
        selections: &selections,
        adopted: &adopted,
        names: &names,
        context: &context,
        open: &open,
    };
    let policies = subjects
        .iter()
        .map(|id| writer.build_policy(id, &mut findings))
        .collect();
    findings.sort();
    let mut open = open.clone();
    open.retain(|id, _| is_managed(id));
    Synthesis {
        policies,
        findings,
        open,
    }
}

/// The open directions, with those of workloads whose policy would select pods of a workload that must stay open.
fn open_for_all(
    managed: &BTreeSet<&WorkloadId>,
    selections: &Selections,
    open: &OpenDirections,
) -> OpenDirections {
    let mut all = open.clone();
    for id in managed {
        let Some(reach) = &selections.of(id).reach else {
            continue;
        };
        for direction in [Direction::Ingress, Direction::Egress] {
            let mut others = reach.iter().filter(|other| open.contains(other, direction));
            if let Some(other) = others.find(|other| *other != *id)
                && !open.contains(id, direction)
            {
                all.add(id, direction, OpenReason::SharedWith(other.clone()));
            }
        }
    }
    all
}

/// A policy that selects more than its workload also isolates the other workloads. Those with a policy of their own
/// have their rules there, and the rules of all policies are combined. For each of the rest, the first policy that
/// selects it gets its rules as well.
fn adopt<'a>(
    subjects: &BTreeSet<&'a WorkloadId>,
    selections: &'a Selections,
    by_workload: &RequirementsByWorkload,
) -> BTreeMap<&'a WorkloadId, Vec<&'a WorkloadId>> {
    let mut adopted: BTreeMap<&WorkloadId, Vec<&WorkloadId>> = BTreeMap::new();
    let mut settled: BTreeSet<&WorkloadId> = BTreeSet::new();
    let mut seen: Vec<&Arc<BTreeSet<WorkloadId>>> = Vec::new();
    for id in subjects {
        let Some(reach) = &selections.of(id).reach else {
            continue;
        };
        if seen.iter().any(|known| Arc::ptr_eq(known, reach)) {
            continue;
        }
        seen.push(reach);
        for other in reach.iter() {
            if !subjects.contains(other) && !by_workload.is_empty(other) && settled.insert(other) {
                adopted.entry(id).or_default().push(other);
            }
        }
    }
    adopted
}

/// Returns true if the workload has answered traffic that cannot be attributed.
fn has_unnamed_traffic(id: &WorkloadId, open: &OpenDirections) -> bool {
    let reasons = [Direction::Ingress, Direction::Egress]
        .into_iter()
        .flat_map(|direction| open.reasons(id, direction));
    reasons.into_iter().any(|reason| {
        matches!(
            reason,
            OpenReason::Unattributed(_) | OpenReason::PerhapsItsOwn(_)
        )
    })
}

fn nothing_observed(id: &WorkloadId, unnamed: bool, included: bool) -> Finding {
    let seen = if unnamed {
        "nothing was seen of it that can be attributed"
    } else {
        "nothing was seen of it"
    };
    let done = match (included, unnamed) {
        (true, true) => "; a policy that denies everything else was written, as asked for",
        (true, false) => "; a policy that denies everything was written, as asked for",
        (false, _) => ", so no policy was written",
    };
    Finding::new(
        Code::NothingObserved,
        id.to_string(),
        format!("{seen}{done}"),
    )
}

/// The context for writing one policy.
struct Writer<'a> {
    dialect: Dialect,
    /// How a NetworkPolicy names ends.
    plain: &'a Naming<'a>,
    /// How the dialect does.
    naming: &'a Naming<'a>,
    by_workload: &'a RequirementsByWorkload<'a>,
    selections: &'a Selections<'a>,
    /// Workloads without a policy of their own, by the workload whose policy has their rules.
    adopted: &'a BTreeMap<&'a WorkloadId, Vec<&'a WorkloadId>>,
    names: &'a PolicyNames,
    context: &'a RuleContext<'a>,
    open: &'a OpenDirections,
}

impl Writer<'_> {
    fn build_policy(&self, id: &WorkloadId, findings: &mut Vec<Finding>) -> WorkloadPolicy {
        let ways = [Direction::Ingress, Direction::Egress];
        let [ingress, egress] = ways.map(|way| self.rules(id, way, self.plain));
        for (way, rules) in ways.into_iter().zip([&ingress, &egress]) {
            let rules = rules.iter().flatten();
            findings.extend(rules.filter_map(|rule| summarised(id, way, rule)));
        }
        let types = [
            ingress.is_some().then(|| "Ingress".to_string()),
            egress.is_some().then(|| "Egress".to_string()),
        ];
        let selection = self.selections.of(id);
        let namespace = id.namespace.as_str();
        WorkloadPolicy {
            workload: id.clone(),
            native: self.native(id, findings),
            rules: origins_each_way(ingress.as_deref(), egress.as_deref()),
            policy: NetworkPolicy {
                metadata: self.metadata(id),
                spec: Some(NetworkPolicySpec {
                    pod_selector: Some(selection.selector.to_api()),
                    policy_types: Some(types.into_iter().flatten().collect()),
                    ingress: ingress
                        .map(|rules| rules.iter().map(|r| ingress_rule(r, namespace)).collect()),
                    egress: egress
                        .map(|rules| rules.iter().map(|r| egress_rule(r, namespace)).collect()),
                }),
            },
            open: self.open_directions(id),
            reach: selection.reach.clone(),
        }
    }

    /// The policy in the dialect that was chosen; `None` for a NetworkPolicy.
    fn native(&self, id: &WorkloadId, findings: &mut Vec<Finding>) -> Option<NativePolicy> {
        let ways = [Direction::Ingress, Direction::Egress];
        let [ingress, egress] = ways.map(|way| self.rules(id, way, self.naming));
        findings.extend(
            egress
                .iter()
                .flatten()
                .filter_map(|rule| patterns(id, rule)),
        );
        NativePolicy::build(
            self.dialect,
            self.metadata(id),
            &self.selections.of(id).selector,
            [ingress.as_deref(), egress.as_deref()],
        )
    }

    fn metadata(&self, id: &WorkloadId) -> ObjectMeta {
        ObjectMeta {
            name: Some(self.names.get(id)),
            namespace: Some(id.namespace.clone()),
            labels: Some(BTreeMap::from([(
                "app.kubernetes.io/managed-by".to_string(),
                "nanoseg".to_string(),
            )])),
            ..ObjectMeta::default()
        }
    }

    fn open_directions(&self, id: &WorkloadId) -> Vec<(Direction, Vec<OpenReason>)> {
        let open = [Direction::Ingress, Direction::Egress].into_iter();
        open.filter(|direction| self.open.contains(id, *direction))
            .map(|direction| {
                let reasons = self.open.reasons(id, direction);
                (direction, reasons.into_iter().cloned().collect())
            })
            .collect()
    }

    /// The rules of a direction; `None` if it stays open.
    fn rules(&self, id: &WorkloadId, way: Direction, naming: &Naming<'_>) -> Option<Vec<Rule>> {
        if self.open.contains(id, way) {
            return None;
        }
        let adopted = self.adopted.get(id).into_iter().flatten().copied();
        let all = std::iter::once(id).chain(adopted);
        let required: Vec<&Requirement> = all
            .flat_map(|one| self.by_workload.of(one, way).iter().copied())
            .collect();
        let names = naming.names(way, required.iter().copied());
        let mut needs = Needs::new();
        for requirement in required {
            self.add_need(requirement, way, (naming, &names), &mut needs);
        }
        Some(build_rules(needs, self.context))
    }

    fn add_need<'n>(
        &'n self,
        requirement: &'n Requirement,
        way: Direction,
        (naming, names): (&'n Naming<'n>, &Names<'n>),
        needs: &mut Needs<'n>,
    ) {
        let far = match way {
            Direction::Ingress => &requirement.client,
            Direction::Egress => &requirement.server,
        };
        let lookup = naming.is_watched(requirement, names);
        let mut add = |end: EndKey<'n>, workload: Option<&'n WorkloadId>| {
            let need = needs.entry(NeedKey { end, lookup }).or_default();
            need.workloads.extend(workload);
            if workload.is_none() {
                need.labels.extend(requirement.label.as_deref());
                need.of_cluster |= !requirement.outside;
            }
            need.ports.insert((requirement.port, requirement.protocol));
            need.edges.insert(requirement.edge);
        };
        if let End::Workload(peer) = far {
            let selector = &self.selections.of(peer).selector;
            add(EndKey::Pods(&peer.namespace, selector), Some(peer));
        }
        for end in naming.ends(requirement, far, names) {
            add(end, None);
        }
    }
}

fn ingress_rule(rule: &Rule, namespace: &str) -> NetworkPolicyIngressRule {
    NetworkPolicyIngressRule {
        from: Some(kubernetes_peers(rule, namespace)),
        ports: Some(rule.ports.clone()),
    }
}

fn egress_rule(rule: &Rule, namespace: &str) -> NetworkPolicyEgressRule {
    NetworkPolicyEgressRule {
        to: Some(kubernetes_peers(rule, namespace)),
        ports: Some(rule.ports.clone()),
    }
}

/// The finding about patterns of names in a rule.
fn patterns(id: &WorkloadId, rule: &Rule) -> Option<Finding> {
    let domains = rule.peers.iter().filter_map(|peer| match peer {
        RulePeer::NamesBelow(domain) => Some(format!("*.{domain}")),
        _ => None,
    });
    let domains: Vec<String> = domains.collect();
    let first = domains.first()?;
    let ports: Vec<String> = rule.ports.iter().map(port_text).collect();
    let message = format!(
        "egress to {}: several names of a domain became a pattern such as {first}, which allows names that were not seen",
        ports.join(", ")
    );
    let finding = Finding::new(Code::NamePattern, id.to_string(), message);
    Some(finding.with_samples(domains.into_iter().take(MAX_SAMPLES)))
}

fn summarised(id: &WorkloadId, direction: Direction, rule: &Rule) -> Option<Finding> {
    let Summary {
        addresses,
        cidrs,
        added,
    } = rule.summarised.as_ref()?;
    let ports: Vec<String> = rule.ports.iter().map(port_text).collect();
    let way = match direction {
        Direction::Ingress => "ingress to",
        Direction::Egress => "egress to",
    };
    let message = format!(
        "{way} {}: {addresses} outside addresses were summarised to {} CIDRs, \
         which adds {added} addresses that were not seen",
        ports.join(", "),
        cidrs.len(),
    );
    let samples = cidrs.iter().take(MAX_SAMPLES).cloned();
    Some(Finding::new(Code::CidrSummarised, id.to_string(), message).with_samples(samples))
}

#[cfg(test)]
mod tests;
