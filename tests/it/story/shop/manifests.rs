//! The scenario as manifests.

use super::scenario::{Kind, Service, Shape, Workload, label};
use super::{OUTSIDE_DNS, PROGRAM, Shop};
use crate::support::kubernetes::SCHEDULER;
use serde_json::{Value, json};

/// The manifest of a workload, without its namespace.
pub fn workload(shop: &Shop, workload: &Workload) -> Value {
    let (key, value) = label(workload.name);
    let labels = json!({key: value});
    let pod = json!({"metadata": {"labels": labels}, "spec": pod(shop, workload)});
    let (kind, spec) = match workload.kind {
        Kind::Deployment => (
            "Deployment",
            json!({"replicas": workload.replicas, "selector": {"matchLabels": labels}, "template": pod}),
        ),
        Kind::StatefulSet => (
            "StatefulSet",
            json!({"replicas": workload.replicas, "serviceName": workload.name,
                   "selector": {"matchLabels": labels}, "template": pod}),
        ),
        Kind::HostDaemonSet => (
            "DaemonSet",
            json!({"selector": {"matchLabels": labels}, "template": pod}),
        ),
        // The test starts the runs: the schedule (31 February) never matches.
        Kind::CronJob => (
            "CronJob",
            json!({"schedule": "0 0 31 2 *", "jobTemplate": {"spec": {"template": pod}}}),
        ),
    };
    let version = if kind == "CronJob" {
        "batch/v1"
    } else {
        "apps/v1"
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": workload.name, "labels": labels}, "spec": spec})
}

fn pod(shop: &Shop, workload: &Workload) -> Value {
    let ports = workload.ports.iter();
    let ports: Vec<Value> = ports
        .map(|(name, number, protocol)| json!({"name": name, "containerPort": number, "protocol": protocol}))
        .collect();
    let mut env = vec![
        json!({"name": "NAMESERVER", "value": shop.addresses.get("kube-dns.kube-system")}),
        json!({"name": "ZONE", "value": shop.zone}),
    ];
    if workload.name == "coredns" {
        env.push(json!({"name": "UPSTREAM", "value": OUTSIDE_DNS}));
    }
    let container = json!({
        "name": "main",
        "image": "test",
        "command": command(shop, workload),
        "ports": ports,
        "env": env,
    });
    let node =
        (!workload.node.is_empty()).then(|| json!({"kubernetes.io/hostname": workload.node}));
    json!({
        "schedulerName": SCHEDULER,
        "nodeSelector": node,
        "hostNetwork": workload.kind == Kind::HostDaemonSet,
        "restartPolicy": if workload.kind == Kind::CronJob { "Never" } else { "Always" },
        "terminationGracePeriodSeconds": 0,
        "containers": [container],
    })
}

fn command(shop: &Shop, workload: &Workload) -> Vec<String> {
    let node = &shop.cluster.nodes()[0];
    let scanned: Vec<String> = (2..12)
        .map(|host| node.gateway.replace(".1.1", &format!(".1.{host}")))
        .collect();
    let does = workload.does.replace("NODE1", &node.address);
    let does = does.replace("SCANNED", &scanned.join(","));
    let words = does.split_whitespace().map(str::to_owned);
    let mut command = vec![
        "/usr/bin/python3".to_owned(),
        "-c".to_owned(),
        PROGRAM.to_owned(),
    ];
    command.extend(words);
    if workload.name != "legacy" {
        return command;
    }
    let drop = "nft add table ip legacy && nft 'add chain ip legacy in { type filter hook input priority 0; }' && \
                nft add rule ip legacy in tcp dport 9000 drop; exec \"$@\"";
    let shell = ["/bin/sh", "-c", drop, "sh"].map(str::to_owned);
    shell.into_iter().chain(command).collect()
}

/// The manifest of a Service, without its namespace.
pub fn service(service: &Service) -> Value {
    let (name, _) = service.name.split_once('.').expect("NAME.NAMESPACE");
    let (_, workload) = service.workload.split_once('/').expect("NAMESPACE/NAME");
    let (key, value) = label(workload);
    let port = |name: &str, protocol: &str| json!({"name": name, "port": service.port, "targetPort": service.target, "protocol": protocol});
    let mut ports = vec![port("main", service.protocol)];
    if workload == "coredns" {
        ports.push(port("tcp", "TCP"));
    }
    let mut spec = json!({"selector": {key: value}, "ports": ports});
    match service.shape {
        Shape::ClusterIp => {}
        Shape::Headless => spec["clusterIP"] = json!("None"),
        Shape::NodePort => {
            spec["type"] = json!("NodePort");
            spec["externalTrafficPolicy"] = json!("Local");
        }
    }
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}
