//! The rules of the inventory, each by a small cluster.

mod declared;
mod owners;

use super::testing::{inventory, node, objects, pod};
use super::{Inventory, Owner, OwnerRule};
use nanoseg_finding::Code;
use nanoseg_net::{Protocol, Timestamp};
use std::net::IpAddr;

fn at(text: &str) -> Timestamp {
    text.parse::<jiff::Timestamp>()
        .map(Timestamp::from)
        .expect("a time")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn owner_name(inventory: &Inventory, address: &str, time: &str) -> String {
    match inventory.resolve(ip(address), at(time)) {
        Owner::Pod(index) => inventory.pods[index].name.clone(),
        Owner::Node(index) => format!("node {}", inventory.nodes[index].name),
        Owner::Uncertain(index) => format!("{}?", inventory.pods[index].name),
        Owner::Service(index) => format!("service {}", inventory.services[index].name),
        Owner::Unknown => "unknown".into(),
        Owner::Outside => "outside".into(),
    }
}

mod histories;
mod ownership;

/// A pod with everything that bounds its time.
fn timed(name: &str, start: &str, up: &str, finished: Option<&str>) -> String {
    let (phase, state) = match finished {
        Some(at) => (
            "Succeeded",
            format!("terminated: {{exitCode: 0, startedAt: '{up}', finishedAt: '{at}'}}"),
        ),
        None => ("Running", format!("running: {{startedAt: '{up}'}}")),
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: {name}, uid: {name}}}\n\
         spec: {{nodeName: n1, containers: [{{name: c, image: i}}]}}\n\
         status: {{phase: {phase}, podIP: 10.244.1.5, startTime: '{start}', containerStatuses: \
         [{{name: c, image: i, imageID: i, ready: true, restartCount: 0, state: {{{state}}}}}]}}"
    )
}

#[test]
fn an_address_belongs_to_the_pod_that_had_it_at_that_time() {
    let first = timed(
        "first",
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:00:02Z",
        Some("2026-01-01T10:05:00Z"),
    );
    let second = timed(
        "second",
        "2026-01-01T10:04:50Z",
        "2026-01-01T10:06:00Z",
        None,
    );
    let (inventory, findings) =
        inventory(&[first, second, node("n1", "10.244.1.0/24", "172.18.0.2")].join("\n---\n"));
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T09:59:00Z"),
        "unknown"
    );
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T10:01:00Z"),
        "first"
    );
    // The second pod was scheduled before the first one ended, but got its address only after.
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T10:04:55Z"),
        "first"
    );
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T10:05:30Z"),
        "second"
    );
    assert!(
        !findings.iter().any(|f| f.code == Code::AddressConflict),
        "{findings:?}"
    );
}

#[test]
fn a_pod_without_a_known_end_loses_its_address_when_the_next_one_starts() {
    let first = timed(
        "first",
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:00:02Z",
        None,
    );
    let second = timed(
        "second",
        "2026-01-01T10:10:00Z",
        "2026-01-01T10:10:03Z",
        None,
    );
    let (inventory, findings) = inventory(&[second, first].join("\n---\n"));
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T10:09:59Z"),
        "first"
    );
    assert_eq!(
        owner_name(&inventory, "10.244.1.5", "2026-01-01T10:10:01Z"),
        "second"
    );
    assert!(!findings.iter().any(|f| f.code == Code::AddressConflict));
}

#[test]
fn two_pods_with_one_address_at_once_are_reported() {
    let first = timed(
        "first",
        "2026-01-01T10:00:00Z",
        "2026-01-01T10:00:02Z",
        Some("2026-01-01T10:30:00Z"),
    );
    let second = timed(
        "second",
        "2026-01-01T10:10:00Z",
        "2026-01-01T10:10:03Z",
        None,
    );
    let (_, findings) = inventory(&[first, second].join("\n---\n"));
    assert!(findings.iter().any(|f| f.code == Code::AddressConflict));
}

#[test]
fn the_newest_version_of_an_object_counts_whatever_the_order_of_snapshots() {
    let version = |v: u32, phase: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{namespace: a, name: p, uid: u, resourceVersion: '{v}'}}\n\
             spec: {{containers: [{{name: c, image: i}}]}}\nstatus: {{phase: {phase}, podIP: 10.0.0.{v}}}"
        )
    };
    for order in [[9, 10], [10, 9]] {
        let yaml = order.map(|v| version(v, "Running")).join("\n---\n");
        let (inventory, _) = inventory(&yaml);
        assert_eq!(inventory.pods.len(), 1);
        assert_eq!(inventory.pods[0].addresses, [ip("10.0.0.10")]);
    }
}

