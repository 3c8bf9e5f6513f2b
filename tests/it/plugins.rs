//! The network plugin as a part of the model: found in the snapshot or named, it decides what is written, what stays open
//! and what the proof says.

use crate::places::shared;
use nanoseg::cluster::read_cluster;
use nanoseg::flow::{FlowConfig, FlowTable};
use nanoseg::graph::{InventoryListeners, Vantage, address_epochs};
use nanoseg::inventory::{Inventory, OwnerRule, foreign_policies};
use nanoseg::observe::CaptureSet;
use nanoseg::pipeline::{self, Options};
use nanoseg::plugin::{NetworkPlugin, Profile};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two nodes, of which one is the API server's, a pod that calls it, and a place for more objects.
const CLUSTER: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Node
metadata: {name: n1}
spec: {podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.0.11}]}
---
apiVersion: v1
kind: Node
metadata: {name: cp}
spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]}
status: {addresses: [{type: InternalIP, address: 192.168.0.10}]}
---
apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, clusterIPs: [10.96.0.1], ports: [{name: https, port: 443, targetPort: 6443}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
ports: [{name: https, port: 6443, protocol: TCP}]
endpoints: [{addresses: [192.168.0.10]}]
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}, creationTimestamp: '2026-03-02T09:00:00Z'}
spec: {nodeName: n1, containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.244.1.5, podIPs: [{ip: 10.244.1.5}], startTime: '2026-03-02T09:00:00Z'}
";

const FLOWS: &str = r#"{"client": "10.244.1.5", "server": "192.168.0.10", "port": 6443, "protocol": "TCP", "via": "10.96.0.1:443", "time": "2026-03-02T10:00:00Z", "connections": 5, "node": "n1"}
"#;

fn daemon_set(namespace: &str, name: &str, container: &str, image: &str) -> String {
    format!(
        "---\napiVersion: apps/v1\nkind: DaemonSet\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
         spec:\n  selector: {{matchLabels: {{k8s-app: {name}}}}}\n  template:\n    metadata: {{labels: {{k8s-app: {name}}}}}\n    \
         spec: {{hostNetwork: true, containers: [{{name: {container}, image: {image}}}]}}\n"
    )
}

fn cilium() -> String {
    daemon_set(
        "kube-system",
        "cilium",
        "cilium-agent",
        "quay.io/cilium/cilium:v1.16.5",
    )
}

fn flannel() -> String {
    let flannel = daemon_set(
        "kube-flannel",
        "kube-flannel-ds",
        "kube-flannel",
        "ghcr.io/flannel-io/flannel:v0.26.1",
    );
    flannel
        + &daemon_set(
            "kube-system",
            "kube-proxy",
            "kube-proxy",
            "registry.k8s.io/kube-proxy:v1.31.0",
        )
}

struct Made {
    code: Option<i32>,
    stdout: String,
    stderr: String,
    /// The policy of shop/api without its comments; empty if none was written.
    policy: String,
}

/// Runs `nanoseg generate` on the cluster with `more` objects.
fn generate(more: &str, options: &[&str]) -> Made {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file");
    };
    write("cluster.yaml", &format!("{CLUSTER}{more}"));
    write("flows.jsonl", FLOWS);
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .current_dir(folder.path())
        .args([
            "generate",
            "--flows",
            "flows.jsonl@n1",
            "--cluster",
            "cluster.yaml",
        ])
        .args(["-n", "shop", "--out", "out"])
        .args(options)
        .output()
        .expect("nanoseg runs");
    let policy = fs::read_to_string(folder.path().join("out/shop/api.yaml")).unwrap_or_default();
    let lines = policy.lines().filter(|line| !line.starts_with('#'));
    Made {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        policy: lines.collect::<Vec<_>>().join("\n"),
    }
}

const API_SERVER: &str = "cidr: 192.168.0.10/32";

