//! The requirements by their ends, ready to be subtracted from what is allowed.

use crate::evaluate::{AddressMap, Direction};
use crate::graph::{End, Requirement};
use crate::inventory::WorkloadId;
use crate::net::{AddressSet, ConnectionSet};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

/// `O`, by its ends.
#[derive(Debug, Default)]
pub struct Required<'a> {
    /// By client, then server.
    pairs: FxHashMap<&'a WorkloadId, FxHashMap<&'a WorkloadId, ConnectionSet>>,
    /// Addresses as clients, by server.
    clients: FxHashMap<&'a WorkloadId, AddressMap>,
    /// Addresses as servers, by client.
    servers: FxHashMap<&'a WorkloadId, AddressMap>,
    none: AddressMap,
}

impl<'a> Required<'a> {
    pub fn build(requirements: &'a [Requirement]) -> Self {
        let mut required = Required::default();
        // Addresses of the same workload and port are put together first: a map is rebuilt with
        // each set that is added.
        let mut by_port: BTreeMap<(&WorkloadId, Direction, _, u16), Vec<_>> = BTreeMap::new();
        for one in requirements {
            let connections = ConnectionSet::one(one.protocol, one.port);
            match (&one.client, &one.server) {
                (End::Workload(client), End::Workload(server)) => {
                    let pair = required
                        .pairs
                        .entry(client)
                        .or_default()
                        .entry(server)
                        .or_default();
                    *pair = pair.union(&connections);
                }
                (End::Addresses(clients), End::Workload(server)) => {
                    let key = (server, Direction::Ingress, one.protocol, one.port);
                    by_port
                        .entry(key)
                        .or_default()
                        .extend(clients.iter().copied());
                }
                (End::Workload(client), End::Addresses(servers)) => {
                    let key = (client, Direction::Egress, one.protocol, one.port);
                    by_port
                        .entry(key)
                        .or_default()
                        .extend(servers.iter().copied());
                }
                (End::Addresses(_), End::Addresses(_)) => {}
            }
        }
        for ((workload, direction, protocol, port), addresses) in by_port {
            let map = match direction {
                Direction::Ingress => required.clients.entry(workload).or_default(),
                Direction::Egress => required.servers.entry(workload).or_default(),
            };
            map.add(
                &addresses.into_iter().collect(),
                &ConnectionSet::one(protocol, port),
            );
        }
        required
    }

    /// What must be allowed between two workloads.
    pub fn pair(&self, client: &WorkloadId, server: &WorkloadId) -> Option<&ConnectionSet> {
        self.pairs.get(client)?.get(server)
    }

    /// What must be allowed between a workload and addresses.
    pub fn addresses(&self, workload: &WorkloadId, direction: Direction) -> &AddressMap {
        let map = match direction {
            Direction::Ingress => self.clients.get(workload),
            Direction::Egress => self.servers.get(workload),
        };
        map.unwrap_or(&self.none)
    }

    /// All addresses of the families that some requirement names.
    pub fn families(&self) -> AddressSet {
        let mut all = AddressSet::default();
        let maps = self.clients.values().chain(self.servers.values());
        for (set, _) in maps.flat_map(AddressMap::iter) {
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
