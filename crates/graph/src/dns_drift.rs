//! Names of outside servers that have other addresses by now (rule: fqdn-drift): a rule by address holds only until the
//! name moves.

use super::attribute::Attribution;
use super::{Edge, Graph, METADATA, Peer, is_private};
use nanoseg_flow::{NameEntry, NameTable, NameTrust};
use nanoseg_inventory::{Inventory, Owner, WorkloadId};
use nanoseg_net::{Protocol, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many addresses of one name are offered for one port of a workload: a name of a content network has thousands.
pub const MAX_DRIFT_PER_NAME: usize = 16;

/// How many are offered for a workload.
pub const MAX_DRIFT_PER_WORKLOAD: usize = 64;

/// In seconds: addresses that come in the same span of this length are offered together.
pub const DRIFT_BATCH: i64 = 600;

/// An address that a name has, and to which no edge of `O` goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NameDrift {
    pub client: WorkloadId,
    /// The name that the client looked up, and by which it calls another address already.
    pub name: String,
    pub protocol: Protocol,
    pub port: u16,
    pub address: IpAddr,
    /// The time to live of the last answer with it has not ended.
    pub is_current: bool,
}

/// What [`NameDrifts::find`] found, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameDrifts {
    pub found: Vec<NameDrift>,
    /// How many more there are for a workload, beyond the bounds.
    pub left_out: BTreeMap<WorkloadId, usize>,
}

/// The ports at which a client calls a name, each with whether the addresses there are private ones.
type Calls = BTreeSet<(Protocol, u16, bool)>;

impl NameDrifts {
    /// Finds the addresses that names of the edges of `graph` have beside those that were called: of the clients that
    /// `is_asked` tells, by the answers that these clients themselves got from resolvers who may name
    /// (rule: dns-names-outside-addresses). Nothing that came in the span of [`DRIFT_BATCH`] before `now` counts yet. A public
    /// name gets no private address, and no name gets one of the cluster or of a metadata service.
    pub fn find(
        graph: &Graph,
        inventory: &Inventory,
        names: &NameTable,
        is_asked: impl Fn(&WorkloadId) -> bool,
        now: Timestamp,
    ) -> NameDrifts {
        let called = called_names(graph, is_asked);
        let mut drifts = BTreeSet::new();
        if called.is_empty() {
            return NameDrifts::default();
        }
        let clients_of: BTreeSet<&str> = called.keys().map(|(_, name)| *name).collect();
        let until = now
            .secs_since(Timestamp::from_secs(0))
            .div_euclid(DRIFT_BATCH);
        let until = Timestamp::from_secs(until * DRIFT_BATCH);
        let mut attribution = None;
        for (address, entry) in names.listing() {
            let is_settled = entry.from < until;
            if !is_settled || !clients_of.contains(&*entry.name) {
                continue;
            }
            let Some(client) = asker(inventory, entry) else {
                continue;
            };
            let Some(calls) = called.get(&(client, &*entry.name)) else {
                continue;
            };
            let attribution = attribution.get_or_insert_with(|| Attribution::build(inventory));
            if attribution.name_trust(entry) == NameTrust::None
                || !is_outside(inventory, address, now)
            {
                continue;
            }
            let calls = calls.iter();
            for (protocol, port, _) in calls.filter(|(.., private)| *private == is_private(address))
            {
                let is_called = edge(graph, client, address, *protocol, *port)
                    .is_some_and(|edge| edge.lesson.teaches());
                if !is_called {
                    drifts.insert(NameDrift {
                        client: client.clone(),
                        name: entry.name.to_string(),
                        protocol: *protocol,
                        port: *port,
                        address,
                        is_current: entry.until >= now,
                    });
                }
            }
        }
        bounded(drifts)
    }

    /// Those of one workload.
    pub fn of<'a>(&'a self, workload: &'a WorkloadId) -> impl Iterator<Item = &'a NameDrift> {
        self.found.iter().filter(move |one| one.client == *workload)
    }
}

/// By client and name: where the client calls an address that it had looked up under the name.
fn called_names(
    graph: &Graph,
    is_asked: impl Fn(&WorkloadId) -> bool,
) -> BTreeMap<(&WorkloadId, &str), Calls> {
    let mut called: BTreeMap<(&WorkloadId, &str), Calls> = BTreeMap::new();
    for (client, server, edge) in graph.taught() {
        let (Peer::Workload(client), Peer::Outside(address)) = (client, server) else {
            continue;
        };
        if edge.looked_up.is_empty() || !is_asked(client) {
            continue;
        }
        for name in &edge.looked_up {
            let calls = called.entry((client, name)).or_default();
            calls.insert((edge.protocol, edge.port, is_private(*address)));
        }
    }
    called
}

/// The workload of the pod that asked.
fn asker<'a>(inventory: &'a Inventory, entry: &NameEntry) -> Option<&'a WorkloadId> {
    match inventory.resolve(entry.client, entry.from) {
        Owner::Pod(index) => inventory.pods.get(index).map(|pod| &pod.workload),
        _ => None,
    }
}

fn is_outside(inventory: &Inventory, address: IpAddr, now: Timestamp) -> bool {
    let metadata = METADATA
        .iter()
        .filter_map(|text| text.parse::<IpAddr>().ok());
    let mut special = metadata.filter(|one| *one == address);
    inventory.resolve(address, now) == Owner::Outside
        && special.next().is_none()
        && !address.is_loopback()
        && !address.is_multicast()
        && !address.is_unspecified()
}

fn edge<'g>(
    graph: &'g Graph,
    client: &WorkloadId,
    address: IpAddr,
    protocol: Protocol,
    port: u16,
) -> Option<&'g Edge> {
    let client = Peer::Workload(client.clone());
    graph.edge(&client, &Peer::Outside(address), protocol, port)
}

/// Keeps what is within the bounds, in order; current addresses go before others.
fn bounded(drifts: BTreeSet<NameDrift>) -> NameDrifts {
    let mut all: Vec<NameDrift> = drifts.into_iter().collect();
    all.sort_by(|a, b| (!a.is_current, a).cmp(&(!b.is_current, b)));
    let mut kept = NameDrifts::default();
    let mut by_name: BTreeMap<(WorkloadId, String, Protocol, u16), usize> = BTreeMap::new();
    let mut by_workload: BTreeMap<WorkloadId, usize> = BTreeMap::new();
    for one in all {
        let key = (one.client.clone(), one.name.clone(), one.protocol, one.port);
        let of_name = by_name.entry(key).or_default();
        let of_workload = by_workload.entry(one.client.clone()).or_default();
        if *of_name >= MAX_DRIFT_PER_NAME || *of_workload >= MAX_DRIFT_PER_WORKLOAD {
            *kept.left_out.entry(one.client).or_default() += 1;
            continue;
        }
        *of_name += 1;
        *of_workload += 1;
        kept.found.push(one);
    }
    kept.found.sort();
    kept
}
