//! The real Kubernetes that other tests stand on.

use crate::support::kubernetes::Cluster;
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use std::path::Path;

#[test]
fn a_fresh_control_plane_answers_and_makes_the_default_service_account() {
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
fn who_calls_is_who_the_api_server_sees() {
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
