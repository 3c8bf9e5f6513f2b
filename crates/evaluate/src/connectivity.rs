//! What policies allow, told workload by workload: the lines that people read.

use super::{AddressMap, EvaluateError, Evaluation, HostNetwork};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{AddressRange, AddressSet, ConnectionSet, Direction};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One end of a [`Line`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineEnd {
    Outside(AddressRange),
    Workload(WorkloadId),
}

impl fmt::Display for LineEnd {
    /// `first-last`, or `namespace/name[Kind]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LineEnd::Outside(range) => write!(f, "{range}"),
            LineEnd::Workload(id) => write!(f, "{id}[{}]", id.kind),
        }
    }
}

/// What one end may open to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub client: LineEnd,
    pub server: LineEnd,
    pub connections: ConnectionSet,
}

impl fmt::Display for Line {
    /// `ns/name[Kind] => ns/name[Kind] : TCP 80,443,UDP 53`; address ranges end in `[External]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |end: &LineEnd| match end {
            LineEnd::Outside(_) => format!("{end}[External]"),
            LineEnd::Workload(_) => end.to_string(),
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
    pub lines: Vec<Line>,
    /// Workloads with pods that differ in what they may do: their lines say what some pod may do.
    pub uneven: BTreeSet<WorkloadId>,
}

/// Lists what `policies` allow between the workloads of `inventory` and with outside addresses. A
/// workload with itself is not listed. Address ranges are cut at every bound of every ipBlock of the
/// direction, so that the ranges of all clients are the same or disjoint, and those of all servers.
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
    // The connections, and how many pairs of classes have them.
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
        found.lines.push(Line {
            client: LineEnd::Workload(ends.0.clone()),
            server: LineEnd::Workload(ends.1.clone()),
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
            LineEnd::Outside(*range),
            LineEnd::Workload(workload.clone()),
        );
        let (client, server) = match direction {
            Direction::Ingress => (outside, own),
            Direction::Egress => (own, outside),
        };
        found.lines.push(Line {
            client,
            server,
            connections,
        });
    }
}
