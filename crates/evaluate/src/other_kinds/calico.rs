//! Calico's policies.
//!
//! Calico matches addresses: a block matches pods with an address in it, and a negated field matches whoever is not
//! meant, pods or not. Source: `api/pkg/apis/projectcalico/v3/policy_common.go` and `globalnetworkpolicy.go` of Calico.

use super::super::pod_classes::PodKeys;
use super::super::rule_terms::Action;
use super::super::rules::{Policy, Rule};
use super::ports::{PROTOCOLS, PortList};
use super::{Head, Peers, Resolver, block};
use crate::ClassId;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use nanoseg_inventory::Pod;
use nanoseg_net::{AddressSet, Protocol};
use nanoseg_policy_kinds::calico::{
    CalicoAction, CalicoEntity, CalicoNetworkSet, CalicoPolicy, CalicoPolicySpec, CalicoRule,
};
use nanoseg_policy_kinds::calico_selector::CalicoSelector;

/// Labels that Calico gives to pods.
const NAMESPACE: &str = "projectcalico.org/namespace";
const ORCHESTRATOR: &str = "projectcalico.org/orchestrator";
/// The label that Calico gives to namespaces.
const NAME: &str = "projectcalico.org/name";
/// The prefix of labels that pods have from their namespace.
const OF_NAMESPACE: &str = "pcns.";

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

/// A selector of a field; `None` if it cannot be read. An absent or empty one means everything.
fn selector(text: Option<&str>) -> Option<CalicoSelector> {
    CalicoSelector::parse(text.unwrap_or_default()).ok()
}

fn is_said(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.trim().is_empty())
}

impl<'a> Resolver<'a> {
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

    fn pod_matches(&self, selector: &CalicoSelector, pod: &Pod) -> bool {
        selector.matches(&|key| match key {
            NAMESPACE => Some(pod.namespace.as_str()),
            ORCHESTRATOR => Some("k8s"),
            key => match key.strip_prefix(OF_NAMESPACE) {
                Some(key) => self.namespace_label(&pod.namespace, key),
                None => pod.labels.get(key).map(String::as_str),
            },
        })
    }

    fn namespace_label(&self, namespace: &str, key: &str) -> Option<&str> {
        let (name, namespace) = self.inventory.namespaces.get_key_value(namespace)?;
        match key {
            NAME | "kubernetes.io/metadata.name" => Some(name.as_str()),
            key => namespace.labels.get(key).map(String::as_str),
        }
    }

    fn namespace_matches(&self, selector: &CalicoSelector, namespace: &str) -> bool {
        selector.matches(&|key| self.namespace_label(namespace, key))
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
            || rule.source.as_ref().is_some_and(has_ports);
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

    fn calico_peers(&self, far: &CalicoEntity, family: Option<&AddressSet>, head: &Head) -> Peers {
        let is_plain = far.nets.is_none()
            && far.not_nets.is_none()
            && !is_said(far.selector.as_deref())
            && !is_said(far.not_selector.as_deref())
            && !is_said(far.namespace_selector.as_deref());
        if is_plain && family.is_none() {
            return Peers::everyone();
        }
        let Some(chosen) = Chosen::of(far, head) else {
            return Peers::default();
        };
        let everywhere = self.pod_classes.everywhere();
        let union = |list: &Option<Vec<String>>| {
            let blocks = list.iter().flatten().filter_map(|text| block(text));
            AddressSet::union_all(&blocks.collect::<Vec<_>>())
        };
        let mut blocks = match &far.nets {
            Some(nets) if !nets.is_empty() => union(&far.nets),
            _ => everywhere,
        };
        blocks = blocks.difference(&union(&far.not_nets));
        if let Some(family) = family {
            blocks = blocks.intersection(family);
        }
        let is_any = far.nets.is_none() && far.not_nets.is_none() && family.is_none();
        let pods = self.classes(|pod| {
            let is_in = is_any || pod.addresses.iter().any(|one| blocks.contains(*one));
            is_in && chosen.has_pod(self, pod)
        });
        Peers {
            everyone: false,
            pods,
            addresses: Some(blocks.intersection(&self.set_addresses(&chosen, far))),
            nodes: Default::default(),
        }
    }

    /// The addresses that the selectors of an entity match: those of sets of addresses, or all where no selector says
    /// whom it means.
    fn set_addresses(&self, chosen: &Chosen, far: &CalicoEntity) -> AddressSet {
        let mut addresses = self.pod_classes.everywhere();
        if is_said(far.selector.as_deref()) || is_said(far.namespace_selector.as_deref()) {
            addresses = self.of_sets(|namespace, set| chosen.has_set(self, namespace, set));
        }
        if let Some(not) = &chosen.not {
            let left_out = self.of_sets(|namespace, set| {
                chosen.in_scope(self, namespace)
                    && not.matches(&|key| set_label(set, namespace, key))
            });
            addresses = addresses.difference(&left_out);
        }
        addresses
    }

    fn of_sets(&self, is_it: impl Fn(Option<&str>, &CalicoNetworkSet) -> bool) -> AddressSet {
        let sets = self
            .network_sets
            .iter()
            .filter(|(namespace, set)| is_it(*namespace, set));
        let nets = sets.flat_map(|(_, set)| set.spec.nets.iter().flatten());
        let blocks: Vec<AddressSet> = nets.filter_map(|text| block(text)).collect();
        AddressSet::union_all(&blocks)
    }
}

fn set_label<'s>(
    set: &'s CalicoNetworkSet,
    namespace: Option<&'s str>,
    key: &str,
) -> Option<&'s str> {
    if key == NAMESPACE {
        return namespace;
    }
    let labels = set.metadata.labels.as_ref()?;
    labels.get(key).map(String::as_str)
}

