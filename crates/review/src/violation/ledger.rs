//! The violations of a namespace that were recorded: the one place that counts them.

use super::attribution::{Revised, Sample};
use super::{Violation, ViolationKind};
use nanoseg_graph::{Graph, Peer};
use nanoseg_inventory::Inventory;
use nanoseg_net::Protocol;
use nanoseg_record::Connection;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So many kinds of one workload, direction and group of peers are recorded apart; more of them are one kind.
const MOST_OF_GROUP: usize = 32;
/// With so many kinds in a namespace, new ones are recorded by their group only.
const MOST_APART: usize = 1000;
/// The most kinds of a namespace. Each of the last ones is another workload, direction and group of peers.
const MOST: usize = 10_000;

/// The recorded violations of a namespace, by kind (rule: violations-are-counted-by-kind).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Recorded>", into = "Vec<Recorded>")]
pub struct ViolationLedger(BTreeMap<ViolationKind, Recorded>);

/// A kind of violation that the record has a line of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recorded {
    pub kind: ViolationKind,
    /// The connection that the line names: the first of its kind.
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Sample>,
    /// It turned out to be somebody else's traffic.
    #[serde(default, skip_serializing_if = "is_false")]
    pub withdrawn: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Recorded {
    /// The connection, as the record has it.
    pub fn connection(&self) -> Connection {
        connection(&self.client, &self.server, self.protocol, self.port)
    }
}

fn connection(client: &Peer, server: &Peer, protocol: Protocol, port: u16) -> Connection {
    Connection {
        client: client.to_string(),
        server: server.to_string(),
        protocol,
        port,
    }
}

/// What became of a violation that was noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Noted {
    /// It is the first of its kind.
    New,
    /// It is the first of the kinds of its group that are not recorded apart.
    FirstOfRest,
    Known,
    /// There is no room left.
    Dropped,
}

impl From<Vec<Recorded>> for ViolationLedger {
    fn from(all: Vec<Recorded>) -> Self {
        ViolationLedger(all.into_iter().map(|one| (one.kind.clone(), one)).collect())
    }
}

impl From<ViolationLedger> for Vec<Recorded> {
    fn from(ledger: ViolationLedger) -> Self {
        ledger.0.into_values().collect()
    }
}

impl ViolationLedger {
    /// The number of kinds that were recorded and not withdrawn.
    pub fn standing(&self) -> usize {
        self.0.values().filter(|one| !one.withdrawn).count()
    }

    /// All kinds, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Recorded> {
        self.0.values()
    }

    /// Notes a violation. Kinds of many ports or peers become one, so that none hides another.
    pub fn note(&mut self, violation: &Violation) -> Noted {
        let Some(kind) = ViolationKind::of(violation) else {
            return Noted::Known;
        };
        let rest = kind.rest();
        if self.stands(&kind) {
            return Noted::Known;
        }
        if self.has_room(&kind) {
            self.put(kind, violation);
            return Noted::New;
        }
        if self.stands(&rest) {
            return Noted::Known;
        }
        if self.0.len() >= MOST && !self.0.contains_key(&rest) {
            return Noted::Dropped;
        }
        self.put(rest, violation);
        Noted::FirstOfRest
    }

    fn stands(&self, kind: &ViolationKind) -> bool {
        self.0.get(kind).is_some_and(|known| !known.withdrawn)
    }

    fn has_room(&self, kind: &ViolationKind) -> bool {
        if self.0.contains_key(kind) {
            return true;
        }
        let rest = kind.rest();
        let of_group = self.0.keys().filter(|known| known.rest() == rest);
        self.0.len() < MOST_APART && of_group.count() < MOST_OF_GROUP
    }

    fn put(&mut self, kind: ViolationKind, violation: &Violation) {
        let recorded = Recorded {
            kind: kind.clone(),
            client: violation.client.clone(),
            server: violation.server.clone(),
            protocol: violation.protocol,
            port: violation.port,
            sample: violation.sample,
            withdrawn: false,
        };
        self.0.insert(kind, recorded);
    }

    /// Withdraws what turned out to be somebody else's traffic: an end of the recorded attempt has another owner than it
    /// was taken to have, or is that of a pod that went or came just then, and may do what it did. Kinds of which
    /// there still are violations (`found`) stay. Returns each connection as it was recorded, and as it is known now.
    pub fn withdraw(
        &mut self,
        found: &[Violation],
        graph: &Graph,
        inventory: &Inventory,
    ) -> Vec<(Recorded, Connection)> {
        let found: BTreeSet<ViolationKind> = found.iter().filter_map(ViolationKind::of).collect();
        let rests: BTreeSet<ViolationKind> = found.iter().map(ViolationKind::rest).collect();
        let mut withdrawn = Vec::new();
        for one in self.0.values_mut().filter(|one| !one.withdrawn) {
            let is_found = found.contains(&one.kind) || rests.contains(&one.kind);
            let revised = (!is_found)
                .then(|| revised(one, graph, inventory))
                .flatten();
            if let Some(Revised { client, server }) = revised {
                one.withdrawn = true;
                let now = connection(&client, &server, one.protocol, one.port);
                withdrawn.push((one.clone(), now));
            }
        }
        withdrawn
    }
}

/// The ends of a recorded attempt, if they are other ones than were taken for them.
fn revised(one: &Recorded, graph: &Graph, inventory: &Inventory) -> Option<Revised> {
    let sample = one.sample.as_ref()?;
    let Some(edge) = graph.edge(&one.client, &one.server, one.protocol, one.port) else {
        // All of its traffic is somebody else's now.
        return Revised::of(sample, (&one.client, &one.server), inventory);
    };
    // It is there and is no violation any more: who it is was found out from who had the address just before or after.
    let near = super::Neighbours::new(graph, inventory);
    let now = |peer: &Peer| match peer {
        Peer::Unattributed(_) => {
            let first = near.of(peer, edge).into_iter().next()?;
            Some(Peer::Workload(first.clone()))
        }
        _ => None,
    };
    let (client, server) = (now(&one.client), now(&one.server));
    if client.is_none() && server.is_none() {
        return None;
    }
    Some(Revised {
        client: client.unwrap_or_else(|| one.client.clone()),
        server: server.unwrap_or_else(|| one.server.clone()),
    })
}
