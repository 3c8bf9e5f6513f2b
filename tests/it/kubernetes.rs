//! Tests of the real Kubernetes that other tests use.

mod agents;
mod pods;

use crate::support::kubernetes::{Cluster, Deployment, Outcome, PATIENCE, until};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_new_control_plane_answers_and_creates_the_default_service_account() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("fresh");
    let account = cluster.run(async {
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client(), &namespace);
        accounts.get("default").await
    });
    assert_eq!(
        account.expect("it is there").metadata.namespace,
        Some(namespace)
    );
    let version = cluster.kubectl(&["version", "--output=json"]);
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.contains("serverVersion"), "{version}");
}

#[test]
fn the_api_server_sees_the_identity_of_the_caller() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("who");
    let who = |kubeconfig: &Path| {
        let output = cluster.kubectl_of(kubeconfig, &["auth", "whoami", "-o", "json"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let answer: serde_json::Value = serde_json::from_str(&text).expect(&text);
        answer["status"]["userInfo"].clone()
    };
    let reviewer = who(&cluster.kubeconfig_as("rosa", &["reviewers"]));
    assert_eq!(reviewer["username"], "rosa");
    let groups = reviewer["groups"].to_string();
    assert!(groups.contains("reviewers"), "{groups}");
    let account = who(&cluster.service_account_kubeconfig(&namespace, "default"));
    let wanted = format!("system:serviceaccount:{namespace}:default");
    assert_eq!(account["username"], wanted);
}

#[test]
fn a_user_has_the_rights_of_the_roles_and_no_others() {
    let Some(cluster) = Cluster::get() else {
        return;
    };
    let namespace = cluster.namespace("roles");
    let list = async || {
        let vera = cluster.client_as("vera", &["viewers"]);
        let pods: Api<Pod> = Api::namespaced(vera, &namespace);
        let listed = pods.list(&ListParams::default()).await;
        listed.map_err(|error| error.to_string())
    };
    let refused = cluster.run(list()).expect_err("no role yet");
    assert!(refused.contains("forbidden"), "{refused}");
    let binding = [
        "create",
        "rolebinding",
        "view",
        "--clusterrole=view",
        "--group=viewers",
        "-n",
    ];
    let made = cluster.kubectl(&[&binding[..], &[&namespace]].concat());
    assert!(made.status.success(), "{made:?}");
    // The authorizer has its own watch of roles.
    cluster.run(until(PATIENCE, "the role", list));
}

/// Selects every pod labelled `app: NAME` and allows nothing in this direction.
fn deny(name: &str, direction: &str) -> String {
    let policy = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": format!("deny-{name}")},
        "spec": {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": [direction]},
    });
    policy.to_string()
}

#[test]
fn a_policy_blocks_real_connections_also_by_cluster_ip_and_no_others_and_they_work_again_without_it()
 {
    let Some(cluster) = Cluster::with_nodes() else {
        return;
    };
    let namespace = cluster.namespace("enforce");
    let client = &cluster.deploy(&namespace, &Deployment::new("client").on("node1"))[0];
    let near = Deployment::new("near").serves(8080).on("node1");
    let near = &cluster.deploy(&namespace, &near)[0];
    let far = Deployment::new("far").serves(8080).on("node2");
    let far = &cluster.deploy(&namespace, &far)[0];
    let services = ["near", "far"].map(|name| cluster.expose(&namespace, name, 80, 8080));
    let protected = [(&near.address, 8080), (&services[0], 80)];
    let open = [(&far.address, 8080), (&services[1], 80)];
    for (target, port) in protected.iter().chain(&open) {
        client.connects_until(target, *port, Outcome::Connected);
    }
    cluster.apply(&namespace, &deny("near", "Ingress"));
    for (target, port) in protected {
        let took = client.connects_until(target, port, Outcome::Refused);
        eprintln!("{target}:{port} is refused after {took:?}");
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
    for (target, port) in open {
        assert_eq!(client.connect(target, port), Outcome::Connected, "{target}");
    }
    let removed = cluster.kubectl(&["delete", "netpol", "-n", &namespace, "deny-near"]);
    assert!(removed.status.success(), "{removed:?}");
    for (target, port) in protected {
        client.connects_until(target, port, Outcome::Connected);
    }
}
