//! The output of `kubectl get namespaces,pods,… -A -o json` for the cluster.

use super::cluster::{Cluster, Workload, node_address, template_hash};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

/// Before [`super::traffic::START`].
const CREATED: &str = "2025-01-15T09:30:00Z";

/// Returns the snapshot as one JSON `List`, indented as by kubectl.
pub fn snapshot(cluster: &Cluster) -> Vec<u8> {
    let mut items: Vec<Value> = Vec::new();
    items.push(namespace("default"));
    items.extend(cluster.namespaces.iter().map(|name| namespace(name)));
    items.extend((0..cluster.nodes).map(node));
    items.extend(api_server());
    for (number, workload) in cluster.workloads.iter().enumerate() {
        items.push(deployment(cluster, workload));
        items.push(replica_set(cluster, number));
        items.push(service(cluster, number));
        items.push(endpoint_slice(cluster, number));
    }
    items.extend((0..cluster.pods.len()).map(|number| pod(cluster, number)));
    let list = json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": items });
    let mut text = Vec::new();
    let kubectl = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, kubectl);
    serde::Serialize::serialize(&list, &mut serializer).expect("JSON values serialise");
    text
}

fn object(api: &str, kind: &str, metadata: Value, rest: Value) -> Value {
    let mut object = Map::new();
    object.insert("apiVersion".into(), api.into());
    object.insert("kind".into(), kind.into());
    object.insert("metadata".into(), metadata);
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    Value::Object(object)
}

fn namespace(name: &str) -> Value {
    let metadata = json!({
        "name": name, "uid": uid(1, name), "resourceVersion": "41", "creationTimestamp": CREATED,
        "labels": { "kubernetes.io/metadata.name": name },
    });
    let rest = json!({ "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" } });
    object("v1", "Namespace", metadata, rest)
}

fn host_address(node: usize) -> Ipv4Addr {
    Ipv4Addr::from(0xac12_0000 + 2 + node as u32)
}

fn node_name(node: usize) -> String {
    format!("node-{node:03}")
}

