//! The requirements, indexed by their ends, so that they can be subtracted from what is allowed.

use crate::AddressMap;
use crate::connection_set_pool::{ConnectionSetPool, SetId};
use crate::pod_classes::PodClasses;
use nanoseg_graph::{End, Requirement};
use nanoseg_net::{AddressSet, ConnectionSet, Direction};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// All required connections by their ends. Workloads are given by their index in [`PodClasses`].
#[derive(Debug, Default)]
pub struct Required {
    /// By client and server.
    pairs: FxHashMap<(u32, u32), SetId>,
    addresses: FxHashMap<(u32, Direction), AddressMap>,
    none: AddressMap,
}

impl Required {
    /// Requirements of workloads without pods are left out: there is nothing to subtract them from.
    pub fn build(
        requirements: &[Requirement],
        pod_classes: &PodClasses,
        pool: &mut ConnectionSetPool,
    ) -> Self {
        let mut required = Required::default();
        let numbers = pod_classes.workload_numbers();
        // Addresses of the same workload and port are collected first, because each added set rebuilds
        // the map.
        let mut by_port: BTreeMap<(u32, Direction, _, u16), Vec<_>> = BTreeMap::new();
        let mut open: Vec<((u32, Direction), &AddressSet, &Requirement)> = Vec::new();
        for one in requirements {
            let number = |end: &End| match end {
                End::Workload(id) => numbers.get(id).copied(),
                End::Addresses(_) | End::Ranges(_) => None,
            };
            match (
                &one.client,
                number(&one.client),
                &one.server,
                number(&one.server),
            ) {
                (_, Some(client), _, Some(server)) => {
                    let set = pool.intern(ConnectionSet::one(one.protocol, one.port));
                    let pair = required
                        .pairs
                        .entry((client, server))
                        .or_insert(SetId::NONE);
                    *pair = pool.union(*pair, set);
                }
                (End::Addresses(clients), _, _, Some(server)) => {
                    let key = (server, Direction::Ingress, one.protocol, one.port);
                    by_port
                        .entry(key)
                        .or_default()
                        .extend(clients.iter().copied());
                }
                (_, Some(client), End::Addresses(servers), _) => {
                    let key = (client, Direction::Egress, one.protocol, one.port);
                    by_port
                        .entry(key)
                        .or_default()
                        .extend(servers.iter().copied());
                }
                (End::Ranges(clients), _, _, Some(server)) => {
                    open.push(((server, Direction::Ingress), clients, one));
                }
                (_, Some(client), End::Ranges(servers), _) => {
                    open.push(((client, Direction::Egress), servers, one));
                }
                _ => {}
            }
        }
        for (end, addresses, one) in open {
            let connections = ConnectionSet::one(one.protocol, one.port);
            let map = required.addresses.entry(end).or_default();
            map.add(addresses, &connections);
        }
        for ((workload, direction, protocol, port), addresses) in by_port {
            let map = required.addresses.entry((workload, direction)).or_default();
            map.add(
                &addresses.into_iter().collect(),
                &ConnectionSet::one(protocol, port),
            );
        }
        required
    }

    /// Returns what must be allowed between two workloads.
    pub fn pair(&self, client: u32, server: u32) -> SetId {
        self.pairs
            .get(&(client, server))
            .copied()
            .unwrap_or(SetId::NONE)
    }

    /// Returns what must be allowed between a workload and addresses.
    pub fn addresses(&self, workload: u32, direction: Direction) -> &AddressMap {
        self.addresses
            .get(&(workload, direction))
            .unwrap_or(&self.none)
    }

    /// Returns all addresses of the families that some requirement names.
    pub fn families(&self) -> AddressSet {
        let mut all = AddressSet::default();
        for (set, _) in self.addresses.values().flat_map(AddressMap::iter) {
            if !set.intersection(&AddressSet::all_v4()).is_empty() {
                all = all.union(&AddressSet::all_v4());
            }
            if !set.intersection(&AddressSet::all_v6()).is_empty() {
                all = all.union(&AddressSet::all_v6());
            }
        }
        all
    }
}
