//! Calico's policies.
//!
//! Calico matches addresses: a block matches pods with an address in it, and a negated field matches whoever is not
//! meant, pods or not. Source: `api/pkg/apis/projectcalico/v3/policy_common.go` and `globalnetworkpolicy.go` of Calico.

use super::super::pod_classes::PodKeys;
use super::super::rule_terms::Action;
use super::super::rules::{Policy, Rule};
use super::calico_peers::{is_said, selector};
use super::ports::{PROTOCOLS, PortList};
use super::resolver::{Head, Peers, Resolver, block};
use crate::ClassId;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_net::{AddressSet, Protocol};
use nanoseg_policy_kinds::calico::{
    CalicoAction, CalicoEntity, CalicoPolicy, CalicoPolicySpec, CalicoRule,
};
use nanoseg_policy_kinds::calico_selector::CalicoSelector;

pub(super) fn note_keys<'a>(policy: &'a CalicoPolicy, keys: &mut PodKeys<'a>) {
    let spec = &policy.spec;
    note_selector(spec.selector.as_deref(), keys);
    for rule in spec.ingress.iter().chain(&spec.egress).flatten() {
        for entity in rule.source.iter().chain(&rule.destination) {
            note_selector(entity.selector.as_deref(), keys);
            note_selector(entity.not_selector.as_deref(), keys);
            let blocks = entity.nets.iter().chain(&entity.not_nets).flatten();
            keys.blocks.extend(blocks.filter_map(|text| block(text)));
        }
        if rule.ip_version.is_some() {
            keys.blocks
                .extend([AddressSet::all_v4(), AddressSet::all_v6()]);
        }
    }
}

/// The keys of labels are found in the text of the selector, so that they live as long as it does.
fn note_selector<'a>(text: Option<&'a str>, keys: &mut PodKeys<'a>) {
    let Some(text) = text else { return };
    let Ok(selector) = CalicoSelector::parse(text) else {
        return;
    };
    for key in selector.keys() {
        let found = text
            .match_indices(key)
            .map(|(at, key)| &text[at..at + key.len()]);
        keys.labels.extend(found.take(1));
    }
}

impl Resolver<'_> {
    pub(super) fn calico(&mut self, policy: &CalicoPolicy, head: &Head) -> Policy {
        let spec = &policy.spec;
        let [for_ingress, for_egress] = types(spec);
        let mut rules =
            [(&spec.ingress, "ingress"), (&spec.egress, "egress")].map(|(list, name)| {
                let rules = list.iter().flatten().enumerate();
                let rules = rules.filter(|(_, rule)| rule.action != CalicoAction::Log);
                let rules = rules.map(|(index, rule)| {
                    let (near, far) = match name {
                        "ingress" => (&rule.destination, &rule.source),
                        _ => (&rule.source, &rule.destination),
                    };
                    let ends = (near.as_ref(), far.as_ref());
                    self.calico_rule(rule, ends, format!("spec.{name}[{index}]"), head)
                });
                Some(rules.collect::<Vec<Rule>>())
            });
        if !for_ingress {
            rules[0] = None;
        }
        if !for_egress {
            rules[1] = None;
        }
        let selected = self.calico_subject(spec, head);
        self.policy(head, selected, rules, [true, true])
    }

    fn calico_subject(&self, spec: &CalicoPolicySpec, head: &Head) -> Vec<ClassId> {
        // Policies before translation, without connections or by account are about other ends, or not judged.
        let is_unknown = spec.do_not_track == Some(true)
            || spec.pre_dnat == Some(true)
            || is_said(spec.service_account_selector.as_deref());
        let (Some(pods), Some(namespaces), false) = (
            selector(spec.selector.as_deref()),
            selector(spec.namespace_selector.as_deref()),
            is_unknown,
        ) else {
            return Vec::new();
        };
        let own = head.namespace.as_deref();
        self.classes(|pod| {
            own.is_none_or(|own| pod.namespace == own)
                && self.namespace_matches(&namespaces, &pod.namespace)
                && self.pod_matches(&pods, pod)
        })
    }

    fn calico_rule(
        &mut self,
        rule: &CalicoRule,
        (near, far): (Option<&CalicoEntity>, Option<&CalicoEntity>),
        field: String,
        head: &Head,
    ) -> Rule {
        let action = match rule.action {
            CalicoAction::Allow | CalicoAction::Log => Action::Allow,
            CalicoAction::Deny => Action::Deny,
            CalicoAction::Pass => Action::Pass,
        };
        let family = match rule.ip_version {
            Some(4) => Some(AddressSet::all_v4()),
            Some(6) => Some(AddressSet::all_v6()),
            _ => None,
        };
        let is_unknown = near.is_some_and(says_more_than_ports)
            || far.is_some_and(|far| far.services.is_some() || far.service_accounts.is_some())
            || rule.source.as_ref().is_some_and(has_ports)
            || rule.destination.as_ref().is_some_and(negates_names);
        let peers = match (is_unknown, far, &family) {
            (true, ..) => Peers::default(),
            (false, None, None) => Peers::everyone(),
            (false, far, family) => {
                let nobody = CalicoEntity::default();
                self.calico_peers(far.unwrap_or(&nobody), family.as_ref(), head)
            }
        };
        let list = calico_ports(rule);
        let ports = self.ports(list);
        self.rule(ports, action, peers, Some(field))
    }
}

