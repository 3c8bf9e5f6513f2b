//! What perhaps was a workload's own: traffic and pods that nobody can give to it for certain.

use super::UnattributedTraffic;
use crate::vantage::Certainty;
use crate::{Graph, Peer, Unattributed, UnattributedReason, UnseenPod, Vantage};
use nanoseg_flow::Verdict;
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Timestamp};
use std::collections::{BTreeMap, BTreeSet};

/// Answered traffic of addresses whose owner is not certain, by the workloads that perhaps had them.
pub(super) fn perhaps_own(
    graph: &Graph,
    inventory: &Inventory,
) -> BTreeMap<(WorkloadId, Direction), Vec<UnattributedTraffic>> {
    let mut found: BTreeMap<(WorkloadId, Direction), Vec<UnattributedTraffic>> = BTreeMap::new();
    for (client, server, edge) in graph.edges() {
        let Some(connections) = edge.verdicts.get(&Verdict::Established).copied() else {
            continue;
        };
        let span = edge.first.zip(edge.last).unwrap_or_default();
        for (near, far, direction) in [
            (client, server, Direction::Egress),
            (server, client, Direction::Ingress),
        ] {
            let Peer::Unattributed(who) = near else {
                continue;
            };
            for id in perhaps_of(who, span, graph, inventory) {
                let list = found.entry((id.clone(), direction)).or_default();
                list.push(UnattributedTraffic {
                    reason: who.reason,
                    peer: far.to_string(),
                    protocol: edge.protocol,
                    port: edge.port,
                    connections,
                    last: edge.last,
                });
            }
        }
    }
    found
}

/// The workloads whose pod somebody without a name perhaps was in a time: who may have had the address, whom a source
/// names at it (rule: named-once-is-perhaps), and whom the Service that was called selects.
fn perhaps_of<'a>(
    who: &Unattributed,
    span: (Timestamp, Timestamp),
    graph: &'a Graph,
    inventory: &'a Inventory,
) -> BTreeSet<&'a WorkloadId> {
    match who.reason {
        UnattributedReason::OwnerUncertain
        | UnattributedReason::UnknownPod
        | UnattributedReason::UnexplainedAddress => {
            let named = graph.named_at.get(&who.address).into_iter().flatten();
            let mut perhaps = inventory.may_have_had(who.address, span);
            perhaps.extend(named);
            perhaps
        }
        UnattributedReason::ServiceWithoutEndpoints => inventory
            .service_with(who.address)
            .map(|service| inventory.selected_by(service))
            .unwrap_or_default(),
        _ => BTreeSet::new(),
    }
}

/// The pods of a workload that only a source names, and that were not in view: neither they nor their nodes are in the
/// snapshot, so the range that the address lies in tells the node, or nothing does (rule: isolated-only-if-in-view).
pub(super) fn unseen_by_name(
    id: &WorkloadId,
    graph: &Graph,
    inventory: &Inventory,
    vantage: &Vantage,
) -> Vec<UnseenPod> {
    let named = graph.named_at.iter().filter(|(_, all)| all.contains(id));
    let pods = named.filter_map(|(address, _)| {
        let mut nodes = inventory.nodes.iter();
        let in_range = |node: &&nanoseg_inventory::Node| {
            node.pod_cidrs.iter().any(|range| range.contains(address))
        };
        let node = nodes.find(in_range).map(|node| node.name.clone());
        let certainty = vantage.of_node(node.as_deref());
        (certainty != Some(Certainty::Certain)).then(|| UnseenPod {
            pod: format!("one at {address} that only a log names"),
            node,
            presumed: certainty.is_some(),
        })
    });
    pods.collect()
}
