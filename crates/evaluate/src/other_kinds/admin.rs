//! The policies of an administrator: `ClusterNetworkPolicy`, `AdminNetworkPolicy`, `BaselineAdminNetworkPolicy`.
//!
//! Source: sigs.k8s.io/network-policy-api v0.3.0, `apis/v1beta1/clusternetworkpolicy_types.go`, and v0.2.0,
//! `apis/v1alpha1`.

use super::super::pod_classes::PodKeys;
use super::super::rule_terms::Action;
use super::super::rules::{Policy, Rule};
use super::super::selector::keys;
use super::names::domain_matches;
use super::ports::{PROTOCOLS, PortList};
use super::resolver::{CiliumBlocks, Head, Peers, Resolver, block, is_in};
use crate::ClassId;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use nanoseg_net::{AddressSet, Protocol};
use nanoseg_policy_kinds::admin::{
    AdminAction, AdminNetworkPolicy, AdminPeer, AdminPort, AdminSubject, ClusterNetworkPolicy,
    ClusterPorts, ClusterProtocol,
};

/// What the rules of both APIs have in common.
struct AdminRule<'a> {
    field: String,
    action: AdminAction,
    peers: &'a [AdminPeer],
    ports: PortList,
}

/// The rules of one list, each with its field.
fn numbered<'a>(
    list: &str,
    rules: impl Iterator<Item = (AdminAction, &'a [AdminPeer], PortList)>,
) -> Vec<AdminRule<'a>> {
    let rule = |(index, (action, peers, ports))| AdminRule {
        field: format!("{list}[{index}]"),
        action,
        peers,
        ports,
    };
    rules.enumerate().map(rule).collect()
}

pub(super) fn note_cluster_keys<'a>(policy: &'a ClusterNetworkPolicy, keys: &mut PodKeys<'a>) {
    let spec = &policy.spec;
    note_subject(&spec.subject, keys);
    let ingress = spec.ingress.iter().flatten().flat_map(|rule| &rule.from);
    let egress = spec.egress.iter().flatten().flat_map(|rule| &rule.to);
    ingress.chain(egress).for_each(|peer| note_peer(peer, keys));
}

pub(super) fn note_keys<'a>(policy: &'a AdminNetworkPolicy, keys: &mut PodKeys<'a>) {
    let spec = &policy.spec;
    note_subject(&spec.subject, keys);
    let ingress = spec.ingress.iter().flatten().flat_map(|rule| &rule.from);
    let egress = spec.egress.iter().flatten().flat_map(|rule| &rule.to);
    ingress.chain(egress).for_each(|peer| note_peer(peer, keys));
}

fn note_subject<'a>(subject: &'a AdminSubject, found: &mut PodKeys<'a>) {
    if let Some(pods) = &subject.pods {
        found.labels.extend(keys(&pods.pod_selector));
    }
}

fn note_peer<'a>(peer: &'a AdminPeer, found: &mut PodKeys<'a>) {
    if let Some(pods) = &peer.pods {
        found.labels.extend(keys(&pods.pod_selector));
    }
    let networks = peer.networks.iter().flatten();
    found.blocks.extend(networks.filter_map(|cidr| block(cidr)));
}

