//! What counts for the budget of one hour.

use crate::{FlowRecord, PeerLabel, PeerLabels, is_stand_in, stand_in_address};
use nanoseg_net::{AddressBlocks, BlockLimits, Protocol, Timestamp, is_private_address};
use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// How many pairs there may be.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub all: usize,
    pub node: usize,
}

/// A pair of ends.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub is_new: bool,
    /// When its latest record began that is kept for itself.
    pub latest: Timestamp,
}

/// One end of records, and the node that saw them: where the other ends may be many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fan {
    node: Arc<str>,
    end: IpAddr,
    port: u16,
    protocol: Protocol,
    /// The other ends are its clients.
    of_clients: bool,
}

#[derive(Debug, Default)]
pub struct Pool {
    /// By hash.
    pairs: FxHashMap<u64, Timestamp>,
    nodes: FxHashMap<Arc<str>, usize>,
    addresses: FxHashMap<Fan, AddressBlocks<()>>,
}

impl Pool {
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// The number of single addresses where there are most.
    pub fn most_addresses(&self) -> usize {
        self.addresses
            .values()
            .map(AddressBlocks::len)
            .max()
            .unwrap_or(0)
    }

    /// Returns true if there is room for one more pair of a node.
    fn has_room(&self, node: &Arc<str>, room: Room) -> bool {
        let of_node = self.nodes.get(node).copied().unwrap_or(0);
        self.pairs.len() < room.all && of_node < room.node
    }

    /// Adds a pair of a node. `None`: there is no room.
    pub fn admit(
        &mut self,
        pair: u64,
        node: &Arc<str>,
        began: Timestamp,
        room: Room,
    ) -> Option<Known> {
        if let Some(latest) = self.pairs.get(&pair).copied() {
            return Some(Known {
                is_new: false,
                latest,
            });
        }
        if !self.has_room(node, room) {
            return None;
        }
        *self.nodes.entry(node.clone()).or_default() += 1;
        self.pairs.insert(pair, began);
        Some(Known {
            is_new: true,
            latest: began,
        })
    }

    /// Notes when a record of a pair began that is kept for itself.
    pub fn note_latest(&mut self, pair: u64, began: Timestamp) {
        if let Some(latest) = self.pairs.get_mut(&pair) {
            *latest = began.max(*latest);
        }
    }

    /// Puts the block of a public address in the place of the address, where the other end has had more of them than
    /// `limits` (rule: outside-addresses-are-bounded).
    ///
    /// Nobody knows here which addresses are the cluster's, so private ones stay. What came for an address before others
    /// took its place stays as well.
    pub fn bound_addresses(
        &mut self,
        node: &Arc<str>,
        record: &mut FlowRecord,
        limits: BlockLimits,
        room: Room,
    ) {
        // Labels say more than addresses, and a port is that of one connection.
        if record.labels.is_some() || record.client_port.is_some() {
            return;
        }
        let (client, server) = (record.client, record.server);
        let fan = |end, of_clients| Fan {
            node: node.clone(),
            end,
            port: record.port,
            protocol: record.protocol,
            of_clients,
        };
        let of_clients = self.block_of(client, fan(server, true), limits, room);
        if let Some(name) = of_clients {
            record.client = stand_in_address(&name);
            labels_of(record).client = Some(PeerLabel::Network { name });
            return;
        }
        let of_servers = self.block_of(server, fan(client, false), limits, room);
        if let Some(name) = of_servers {
            record.server = stand_in_address(&name);
            record.via = None;
            labels_of(record).server = Some(PeerLabel::Network { name });
        }
    }

    /// The block that a public address is counted by; `None`: it is counted by itself.
    fn block_of(
        &mut self,
        address: IpAddr,
        fan: Fan,
        limits: BlockLimits,
        room: Room,
    ) -> Option<String> {
        if is_private_address(address) || is_stand_in(address) {
            return None;
        }
        // Without room for a pair the record is taken only if it is known already, and adds no address.
        if !self.addresses.contains_key(&fan) && !self.has_room(&fan.node, room) {
            return None;
        }
        let blocks = self.addresses.entry(fan);
        let blocks = blocks.or_insert_with(|| AddressBlocks::new(limits));
        blocks.add(address, ());
        let place = blocks.place_of(address);
        (place != address.into()).then(|| place.to_string())
    }
}

fn labels_of(record: &mut FlowRecord) -> &mut PeerLabels {
    Arc::make_mut(record.labels.get_or_insert_default())
}