#[test]
fn on_cilium_what_needs_a_node_stays_open_unless_ip_blocks_match_nodes() {
    let by_default = generate(&cilium(), &[]);
    let Made { stdout, policy, .. } = &by_default;
    assert!(!policy.contains("- Egress"), "{policy}");
    for part in [
        "plugin     cilium (by DaemonSet kube-system/cilium)",
        "cilium-node-address",
        "policyCIDRMatchMode: nodes",
        "API server (192.168.0.10) 6443/TCP",
    ] {
        assert!(stdout.contains(part), "{part}\n{stdout}");
    }
    let configured = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: cilium-config, namespace: kube-system}\n\
                      data: {policy-cidr-match-mode: nodes, cluster-name: secret}\n";
    let matching = [
        generate(&format!("{}{configured}", cilium()), &[]),
        generate(
            &cilium(),
            &["--network-plugin", "cilium,policy-cidr-match-mode=nodes"],
        ),
        generate(&cilium(), &["--network-plugin", "calico"]),
    ];
    for Made { stdout, policy, .. } in &matching {
        assert!(
            policy.contains("- Egress") && policy.contains(API_SERVER),
            "{policy}"
        );
        assert!(!stdout.contains("cilium-node-address"), "{stdout}");
    }
    assert!(
        matching[0]
            .stdout
            .contains("ConfigMap kube-system/cilium-config")
    );
    assert!(
        matching[1].stdout.contains("(as told)"),
        "{}",
        matching[1].stdout
    );
}

#[test]
fn what_policies_allow_and_what_a_change_closes_is_judged_by_the_plugin_that_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file");
    };
    let policy = |egress: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: api, namespace: shop}}\n\
             spec: {{podSelector: {{matchLabels: {{app: api}}}}, policyTypes: [Egress], egress: [{egress}]}}\n"
        )
    };
    write("cluster.yaml", CLUSTER);
    let to_api_server = "{to: [{ipBlock: {cidr: 192.168.0.10/32}}], ports: [{port: 6443}]}";
    write("before.yaml", &policy(to_api_server));
    write("after.yaml", &policy(""));
    let run = |arguments: &[&str], plugin: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
            .current_dir(folder.path())
            .args(arguments)
            .args(plugin)
            .output()
            .expect("nanoseg runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text.contains("192.168.0.10"))
    };
    let allowed = [
        "connectivity",
        "cluster.yaml",
        "before.yaml",
        "--host-network",
        "exact",
    ];
    let changed = [
        "diff",
        "before.yaml",
        "after.yaml",
        "--cluster",
        "cluster.yaml",
        "--fail-on",
        "any",
    ];
    let cilium = ["--network-plugin", "cilium"];
    assert_eq!(run(&allowed, &[]), (Some(0), true));
    assert_eq!(run(&allowed, &cilium), (Some(0), false));
    assert_eq!(run(&changed, &[]), (Some(1), true));
    assert_eq!(run(&changed, &cilium), (Some(0), false));
}

#[test]
fn where_nothing_enforces_policies_it_is_an_error_and_everything_is_excess() {
    let Made {
        code,
        stdout,
        policy,
        ..
    } = generate(&flannel(), &[]);
    assert_eq!(code, Some(1));
    assert!(policy.contains(API_SERVER), "{policy}");
    for part in [
        "policies-not-enforced",
        "DaemonSet kube-flannel/kube-flannel-ds",
        "POLICIES ARE NOT ENFORCED",
        "anything",
    ] {
        assert!(stdout.contains(part), "{part}\n{stdout}");
    }
    // An operator who knows of another enforcer says so.
    let said = generate(&flannel(), &["--network-plugin", "kube-network-policies"]);
    assert!(
        !said.stdout.contains("policies-not-enforced"),
        "{}",
        said.stdout
    );
}

#[test]
fn on_the_vpc_cni_the_client_may_send_to_the_services_own_address_and_port() {
    let Made { stdout, policy, .. } = generate("", &["--network-plugin", "aws-vpc-cni"]);
    for part in [API_SERVER, "cidr: 10.96.0.1/32", "port: 443", "port: 6443"] {
        assert!(policy.contains(part), "{part}\n{policy}\n{stdout}");
    }
    let by_specification = generate("", &["--network-plugin", "spec"]).policy;
    assert!(
        !by_specification.contains("10.96.0.1"),
        "{by_specification}"
    );
}