impl Resolver<'_> {
    pub(super) fn cluster(&mut self, policy: &ClusterNetworkPolicy, head: &Head) -> Policy {
        let spec = &policy.spec;
        let ingress = spec.ingress.iter().flatten();
        let ingress = ingress.map(|rule| {
            (
                rule.action,
                &*rule.from,
                of_protocols(rule.protocols.as_deref()),
            )
        });
        let ingress = numbered("spec.ingress", ingress);
        let egress = spec.egress.iter().flatten();
        let egress = egress.map(|rule| {
            (
                rule.action,
                &*rule.to,
                of_protocols(rule.protocols.as_deref()),
            )
        });
        let egress = numbered("spec.egress", egress);
        self.of_admin(head, &spec.subject, ingress, egress)
    }

    pub(super) fn admin(&mut self, policy: &AdminNetworkPolicy, head: &Head) -> Policy {
        let spec = &policy.spec;
        let ingress = spec.ingress.iter().flatten();
        let ingress =
            ingress.map(|rule| (rule.action, &*rule.from, of_ports(rule.ports.as_deref())));
        let ingress = numbered("spec.ingress", ingress);
        let egress = spec.egress.iter().flatten();
        let egress = egress.map(|rule| (rule.action, &*rule.to, of_ports(rule.ports.as_deref())));
        let egress = numbered("spec.egress", egress);
        self.of_admin(head, &spec.subject, ingress, egress)
    }

    fn of_admin(
        &mut self,
        head: &Head,
        subject: &AdminSubject,
        ingress: Vec<AdminRule<'_>>,
        egress: Vec<AdminRule<'_>>,
    ) -> Policy {
        let selected = self.subject(subject);
        let rules = [ingress, egress].map(|rules| {
            let rules: Vec<Rule> = rules
                .into_iter()
                .map(|rule| self.admin_rule(rule))
                .collect();
            // Without rules in a direction the policy says nothing of it.
            (!rules.is_empty()).then_some(rules)
        });
        self.policy(head, selected, rules, [false, false])
    }

    fn subject(&mut self, subject: &AdminSubject) -> Vec<ClassId> {
        match (&subject.namespaces, &subject.pods) {
            (Some(namespaces), _) => self.in_namespaces(namespaces),
            (None, Some(pods)) => self.selected(&pods.namespace_selector, &pods.pod_selector),
            (None, None) => Vec::new(),
        }
    }

    fn admin_rule(&mut self, rule: AdminRule<'_>) -> Rule {
        let mut peers = Peers::default();
        let mut action = match rule.action {
            AdminAction::Accept | AdminAction::Allow => Action::Allow,
            AdminAction::Deny => Action::Deny,
            AdminAction::Pass => Action::Pass,
        };
        for peer in rule.peers {
            let fails_closed = !self.admin_peer(peer, &mut peers);
            if fails_closed && action != Action::Allow {
                // "Treat the rule as a Deny all rule" (ClusterNetworkPolicyIngressPeer).
                action = Action::Deny;
                peers = Peers::everyone();
                break;
            }
        }
        let ports = self.ports(rule.ports);
        self.rule(ports, action, peers, Some(rule.field))
    }

    /// Adds what a peer matches. Returns false if none of its fields is there.
    fn admin_peer(&mut self, peer: &AdminPeer, peers: &mut Peers) -> bool {
        if let Some(namespaces) = &peer.namespaces {
            peers.add_pods(self.in_namespaces(namespaces));
        } else if let Some(pods) = &peer.pods {
            peers.add_pods(self.selected(&pods.namespace_selector, &pods.pod_selector));
        } else if let Some(nodes) = &peer.nodes {
            // The labels of nodes are not known: only the selector of all nodes is judged.
            if is_empty(nodes) {
                peers.add_addresses(&self.node_addresses());
            }
        } else if let Some(networks) = &peer.networks {
            let blocks = networks.iter().filter_map(|cidr| block(cidr));
            let blocks: Vec<AddressSet> = blocks.collect();
            let all = AddressSet::union_all(&blocks);
            if CiliumBlocks::of(self.inventory).is_cilium {
                for block in &blocks {
                    self.add_cilium_block(block, peers);
                }
            } else {
                // "Cluster-internal traffic will be checked against the rule as well" (Networks).
                peers.add_pods(self.classes(|pod| is_in(pod, &all)));
                peers.add_addresses(&all);
            }
        } else if let Some(names) = &peer.domain_names {
            for name in names {
                let addresses = self.named_addresses(|seen| domain_matches(name, seen));
                peers.add_addresses(&addresses);
            }
        } else {
            return false;
        }
        true
    }
}

pub(super) fn is_empty(selector: &LabelSelector) -> bool {
    keys(selector).next().is_none()
}

fn of_protocols(protocols: Option<&[ClusterProtocol]>) -> PortList {
    let Some(protocols) = protocols.filter(|list| !list.is_empty()) else {
        return PortList::all();
    };
    let mut list = PortList::default();
    for one in protocols {
        for (protocol, ports) in [
            (Protocol::Tcp, &one.tcp),
            (Protocol::Udp, &one.udp),
            (Protocol::Sctp, &one.sctp),
        ] {
            if let Some(ports) = ports {
                add_ports(protocol, ports, &mut list);
            }
        }
        if let Some(name) = &one.destination_named_port {
            PROTOCOLS
                .iter()
                .for_each(|protocol| list.name(*protocol, name));
        }
    }
    list
}

fn add_ports(protocol: Protocol, ports: &ClusterPorts, list: &mut PortList) {
    let Some(port) = &ports.destination_port else {
        return list.every(protocol);
    };
    if let Some(number) = port.number {
        list.range(protocol, number, number);
    }
    if let Some(range) = port.range {
        list.range(protocol, range.start, range.end);
    }
}

fn of_ports(ports: Option<&[AdminPort]>) -> PortList {
    let Some(ports) = ports else {
        return PortList::all();
    };
    let mut list = PortList::default();
    let read = |name: Option<&String>| Protocol::parse(name.map_or("TCP", String::as_str));
    for port in ports {
        if let Some(number) = &port.port_number
            && let Some(protocol) = read(number.protocol.as_ref())
        {
            list.range(protocol, number.port, number.port);
        }
        if let Some(range) = &port.port_range
            && let Some(protocol) = read(range.protocol.as_ref())
        {
            list.range(protocol, range.start, range.end);
        }
        if let Some(name) = &port.named_port {
            PROTOCOLS
                .iter()
                .for_each(|protocol| list.name(*protocol, name));
        }
    }
    list
}
