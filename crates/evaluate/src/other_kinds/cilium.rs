//! Cilium's policies.
//!
//! Source: Cilium 1.20, `pkg/policy/utils/parserules.go` (which rules select what), `pkg/policy/rule.go`
//! (`mergeL4Filter`), `pkg/k8s/apis/cilium.io/utils/utils.go` (namespaces of selectors), `pkg/policy/k8s/service.go`
//! (`toServices`), `pkg/labelsfilter/filter.go` (labels that are not part of an identity).

use super::super::pod_classes::PodKeys;
use super::super::rule_terms::{Action, NearNodes};
use super::super::rules::{Policy, Rule};
use super::names::fqdn_matches;
use super::ports::{PROTOCOLS, PortList};
use super::resolver::{Head, Peers, Resolver, block};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use nanoseg_inventory::Pod;
use nanoseg_net::{AddressSet, Protocol};
use nanoseg_policy_kinds::OtherKindPolicy;
use nanoseg_policy_kinds::cilium::{
    CiliumCidr, CiliumEgress, CiliumFqdn, CiliumIcmp, CiliumIngress, CiliumPolicy, CiliumPorts,
    CiliumRule, CiliumService, NAMESPACE_LABEL, NAMESPACE_LABELS_PREFIX,
};

/// Adds what a policy reads of pods.
pub(super) fn note_keys<'a>(policy: &'a CiliumPolicy, keys: &mut PodKeys<'a>) {
    for (_, rule) in policy.rules() {
        let ingress = rule.ingress.iter().chain(&rule.ingress_deny).flatten();
        let egress = rule.egress.iter().chain(&rule.egress_deny).flatten();
        let from = ingress
            .clone()
            .flat_map(|rule| rule.from_endpoints.iter().flatten());
        let to = egress
            .clone()
            .flat_map(|rule| rule.to_endpoints.iter().flatten());
        for selector in rule.endpoint_selector.iter().chain(from).chain(to) {
            let all = super::super::selector::keys(selector);
            keys.labels.extend(all.map(|key| label(key).1));
        }
        let from = ingress.map(|rule| (&rule.from_entities, &rule.from_endpoints));
        let to = egress.map(|rule| (&rule.to_entities, &rule.to_endpoints));
        keys.nodes |= from.chain(to).any(|(entities, endpoints)| {
            let has = |entity: &str| names_entity(entities, endpoints, entity);
            has("host") != has("remote-node")
        });
    }
}

/// Returns true if a rule names an entity, by its name or its reserved label.
fn names_entity(
    entities: &Option<Vec<String>>,
    endpoints: &Option<Vec<LabelSelector>>,
    entity: &str,
) -> bool {
    let mut labels = endpoints
        .iter()
        .flatten()
        .flat_map(super::super::selector::keys);
    entities.iter().flatten().any(|one| one == entity)
        || labels.any(|key| label(key) == ("reserved", entity))
}

/// Adds the blocks of a policy: where the cluster's Cilium is told that blocks match pods, they are told apart by them.
pub(super) fn note_blocks(policy: &OtherKindPolicy, keys: &mut PodKeys<'_>) {
    let (OtherKindPolicy::CiliumNetworkPolicy(policy)
    | OtherKindPolicy::CiliumClusterwideNetworkPolicy(policy)) = policy
    else {
        return;
    };
    for (_, rule) in policy.rules() {
        let ingress = rule.ingress.iter().chain(&rule.ingress_deny).flatten();
        let egress = rule.egress.iter().chain(&rule.egress_deny).flatten();
        let ends = ingress.map(Ends::of_ingress);
        let ends = ends.chain(egress.map(Ends::of_egress));
        keys.blocks.extend(ends.flat_map(|ends| ends.blocks()));
    }
}

/// The source and the name of a label of a selector.
fn label(key: &str) -> (&str, &str) {
    key.split_once(':').unwrap_or(("any", key))
}

/// The other ends that a rule names, of both directions.
#[derive(Default)]
struct Ends<'a> {
    endpoints: Option<&'a [LabelSelector]>,
    cidrs: Option<&'a [String]>,
    cidr_set: Option<&'a [CiliumCidr]>,
    entities: Option<&'a [String]>,
    services: &'a [CiliumService],
    names: &'a [CiliumFqdn],
    ports: &'a [CiliumPorts],
    icmps: &'a [CiliumIcmp],
    /// Some field of it is not judged.
    is_unknown: bool,
}

