//! A client that comes through a node port: `nanoseg explain` asks what generation and the controller ask
//! (rules: node-port-from-any-node, one-evaluation).

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
kind: Node
metadata: {name: n2}
spec: {podCIDR: 10.244.2.0/24, podCIDRs: [10.244.2.0/24]}
status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}, creationTimestamp: '2026-03-02T09:00:00Z'}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.1.6, podIPs: [{ip: 10.244.1.6}], startTime: '2026-03-02T09:00:00Z'}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {type: NodePort, clusterIP: 10.96.0.20, clusterIPs: [10.96.0.20], ports: [{port: 80, targetPort: 8080, nodePort: 30080, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: api-0, namespace: shop, labels: {kubernetes.io/service-name: api}}
addressType: IPv4
ports: [{port: 8080, protocol: TCP}]
endpoints: [{addresses: [10.244.1.6], targetRef: {kind: Pod, namespace: shop, name: api}}]
";

const FLOWS: &str = r#"{"client": "203.0.113.7", "server": "10.244.1.6", "port": 8080, "protocol": "TCP", "via": "172.18.0.3:30080", "time": "2026-03-02T10:00:00Z", "connections": 5}
"#;

fn explain(folder: &std::path::Path, question: [&str; 3]) -> (Option<i32>, String) {
    let inputs = ["--cluster", "cluster.yaml", "--policies", "policies"];
    let mut arguments = vec!["explain"];
    arguments.extend(question);
    arguments.extend(inputs);
    let found = run(folder, &arguments);
    (found.code, found.stdout + &found.stderr)
}

#[test]
fn explain_finds_the_rules_for_a_client_through_a_node_port_as_itself_and_as_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("cluster.yaml"), CLUSTER).expect("a file");
    fs::write(folder.path().join("flows.jsonl"), FLOWS).expect("a file");
    let generate = [
        "generate",
        "--flows",
        "flows.jsonl",
        "--cluster",
        "cluster.yaml",
    ];
    let made = run(
        folder.path(),
        &[&generate[..], &["--out", "policies"]].concat(),
    );
    assert_eq!(made.code, Some(0), "{}", made.stderr);

    for question in [
        ["203.0.113.7", "shop/api", "8080"],
        ["203.0.113.7", "shop/service/api", "80"],
        ["203.0.113.7", "172.18.0.3", "30080"],
    ] {
        let (code, text) = explain(folder.path(), question);
        assert_eq!(code, Some(0), "{question:?}: {text}");
        assert!(text.contains("as a node, through shop/api:80"), "{text}");
        assert_eq!(text.matches("allowed by shop/").count(), 2, "{text}");
    }
    // Who was never seen may come through, and may not.
    let (code, text) = explain(folder.path(), ["203.0.113.9", "172.18.0.3", "30080"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("allowed in some cases only"), "{text}");
    assert!(
        text.contains("missing: an ingress rule for 203.0.113.9 on 8080/TCP"),
        "{text}"
    );
}
