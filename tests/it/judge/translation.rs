//! `--service-enforcement`: network plugins that check connections before a Service is translated need policies
//! with the Service's port, and every command that judges traffic has to know that.

use super::run;
use std::fs;

const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}, creationTimestamp: '2026-03-02T09:00:00Z'}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}], startTime: '2026-03-02T09:00:00Z'}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}, creationTimestamp: '2026-03-02T09:00:00Z'}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.1.6, podIPs: [{ip: 10.244.1.6}], startTime: '2026-03-02T09:00:00Z'}
---
apiVersion: v1
kind: Service
metadata: {name: api-http, namespace: shop}
spec: {clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], ports: [{port: 80, targetPort: 8080, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-http-0, namespace: shop, labels: {kubernetes.io/service-name: api-http}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.6], targetRef: {kind: Pod, namespace: shop, name: api}}]
";

const FLOWS: &str = r#"{"client": "10.244.1.5", "server": "10.244.1.6", "port": 8080, "protocol": "TCP", "via": "10.96.0.20:80", "time": "2026-03-02T10:00:00Z", "connections": 5}
"#;

/// A folder with the cluster, the flows, and the policies that are generated from them for each setting.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("cluster.yaml"), CLUSTER).expect("a file");
    fs::write(folder.path().join("flows.jsonl"), FLOWS).expect("a file");
    for setting in ["after-translation", "before-translation"] {
        let generate = [
            "generate",
            "--flows",
            "flows.jsonl",
            "--cluster",
            "cluster.yaml",
        ];
        let options = ["--service-enforcement", setting, "--out", setting];
        let made = run(folder.path(), &[&generate[..], &options[..]].concat());
        assert_eq!(made.code, Some(0), "{}", made.stderr);
    }
    folder
}

#[test]
fn verify_finds_the_missing_service_port_where_plugins_check_before_translation() {
    let folder = folder();
    let verify = |policies: &str, setting: &str| {
        let inputs = [
            "verify",
            "--flows",
            "flows.jsonl",
            "--cluster",
            "cluster.yaml",
        ];
        let options = [
            "--policies",
            policies,
            "--service-enforcement",
            setting,
            "-o",
            "json",
        ];
        let found = run(folder.path(), &[&inputs[..], &options[..]].concat());
        let verdict: serde_json::Value =
            serde_json::from_str(&found.stdout).unwrap_or_else(|_| panic!("{}", found.stderr));
        let blocked = verdict["wouldBlock"].as_array().expect("a list").clone();
        let ports: Vec<String> = blocked
            .iter()
            .filter_map(|one| Some(one["ports"].as_str()?.to_owned()))
            .collect();
        (found.code, ports, verdict["unusedTotal"].as_u64())
    };
    let none = Vec::<String>::new();
    let (after, before) = ("after-translation", "before-translation");
    assert_eq!(verify(after, after), (Some(0), none.clone(), Some(0)));
    assert_eq!(verify(before, before), (Some(0), none.clone(), Some(0)));
    let (code, ports, _) = verify(after, before);
    assert_eq!(
        (code, ports.first().map(String::as_str)),
        (Some(1), Some("TCP 80"))
    );
    // The Service's port is open for nothing where plugins check after translation.
    assert_eq!(verify(before, after), (Some(0), none, Some(1)));
}

#[test]
fn explain_asks_for_the_service_port_too_where_plugins_check_before_translation() {
    let folder = folder();
    let explain = |policies: &str, setting: &str| {
        let question = ["explain", "shop/web", "shop/service/api-http", "80"];
        let inputs = ["--cluster", "cluster.yaml", "--policies", policies];
        let options = ["--service-enforcement", setting];
        let all = [&question[..], &inputs[..], &options[..]].concat();
        let found = run(folder.path(), &all);
        assert_ne!(found.code, Some(2), "{}", found.stderr);
        found.code
    };
    let (after, before) = ("after-translation", "before-translation");
    assert_eq!(explain(after, after), Some(0));
    assert_eq!(explain(after, before), Some(1));
    assert_eq!(explain(before, before), Some(0));
}
