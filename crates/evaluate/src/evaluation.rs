//! An evaluation: a set of policies, resolved over the pods of an inventory.

use super::address_map::AddressMap;
use super::cluster_blocks::cluster_blocks;
use super::connection_set_pool::SetId;
use super::other_kinds::{Resolver, network_sets, pod_keys};
use super::pod_classes::{ClassId, Honoured, HostNetwork, PodClass, PodClasses};
use super::policy_ref::{ComparedSide, PolicyRef};
use super::rules::{EvaluateError, Names, Policy, parse_policy};
use super::selector::Symbols;
use super::stages::Tiers;
use super::table::Table;
use super::tables::Tables;
use super::tiers::arrange;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use nanoseg_plugin::{Behaviour, Deviation};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRef {
    /// A pod, by its index in [`Inventory::pods`].
    Pod(usize),
    /// An address. The caller must look up whether a pod owns it.
    Address(IpAddr),
}

/// What a set of policies allows.
#[derive(Debug)]
pub struct Evaluation {
    pub(super) pod_classes: PodClasses,
    pub(super) tiers: Tiers,
    pub(super) policies: Vec<Policy>,
    pub(super) names: Names,
    pub(super) tables: Tables,
}

impl Evaluation {
    /// Resolves `policies` over the pods of `inventory`, current, past and expected ones, as the cluster's network
    /// plugin honours them (rule: plugin-is-part-of-the-model). The policies of other kinds that are in force there
    /// ([`Inventory::other_kinds`]) take part.
    ///
    /// # Errors
    /// A policy that the API server would refuse, named with the field.
    pub fn new<'a, P: Into<PolicyRef<'a>>>(
        inventory: &'a Inventory,
        policies: impl IntoIterator<Item = P>,
        host_network: HostNetwork,
    ) -> Result<Evaluation, EvaluateError> {
        let given = policies
            .into_iter()
            .map(|policy| (policy.into(), ComparedSide::Both));
        Evaluation::of_sides(inventory, given, host_network)
    }

    /// Does the same for policies of two sides of a comparison.
    pub(super) fn of_sides<'a>(
        inventory: &'a Inventory,
        policies: impl IntoIterator<Item = (PolicyRef<'a>, ComparedSide)>,
        host_network: HostNetwork,
    ) -> Result<Evaluation, EvaluateError> {
        let in_force = inventory.other_kinds.policies.iter();
        let in_force = in_force.map(|policy| (policy.into(), ComparedSide::Both));
        let all: Vec<(PolicyRef<'_>, ComparedSide)> =
            policies.into_iter().chain(in_force).collect();
        let mut symbols = Symbols::default();
        let keys = pod_keys(&all, inventory);
        let network = all.iter().filter_map(|(policy, _)| match policy {
            PolicyRef::Network(policy) => Some(*policy),
            PolicyRef::Other(_) => None,
        });
        // Other tools know no plugins.
        let behaviour = match host_network {
            HostNetwork::Exact => inventory.network_plugin.behaviour(),
            HostNetwork::LikePods => Behaviour::spec(),
        };
        let honoured = Honoured {
            sctp: behaviour.sctp,
            end_port: behaviour.end_port,
            idle_rules: behaviour.deviates(Deviation::IdleRulesCount),
            blocks: cluster_blocks(inventory, &behaviour, network),
        };
        let pod_classes = PodClasses::build(inventory, &keys, host_network, &mut symbols, honoured);
        let mut names = Names::default();
        let (tiers, places) = arrange(&all);
        let mut resolver = Resolver {
            inventory,
            pod_classes: &pod_classes,
            names: &mut names,
            symbols: &mut symbols,
            network_sets: Vec::new(),
        };
        let network_sets = network_sets(&all);
        let mut policies = Vec::with_capacity(all.len());
        for (source, ((policy, side), place)) in (0..).zip(all.iter().zip(places)) {
            let sets = network_sets.iter().filter(|(of, ..)| side.sees(*of));
            resolver.network_sets = sets.map(|(_, namespace, set)| (*namespace, *set)).collect();
            match policy {
                PolicyRef::Network(policy) => {
                    let Resolver { names, symbols, .. } = &mut resolver;
                    let place = (place, source);
                    policies.push(parse_policy(policy, place, &pod_classes, names, symbols)?);
                }
                PolicyRef::Other(policy) => {
                    policies.extend(resolver.resolve(policy, place, source));
                }
            }
        }
        let tables = Tables::build(&pod_classes, (&tiers, &policies), &mut names, |_| true);
        Ok(Evaluation {
            pod_classes,
            tiers,
            policies,
            names,
            tables,
        })
    }

    /// Returns all classes, in the order of the first pod of each.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &PodClass)> {
        let ids = (0..).map(ClassId);
        ids.zip(&self.pod_classes.classes)
    }

    pub fn class(&self, id: ClassId) -> &PodClass {
        &self.pod_classes.classes[id.index()]
    }

