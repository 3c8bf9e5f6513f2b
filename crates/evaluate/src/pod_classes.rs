//! The pods of an evaluation, grouped into classes that no policy can distinguish, and the index that finds
//! the classes that a selector matches without testing all of them.

use super::rule_terms::NearNodes;
use super::selector::{LabelRequirement, Labels, Selector, Symbol, Symbols};
use nanoseg_inventory::{ContainerPort, Inventory, Pod, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Protocol};
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How pods with `hostNetwork: true` are treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostNetwork {
    /// As network plugins do: no policy selects them, no pod selector matches them, and as peers they have
    /// their node's addresses.
    #[default]
    Exact,
    /// As ordinary pods, as several tools that read manifests do. Policies are then judged by the specification alone,
    /// as by these tools.
    LikePods,
}

/// The index of a [`PodClass`] in an evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub(super) u32);

impl ClassId {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Pods of one workload that none of the evaluated policies can distinguish.
#[derive(Debug, Clone)]
pub struct PodClass {
    pub workload: WorkloadId,
    /// Is true if the pods use their node's network and [`HostNetwork::Exact`] applies.
    pub host_network: bool,
    /// Indices into [`Inventory::pods`], ascending. Never empty.
    pub pods: Vec<usize>,
    /// The index of its workload among all workloads, in the order of [`WorkloadId`].
    pub(super) workload_number: u32,
    pub(super) labels: Labels,
    /// The index of its named ports in [`PodClasses::port_lists`].
    pub(super) ports: u32,
    /// The ipBlocks that match its pods, as indices into [`PodClasses::pod_blocks`].
    pub(super) blocks: Vec<u32>,
    /// The node of its pods, if some policy tells the node of a pod from others.
    pub(super) node: Option<String>,
}

/// By what two classes differ.
#[derive(PartialEq, Eq, Hash)]
struct ClassKey<'a> {
    workload: &'a WorkloadId,
    namespace: NamespaceId,
    labels: Labels,
    ports: u32,
    host: bool,
    blocks: Vec<u32>,
    spot: Spot<'a>,
}

/// What the network plugin honours.
#[derive(Debug, Default)]
pub(super) struct Honoured {
    /// Rules for SCTP.
    pub sctp: bool,
    /// Ranges of ports; without them a range is its first port.
    pub end_port: bool,
    /// Rules of a direction that `policyTypes` does not name.
    pub idle_rules: bool,
    pub blocks: Blocks,
}

/// What the network plugin lets ipBlocks match of the cluster.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// What no block matches.
    pub unmatched: AddressSet,
    /// What no block of a whole family matches.
    pub unmatched_by_all: AddressSet,
    /// The blocks that match pods.
    pub of_pods: Vec<AddressSet>,
}

/// What some policy reads of pods.
#[derive(Debug, Default)]
pub(super) struct PodKeys<'a> {
    /// Keys of labels.
    pub labels: BTreeSet<&'a str>,
    /// Blocks of addresses that match pods by their address.
    pub blocks: Vec<AddressSet>,
    /// Whether the node of a pod is told from others.
    pub nodes: bool,
}

/// The index of a namespace among all namespaces, in the order of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamespaceId(u32);

/// The facts about one pod that evaluations of single pods need.
#[derive(Debug)]
pub(super) struct PodFacts {
    pub class: ClassId,
    pub node: Option<String>,
    pub addresses: Vec<IpAddr>,
}