const REPLICA_POD: &str = "apiVersion: v1
kind: Pod
metadata:
  namespace: shop
  name: web-6d7868d689-5dljc
  labels: {app: web, pod-template-hash: 6d7868d689}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-6d7868d689, uid: r, controller: true}]
spec: {containers: [{name: c, image: i}]}
status: {podIP: 10.244.1.7}";

const REPLICA_SET: &str = "apiVersion: apps/v1
kind: ReplicaSet
metadata:
  namespace: shop
  name: web-6d7868d689
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: d, controller: true}]
spec: {selector: {matchLabels: {app: web, pod-template-hash: 6d7868d689}}}";

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {namespace: shop, name: web}
spec:
  selector: {matchLabels: {app: web}}
  template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c, image: i}]}}";

fn only_workload(yaml: &str, rule: OwnerRule) -> (String, Vec<Code>) {
    let (inventory, findings) = Inventory::build(&objects(yaml), rule);
    assert_eq!(
        inventory.workloads.len(),
        1,
        "{:?}",
        inventory.workloads.keys()
    );
    let id = inventory.workloads.into_keys().next().expect("one");
    (
        format!("{} {id}", id.kind),
        findings.into_iter().map(|f| f.code).collect(),
    )
}

#[test]
fn a_pods_workload_is_the_deployment_above_its_replica_set() {
    let yaml = [REPLICA_POD, REPLICA_SET, DEPLOYMENT].join("\n---\n");
    let (name, findings) = only_workload(&yaml, OwnerRule::Literal);
    assert_eq!(name, "Deployment shop/web");
    assert!(!findings.contains(&Code::MissingOwners));
}

#[test]
fn a_missing_replica_set_is_inferred_from_its_name_and_said() {
    let (name, findings) = only_workload(REPLICA_POD, OwnerRule::Infer);
    assert_eq!(name, "Deployment shop/web");
    assert!(findings.contains(&Code::MissingOwners));
    assert_eq!(
        only_workload(REPLICA_POD, OwnerRule::Literal).0,
        "ReplicaSet shop/web-6d7868d689"
    );
}

#[test]
fn an_operators_custom_resource_does_not_merge_the_stateful_sets_it_owns() {
    let set = "apiVersion: apps/v1
kind: StatefulSet
metadata:
  namespace: shop
  name: db
  ownerReferences: [{apiVersion: x.io/v1, kind: Cluster, name: c, uid: c, controller: true}]
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template: {metadata: {labels: {app: db}}, spec: {containers: [{name: c, image: i}]}}";
    assert_eq!(
        only_workload(set, OwnerRule::Infer).0,
        "StatefulSet shop/db"
    );
}

#[test]
fn the_pod_of_a_cron_jobs_job_belongs_to_the_cron_job() {
    let pod = "apiVersion: v1
kind: Pod
metadata:
  namespace: shop
  name: batch-29123456-x
  ownerReferences: [{apiVersion: batch/v1, kind: Job, name: batch-29123456, uid: j, controller: true}]
spec: {containers: [{name: c, image: i}]}";
    assert_eq!(only_workload(pod, OwnerRule::Infer).0, "CronJob shop/batch");
}

#[test]
fn a_static_pod_stands_for_itself() {
    let pod = "apiVersion: v1
kind: Pod
metadata:
  namespace: kube-system
  name: etcd-n1
  ownerReferences: [{apiVersion: v1, kind: Node, name: n1, uid: n, controller: true}]
spec: {hostNetwork: true, containers: [{name: c, image: i}]}";
    assert_eq!(
        only_workload(pod, OwnerRule::Infer).0,
        "Pod kube-system/etcd-n1"
    );
}

#[test]
fn a_node_has_more_addresses_than_its_internal_ip() {
    let node = "apiVersion: v1
kind: Node
metadata:
  name: n1
  annotations:
    projectcalico.org/IPv4IPIPTunnelAddr: 10.244.1.64
    projectcalico.org/IPv4Address: 172.18.0.2/16
    flannel.alpha.coreos.com/backend-type: vxlan
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24, 'fd00:10:244:1::/64']}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: Hostname, address: n1}]}";
    let (inventory, _) = inventory(node);
    let all: Vec<String> = inventory.nodes[0]
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        all,
        [
            "10.244.1.0",
            "10.244.1.1",
            "10.244.1.64",
            "172.18.0.2",
            "fd00:10:244:1::",
            "fd00:10:244:1::1"
        ]
    );
    assert_eq!(
        owner_name(&inventory, "10.244.1.1", "2026-01-01T00:00:00Z"),
        "node n1"
    );
}