/// What the selectors of an entity choose.
struct Chosen {
    pods: CalicoSelector,
    not: Option<CalicoSelector>,
    namespaces: Namespaces,
}

/// The namespaces of whom an entity means.
enum Namespaces {
    /// Every namespace, and what has none.
    Any,
    /// That of the policy.
    Own(String),
    /// What has no namespace: `global()`.
    NoNamespace,
    Matching(CalicoSelector),
}

impl Chosen {
    /// `None` if a selector cannot be read.
    fn of(far: &CalicoEntity, head: &Head) -> Option<Chosen> {
        let text = far.namespace_selector.as_deref();
        let namespaces = match (selector(text)?, &head.namespace) {
            (CalicoSelector::Global, _) => Namespaces::NoNamespace,
            (matching, _) if is_said(text) => Namespaces::Matching(matching),
            // Without a selector the entity means whoever has the address, of any namespace.
            (_, Some(own))
                if is_said(far.selector.as_deref()) || is_said(far.not_selector.as_deref()) =>
            {
                Namespaces::Own(own.clone())
            }
            _ => Namespaces::Any,
        };
        let not = far
            .not_selector
            .as_deref()
            .filter(|text| is_said(Some(text)));
        let not = match not {
            Some(text) => Some(selector(Some(text))?),
            None => None,
        };
        Some(Chosen {
            pods: selector(far.selector.as_deref())?,
            not,
            namespaces,
        })
    }

    fn in_scope(&self, resolver: &Resolver<'_>, namespace: Option<&str>) -> bool {
        match (&self.namespaces, namespace) {
            (Namespaces::Any, _) => true,
            (Namespaces::Own(own), Some(namespace)) => own == namespace,
            (Namespaces::Matching(selector), Some(namespace)) => {
                resolver.namespace_matches(selector, namespace)
            }
            (Namespaces::NoNamespace, namespace) => namespace.is_none(),
            // A selector of a policy with a namespace means sets of that namespace only.
            (Namespaces::Own(_) | Namespaces::Matching(_), None) => false,
        }
    }

    fn has_pod(&self, resolver: &Resolver<'_>, pod: &Pod) -> bool {
        let in_scope = self.in_scope(resolver, Some(&pod.namespace));
        match &self.not {
            // "Packets that are not from endpoints that …": the scope belongs to what is negated.
            Some(not) => {
                let is_chosen = matches!(self.pods, CalicoSelector::All)
                    || in_scope && resolver.pod_matches(&self.pods, pod);
                is_chosen && !(in_scope && resolver.pod_matches(not, pod))
            }
            None => in_scope && resolver.pod_matches(&self.pods, pod),
        }
    }

    fn has_set(
        &self,
        resolver: &Resolver<'_>,
        namespace: Option<&str>,
        set: &CalicoNetworkSet,
    ) -> bool {
        self.in_scope(resolver, namespace)
            && self.pods.matches(&|key| set_label(set, namespace, key))
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
