//! Small clusters for tests, written as YAML.

use super::{Inventory, Objects, OwnerRule};
use nanoseg_finding::Finding;
use serde::de::DeserializeOwned;

/// Reads documents separated by `---`, of the kinds that the inventory knows.
pub fn objects(yaml: &str) -> Objects {
    let mut objects = Objects {
        snapshots: 1,
        ..Objects::default()
    };
    for document in yaml.split("\n---\n") {
        let kind = document
            .lines()
            .find_map(|line| line.trim().strip_prefix("kind: "));
        match kind.expect("a kind") {
            "Namespace" => objects.namespaces.push(read(document)),
            "Pod" => objects.pods.push(read(document)),
            "Service" => objects.services.push(read(document)),
            "EndpointSlice" => objects.endpoint_slices.push(read(document)),
            "Endpoints" => objects.endpoints.push(read(document)),
            "ServiceCIDR" => objects.service_cidrs.push(read(document)),
            "CiliumNode" => objects.cilium_nodes.push(read(document)),
            "ConfigMap" => objects.config_maps.push(read(document)),
            "Node" => objects.nodes.push(read(document)),
            "Deployment" => objects.deployments.push(read(document)),
            "ReplicaSet" => objects.replica_sets.push(read(document)),
            "StatefulSet" => objects.stateful_sets.push(read(document)),
            "DaemonSet" => objects.daemon_sets.push(read(document)),
            "Job" => objects.jobs.push(read(document)),
            "CronJob" => objects.cron_jobs.push(read(document)),
            "NetworkPolicy" => objects.network_policies.push(read(document)),
            other => panic!("unknown kind {other}"),
        }
    }
    objects
}

/// The objects of several snapshots, each written as documents.
pub fn snapshots(all: &[&str]) -> Objects {
    let mut objects = Objects::default();
    for yaml in all {
        let mark = objects.mark();
        let more = self::objects(yaml);
        objects.pods.extend(more.pods);
        objects.nodes.extend(more.nodes);
        objects.replica_sets.extend(more.replica_sets);
        objects.deployments.extend(more.deployments);
        objects.heartbeat = yaml
            .lines()
            .find_map(|line| line.strip_prefix("# taken "))
            .map(|time| time.parse::<jiff::Timestamp>().expect("a time").into());
        objects.note_snapshot(mark);
    }
    objects
}

/// The inventory of such documents, with the findings of building it.
pub fn inventory(yaml: &str) -> (Inventory, Vec<Finding>) {
    Inventory::build(&objects(yaml), OwnerRule::Infer)
}

fn read<T: DeserializeOwned>(document: &str) -> T {
    serde_yaml::from_str(document).expect("a Kubernetes object")
}

/// A running pod of its own, `labels` as `key: value`.
pub fn pod(namespace: &str, name: &str, address: &str, node: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: {namespace}, name: {name}, labels: {{{labels}}}}}\n\
         spec: {{nodeName: {node}, containers: [{{name: c, image: i}}]}}\n\
         status: {{phase: Running, podIP: {address}, startTime: '2026-01-01T00:00:00Z'}}"
    )
}

/// A node with one podCIDR and an InternalIP.
pub fn node(name: &str, cidr: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nspec: {{podCIDR: {cidr}, podCIDRs: [{cidr}]}}\n\
         status: {{addresses: [{{type: InternalIP, address: {address}}}, {{type: Hostname, address: {name}}}]}}"
    )
}
