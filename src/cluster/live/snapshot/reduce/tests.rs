use super::*;
use crate::inventory::kubernetes::{Deployment, Pod};
use serde_json::json;

fn reduce<K: kube::Resource<DynamicType = ()>>(object: Value, reduce: Reduce) -> Value {
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    reduced(object, &ApiResource::erase::<K>(&()), reduce).unwrap()
}

#[test]
fn of_a_pod_remains_what_is_read_and_no_secret() {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web", "namespace": "shop", "uid": "1", "resourceVersion": "7",
            "labels": {"app": "web"},
            "annotations": {
                "vault.hashicorp.com/agent-inject-token": "hunter2",
                "kubectl.kubernetes.io/last-applied-configuration": "hunter2",
                "cni.projectcalico.org/podIP": "10.1.0.5/32"
            },
            "managedFields": [{"manager": "hunter2"}]
        },
        "spec": {
            "nodeName": "n1", "serviceAccountName": "hunter2",
            "containers": [{
                "name": "main", "image": "web:1", "command": ["hunter2"], "args": ["hunter2"],
                "env": [{"name": "PASSWORD", "value": "hunter2"}],
                "ports": [{"containerPort": 80}]
            }],
            "volumes": [{"name": "hunter2", "secret": {"secretName": "hunter2"}}]
        },
        "status": {"podIP": "10.1.0.5", "message": "hunter2"}
    });
    let small = reduce::<Pod>(pod, typed::<Pod>);
    assert!(!small.to_string().contains("hunter2"), "{small}");
    assert_eq!(small["apiVersion"], "v1");
    assert_eq!(small["kind"], "Pod");
    assert_eq!(
        small["metadata"]["annotations"],
        json!({"cni.projectcalico.org/podIP": "10.1.0.5/32"})
    );
    assert_eq!(small["metadata"]["resourceVersion"], "7");
    assert_eq!(
        small["spec"]["containers"][0]["ports"][0]["containerPort"],
        80
    );
    assert_eq!(small["status"]["podIP"], "10.1.0.5");
}

#[test]
fn of_a_template_no_annotation_of_an_injector_remains() {
    let deployment = json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"checksum/config": "hunter2"}},
                "spec": {"containers": [{"name": "main", "env": [{"name": "A", "value": "hunter2"}]}]}
            }
        }
    });
    let small = reduce::<Deployment>(deployment, typed::<Deployment>);
    assert!(!small.to_string().contains("hunter2"), "{small}");
    let template = &small["spec"]["template"];
    assert_eq!(template["metadata"], json!({"labels": {"app": "web"}}));
}

#[test]
fn annotations_are_kept_by_whole_domains() {
    for kept in [
        "nanoseg.dev/x",
        "k8s.ovn.org/pod-networks",
        "projectcalico.org/x",
        "k8s.v1.cni.cncf.io/networks",
    ] {
        assert!(is_kept(kept), "{kept}");
    }
    for dropped in [
        "plain",
        "notcilium.io/x",
        "cilium.io.evil.example/x",
        "example.org/nanoseg.dev",
    ] {
        assert!(!is_kept(dropped), "{dropped}");
    }
}

#[test]
fn of_a_scan_remains_what_a_risk_is_judged_by() {
    let report = json!({
        "metadata": {"name": "r"},
        "report": {
            "artifact": {"repository": "shop/web", "tag": "1"}, "registry": {"server": "reg.example"},
            "summary": {"criticalCount": 1},
            "vulnerabilities": [{
                "severity": "HIGH", "vulnerabilityID": "CVE-1", "resource": "openssl", "fixedVersion": "2",
                "title": "long", "links": ["long"], "target": ""
            }]
        }
    });
    let small = scan(report.clone()).unwrap();
    assert!(!small.to_string().contains("long"));
    assert_eq!(ImageScan::of_object(&small), ImageScan::of_object(&report));
}

#[test]
fn of_a_cilium_node_remain_its_addresses() {
    let node = json!({
        "metadata": {"name": "n1"},
        "spec": {
            "addresses": [{"ip": "10.0.0.7", "type": "CiliumInternalIP"}], "health": {"ipv4": "10.0.0.8"},
            "ipam": {"podCIDRs": ["10.0.0.0/24"], "pool": {"10.0.0.9": {}}}, "encryption": {"key": 3}
        },
        "status": {"ipam": {"used": {}}}
    });
    let small = cilium_node(node).unwrap();
    assert_eq!(
        small["spec"],
        json!({
            "addresses": [{"ip": "10.0.0.7", "type": "CiliumInternalIP"}], "health": {"ipv4": "10.0.0.8"},
            "ipam": {"podCIDRs": ["10.0.0.0/24"]}
        })
    );
    assert!(small["status"].is_null());
}
