//! Tests with files or other programs: does kubectl accept the output folder?

use k8s_openapi::api::networking::v1::NetworkPolicy;
use nanoseg::graph::{End, Requirement};
use nanoseg::inventory::{Inventory, Owned, Pod, Workload, WorkloadId};
use nanoseg::net::Protocol;
use nanoseg::policy::{SynthesisOptions, file_name, render, render_kustomization, synthesise};
use std::collections::BTreeMap;

fn id(namespace: &str, name: &str) -> WorkloadId {
    WorkloadId {
        namespace: namespace.to_string(),
        name: name.to_string(),
        kind: "Deployment".to_string(),
    }
}

/// Adds `replicas` pods that all have `labels`.
fn add(inventory: &mut Inventory, id: &WorkloadId, labels: &[(&str, String)], replicas: usize) {
    let labels: BTreeMap<String, String> = labels
        .iter()
        .map(|(key, value)| (key.to_string(), value.clone()))
        .collect();
    let first = inventory.pods.len();
    let workload = Workload {
        match_labels: labels.clone(),
        pods: (first..first + replicas).collect(),
        ..Workload::new(id.clone())
    };
    inventory.workloads.insert(id.clone(), workload);
    for replica in 0..replicas {
        let mut labels = labels.clone();
        labels.insert("pod-template-hash".to_string(), format!("h{}", replica % 3));
        inventory.pods.push(Pod {
            namespace: id.namespace.clone(),
            name: format!("{}-{replica}", id.name),
            labels,
            workload: id.clone(),
            node: None,
            host_network: false,
            addresses: Vec::new(),
            host_ports: Vec::new(),
            ports: Vec::new(),
            owned: Owned::default(),
            network_up: None,
            own_resolvers: Default::default(),
            claimed_owner: None,
            template: false,
        });
    }
}

fn requirement(client: End, server: End, port: u16, edge: usize) -> Requirement {
    Requirement {
        client,
        server,
        protocol: Protocol::Tcp,
        port,
        label: None,
        outside: true,
        edge,
    }
}

#[test]
fn kubectl_builds_the_kustomization_to_the_same_policies() {
    let [web, db, yes, one] = [
        ("shop", "web"),
        ("shop", "db"),
        ("other", "true"),
        ("other", "1"),
    ]
    .map(|(namespace, name)| id(namespace, name));
    let mut inventory = Inventory::default();
    for id in [&web, &db, &yes, &one] {
        add(&mut inventory, id, &[("app", id.name.clone())], 1);
    }
    let workload = |id: &WorkloadId| End::Workload(id.clone());
    let address = |text: &str| End::Addresses([text.parse().unwrap()].into());
    let wanted = [
        requirement(workload(&web), workload(&db), 5432, 0),
        requirement(workload(&yes), workload(&web), 80, 1),
        requirement(workload(&one), address("2001:db8::1"), 53, 2),
        requirement(address("192.0.2.1"), workload(&one), 80, 3),
    ];
    let managed = [web, db, yes, one];
    let synthesis = synthesise(
        &inventory,
        &wanted,
        &managed,
        &nanoseg::graph::OpenDirections::default(),
        &nanoseg::graph::DnsEvidence::default(),
        &SynthesisOptions::default(),
    );
    let folder = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for policy in &synthesis.policies {
        let name = file_name(policy);
        let path = folder.path().join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, render(policy)).unwrap();
        files.push(name);
    }
    let index = folder.path().join("kustomization.yaml");
    std::fs::write(index, render_kustomization(&files)).unwrap();
    let output = std::process::Command::new("kubectl")
        .arg("kustomize")
        .arg(folder.path())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: kubectl is not on the PATH");
        return;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let key = |p: &NetworkPolicy| (p.metadata.namespace.clone(), p.metadata.name.clone());
    let mut built: Vec<NetworkPolicy> = String::from_utf8(output.stdout)
        .unwrap()
        .split("\n---\n")
        .map(|document| serde_yaml::from_str(document).unwrap())
        .collect();
    built.sort_by_key(key);
    let mut expected: Vec<_> = synthesis.policies.into_iter().map(|p| p.policy).collect();
    expected.sort_by_key(key);
    assert_eq!(built, expected);
}
