//! What the cluster's network plugin does otherwise than the policies expect, as findings
//! (rule: plugin-is-part-of-the-model).

use super::deviations::deviation_findings;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_finding::{Code, Finding};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_plugin::{Behaviour, NetworkPlugin};
use nanoseg_policy::WorkloadPolicy;
use std::collections::BTreeMap;

/// The subject of findings about the whole cluster.
const CLUSTER: &str = "cluster";

/// Findings about the cluster's network plugin itself: that nothing tells which it is, that it enforces nothing, and what
/// it does not honour in the policies of others.
pub fn network_plugin_findings(inventory: &Inventory, existing: &[NetworkPolicy]) -> Vec<Finding> {
    let plugin = &inventory.network_plugin;
    let behaviour = plugin.behaviour();
    let mut findings = Vec::new();
    if plugin.is_unknown() {
        findings.push(Finding::new(
            Code::NetworkPluginUnknown,
            CLUSTER,
            "nothing in the snapshot tells which network plugin enforces the policies; they are judged by the \
             specification of NetworkPolicy",
        ));
    }
    if !behaviour.enforces {
        findings.push(Finding::new(
            Code::PoliciesNotEnforced,
            CLUSTER,
            format!("the network plugin enforces no NetworkPolicy: {plugin}"),
        ));
    }
    let title = plugin.profile.plugin.title();
    findings.extend(existing.iter().filter_map(|policy| {
        let problems = not_honoured(policy, &behaviour);
        let first = problems.first()?;
        let message = format!("{title} does not honour {first}");
        let finding = Finding::new(Code::RuleNotHonoured, name(policy), message);
        Some(finding.with_samples(problems))
    }));
    findings.extend(deviation_findings(inventory));
    findings
}

/// Findings about generated policies that the cluster's network plugin cannot hold as they stand.
pub fn policy_findings(policies: &[WorkloadPolicy], inventory: &Inventory) -> Vec<Finding> {
    let plugin = inventory.network_plugin.profile.plugin;
    let behaviour = inventory.network_plugin.behaviour();
    policies
        .iter()
        .flat_map(|one| {
            // Another kind has limits of its own, and is written within them.
            let limits = match one.native {
                Some(_) => Vec::new(),
                None => beyond_limits(&one.policy, &behaviour),
            };
            let limits = limits.into_iter();
            let limits = limits.map(|what| (Code::PluginLimit, what));
            let uncovered = uncovered(&one.workload, inventory, &behaviour).into_iter();
            let uncovered = uncovered.map(|what| (Code::NotCoveredByPlugin, what));
            limits
                .chain(uncovered)
                .map(|(code, what)| finding(code, &one.workload, plugin, &what))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn finding(code: Code, id: &WorkloadId, plugin: NetworkPlugin, what: &str) -> Finding {
    Finding::new(code, id.to_string(), format!("{}: {what}", plugin.title()))
}

/// Which pods of a workload the plugin applies no policy to.
fn uncovered(id: &WorkloadId, inventory: &Inventory, behaviour: &Behaviour) -> Vec<String> {
    let mut found = Vec::new();
    if id.kind == "Pod" && !behaviour.covers.bare_pods {
        found.push("it applies no policy to a pod that nothing owns".to_owned());
    }
    let workload = inventory.workloads.get(id);
    let pods = workload.into_iter().flat_map(|workload| &workload.pods);
    let mut pods = pods.filter_map(|index| inventory.pods.get(*index));
    let dual = pods.find(|pod| {
        let v4 = pod.addresses.iter().any(|address| address.is_ipv4());
        v4 && pod.addresses.iter().any(|address| address.is_ipv6())
    });
    if let Some(pod) = dual.filter(|_| !behaviour.covers.dual_stack) {
        found.push(format!(
            "it applies policies to one address family only, and {} has addresses of both",
            pod.name
        ));
    }
    found
}

/// Which rules of a policy have more than the plugin takes.
fn beyond_limits(policy: &NetworkPolicy, behaviour: &Behaviour) -> Vec<String> {
    let mut found = Vec::new();
    for (rule, _, ports) in rules(policy) {
        let mut by_protocol: BTreeMap<&str, usize> = BTreeMap::new();
        for port in ports {
            let protocol = port.protocol.as_deref().unwrap_or("TCP");
            *by_protocol.entry(protocol).or_default() += 1;
        }
        for (protocol, count) in by_protocol {
            if let Some(most) = behaviour.limits.ports_per_rule.filter(|most| count > *most) {
                found.push(format!(
                    "{rule} has {count} ports of {protocol}, and it takes {most}"
                ));
            }
        }
    }
    let peers = rules(policy).flat_map(|(_, peers, _)| peers);
    let blocks = peers.filter(|peer| peer.ip_block.is_some()).count();
    if let Some(most) = behaviour
        .limits
        .blocks_per_policy
        .filter(|most| blocks > *most)
    {
        found.push(format!(
            "the policy has {blocks} ipBlocks; with more than {most}, pods may be open for a moment when it is changed"
        ));
    }
    found
}

/// What of a policy's rules the plugin does not honour.
fn not_honoured(policy: &NetworkPolicy, behaviour: &Behaviour) -> Vec<String> {
    let mut found = Vec::new();
    for (rule, _, ports) in rules(policy) {
        let is_egress = rule.starts_with("egress");
        for port in ports {
            let is_named = matches!(port.port, Some(IntOrString::String(_)));
            if port.protocol.as_deref() == Some("SCTP") && !behaviour.sctp {
                found.push(format!("SCTP in {rule}"));
            }
            if port.end_port.is_some() && !behaviour.end_port {
                found.push(format!("the range of ports in {rule}"));
            }
            if is_named && is_egress && !behaviour.named_egress_ports {
                found.push(format!("the named port in {rule}"));
            }
        }
    }
    found.dedup();
    found
}

type RuleParts<'a> = (String, &'a [NetworkPolicyPeer], &'a [NetworkPolicyPort]);

/// The rules of a policy with their place, peers and ports.
fn rules(policy: &NetworkPolicy) -> impl Iterator<Item = RuleParts<'_>> {
    let spec = policy.spec.as_ref();
    let ingress = spec.and_then(|spec| spec.ingress.as_deref());
    let ingress = ingress.unwrap_or_default().iter().enumerate();
    let ingress = ingress.map(|(index, rule)| {
        let (from, ports) = (rule.from.as_deref(), rule.ports.as_deref());
        (format!("ingress[{index}]"), from, ports)
    });
    let egress = spec.and_then(|spec| spec.egress.as_deref());
    let egress = egress.unwrap_or_default().iter().enumerate();
    let egress = egress.map(|(index, rule)| {
        let (to, ports) = (rule.to.as_deref(), rule.ports.as_deref());
        (format!("egress[{index}]"), to, ports)
    });
    let all = ingress.chain(egress);
    all.map(|(rule, peers, ports)| (rule, peers.unwrap_or_default(), ports.unwrap_or_default()))
}

fn name(policy: &NetworkPolicy) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let metadata = &policy.metadata;
    format!("{}/{}", text(&metadata.namespace), text(&metadata.name))
}
