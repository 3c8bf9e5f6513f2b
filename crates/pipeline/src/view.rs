//! What was in view and what has no name, as figures of a run.

use nanoseg_flow::Verdict;
use nanoseg_graph::{Graph, Peer, Vantage};
use nanoseg_inventory::{Inventory, WorkloadId};
use nanoseg_net::{Direction, Timestamp};
use nanoseg_report::UnattributedEdge;

/// How much of the workloads in scope was in view.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    /// Pods that lived during the observation.
    pub pods: u64,
    /// Those that were in view for certain at some time.
    pub pods_in_view: u64,
    /// Others that were in view presumably.
    pub pods_presumed: u64,
    /// How long these pods lived during the observation, and how much of that was in view, in seconds.
    pub pod_secs: i64,
    pub secs_in_view: i64,
    /// Nodes that were in view for certain, by name.
    pub nodes: Vec<String>,
    /// Nodes with pods in scope that were in view presumably.
    pub presumed_nodes: Vec<String>,
    /// Nodes with pods in scope that were not in view.
    pub unseen_nodes: Vec<String>,
}

impl View {
    pub(super) fn of(
        inventory: &Inventory,
        vantage: &Vantage,
        span: (Timestamp, Timestamp),
        in_scope: impl Fn(&WorkloadId) -> bool,
    ) -> View {
        let nodes = vantage.nodes().map(|(node, _)| node.to_owned());
        let mut view = View {
            nodes: nodes.collect(),
            ..View::default()
        };
        let workloads = inventory.workloads.values();
        for workload in workloads.filter(|workload| in_scope(&workload.id)) {
            let seen = vantage.of(workload, inventory, span);
            view.pods += seen.pods as u64;
            view.pods_in_view += seen.certain as u64;
            view.pod_secs += seen.pod_secs;
            view.secs_in_view += seen.secs_in_view;
            for pod in seen.not_certain {
                view.pods_presumed += u64::from(pod.presumed);
                let nodes = if pod.presumed {
                    &mut view.presumed_nodes
                } else {
                    &mut view.unseen_nodes
                };
                nodes.extend(pod.node);
            }
        }
        for nodes in [&mut view.presumed_nodes, &mut view.unseen_nodes] {
            nodes.sort();
            nodes.dedup();
            nodes.retain(|node| !view.nodes.contains(node));
        }
        view.unseen_nodes
            .retain(|node| !view.presumed_nodes.contains(node));
        view
    }
}

/// Answered traffic of these workloads with somebody whom nobody can name (rule: unattributed-is-kept), in order.
pub(super) fn unattributed(
    graph: &Graph,
    in_scope: impl Fn(&WorkloadId) -> bool,
) -> Vec<UnattributedEdge> {
    let mut all = Vec::new();
    for (client, server, edge) in graph.edges() {
        let ends = [
            (client, server, Direction::Egress),
            (server, client, Direction::Ingress),
        ];
        for (near, far, direction) in ends {
            let (Some(workload), Peer::Unattributed(who)) = (near.workload(), far) else {
                continue;
            };
            let answered = edge.verdicts.get(&Verdict::Established);
            if let Some(connections) = answered
                && in_scope(workload)
            {
                all.push(UnattributedEdge {
                    workload: workload.clone(),
                    direction,
                    peer: who.label(),
                    protocol: edge.protocol,
                    port: edge.port,
                    reason: who.reason.name(),
                    connections: *connections,
                });
            }
        }
    }
    all.sort();
    all
}
