//! The connectivity that policies allow, as one line per pair of workloads or addresses, for people to read.

use super::{AddressMap, EvaluateError, Evaluation, HostNetwork};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressRange, AddressSet, ConnectionSet, Direction};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One end of a [`ConnectivityLine`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectivityEnd {
    Outside(AddressRange),
    Workload(WorkloadId),
}

impl fmt::Display for ConnectivityEnd {
    /// `first-last`, or `namespace/name[Kind]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectivityEnd::Outside(range) => write!(f, "{range}"),
            ConnectivityEnd::Workload(id) => write!(f, "{id}[{}]", id.kind),
        }
    }
}

/// The connections that one end may open to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectivityLine {
    pub client: ConnectivityEnd,
    pub server: ConnectivityEnd,
    pub connections: ConnectionSet,
}

impl fmt::Display for ConnectivityLine {
    /// `ns/name[Kind] => ns/name[Kind] : TCP 80,443,UDP 53`; address ranges end in `[External]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: &ConnectivityEnd| match end {
            ConnectivityEnd::Outside(_) => format!("{end}[External]"),
            ConnectivityEnd::Workload(_) => end.to_string(),
        };
        write!(
            f,
            "{} => {} : {}",
            end(&self.client),
            end(&self.server),
            self.connections
        )
    }
}

/// All lines of a set of policies.
#[derive(Debug, Clone, Default)]
pub struct Connectivity {
    /// In the order of their text.
    pub lines: Vec<ConnectivityLine>,
    /// Workloads whose pods are not all allowed the same. Their lines list what some pod is allowed.
    pub uneven: BTreeSet<WorkloadId>,
}

/// Lists what `policies` allow between the workloads of `inventory` and with outside addresses. Connections of a
/// workload with itself are not listed. Address ranges are split at every bound of every ipBlock of the
/// direction, so that any two ranges of a direction are equal or disjoint.
///
/// # Errors
/// A policy that the API server would refuse.
pub fn connectivity(
    inventory: &Inventory,
    policies: &[NetworkPolicy],
    host_network: HostNetwork,
) -> Result<Connectivity, EvaluateError> {
    let evaluation = Evaluation::new(inventory, policies, host_network)?;
    let mut found = Connectivity::default();
    pair_lines(&evaluation, &mut found);
    let everywhere = evaluation.everywhere();
    let workloads: BTreeSet<&WorkloadId> = evaluation
        .classes()
        .map(|(_, class)| &class.workload)
        .collect();
    for direction in [Direction::Ingress, Direction::Egress] {
        let blocks = evaluation.ip_blocks(direction);
        let ranges = AddressSet::atoms(blocks.chain([&everywhere]));
        for workload in &workloads {
            address_lines(&evaluation, workload, direction, &ranges, &mut found);
        }
    }
    found.lines.sort_by_cached_key(|line| line.to_string());
    Ok(found)
}

fn pair_lines(evaluation: &Evaluation, found: &mut Connectivity) {
    // The connections, and the number of pairs of classes that have them.
    let mut pairs: BTreeMap<(&WorkloadId, &WorkloadId), (ConnectionSet, usize)> = BTreeMap::new();
    evaluation.for_each_pair(|client, server, connections| {
        let ends = (
            &evaluation.class(client).workload,
            &evaluation.class(server).workload,
        );
        if ends.0 == ends.1 {
            return;
        }
        let entry = pairs
            .entry(ends)
            .or_insert_with(|| (connections.clone(), 0));
        if entry.0 != connections {
            note_uneven(evaluation, ends, &mut found.uneven);
            entry.0 = entry.0.union(&connections);
        }
        entry.1 += 1;
    });
    for (ends, (connections, count)) in pairs {
        if count != evaluation.classes_of(ends.0).len() * evaluation.classes_of(ends.1).len() {
            note_uneven(evaluation, ends, &mut found.uneven);
        }
        found.lines.push(ConnectivityLine {
            client: ConnectivityEnd::Workload(ends.0.clone()),
            server: ConnectivityEnd::Workload(ends.1.clone()),
            connections,
        });
    }
}

fn note_uneven(
    evaluation: &Evaluation,
    ends: (&WorkloadId, &WorkloadId),
    uneven: &mut BTreeSet<WorkloadId>,
) {
    let several = [ends.0, ends.1]
        .into_iter()
        .filter(|id| evaluation.classes_of(id).len() > 1);
    uneven.extend(several.cloned());
}

fn address_lines(
    evaluation: &Evaluation,
    workload: &WorkloadId,
    direction: Direction,
    ranges: &[AddressRange],
    found: &mut Connectivity,
) {
    let mut maps: Vec<AddressMap> = Vec::new();
    for class in evaluation.classes_of(workload) {
        let map = evaluation.addresses(*class, direction);
        if !maps.contains(&map) {
            maps.push(map);
        }
    }
    if maps.len() > 1 {
        found.uneven.insert(workload.clone());
    }
    for range in ranges {
        let each = maps.iter().map(|map| map.at(range.first()));
        let connections = each.fold(ConnectionSet::default(), |sum, one| sum.union(&one));
        if connections.is_empty() {
            continue;
        }
        let (outside, own) = (
            ConnectivityEnd::Outside(*range),
            ConnectivityEnd::Workload(workload.clone()),
        );
        let (client, server) = match direction {
            Direction::Ingress => (outside, own),
            Direction::Egress => (own, outside),
        };
        found.lines.push(ConnectivityLine {
            client,
            server,
            connections,
        });
    }
}