const NAMED_PORT_SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec:
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: http, nodePort: 30080}]
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: old, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 8080}]}]}
status: {phase: Running, podIP: 10.244.1.7}
---
apiVersion: v1
kind: Pod
metadata: {namespace: shop, name: new, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{name: http, containerPort: 9090}]}]}
status: {phase: Running, podIP: 10.244.1.8}";

#[test]
fn without_endpoint_slices_endpoints_come_from_the_selector_with_named_ports_per_pod() {
    let (inventory, findings) = inventory(NAMED_PORT_SERVICE);
    let endpoints = &inventory.services[0].ports[0].endpoints;
    let found: Vec<(String, u16)> = endpoints
        .iter()
        .map(|e| (e.address.to_string(), e.port))
        .collect();
    assert_eq!(
        found,
        [("10.244.1.7".into(), 8080), ("10.244.1.8".into(), 9090)]
    );
    assert!(
        findings
            .iter()
            .any(|f| f.code == Code::MissingEndpointSlices)
    );
}

#[test]
fn only_ready_endpoints_of_the_services_own_slices_count() {
    let slice = "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {namespace: shop, name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
  - {addresses: [10.244.1.7], conditions: {ready: true}, targetRef: {kind: Pod, name: old, namespace: shop}}
  - {addresses: [10.244.1.8], conditions: {ready: false}}";
    let (inventory, _) = inventory(&[NAMED_PORT_SERVICE, slice].join("\n---\n"));
    let endpoints = &inventory.services[0].ports[0].endpoints;
    assert_eq!(endpoints.len(), 1);
    assert_eq!(inventory.pods[endpoints[0].pod.expect("a pod")].name, "old");
    assert_eq!(
        owner_name(&inventory, "10.96.0.20", "2026-01-01T00:00:00Z"),
        "service web"
    );
}

#[test]
fn listeners_are_container_ports_service_ports_and_node_ports() {
    let yaml = [
        NAMED_PORT_SERVICE,
        &node("n1", "10.244.1.0/24", "172.18.0.2"),
    ]
    .join("\n---\n");
    let (inventory, _) = inventory(&yaml);
    for (address, port, expected) in [
        ("10.244.1.7", 8080, true),
        ("10.244.1.7", 9090, false),
        ("10.96.0.20", 80, true),
        ("172.18.0.2", 30080, true),
        ("172.18.0.2", 80, false),
    ] {
        assert_eq!(
            inventory
                .addresses
                .listens(ip(address), Protocol::Tcp, port),
            expected,
            "{address}:{port}"
        );
    }
}

#[test]
fn a_workload_without_pods_is_known_by_a_template_pod() {
    let (inventory, _) = inventory(DEPLOYMENT);
    assert_eq!(inventory.pods.len(), 1);
    assert!(inventory.pods[0].template);
    assert_eq!(inventory.pods[0].labels["app"], "web");
}

#[test]
fn host_network_pods_do_not_own_their_nodes_address() {
    let pod = "apiVersion: v1
kind: Pod
metadata: {namespace: kube-system, name: exporter}
spec: {nodeName: n1, hostNetwork: true, containers: [{name: c, image: i}]}
status: {podIP: 172.18.0.2, hostIP: 172.18.0.2}";
    let (inventory, _) =
        inventory(&[pod.into(), node("n1", "10.244.1.0/24", "172.18.0.2")].join("\n---\n"));
    assert_eq!(
        owner_name(&inventory, "172.18.0.2", "2026-01-01T00:00:00Z"),
        "node n1"
    );
    assert!(inventory.workloads.values().all(|w| w.host_network));
}

#[test]
fn what_a_snapshot_lacks_is_said() {
    let (inventory, findings) = inventory(&pod("a", "p", "192.168.7.9", "n9", "app: x"));
    let codes: Vec<Code> = findings.iter().map(|f| f.code).collect();
    assert!(
        codes.contains(&Code::MissingNodes) && codes.contains(&Code::MissingNamespaces),
        "{codes:?}"
    );
    // Without podCIDRs the range around the pods seen is the pods' range.
    assert_eq!(
        owner_name(&inventory, "192.168.7.200", "2026-01-02T00:00:00Z"),
        "unknown"
    );
    assert_eq!(
        owner_name(&inventory, "192.168.8.1", "2026-01-02T00:00:00Z"),
        "outside"
    );
}
