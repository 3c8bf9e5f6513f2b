//! A generated cluster with one observed connection for each of its edges.

use super::Failure;
use super::synthetic::cluster::{Cluster, ClusterSize};
use super::synthetic::{snapshot, traffic};
use nanoseg::cluster::parse_objects;
use nanoseg::flow::{ActivityWindows, FlowRecord, FlowResult, Opening, Verdict};
use nanoseg::graph::{
    Graph, GraphOptions, Requirement, ServiceEnforcements, build as build_graph, requirements,
};
use nanoseg::inventory::{Inventory, Objects, OwnerRule, WorkloadId};
use nanoseg::net::{Protocol, Timestamp};
use std::net::IpAddr;

/// The input of synthesis.
pub struct Ground {
    pub inventory: Inventory,
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub graph: Graph,
    pub requirements: Vec<Requirement>,
    pub workloads: Vec<WorkloadId>,
    /// One requirement per edge.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub flows: Vec<FlowRecord>,
    /// The snapshot in the format of kubectl.
    #[allow(dead_code, reason = "each benchmark uses its part")]
    pub snapshot: Vec<u8>,
}

impl Ground {
    pub fn build(size: ClusterSize) -> Result<Ground, Failure> {
        let cluster = Cluster::plan(size, &mut fastrand::Rng::with_seed(1));
        let mut objects = Objects::default();
        let snapshot = snapshot::snapshot(&cluster);
        parse_objects(&snapshot, "snapshot", &mut objects)?;
        let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
        let records = (0..cluster.edges.len())
            .map(|edge| record(&cluster, edge))
            .collect();
        let seen = FlowResult {
            records,
            ..FlowResult::default()
        };
        let built = build_graph(&seen, &inventory, GraphOptions::default());
        let requirements = requirements(&built.graph, &inventory, &ServiceEnforcements::default());
        if requirements.len() != cluster.edges.len() {
            return Err(format!(
                "{} requirements for {} edges",
                requirements.len(),
                cluster.edges.len()
            )
            .into());
        }
        let workloads = inventory.workloads.keys().cloned().collect();
        Ok(Ground {
            inventory,
            graph: built.graph,
            requirements,
            workloads,
            flows: seen.records,
            snapshot,
        })
    }
}

/// Returns one connection between the first pods of an edge's workloads.
fn record(cluster: &Cluster, edge: usize) -> FlowRecord {
    let (client, server) = cluster.edges[edge];
    let address = |workload: usize| {
        let first = cluster.workloads[workload].pods.start;
        IpAddr::V4(cluster.pods[first].address)
    };
    let time = Timestamp::from_nanos((traffic::START as i64 + edge as i64) * 1_000);
    FlowRecord {
        observers: Default::default(),
        told: None,
        client: address(client),
        server: address(server),
        port: cluster.workloads[server].port,
        protocol: Protocol::Tcp,
        via: None,
        seen_as: None,
        client_port: None,
        labels: None,
        verdict: Verdict::Established,
        opening: Opening::Handshake,
        connections: 1,
        datagrams: 0,
        bytes_to_server: 40,
        bytes_to_client: 80,
        first: time,
        last: time,
        windows: ActivityWindows::at(time),
    }
}