    /// Returns the classes of a workload; empty if no pod of it is known.
    pub fn classes_of(&self, workload: &WorkloadId) -> &[ClassId] {
        self.pod_classes
            .workloads
            .get(workload)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Returns true if some policy isolates the pods of `class` in `direction`.
    pub fn isolated(&self, class: ClassId, direction: Direction) -> bool {
        let table = self.tables.of(class, direction);
        table.is_some_and(|table| table.closed)
    }

    /// Returns true if policies isolate the pods of `class` in `direction` and still allow every connection
    /// there: with every pod and every address, on all ports.
    pub fn allows_everything(&self, class: ClassId, direction: Direction) -> bool {
        let table = self.tables.of(class, direction);
        let Some(table) = table.filter(|table| table.closed) else {
            return false;
        };
        let everywhere = self.everywhere();
        let addresses = self.addresses(class, direction);
        let mut wholly = addresses.iter().filter(|(_, allowed)| allowed.is_all());
        self.names.pool.get(table.every_pod).is_all()
            && wholly.any(|(set, _)| everywhere.difference(set).is_empty())
    }

    /// Returns the policies that isolate the pods of `class` in `direction`, as `namespace/name`, with the kind before it
    /// for other kinds than NetworkPolicy.
    pub fn isolated_by(&self, class: ClassId, direction: Direction) -> Vec<&str> {
        let policies = self.isolating(class, direction);
        let policies = policies.filter(|policy| policy.closes(direction));
        policies.map(|policy| policy.name.as_str()).collect()
    }

    /// Returns the policies (`namespace/name`) that isolate pods in `direction`, by workload.
    pub fn isolating_by_workload(
        &self,
        direction: Direction,
    ) -> BTreeMap<&WorkloadId, BTreeSet<&str>> {
        let mut found: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        let isolating = self.policies.iter();
        for policy in isolating.filter(|policy| policy.closes(direction)) {
            for class in &policy.selected {
                let workload = &self.class(*class).workload;
                found.entry(workload).or_default().insert(&policy.name);
            }
        }
        found
    }

    /// Returns what the policies that select `class` allow it with pods of `peer`. The policies of `peer` are
    /// not considered: this is one half of [`Evaluation::between`].
    pub fn at_end(&self, class: ClassId, direction: Direction, peer: ClassId) -> ConnectionSet {
        self.class_side(&self.tables, class, direction, peer)
    }

    /// Returns the connections that `client` may open to `server`. A pod always reaches itself, and a node its
    /// own pods. For an end that is a hostNetwork pod the result is the union over its addresses. Between
    /// two addresses every connection is allowed, since policies apply to pods only.
    pub fn allowed(&self, client: PeerRef, server: PeerRef) -> ConnectionSet {
        if client == server {
            return ConnectionSet::all();
        }
        if self.is_own_node(client, server) {
            return ConnectionSet::all().difference(&self.denied_to_own_node(client, server));
        }
        let egress = self.side(client, Direction::Egress, server);
        let ingress = self.side(server, Direction::Ingress, client);
        egress.intersection(&ingress)
    }

    /// Returns the connections that a pod of class `client` may open to *another* pod of class `server`. The
    /// rule that a node reaches its own pods is not applied, because the pods of a class may run on
    /// several nodes.
    pub fn between(&self, client: ClassId, server: ClassId) -> ConnectionSet {
        self.between_in(&self.tables, client, server)
    }

    /// Returns the same as [`Evaluation::between`] for the policies of `tables`.
    pub(super) fn between_in(
        &self,
        tables: &Tables,
        client: ClassId,
        server: ClassId,
    ) -> ConnectionSet {
        let hosts = (
            self.class(client).host_network,
            self.class(server).host_network,
        );
        if hosts == (false, false) {
            let pool = &self.names.pool;
            return match pair(tables, client, server) {
                (SetId::NONE, _) | (_, SetId::NONE) => ConnectionSet::default(),
                (SetId::ALL, one) | (one, SetId::ALL) => pool.get(one).clone(),
                (egress, ingress) => pool.get(egress).intersection(pool.get(ingress)),
            };
        }
        let egress = self.class_side(tables, client, Direction::Egress, server);
        egress.intersection(&self.class_side(tables, server, Direction::Ingress, client))
    }

    /// Returns what is allowed between the pods of `class` and addresses of the families in use. The pods are the
    /// servers in direction ingress and the clients in direction egress. The addresses of pods and nodes
    /// are included.
    pub fn addresses(&self, class: ClassId, direction: Direction) -> AddressMap {
        address_map(
            &self.names,
            self.tables.of(class, direction),
            &self.everywhere(),
        )
    }

    /// Returns every address of the families that pods and nodes use.
    pub fn everywhere(&self) -> AddressSet {
        self.pod_classes.everywhere()
    }

    /// Returns every ipBlock of the rules of one direction, in the order of the policies.
    pub fn ip_blocks(&self, direction: Direction) -> impl Iterator<Item = &AddressSet> {
        let rules = self
            .policies
            .iter()
            .flat_map(move |policy| policy.rules(direction));
        rules.flatten().flat_map(|rule| &rule.addresses)
    }

    /// Calls `visit` for every pair of classes between which some connection is allowed, ordered by client and
    /// then by server. The cost is proportional to the number of such pairs; where nothing is isolated,
    /// these are all pairs.
    pub fn for_each_pair(&self, mut visit: impl FnMut(ClassId, ClassId, ConnectionSet)) {
        let all: Vec<ClassId> = self.classes().map(|(id, _)| id).collect();
        let hosts: BTreeSet<ClassId> = all
            .iter()
            .copied()
            .filter(|id| self.class(*id).host_network)
            .collect();
        for client in &all {
            let sparse = match self.tables.of(*client, Direction::Egress) {
                Some(table) if table.every_pod == SetId::NONE => {
                    let servers = table.pods.iter().map(|(server, _)| *server);
                    Some(
                        servers
                            .chain(hosts.iter().copied())
                            .collect::<BTreeSet<_>>(),
                    )
                }
                _ => None,
            };
            let mut visit_pair = |server: ClassId| {
                let connections = self.between(*client, server);
                if !connections.is_empty() {
                    visit(*client, server, connections);
                }
            };
            match sparse {
                Some(servers) => servers.into_iter().for_each(&mut visit_pair),
                None => all.iter().copied().for_each(&mut visit_pair),
            }
        }
    }

    /// Returns what the policies of `end` allow it with `peer`.
    fn side(&self, end: PeerRef, direction: Direction, peer: PeerRef) -> ConnectionSet {
        let PeerRef::Pod(pod) = end else {
            return ConnectionSet::all();
        };
        let Some(pod) = self.pod_classes.pods.get(pod) else {
            return ConnectionSet::default();
        };
        let Some(table) = self.tables.of(pod.class, direction) else {
            return ConnectionSet::all();
        };
        match peer {
            PeerRef::Address(address) => self.with_addresses(table, &[address]),
            PeerRef::Pod(peer) => match self.pod_classes.pods.get(peer) {
                None => ConnectionSet::default(),
                Some(peer) if self.class(peer.class).host_network => {
                    self.with_addresses(table, &peer.addresses)
                }
                Some(peer) => self.names.pool.get(table.pod(peer.class)).clone(),
            },
        }
    }

    /// Returns what the policies of `class` allow it with the pods of `peer`.
    pub(super) fn class_side(
        &self,
        tables: &Tables,
        class: ClassId,
        direction: Direction,
        peer: ClassId,
    ) -> ConnectionSet {
        let Some(table) = tables.of(class, direction) else {
            return ConnectionSet::all();
        };
        if !self.class(peer).host_network {
            return self.names.pool.get(table.pod(peer)).clone();
        }
        let pods = self
            .class(peer)
            .pods
            .iter()
            .filter_map(|pod| self.pod_classes.pods.get(*pod));
        let addresses: Vec<IpAddr> = pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
        self.with_addresses(table, &addresses)
    }

    fn with_addresses(&self, table: &Table, addresses: &[IpAddr]) -> ConnectionSet {
        let everyone = self.names.pool.get(table.everyone).clone();
        let each = addresses.iter().map(|address| table.addresses.at(*address));
        each.fold(everyone, |sum, one| sum.union(&one))
    }

    /// Returns true if `client` is the node that `server` runs on, or a hostNetwork pod on this node.
    pub(super) fn is_own_node(&self, client: PeerRef, server: PeerRef) -> bool {
        let PeerRef::Pod(server) = server else {
            return false;
        };
        let node = self
            .pod_classes
            .pods
            .get(server)
            .and_then(|pod| pod.node.as_ref());
        let Some(node) = node else { return false };
        match client {
            PeerRef::Address(address) => {
                let addresses = self.pod_classes.node_addresses.get(node);
                addresses.is_some_and(|addresses| addresses.contains(&address))
            }
            PeerRef::Pod(client) => self.pod_classes.pods.get(client).is_some_and(|client| {
                self.class(client.class).host_network && client.node.as_ref() == Some(node)
            }),
        }
    }
}

/// Returns what the client's policies and what the server's policies allow for a pair of classes, neither of
/// them hostNetwork. A connection is allowed if both allow it.
pub(super) fn pair(tables: &Tables, client: ClassId, server: ClassId) -> (SetId, SetId) {
    let side = |class, direction, peer| match tables.of(class, direction) {
        Some(table) => table.pod(peer),
        None => SetId::ALL,
    };
    (
        side(client, Direction::Egress, server),
        side(server, Direction::Ingress, client),
    )
}

/// Returns what a table allows with addresses; without a table, everything.
pub(super) fn address_map(
    names: &Names,
    table: Option<&Table>,
    everywhere: &AddressSet,
) -> AddressMap {
    let Some(table) = table else {
        let mut map = AddressMap::default();
        map.add(everywhere, &ConnectionSet::all());
        return map;
    };
    let mut map = table.addresses.clone();
    map.add(everywhere, names.pool.get(table.everyone));
    map
}