/// For which directions a policy is.
fn types(spec: &CalicoPolicySpec) -> [bool; 2] {
    match spec.types.as_deref() {
        Some(types) if !types.is_empty() => {
            ["Ingress", "Egress"].map(|name| types.iter().any(|one| one == name))
        }
        _ => {
            let has = |list: &Option<Vec<CalicoRule>>| list.iter().flatten().next().is_some();
            let egress = has(&spec.egress);
            [has(&spec.ingress) || !egress, egress]
        }
    }
}

fn says_more_than_ports(entity: &CalicoEntity) -> bool {
    let has = |list: &Option<Vec<String>>| list.iter().flatten().next().is_some();
    has(&entity.nets)
        || has(&entity.not_nets)
        || is_said(entity.selector.as_deref())
        || is_said(entity.not_selector.as_deref())
        || is_said(entity.namespace_selector.as_deref())
        || entity.services.is_some()
        || entity.service_accounts.is_some()
}

fn has_ports(entity: &CalicoEntity) -> bool {
    entity
        .ports
        .iter()
        .chain(&entity.not_ports)
        .flatten()
        .next()
        .is_some()
}

/// Returns true if ports are left out by their name.
fn negates_names(entity: &CalicoEntity) -> bool {
    let mut list = PortList::default();
    let negated = entity.not_ports.iter().flatten();
    negated.for_each(|port| add_port(Protocol::Tcp, port, &mut list));
    list.is_named()
}

/// The protocols whose connections are judged, of a name or a number (RFC 5237); empty for others.
fn protocols(value: &IntOrString) -> Vec<Protocol> {
    let number = match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(name) => match name.to_ascii_uppercase().as_str() {
            "TCP" => 6,
            "UDP" => 17,
            "SCTP" => 132,
            text => text.parse().unwrap_or(-1),
        },
    };
    let all = [
        (6, Protocol::Tcp),
        (17, Protocol::Udp),
        (132, Protocol::Sctp),
    ];
    let found = all.into_iter().filter(|(one, _)| *one == number);
    found.map(|(_, protocol)| protocol).collect()
}

fn calico_ports(rule: &CalicoRule) -> PortList {
    let mut chosen: Vec<Protocol> = match &rule.protocol {
        Some(protocol) => protocols(protocol),
        None => PROTOCOLS.to_vec(),
    };
    if let Some(not) = &rule.not_protocol {
        let not = protocols(not);
        chosen.retain(|one| !not.contains(one));
    }
    let server = rule.destination.as_ref();
    let mut list = PortList::default();
    for protocol in &chosen {
        match server.and_then(|server| server.ports.as_deref()) {
            Some(ports) if !ports.is_empty() => {
                ports
                    .iter()
                    .for_each(|port| add_port(*protocol, port, &mut list));
            }
            _ => list.every(*protocol),
        }
    }
    let not_ports = server.and_then(|server| server.not_ports.as_deref());
    let mut left_out = PortList::default();
    for port in not_ports.into_iter().flatten() {
        chosen
            .iter()
            .for_each(|protocol| add_port(*protocol, port, &mut left_out));
    }
    list.fixed = list.fixed.difference(&left_out.fixed);
    list
}

fn add_port(protocol: Protocol, port: &IntOrString, list: &mut PortList) {
    match port {
        IntOrString::Int(number) => list.range(protocol, *number, *number),
        IntOrString::String(text) => {
            let ends = text.split_once(':').unwrap_or((text, text));
            match (ends.0.parse(), ends.1.parse()) {
                (Ok(first), Ok(last)) => list.range(protocol, first, last),
                _ => list.name(protocol, text),
            }
        }
    }
}