/// All classes, namespaces and nodes, with an index by label.
#[derive(Debug, Default)]
pub struct PodClasses {
    pub(super) classes: Vec<PodClass>,
    pub(super) pods: Vec<PodFacts>,
    pub(super) workloads: BTreeMap<WorkloadId, Vec<ClassId>>,
    pub(super) node_addresses: BTreeMap<String, BTreeSet<IpAddr>>,
    /// Lists of named ports, each list once; sorted.
    pub(super) port_lists: Vec<Vec<ContainerPort>>,
    /// The families of which some pod or node has an address. IPv4 if nothing has an address.
    pub(super) families: Families,
    namespaces: BTreeMap<String, NamespaceId>,
    namespace_labels: Vec<Labels>,
    /// The classes that pod selectors can match, by namespace, ascending.
    members: Vec<Vec<ClassId>>,
    namespaces_with: FxHashMap<(Symbol, Symbol), Vec<NamespaceId>>,
    members_with: FxHashMap<(NamespaceId, Symbol, Symbol), Vec<ClassId>>,
    /// The number of classes that pod selectors can match.
    pub(super) selectable: usize,
    /// What no ipBlock matches: the addresses of nodes, with some network plugins.
    pub(super) unmatched: AddressSet,
    /// What no ipBlock of a whole family matches.
    pub(super) unmatched_by_all: AddressSet,
    /// The ipBlocks that match some pod, each once, if the network plugin lets them.
    pub(super) pod_blocks: Vec<AddressSet>,
    /// The network plugin enforces rules for SCTP.
    pub(super) sctp: bool,
    /// The network plugin enforces ranges of ports; without it a range is its first port.
    pub(super) end_port: bool,
    /// It lets rules of a direction that `policyTypes` does not name count.
    pub(super) idle_rules: bool,
}

/// The address families in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Families {
    pub v4: bool,
    pub v6: bool,
}

impl PodClasses {
    /// Groups the pods of `inventory`, current, past and expected, into classes. Two pods of a workload are
    /// in different classes only if they differ in a label of `keys` (the keys that some policy reads), in
    /// their named ports, in hostNetwork, or in which of the honoured blocks match them.
    pub(super) fn build(
        inventory: &Inventory,
        keys: &PodKeys<'_>,
        host_network: HostNetwork,
        symbols: &mut Symbols,
        honoured: Honoured,
    ) -> PodClasses {
        let mut pod_classes = PodClasses {
            unmatched: honoured.blocks.unmatched,
            pod_blocks: honoured.blocks.of_pods,
            unmatched_by_all: honoured.blocks.unmatched_by_all,
            sctp: honoured.sctp,
            end_port: honoured.end_port,
            idle_rules: honoured.idle_rules,
            ..PodClasses::default()
        };
        pod_classes.add_namespaces(inventory, symbols);
        pod_classes.add_classes(inventory, keys, host_network, symbols);
        for (number, classes) in pod_classes.workloads.values().enumerate() {
            for class in classes {
                pod_classes.classes[class.index()].workload_number = number as u32;
            }
        }
        for node in &inventory.nodes {
            pod_classes
                .node_addresses
                .insert(node.name.clone(), node.addresses.clone());
        }
        let pods = inventory.pods.iter().flat_map(|pod| &pod.addresses);
        for address in pods.chain(inventory.nodes.iter().flat_map(|node| &node.addresses)) {
            pod_classes.families.v4 |= address.is_ipv4();
            pod_classes.families.v6 |= address.is_ipv6();
        }
        pod_classes.families.v4 |= !pod_classes.families.v6;
        pod_classes
    }

    fn add_namespaces(&mut self, inventory: &Inventory, symbols: &mut Symbols) {
        let mut all: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
        for pod in &inventory.pods {
            all.entry(&pod.namespace).or_default();
        }
        for namespace in inventory.namespaces.values() {
            let labels = namespace
                .labels
                .iter()
                .map(|(key, value)| (key.as_str(), value.as_str()));
            all.insert(&namespace.name, labels.collect());
        }
        for (number, (name, mut labels)) in all.into_iter().enumerate() {
            // The API server sets this label on every namespace, and nobody can change it (KEP-2161).
            labels.insert("kubernetes.io/metadata.name", name);
            let id = NamespaceId(number as u32);
            let labels = intern(labels.into_iter(), symbols);
            for label in &labels {
                self.namespaces_with.entry(*label).or_default().push(id);
            }
            self.namespaces.insert(name.to_owned(), id);
            self.namespace_labels.push(labels);
            self.members.push(Vec::new());
        }
    }

