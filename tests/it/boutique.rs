//! A real node's capture of the Online Boutique topology. The generated policies are compared with the demo's
//! hand-written policies, connection by connection. They differ, and each difference has its reason here. Needs
//! `../shared/data/boutique`; without it the test prints that it was skipped.

use crate::places::shared;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg::cluster::read_cluster;
use nanoseg::evaluate::{ConnectivityEnd, HostNetwork, connectivity};
use nanoseg::flow::{FlowConfig, FlowTable};
use nanoseg::graph::{InventoryListeners, address_epochs};
use nanoseg::inventory::{Inventory, OwnerRule, foreign_policies};
use nanoseg::net::ConnectionSet;
use nanoseg::observe::CaptureSet;
use nanoseg::pipeline::{self, Generated, Options};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Client and server → what is allowed. Address ranges are one peer, `outside`.
type Allowed = BTreeMap<(String, String), BTreeSet<String>>;

fn generate(folder: &Path) -> (Inventory, Generated) {
    let (objects, _) = read_cluster(&[folder.join("cluster.yaml")]).expect("the snapshot");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    let existing = foreign_policies(&objects);
    let listeners = InventoryListeners(&inventory);
    let mut table = FlowTable::new(listeners, address_epochs(&inventory), FlowConfig::default());
    let captures = CaptureSet::open(&[folder.join("node1.pcap.zst")]).expect("the capture");
    let (summary, _) = captures.feed(&mut table, |_| {}).expect("packets");
    let seen = table.finish();
    let span = summary.span.expect("packets");
    let vantage = nanoseg::graph::Vantage::everywhere(span.0, span.1);
    let generated = pipeline::generate(
        &seen,
        span,
        &vantage,
        &inventory,
        &existing,
        &Options::default(),
    );
    let generated = generated.expect("policies that can be judged");
    (inventory, generated)
}

/// Returns the demo's own policies, in the namespace of its workloads in this test.
fn hand_written(folder: &Path) -> Vec<NetworkPolicy> {
    let files = std::fs::read_dir(folder)
        .expect("policies")
        .map(|file| file.expect("a file").path());
    let mut files: Vec<_> = files
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    files.sort();
    let (objects, _) = read_cluster(&files).expect("policies");
    let mut policies = objects.network_policies;
    for policy in &mut policies {
        policy.metadata.namespace = Some("boutique".into());
    }
    policies
}

fn allowed(inventory: &Inventory, policies: &[NetworkPolicy]) -> Allowed {
    let mut allowed = Allowed::new();
    let name = |end: &ConnectivityEnd| match end {
        ConnectivityEnd::Workload(id) => id.to_string(),
        ConnectivityEnd::Outside(_) => "outside".into(),
    };
    for line in connectivity(inventory, policies, HostNetwork::Exact)
        .expect("valid policies")
        .lines
    {
        let pair = (name(&line.client), name(&line.server));
        if pair.0.starts_with("boutique/") || pair.1.starts_with("boutique/") {
            let text = |all: &ConnectionSet| all.to_string();
            allowed
                .entry(pair)
                .or_default()
                .insert(text(&line.connections));
        }
    }
    allowed
}

/// Returns the reason why the hand-written policies allow more, or `None` for an unexplained difference.
fn why_wider(client: &str, server: &str) -> Option<&'static str> {
    match (client, server) {
        (_, "boutique/frontend") => Some("its policy has `ingress: [{}]`: anybody, on any port"),
        (_, "outside" | "kube-system/coredns" | "monitoring/statsd") => {
            Some("every policy has `egress: [{}]`, and nothing restricts the other end")
        }
        (_, "monitoring/prometheus" | "monitoring/node-exporter") => {
            Some("the same; these two are never even called from the shop")
        }
        _ => None,
    }
}

/// Returns the reason why the generated policies allow what the hand-written ones do not.
fn why_missing(client: &str, server: &str) -> Option<&'static str> {
    match (client, server) {
        ("monitoring/prometheus", "boutique/cartservice") => {
            Some("the demo knows no monitoring: its policies cut the scraper off")
        }
        _ => None,
    }
}

#[test]
fn each_difference_from_the_hand_written_policies_is_explained() {
    let Some(folder) = shared("boutique") else {
        return;
    };
    let (inventory, generated) = generate(&folder.join("node-capture"));
    let ours: Vec<NetworkPolicy> = generated
        .synthesis
        .policies
        .iter()
        .map(|p| p.policy.clone())
        .collect();
    let ours = allowed(&inventory, &ours);
    let theirs = allowed(&inventory, &hand_written(&folder.join("network-policies")));

    let (mut same, mut wider, mut missing) = (0, 0, 0);
    let pairs: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    for pair in pairs {
        let (client, server) = (pair.0.as_str(), pair.1.as_str());
        match (ours.get(pair), theirs.get(pair)) {
            (a, b) if a == b => same += 1,
            (Some(_), None) => {
                missing += 1;
                assert!(
                    why_missing(client, server).is_some(),
                    "unexplained: only we allow {pair:?}"
                );
            }
            (a, Some(b)) => {
                wider += 1;
                assert!(
                    b.contains("All Connections"),
                    "{pair:?}: {a:?} here, {b:?} there"
                );
                assert!(
                    why_wider(client, server).is_some(),
                    "unexplained: {pair:?} {a:?} {b:?}"
                );
            }
            (None, None) => {}
        }
    }
    // The 15 calls between the shop's services are the same, to the port.
    assert_eq!((same, missing), (15, 1));
    assert_eq!(
        wider, 76,
        "pairs that the hand-written policies open wider than the traffic"
    );
}

#[test]
fn the_capture_of_a_real_node_gives_sound_and_tight_policies() {
    let Some(folder) = shared("boutique") else {
        return;
    };
    let (_, generated) = generate(&folder.join("node-capture"));
    assert!(generated.proof.is_sound(), "{:?}", generated.proof.blocked);
    assert!(generated.proof.is_tight(), "{:?}", generated.proof.excess);
}

#[test]
fn the_connections_of_the_real_capture_are_attributed() {
    let Some(folder) = shared("boutique") else {
        return;
    };
    let (_, generated) = generate(&folder.join("node-capture"));
    let edges: BTreeSet<String> = generated
        .graph
        .taught()
        .iter()
        .map(|(client, server, edge)| {
            format!("{client} → {server} {}/{}", edge.port, edge.protocol)
        })
        .collect();
    for expected in [
        // Called as Service emailservice:5000.
        "boutique/checkoutservice → boutique/emailservice 8080/TCP",
        // Opened before the capture began.
        "boutique/cartservice → boutique/redis-cart 6379/TCP",
        // One-way UDP to a Service with a named target port.
        "boutique/frontend → monitoring/statsd 9125/UDP",
        // The API server is identified by its endpoint, a hostNetwork pod by its node.
        "monitoring/prometheus → api-server 6443/TCP",
        "monitoring/prometheus → node:node1 9100/TCP",
        "boutique/emailservice → outside:192.0.2.25 587/TCP",
    ] {
        assert!(
            edges.contains(expected),
            "{expected} is missing in {edges:#?}"
        );
    }
    assert!(
        !edges.iter().any(|edge| edge.contains("169.254.169.254")),
        "{edges:#?}"
    );
    assert!(
        !edges.iter().any(|edge| edge.starts_with("node:")),
        "probes became edges: {edges:#?}"
    );
}
