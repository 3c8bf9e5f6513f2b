//! What nodes and Services declare of the cluster's addresses.

use crate::testing::{inventory, node, pod};
use nanoseg_finding::Code;

#[test]
fn a_node_has_the_addresses_that_its_network_plugin_writes() {
    let documents = "apiVersion: v1
kind: Node
metadata:
  name: n1
  annotations:
    k8s.ovn.org/node-subnets: '{\"default\":[\"10.128.0.0/23\"]}'
    k8s.ovn.org/node-gateway-router-lrp-ifaddrs: '{\"default\":{\"ipv4\":\"100.64.0.2/16\"}}'
    k8s.ovn.org/node-primary-ifaddr: '{\"ipv4\":\"192.0.2.10/24\"}'
    k8s.ovn.org/host-cidrs: '[\"192.0.2.10/24\",\"192.0.2.100/32\"]'
    k8s.ovn.org/node-mgmt-port-mac-address: 0a:58:0a:80:00:02
    ovn.kubernetes.io/ip_address: '100.65.0.3,fd00:100:65::3'
status: {addresses: [{type: InternalIP, address: 192.0.2.10}]}
---
apiVersion: cilium.io/v2
kind: CiliumNode
metadata: {name: n1}
spec:
  addresses: [{type: CiliumInternalIP, ip: 10.0.1.66}]
  health: {ipv4: 10.0.1.67}
  ingress: {ipV4: 10.0.1.68}
  ipam: {podCIDRs: [10.0.1.0/24]}";
    let (inventory, _) = inventory(documents);
    let node = &inventory.nodes[0];
    let all: Vec<String> = node.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(
        all,
        [
            "10.0.1.1",
            "10.0.1.66",
            "10.0.1.67",
            "10.128.0.1",
            "10.128.0.2",
            "100.64.0.2",
            "100.65.0.3",
            "192.0.2.10",
            "192.0.2.100",
            "fd00:100:65::3"
        ]
    );
    // Not the node's own: it needs a rule for pods of the same node too.
    assert_eq!(node.ingress.len(), 1);
    let ranges: Vec<String> = inventory
        .pod_ranges
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(ranges, ["10.0.1.0/24", "10.128.0.0/23"]);
}

#[test]
fn a_snapshot_in_which_no_pod_has_an_address_says_so() {
    let codes = |documents: &[String]| -> Vec<Code> {
        let (_, findings) = inventory(&documents.join("\n---\n"));
        findings.iter().map(|finding| finding.code).collect()
    };
    let whole = pod("shop", "web", "10.244.1.5", "n1", "app: web");
    let (bare, _) = whole.split_once("status:").expect("a status");
    let documents = [node("n1", "10.244.1.0/24", "192.0.2.1"), bare.to_owned()];
    assert!(codes(&documents).contains(&Code::PodsWithoutAddresses));
    let documents = [
        documents.to_vec(),
        vec![pod("shop", "api", "10.244.1.6", "n1", "app: api")],
    ];
    assert!(!codes(&documents.concat()).contains(&Code::PodsWithoutAddresses));
}

#[test]
fn a_slice_whose_owner_is_a_service_of_another_group_is_not_a_services() {
    let documents = "apiVersion: v1
kind: Service
metadata: {namespace: shop, name: web}
spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], selector: {app: web}, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  namespace: shop
  name: web-a
  ownerReferences: [{apiVersion: serving.knative.dev/v1, kind: Service, name: web, uid: u}]
ports: [{port: 80}]
endpoints: []";
    let (inventory, _) = inventory(documents);
    let web = inventory.services.iter().find(|one| one.name == "web");
    assert_eq!(
        web.expect("the Service").endpoint_source,
        crate::EndpointSource::Selector
    );
}
