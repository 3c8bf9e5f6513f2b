//! Policies over the pods of an inventory, ready to be asked.

use super::address_map::AddressMap;
use super::pool::SetId;
use super::rules::{EvaluateError, Names, Policy, parse_policy, pod_label_keys};
use super::selector::Symbols;
use super::tables::{Table, Tables};
use super::world::{Class, ClassId, HostNetwork, World};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// One end of a connection that is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerRef {
    /// A pod, by its index in [`Inventory::pods`].
    Pod(usize),
    /// An address as such. It is the caller's to find out whether a pod owns it.
    Address(IpAddr),
}

/// What a set of policies allows.
#[derive(Debug)]
pub struct Evaluation {
    pub(super) world: World,
    pub(super) policies: Vec<Policy>,
    pub(super) names: Names,
    pub(super) tables: Tables,
}

impl Evaluation {
    /// Resolves `policies` over the pods of `inventory`, current, past and expected ones. The
    /// policies that the inventory itself holds do not take part unless they are passed.
    ///
    /// # Errors
    /// A policy that the API server would refuse, named with the field.
    pub fn new<'a>(
        inventory: &Inventory,
        policies: impl IntoIterator<Item = &'a NetworkPolicy> + Clone,
        host_network: HostNetwork,
    ) -> Result<Evaluation, EvaluateError> {
        let mut symbols = Symbols::default();
        let keys = pod_label_keys(policies.clone());
        let world = World::build(inventory, &keys, host_network, &mut symbols);
        let mut names = Names::default();
        let policies = policies.into_iter();
        let policies: Result<Vec<Policy>, EvaluateError> = policies
            .map(|policy| parse_policy(policy, &world, &mut names, &mut symbols))
            .collect();
        let policies = policies?;
        let tables = Tables::build(&world, &policies, &mut names, |_| true);
        Ok(Evaluation {
            world,
            policies,
            names,
            tables,
        })
    }

    /// All classes, in the order of the first pod of each.
    pub fn classes(&self) -> impl Iterator<Item = (ClassId, &Class)> {
        let ids = (0..).map(ClassId);
        ids.zip(&self.world.classes)
    }

    pub fn class(&self, id: ClassId) -> &Class {
        &self.world.classes[id.index()]
    }

    /// The classes of a workload; empty if no pod of it is known.
    pub fn classes_of(&self, workload: &WorkloadId) -> &[ClassId] {
        self.world
            .workloads
            .get(workload)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    /// Whether some policy isolates the pods of `class` in `direction`.
    pub fn isolated(&self, class: ClassId, direction: Direction) -> bool {
        self.tables.of(class, direction).is_some()
    }

    /// Whether policies isolate the pods of `class` in `direction` and yet allow it everything there: every
    /// pod and every address, on all ports.
    pub fn allows_everything(&self, class: ClassId, direction: Direction) -> bool {
        let Some(table) = self.tables.of(class, direction) else {
            return false;
        };
        let everywhere = self.everywhere();
        let addresses = self.addresses(class, direction);
        let mut wholly = addresses.iter().filter(|(_, allowed)| allowed.is_all());
        self.names.pool.get(table.every_pod).is_all()
            && wholly.any(|(set, _)| everywhere.difference(set).is_empty())
    }

    /// The policies that isolate the pods of `class` in `direction`, as `namespace/name`.
    pub fn isolated_by(&self, class: ClassId, direction: Direction) -> Vec<&str> {
        let policies = self.isolating(class, direction);
        policies.map(|policy| policy.name.as_str()).collect()
    }

    /// The policies (`namespace/name`) that isolate pods of each workload in `direction`.
    pub fn isolating_by_workload(
        &self,
        direction: Direction,
    ) -> BTreeMap<&WorkloadId, BTreeSet<&str>> {
        let mut found: BTreeMap<_, BTreeSet<&str>> = BTreeMap::new();
        let isolating = self.policies.iter();
        for policy in isolating.filter(|policy| policy.rules(direction).is_some()) {
            for class in &policy.selected {
                let workload = &self.class(*class).workload;
                found.entry(workload).or_default().insert(&policy.name);
            }
        }
        found
    }

    /// What the policies that select `class` let it have with pods of `peer`, whatever those of `peer`
    /// say: one half of [`Evaluation::between`].
    pub fn at_end(&self, class: ClassId, direction: Direction, peer: ClassId) -> ConnectionSet {
        self.class_side(&self.tables, class, direction, peer)
    }

    /// What `client` may open to `server`. A pod always reaches itself and a node its own pods. An
    /// end that is a hostNetwork pod may do at each of its addresses what policies allow there; the
    /// answer is the union. Between two addresses no policy has a say.
    pub fn allowed(&self, client: PeerRef, server: PeerRef) -> ConnectionSet {
        if client == server || self.is_own_node(client, server) {
            return ConnectionSet::all();
        }
        let egress = self.side(client, Direction::Egress, server);
        let ingress = self.side(server, Direction::Ingress, client);
        egress.intersection(&ingress)
    }

    /// What a pod of class `client` may open to *another* pod of class `server`. The promise that a
    /// node reaches its own pods is not in it: a class may spread over nodes.
    pub fn between(&self, client: ClassId, server: ClassId) -> ConnectionSet {
        self.between_in(&self.tables, client, server)
    }

    /// As [`Evaluation::between`], for another choice of the policies.
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

    /// What the pods of `class` may have with addresses, of the address families in use: in
    /// direction ingress as server, in direction egress as client. Every address counts, also of
    /// pods and nodes.
    pub fn addresses(&self, class: ClassId, direction: Direction) -> AddressMap {
        address_map(
            &self.names,
            self.tables.of(class, direction),
            &self.everywhere(),
        )
    }

    /// Every address of the families that pods and nodes use.
    pub fn everywhere(&self) -> AddressSet {
        self.world.everywhere()
    }

    /// Every ipBlock of the rules of one direction, in the order of the policies.
    pub fn ip_blocks(&self, direction: Direction) -> impl Iterator<Item = &AddressSet> {
        let rules = self
            .policies
            .iter()
            .flat_map(move |policy| policy.rules(direction));
        rules.flatten().flat_map(|rule| &rule.addresses)
    }

    /// Calls `visit` for every pair of classes that may talk, by client and then server. Costs what
    /// the answer is long: where nothing is isolated, that is all pairs.
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
            let mut ask = |server: ClassId| {
                let connections = self.between(*client, server);
                if !connections.is_empty() {
                    visit(*client, server, connections);
                }
            };
            match sparse {
                Some(servers) => servers.into_iter().for_each(&mut ask),
                None => all.iter().copied().for_each(&mut ask),
            }
        }
    }

    /// What the policies of `end` allow it with `peer`.
    fn side(&self, end: PeerRef, direction: Direction, peer: PeerRef) -> ConnectionSet {
        let PeerRef::Pod(pod) = end else {
            return ConnectionSet::all();
        };
        let Some(pod) = self.world.pods.get(pod) else {
            return ConnectionSet::default();
        };
        let Some(table) = self.tables.of(pod.class, direction) else {
            return ConnectionSet::all();
        };
        match peer {
            PeerRef::Address(address) => self.with_addresses(table, &[address]),
            PeerRef::Pod(peer) => match self.world.pods.get(peer) {
                None => ConnectionSet::default(),
                Some(peer) if self.class(peer.class).host_network => {
                    self.with_addresses(table, &peer.addresses)
                }
                Some(peer) => self.names.pool.get(table.pod(peer.class)).clone(),
            },
        }
    }

    /// What the policies of `class` allow it with the pods of `peer`.
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
            .filter_map(|pod| self.world.pods.get(*pod));
        let addresses: Vec<IpAddr> = pods.flat_map(|pod| pod.addresses.iter().copied()).collect();
        self.with_addresses(table, &addresses)
    }

    fn with_addresses(&self, table: &Table, addresses: &[IpAddr]) -> ConnectionSet {
        let everyone = self.names.pool.get(table.everyone).clone();
        let each = addresses.iter().map(|address| table.addresses.at(*address));
        each.fold(everyone, |sum, one| sum.union(&one))
    }

    /// Whether `client` is the node that `server` runs on, or a hostNetwork pod there.
    pub(super) fn is_own_node(&self, client: PeerRef, server: PeerRef) -> bool {
        let PeerRef::Pod(server) = server else {
            return false;
        };
        let node = self
            .world
            .pods
            .get(server)
            .and_then(|pod| pod.node.as_ref());
        let Some(node) = node else { return false };
        match client {
            PeerRef::Address(address) => {
                let addresses = self.world.node_addresses.get(node);
                addresses.is_some_and(|addresses| addresses.contains(&address))
            }
            PeerRef::Pod(client) => self.world.pods.get(client).is_some_and(|client| {
                self.class(client.class).host_network && client.node.as_ref() == Some(node)
            }),
        }
    }
}

/// What the client's and what the server's policies say of a pair of classes, neither hostNetwork:
/// allowed is what both allow.
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

/// What a table allows with addresses; everything without a table.
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