#[test]
fn where_nothing_tells_the_plugin_the_specification_counts_and_a_note_says_so() {
    let Made { stdout, policy, .. } = generate("", &[]);
    assert!(policy.contains(API_SERVER), "{policy}");
    assert!(stdout.contains("network-plugin-unknown"), "{stdout}");
    assert!(!stdout.contains("\nplugin "), "{stdout}");
    let said = generate("", &["--network-plugin", "spec"]);
    assert!(
        !said.stdout.contains("network-plugin-unknown"),
        "{}",
        said.stdout
    );
    assert_eq!(said.policy, policy);
}

#[test]
fn a_plugin_or_option_that_there_is_not_is_refused_with_those_that_there_are() {
    for (given, part) in [
        ("cillium", "there are spec, cilium, calico"),
        ("cilium,policy-cidr-match-mode=services", "nodes+pods"),
        ("calico,enable-sctp=true", "it has service-ports"),
    ] {
        let Made { code, stderr, .. } = generate("", &["--network-plugin", given]);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(part), "{stderr}");
    }
}

/// Case 24b of the field: Hubble's flows of a controller to the API server, without a word of Cilium in the snapshot.
#[test]
fn flows_of_hubble_show_that_the_plugin_is_cilium() {
    let Some(case) = shared("field/24b-hubble-api-server-and-nodes") else {
        return;
    };
    let out = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_nanoseg"))
        .current_dir(&case)
        .args([
            "generate",
            "--flows",
            "hubble.json",
            "--cluster",
            "cluster.yaml",
        ])
        .args(["--namespace", "shop", "--out"])
        .arg(out.path())
        .output()
        .expect("nanoseg runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    for part in [
        "plugin     cilium (by the flow logs)",
        "cilium-node-address",
        "policyCIDRMatchMode: nodes",
        "192.168.0.10",
    ] {
        assert!(stdout.contains(part), "{part}\n{stdout}");
    }
}

/// What is checked of one sample under each profile.
fn check_sample(name: &str, captures: &[PathBuf], cluster: &Path) {
    let (objects, _) = read_cluster(&[cluster.to_path_buf()]).expect("the snapshot");
    let (inventory, _) = Inventory::build(&objects, OwnerRule::Infer);
    let existing = foreign_policies(&objects);
    let listeners = InventoryListeners(&inventory);
    let mut table = FlowTable::new(listeners, address_epochs(&inventory), FlowConfig::default());
    let captures = CaptureSet::open(captures).expect("the captures");
    let (summary, _) = captures.feed(&mut table, |_| {}).expect("packets");
    let seen = table.finish();
    let span = summary.span.expect("packets");
    let vantage = Vantage::everywhere(span.0, span.1);
    for plugin in NetworkPlugin::ALL {
        let mut inventory = inventory.clone();
        inventory.take_network_plugin(Some(Profile::of(*plugin)));
        let options = Options::default();
        let made = pipeline::generate(&seen, span, &vantage, &inventory, &existing, &options);
        let made = made.expect("policies that can be judged");
        let (proof, place) = (&made.proof, format!("{name} under {plugin}"));
        assert!(proof.is_sound(), "{place}: {:?}", proof.blocked);
        assert!(proof.allowed > 10, "{place}: {}", proof.allowed);
        assert_eq!(
            proof.excess.entries.len() as u64,
            proof.excess.total,
            "{place}"
        );
        let told = |code: &str| made.findings.iter().any(|one| one.code.name() == code);
        let enforces = Profile::of(*plugin).behaviour().enforces;
        assert_eq!(told("policies-not-enforced"), !enforces, "{place}");
        assert!(enforces || !proof.is_tight(), "{place}");
    }
}

#[test]
fn under_each_profile_the_sample_is_sound_and_the_excess_is_listed() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples/shop");
    check_sample(
        "shop",
        &[sample.join("captures")],
        &sample.join("cluster.yaml"),
    );
    if let Some(folder) = shared("boutique/node-capture") {
        let capture = folder.join("node1.pcap.zst");
        check_sample("boutique", &[capture], &folder.join("cluster.yaml"));
    }
}