fn node(number: usize) -> Value {
    let name = node_name(number);
    let range = format!("{}/24", node_address(number, 0));
    let metadata = json!({
        "name": name, "uid": uid(2, &name), "resourceVersion": "42", "creationTimestamp": CREATED,
        "labels": { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" },
    });
    let rest = json!({
        "spec": { "podCIDR": range, "podCIDRs": [range] },
        "status": { "addresses": [
            { "type": "InternalIP", "address": host_address(number) },
            { "type": "Hostname", "address": name },
        ] },
    });
    object("v1", "Node", metadata, rest)
}

fn api_server() -> [Value; 2] {
    let labels = json!({ "kubernetes.io/service-name": "kubernetes" });
    let metadata = |labels: Value| {
        json!({
            "name": "kubernetes", "namespace": "default", "uid": uid(3, "kubernetes"),
            "resourceVersion": "43", "creationTimestamp": CREATED, "labels": labels,
        })
    };
    let service = json!({ "spec": {
        "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"], "type": "ClusterIP",
        "ports": [{ "name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443 }],
    } });
    let slice = json!({
        "addressType": "IPv4",
        "endpoints": [{ "addresses": [host_address(0)], "conditions": { "ready": true } }],
        "ports": [{ "name": "https", "port": 6443, "protocol": "TCP" }],
    });
    [
        object("v1", "Service", metadata(json!({})), service),
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            metadata(labels),
            slice,
        ),
    ]
}

fn labels(workload: &Workload) -> Map<String, Value> {
    workload
        .selector
        .iter()
        .map(|(key, value)| ((*key).to_string(), json!(value)))
        .collect()
}

/// Returns the labels of every pod of a workload: more labels than the selector requires.
fn pod_labels(cluster: &Cluster, workload: &Workload) -> Map<String, Value> {
    let mut labels = labels(workload);
    let namespace = &cluster.namespaces[workload.namespace];
    labels.insert("app.kubernetes.io/part-of".into(), json!(namespace));
    labels.insert("app.kubernetes.io/managed-by".into(), json!("Helm"));
    labels
}

fn metadata(cluster: &Cluster, workload: &Workload, kind: u64, name: &str) -> Map<String, Value> {
    let namespace = &cluster.namespaces[workload.namespace];
    let metadata = json!({
        "name": name, "namespace": namespace, "uid": uid(kind, &format!("{namespace}/{name}")),
        "resourceVersion": "1207", "creationTimestamp": CREATED,
    });
    match metadata {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn owned(mut metadata: Map<String, Value>, api: &str, kind: &str, owner: &str, id: u64) -> Value {
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let reference = json!({
        "apiVersion": api, "kind": kind, "name": owner, "controller": true,
        "blockOwnerDeletion": true, "uid": uid(id, &format!("{namespace}/{owner}")),
    });
    metadata.insert("ownerReferences".into(), json!([reference]));
    Value::Object(metadata)
}

fn pod_spec(workload: &Workload) -> Value {
    let probe = json!({
        "httpGet": { "path": "/healthz", "port": workload.port, "scheme": "HTTP" },
        "failureThreshold": 3, "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
    });
    json!({
        "containers": [{
            "name": "app",
            "image": format!("registry.example/{}:1.4.2", workload.name),
            "imagePullPolicy": "IfNotPresent",
            "env": [
                { "name": "POD_NAME", "valueFrom": { "fieldRef": {
                    "apiVersion": "v1", "fieldPath": "metadata.name" } } },
                { "name": "LOG_LEVEL", "value": "info" },
            ],
            "ports": [{ "containerPort": workload.port, "name": "main", "protocol": "TCP" }],
            "livenessProbe": probe, "readinessProbe": probe,
            "resources": {
                "limits": { "memory": "256Mi" },
                "requests": { "cpu": "100m", "memory": "128Mi" },
            },
            "volumeMounts": [{
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "name": "kube-api-access", "readOnly": true,
            }],
        }],
        "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "securityContext": { "runAsNonRoot": true },
        "serviceAccount": "default", "serviceAccountName": "default",
        "terminationGracePeriodSeconds": 30,
        "tolerations": [
            { "effect": "NoExecute", "key": "node.kubernetes.io/not-ready",
              "operator": "Exists", "tolerationSeconds": 300 },
            { "effect": "NoExecute", "key": "node.kubernetes.io/unreachable",
              "operator": "Exists", "tolerationSeconds": 300 },
        ],
        "volumes": [{ "name": "kube-api-access", "projected": { "defaultMode": 420, "sources": [
            { "serviceAccountToken": { "expirationSeconds": 3607, "path": "token" } },
            { "configMap": { "items": [{ "key": "ca.crt", "path": "ca.crt" }],
                             "name": "kube-root-ca.crt" } },
        ] } }],
    })
}

fn deployment(cluster: &Cluster, workload: &Workload) -> Value {
    let metadata = metadata(cluster, workload, 4, &workload.name);
    let rest = json!({
        "spec": {
            "replicas": workload.pods.len(), "revisionHistoryLimit": 10,
            "selector": { "matchLabels": labels(workload) },
            "template": {
                "metadata": { "labels": pod_labels(cluster, workload) },
                "spec": pod_spec(workload),
            },
        },
        "status": { "replicas": workload.pods.len(), "readyReplicas": workload.pods.len() },
    });
    object("apps/v1", "Deployment", Value::Object(metadata), rest)
}

fn replica_set_name(cluster: &Cluster, workload: usize) -> String {
    format!(
        "{}-{}",
        cluster.workloads[workload].name,
        template_hash(workload)
    )
}

fn replica_set(cluster: &Cluster, number: usize) -> Value {
    let workload = &cluster.workloads[number];
    let metadata = metadata(cluster, workload, 5, &replica_set_name(cluster, number));
    let hash = template_hash(number);
    let (mut selector, mut template) = (labels(workload), pod_labels(cluster, workload));
    selector.insert("pod-template-hash".into(), json!(hash));
    template.insert("pod-template-hash".into(), json!(hash));
    let rest = json!({
        "spec": {
            "replicas": workload.pods.len(),
            "selector": { "matchLabels": selector },
            "template": { "metadata": { "labels": template }, "spec": pod_spec(workload) },
        },
        "status": { "replicas": workload.pods.len() },
    });
    let metadata = owned(metadata, "apps/v1", "Deployment", &workload.name, 4);
    object("apps/v1", "ReplicaSet", metadata, rest)
}

fn service(cluster: &Cluster, number: usize) -> Value {
    let workload = &cluster.workloads[number];
    let metadata = metadata(cluster, workload, 6, &workload.name);
    let rest = json!({ "spec": {
        "clusterIP": workload.cluster_ip, "clusterIPs": [workload.cluster_ip], "type": "ClusterIP",
        "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"], "sessionAffinity": "None",
        "ports": [{ "name": "main", "port": workload.service_port, "protocol": "TCP",
                    "targetPort": workload.port }],
        "selector": labels(workload),
    } });
    object("v1", "Service", Value::Object(metadata), rest)
}

fn endpoint_slice(cluster: &Cluster, number: usize) -> Value {
    let workload = &cluster.workloads[number];
    let mut metadata = metadata(cluster, workload, 7, &format!("{}-x7k2p", workload.name));
    metadata.insert(
        "labels".into(),
        json!({ "kubernetes.io/service-name": workload.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io" }),
    );
    let namespace = &cluster.namespaces[workload.namespace];
    let endpoints: Vec<Value> = cluster.pods[workload.pods.clone()]
        .iter()
        .map(|pod| {
            json!({
                "addresses": [pod.address],
                "conditions": { "ready": true, "serving": true, "terminating": false },
                "nodeName": node_name(pod.node),
                "targetRef": { "kind": "Pod", "name": pod.name, "namespace": namespace,
                               "uid": uid(8, &format!("{namespace}/{}", pod.name)) },
            })
        })
        .collect();
    let rest = json!({
        "addressType": "IPv4", "endpoints": endpoints,
        "ports": [{ "name": "main", "port": workload.port, "protocol": "TCP" }],
    });
    object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        Value::Object(metadata),
        rest,
    )
}

fn pod(cluster: &Cluster, number: usize) -> Value {
    let pod = &cluster.pods[number];
    let workload = &cluster.workloads[pod.workload];
    let mut metadata = metadata(cluster, workload, 8, &pod.name);
    let mut labels = pod_labels(cluster, workload);
    labels.insert(
        "pod-template-hash".into(),
        json!(template_hash(pod.workload)),
    );
    metadata.insert(
        "generateName".into(),
        json!(replica_set_name(cluster, pod.workload) + "-"),
    );
    metadata.insert("labels".into(), Value::Object(labels));
    let metadata = owned(
        metadata,
        "apps/v1",
        "ReplicaSet",
        &replica_set_name(cluster, pod.workload),
        5,
    );
    let mut spec = pod_spec(workload);
    spec["nodeName"] = json!(node_name(pod.node));
    let condition = |kind: &str| {
        json!({ "type": kind, "status": "True", "lastProbeTime": null,
                "lastTransitionTime": CREATED })
    };
    let conditions = [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ]
    .map(condition);
    let status = json!({
        "phase": "Running", "qosClass": "Burstable", "startTime": CREATED,
        "hostIP": host_address(pod.node), "hostIPs": [{ "ip": host_address(pod.node) }],
        "podIP": pod.address, "podIPs": [{ "ip": pod.address }],
        "conditions": conditions,
        "containerStatuses": [{
            "name": "app", "ready": true, "restartCount": 0, "started": true,
            "image": format!("registry.example/{}:1.4.2", workload.name),
            "imageID": format!("registry.example/{}@sha256:{}", workload.name, "0".repeat(64)),
            "containerID": format!("containerd://{}", "0".repeat(64)),
            "state": { "running": { "startedAt": CREATED } }, "lastState": {},
        }],
    });
    object(
        "v1",
        "Pod",
        metadata,
        json!({ "spec": spec, "status": status }),
    )
}

/// Returns a UUID that is always the same for the same object.
fn uid(kind: u64, name: &str) -> String {
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325 ^ kind, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        hash >> 32,
        hash >> 16 & 0xffff,
        hash & 0xfff,
        kind,
        hash.rotate_left(17) & 0xffff_ffff_ffff
    )
}