impl<'a> Ends<'a> {
    fn of_ingress(rule: &'a CiliumIngress) -> Ends<'a> {
        Ends {
            endpoints: rule.from_endpoints.as_deref(),
            cidrs: rule.from_cidr.as_deref(),
            cidr_set: rule.from_cidr_set.as_deref(),
            entities: rule.from_entities.as_deref(),
            ports: rule.to_ports.as_deref().unwrap_or_default(),
            icmps: rule.icmps.as_deref().unwrap_or_default(),
            is_unknown: rule.from_groups.is_some()
                || rule.from_nodes.is_some()
                || rule.from_requires.is_some(),
            ..Ends::default()
        }
    }

    fn of_egress(rule: &'a CiliumEgress) -> Ends<'a> {
        Ends {
            endpoints: rule.to_endpoints.as_deref(),
            cidrs: rule.to_cidr.as_deref(),
            cidr_set: rule.to_cidr_set.as_deref(),
            entities: rule.to_entities.as_deref(),
            services: rule.to_services.as_deref().unwrap_or_default(),
            names: rule.to_fqdns.as_deref().unwrap_or_default(),
            ports: rule.to_ports.as_deref().unwrap_or_default(),
            icmps: rule.icmps.as_deref().unwrap_or_default(),
            is_unknown: rule.to_groups.is_some()
                || rule.to_nodes.is_some()
                || rule.to_requires.is_some(),
        }
    }

    /// The blocks of addresses, without their exceptions. One that cannot be read matches nothing.
    fn blocks(&self) -> Vec<AddressSet> {
        let single = self.cidrs.into_iter().flatten();
        let single = single.map(|cidr| block(cidr).unwrap_or_default());
        let of_sets = self.cidr_set.into_iter().flatten().map(|one| {
            let addresses = one.cidr.as_deref().and_then(block).unwrap_or_default();
            let holes = one.except.iter().flatten().filter_map(|hole| block(hole));
            let holes: Vec<AddressSet> = holes.collect();
            addresses.difference(&AddressSet::union_all(&holes))
        });
        single.chain(of_sets).collect()
    }

    /// Returns true if a list is there and empty: the rule matches nothing then.
    fn matches_nothing(&self) -> bool {
        let lengths = [
            self.endpoints.map(<[_]>::len),
            self.cidrs.map(<[_]>::len),
            self.cidr_set.map(<[_]>::len),
            self.entities.map(<[_]>::len),
        ];
        lengths.contains(&Some(0))
    }

    /// Returns true if the rule says nothing of the other end.
    fn is_anywhere(&self) -> bool {
        let is_said = self.endpoints.is_some()
            || self.cidrs.is_some()
            || self.cidr_set.is_some()
            || self.entities.is_some();
        !is_said && self.names.is_empty()
    }
}

impl Resolver<'_> {
    pub(super) fn cilium(&mut self, policy: &CiliumPolicy, head: &Head) -> Vec<Policy> {
        let rules = policy.rules();
        let rules = rules.filter(|(_, rule)| rule.endpoint_selector.is_some());
        let rules: Vec<(String, &CiliumRule)> = rules.collect();
        let each = rules.into_iter();
        each.map(|(path, rule)| self.cilium_rule(&path, rule, head))
            .collect()
    }

    fn cilium_rule(&mut self, path: &str, rule: &CiliumRule, head: &Head) -> Policy {
        let namespace = head.namespace.as_deref();
        let mut selector = rule.endpoint_selector.clone().unwrap_or_default();
        if namespace.is_some()
            && let Some(labels) = &mut selector.match_labels
        {
            // Cilium replaces it by the namespace of the policy.
            labels.remove(&format!("k8s:{NAMESPACE_LABEL}"));
        }
        let selected = self.classes(|pod| {
            namespace.is_none_or(|name| pod.namespace == name) && self.selects(&selector, pod)
        });
        let mut ingress = Vec::new();
        for (list, name, action) in [
            (&rule.ingress, "ingress", Action::Allow),
            (&rule.ingress_deny, "ingressDeny", Action::Deny),
        ] {
            for (index, one) in list.iter().flatten().enumerate() {
                let field = format!("{path}.{name}[{index}]");
                ingress.push(self.cilium_ends(&Ends::of_ingress(one), action, field, head));
            }
        }
        let mut egress = Vec::new();
        for (list, name, action) in [
            (&rule.egress, "egress", Action::Allow),
            (&rule.egress_deny, "egressDeny", Action::Deny),
        ] {
            for (index, one) in list.iter().flatten().enumerate() {
                let field = format!("{path}.{name}[{index}]");
                egress.push(self.cilium_ends(&Ends::of_egress(one), action, field, head));
            }
        }
        let closes = rule.enable_default_deny.as_ref();
        let closes = [
            closes.and_then(|one| one.ingress).unwrap_or(true),
            closes.and_then(|one| one.egress).unwrap_or(true),
        ];
        let rules = [ingress, egress].map(|rules| (!rules.is_empty()).then_some(rules));
        self.policy(head, selected, rules, closes)
    }

    fn cilium_ends(&mut self, ends: &Ends<'_>, action: Action, field: String, head: &Head) -> Rule {
        let list = cilium_ports(ends, self.pod_classes.sctp);
        let has_ports = !ends.ports.is_empty() || !ends.icmps.is_empty();
        let mut peers = Peers::default();
        if !ends.matches_nothing() && !ends.is_unknown {
            self.add_ends(ends, head, &mut peers);
            let found = peers.pods.is_empty() && peers.addresses.is_none();
            let found = !(found && peers.nodes == NearNodes::default());
            // Ports alone are ports of anybody. A rule that says nothing at all matches nothing.
            if ends.is_anywhere() && has_ports && !found {
                peers = Peers::everyone();
            }
        }
        let ports = self.ports(list);
        self.rule(ports, action, peers, Some(field))
    }

    fn add_ends(&mut self, ends: &Ends<'_>, head: &Head, peers: &mut Peers) {
        for selector in ends.endpoints.into_iter().flatten() {
            self.add_endpoints(selector, head, peers);
        }
        for entity in ends.entities.into_iter().flatten() {
            self.add_entity(entity, peers);
        }
        for block in ends.blocks() {
            self.add_cilium_block(&block, peers);
        }
        for name in ends.names {
            let found = self.named_addresses(|seen| fqdn_matches(name, seen));
            peers.add_addresses(&found.difference(&self.node_addresses()));
        }
        for service in ends.services {
            self.add_service(service, peers);
        }
    }

    /// A selector without a namespace means that of the policy.
    fn add_endpoints(&mut self, selector: &LabelSelector, head: &Head, peers: &mut Peers) {
        let keys = super::super::selector::keys(selector);
        let labels: Vec<(&str, &str)> = keys.map(label).collect();
        if let Some((_, entity)) = labels.iter().find(|(source, _)| *source == "reserved") {
            if labels.len() == 1 {
                self.add_entity(entity, peers);
            }
            return;
        }
        let says =
            |name: &str| name == NAMESPACE_LABEL || name.starts_with(NAMESPACE_LABELS_PREFIX);
        let namespace = head.namespace.as_deref();
        let namespace = namespace.filter(|_| !labels.iter().any(|(_, name)| says(name)));
        let found = self.classes(|pod| {
            namespace.is_none_or(|name| pod.namespace == name) && self.selects(selector, pod)
        });
        peers.add_pods(found);
        // An empty list of addresses: the rule said whom it means.
        peers.addresses.get_or_insert_default();
    }

    fn add_entity(&mut self, entity: &str, peers: &mut Peers) {
        let everywhere = self.pod_classes.everywhere();
        let nodes = self.node_addresses();
        let servers = self.inventory.api_server.iter().map(|one| one.ip());
        let servers: AddressSet = servers.collect();
        let proxies = self
            .inventory
            .nodes
            .iter()
            .flat_map(|node| node.ingress.iter().copied());
        let proxies: AddressSet = proxies.collect();
        let pods = self
            .inventory
            .pod_ranges
            .iter()
            .copied()
            .map(AddressSet::from_cidr);
        let pods: Vec<AddressSet> = pods.collect();
        let inside = AddressSet::union_all([&nodes, &proxies].into_iter().chain(&pods));
        let world = everywhere.difference(&inside);
        match entity {
            "all" => peers.everyone = true,
            "cluster" => {
                peers.add_pods(self.pod_classes.selectable_classes().collect());
                peers.add_addresses(&AddressSet::union_all([&nodes, &proxies, &servers]));
            }
            "host" => peers.nodes.own = true,
            "remote-node" => peers.nodes.others = true,
            "kube-apiserver" => peers.add_addresses(&servers),
            "ingress" => peers.add_addresses(&proxies),
            "world" => peers.add_addresses(&world),
            "world-ipv4" => peers.add_addresses(&world.intersection(&AddressSet::all_v4())),
            "world-ipv6" => peers.add_addresses(&world.intersection(&AddressSet::all_v6())),
            // What is not judged, and `none`, matches nothing.
            _ => peers.add_addresses(&AddressSet::default()),
        }
    }

    /// The pods behind a Service, or its addresses if it selects none.
    fn add_service(&mut self, wanted: &CiliumService, peers: &mut Peers) {
        let Some(name) = &wanted.k8s_service else {
            return;
        };
        let namespace = name.namespace.as_deref().filter(|name| !name.is_empty());
        let is_it = |service: &&nanoseg_inventory::Service| {
            Some(service.name.as_str()) == name.service_name.as_deref()
                && namespace.is_none_or(|namespace| service.namespace == namespace)
        };
        for service in self.inventory.services.iter().filter(is_it) {
            if service.selector.is_empty() {
                let endpoints = service.ports.iter().flat_map(|port| &port.endpoints);
                let addresses = endpoints.map(|endpoint| endpoint.address).collect();
                peers.add_addresses(&addresses);
            } else {
                let found = self.classes(|pod| {
                    pod.namespace == service.namespace
                        && service
                            .selector
                            .iter()
                            .all(|(key, value)| pod.labels.get(key) == Some(value))
                });
                peers.add_pods(found);
                peers.addresses.get_or_insert_default();
            }
        }
    }

    /// Returns true if a selector matches a pod by its labels and those of its namespace.
    fn selects(&self, selector: &LabelSelector, pod: &Pod) -> bool {
        let value = |key: &str| self.label_of(key, pod);
        let labels = selector.match_labels.iter().flatten();
        let mut labels = labels.map(|(key, wanted)| value(key) == Some(wanted.as_str()));
        let expressions = selector.match_expressions.iter().flatten();
        let mut expressions = expressions.map(|one| requires(one, value(&one.key)));
        labels.all(|matches| matches) && expressions.all(|matches| matches)
    }

    fn label_of<'p>(&'p self, key: &str, pod: &'p Pod) -> Option<&'p str> {
        let (source, name) = label(key);
        if source != "any" && source != "k8s" {
            return None;
        }
        if name == NAMESPACE_LABEL {
            return Some(&pod.namespace);
        }
        if let Some(name) = name.strip_prefix(NAMESPACE_LABELS_PREFIX) {
            let namespace = self.inventory.namespaces.get(&pod.namespace)?;
            return namespace.labels.get(name).map(String::as_str);
        }
        let value = pod.labels.get(name).map(String::as_str);
        value.filter(|_| is_of_identity(name))
    }
}

fn requires(one: &LabelSelectorRequirement, value: Option<&str>) -> bool {
    let values = one.values.as_deref().unwrap_or_default();
    let is_one = value.is_some_and(|value| values.iter().any(|one| one == value));
    match one.operator.as_str() {
        "In" => is_one,
        "NotIn" => !is_one,
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

/// Labels that Cilium leaves out of identities by default, by how they begin.
const IGNORED: [&str; 13] = [
    "io.kubernetes",
    "kubernetes.io",
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/controller-uid",
    "k8s.io",
    "pod-template-generation",
    "pod-template-hash",
    "controller-revision-hash",
    "controller-uid",
    "etcd_node",
    "topology.kubernetes.io",
];

fn is_of_identity(key: &str) -> bool {
    let is_ignored = IGNORED.iter().any(|prefix| key.starts_with(prefix))
        || key.starts_with("annotation")
        || key.contains("beta.kubernetes.io");
    !is_ignored || key.starts_with("app.kubernetes.io")
}

/// `sctp`: whether the plugin enforces rules for SCTP.
fn cilium_ports(ends: &Ends<'_>, sctp: bool) -> PortList {
    if ends.ports.is_empty() && ends.icmps.is_empty() {
        return PortList::all();
    }
    let mut list = PortList::default();
    for port in ends
        .ports
        .iter()
        .flat_map(|ports| ports.ports.iter().flatten())
    {
        let protocols: &[Protocol] = match port.protocol.as_deref().map(str::to_ascii_uppercase) {
            None => &PROTOCOLS,
            Some(name) => match name.as_str() {
                "" | "ANY" => &PROTOCOLS,
                "TCP" => &PROTOCOLS[..1],
                "UDP" => &PROTOCOLS[1..2],
                "SCTP" => &PROTOCOLS[2..],
                _ => &[],
            },
        };
        let text = port.port.as_deref().unwrap_or("0");
        for protocol in protocols {
            match text.parse::<u16>() {
                _ if *protocol == Protocol::Sctp && !sctp => {}
                Ok(0) => list.every(*protocol),
                Ok(first) => {
                    let last = port.end_port.filter(|last| *last > i32::from(first));
                    list.range(*protocol, first.into(), last.unwrap_or(first.into()));
                }
                Err(_) => list.name(*protocol, &text.to_ascii_lowercase()),
            }
        }
    }
    list
}