    fn add_classes(
        &mut self,
        inventory: &Inventory,
        keys: &PodKeys<'_>,
        host_network: HostNetwork,
        symbols: &mut Symbols,
    ) {
        let mut lists: FxHashMap<Vec<ContainerPort>, u32> = FxHashMap::default();
        let mut known: FxHashMap<ClassKey, ClassId> = FxHashMap::default();
        for (index, pod) in inventory.pods.iter().enumerate() {
            let Some(namespace) = self.namespaces.get(&pod.namespace).copied() else {
                continue;
            };
            let named = named_ports(pod);
            let ports = *lists.entry(named).or_insert_with_key(|named| {
                self.port_lists.push(named.clone());
                (self.port_lists.len() - 1) as u32
            });
            let host = pod.host_network && host_network == HostNetwork::Exact;
            let labels = pod
                .labels
                .iter()
                .filter(|(key, _)| keys.labels.contains(key.as_str()));
            let labels = intern(labels.map(|(k, v)| (k.as_str(), v.as_str())), symbols);
            let key = ClassKey {
                workload: &pod.workload,
                namespace,
                labels,
                ports,
                host,
                blocks: self.blocks_of(pod),
                spot: Spot::of(pod, keys),
            };
            let class = match known.get(&key) {
                Some(class) => *class,
                None => {
                    let class = self.add_class(&key);
                    known.insert(key, class);
                    class
                }
            };
            self.classes[class.index()].pods.push(index);
            self.pods.push(PodFacts {
                class,
                node: pod.node.clone(),
                addresses: pod.addresses.clone(),
            });
        }
    }

    /// The blocks that match every address of a pod. One that matches only some of them allows too little to count.
    fn blocks_of(&self, pod: &Pod) -> Vec<u32> {
        let matches = |block: &AddressSet| {
            !pod.addresses.is_empty() && pod.addresses.iter().all(|one| block.contains(*one))
        };
        let blocks = (0..).zip(&self.pod_blocks);
        blocks
            .filter(|(_, block)| matches(block))
            .map(|(index, _)| index)
            .collect()
    }

    fn add_class(&mut self, key: &ClassKey) -> ClassId {
        let id = ClassId(self.classes.len() as u32);
        if !key.host {
            self.selectable += 1;
            self.members[key.namespace.0 as usize].push(id);
            for (label, value) in &key.labels {
                self.members_with
                    .entry((key.namespace, *label, *value))
                    .or_default()
                    .push(id);
            }
        }
        self.workloads
            .entry(key.workload.clone())
            .or_default()
            .push(id);
        self.classes.push(PodClass {
            workload: key.workload.clone(),
            host_network: key.host,
            pods: Vec::new(),
            workload_number: 0,
            labels: key.labels.clone(),
            ports: key.ports,
            blocks: key.blocks.clone(),
            node: key.spot.node.map(str::to_owned),
        });
        id
    }

    /// Returns the classes whose pods an ipBlock matches, ascending; none with network plugins that match no pods so.
    pub(super) fn classes_in(&self, block: &AddressSet) -> Vec<ClassId> {
        let index = self.pod_blocks.iter().position(|one| one == block);
        let Some(index) = index.map(|index| index as u32) else {
            return Vec::new();
        };
        let matched = |id: &ClassId| self.classes[id.index()].blocks.contains(&index);
        self.selectable_classes().filter(matched).collect()
    }

    pub(super) fn namespace(&self, name: &str) -> Option<NamespaceId> {
        self.namespaces.get(name).copied()
    }

    /// Returns the namespaces that `selector` matches, ascending.
    pub(super) fn namespaces_of(&self, selector: &Selector) -> Vec<NamespaceId> {
        let matches = |id: &NamespaceId| {
            self.namespace_labels
                .get(id.0 as usize)
                .is_some_and(|labels| selector.matches(labels))
        };
        match shortest(selector, |key, value| {
            self.namespaces_with.get(&(key, value))
        }) {
            Some(candidates) => candidates.into_iter().filter(matches).collect(),
            None => self.namespaces.values().copied().filter(matches).collect(),
        }
    }

    /// Adds the classes of one namespace that `selector` matches to `found`, ascending.
    pub(super) fn classes_of(
        &self,
        namespace: NamespaceId,
        selector: &Selector,
        found: &mut Vec<ClassId>,
    ) {
        let Some(members) = self.members.get(namespace.0 as usize) else {
            return;
        };
        if selector.requirements.is_empty() {
            found.extend_from_slice(members);
            return;
        }
        let matches = |id: &ClassId| selector.matches(&self.classes[id.index()].labels);
        let with = |key, value| self.members_with.get(&(namespace, key, value));
        match shortest(selector, with) {
            Some(candidates) => found.extend(candidates.into_iter().filter(matches)),
            None => found.extend(members.iter().copied().filter(matches)),
        }
    }

    /// Returns every class that a pod selector can match, ascending.
    pub(super) fn selectable_classes(&self) -> impl Iterator<Item = ClassId> + '_ {
        let ids = (0..self.classes.len()).map(|index| ClassId(index as u32));
        ids.filter(|id| !self.classes[id.index()].host_network)
    }

    /// Returns the addresses of the nodes that a rule matches, seen from the pods of `class`.
    pub(super) fn near_addresses(&self, class: ClassId, nodes: NearNodes) -> AddressSet {
        if nodes == NearNodes::default() {
            return AddressSet::default();
        }
        let own = self.classes[class.index()].node.as_ref();
        let chosen = self.node_addresses.iter().filter(|(name, _)| {
            if own == Some(*name) {
                nodes.own
            } else {
                nodes.others
            }
        });
        chosen
            .flat_map(|(_, addresses)| addresses.iter().copied())
            .collect()
    }

    /// Returns every address of the families in use.
    pub(super) fn everywhere(&self) -> AddressSet {
        match (self.families.v4, self.families.v6) {
            (true, true) => AddressSet::all(),
            (_, false) => AddressSet::all_v4(),
            (false, true) => AddressSet::all_v6(),
        }
    }

    /// Returns the index of each workload that has pods, in the order of [`WorkloadId`].
    pub(super) fn workload_numbers(&self) -> FxHashMap<&WorkloadId, u32> {
        self.workloads.keys().zip(0..).collect()
    }

    /// Returns the ports that `name` refers to for `protocol` in the pods of `class`.
    pub(super) fn named_port(
        &self,
        class: ClassId,
        protocol: Protocol,
        name: &str,
    ) -> ConnectionSet {
        let list = self
            .port_lists
            .get(self.classes[class.index()].ports as usize);
        let ports = list
            .into_iter()
            .flatten()
            .filter(|port| port.protocol == protocol && port.name.as_deref() == Some(name));
        ConnectionSet::of(protocol, ports.map(|port| port.number).collect())
    }
}

/// Where a pod is, as far as some policy reads it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Spot<'a> {
    /// Which blocks its addresses are in.
    blocks: Vec<bool>,
    node: Option<&'a str>,
}

impl<'a> Spot<'a> {
    fn of(pod: &'a Pod, keys: &PodKeys<'_>) -> Spot<'a> {
        let has = |block: &AddressSet| pod.addresses.iter().any(|one| block.contains(*one));
        Spot {
            blocks: keys.blocks.iter().map(has).collect(),
            node: pod.node.as_deref().filter(|_| keys.nodes),
        }
    }
}

/// Returns the candidates of the requirement that has the fewest of them, or `None` if no requirement lists
/// values.
fn shortest<'a, T: Copy + Ord + 'a>(
    selector: &Selector,
    with: impl Fn(Symbol, Symbol) -> Option<&'a Vec<T>>,
) -> Option<Vec<T>> {
    let lists = selector
        .requirements
        .iter()
        .filter_map(|requirement| match requirement {
            LabelRequirement::In(key, values) => {
                let lists: Vec<_> = values
                    .iter()
                    .filter_map(|value| with(*key, *value))
                    .collect();
                Some(lists)
            }
            _ => None,
        });
    let lists = lists.min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())?;
    let mut candidates: Vec<T> = lists.into_iter().flatten().copied().collect();
    candidates.sort_unstable();
    candidates.dedup();
    Some(candidates)
}

fn intern<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>, symbols: &mut Symbols) -> Labels {
    let mut labels: Labels = labels
        .map(|(key, value)| (symbols.intern(key), symbols.intern(value)))
        .collect();
    labels.sort_unstable();
    labels
}

fn named_ports(pod: &Pod) -> Vec<ContainerPort> {
    let named: BTreeSet<&ContainerPort> = pod
        .ports
        .iter()
        .filter(|port| port.name.is_some())
        .collect();
    named.into_iter().cloned().collect()
}
