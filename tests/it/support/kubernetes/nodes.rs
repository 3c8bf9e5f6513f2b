//! Nodes: one network namespace each, with the real kube-proxy and the real kube-router, which enforces policies.
//!
//! ```text
//! pod eth0 10.244.1.2 -- veth... (10.244.1.1) [node1: routes, kube-proxy, kube-router, eth0 172.18.0.11] -- br0 (control)
//! ```
//!
//! Pods are routed and not bridged, as with kind's network plugin: every packet between pods passes a forward chain.

use super::control::{CONTROL, Control, SERVICES};
use super::kubeconfig::inside;
use super::process::Program;
use super::wait::until;
use super::{Cluster, PATIENCE};
use crate::support::namespaces::Namespace;
use k8s_openapi::api::core::v1::Node as NodeObject;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The range of pod addresses. Each node has a /24 of it.
pub const PODS: &str = "10.244.0.0/16";
/// The health port of kube-router: none of those that [`Cluster::port`] returns.
const ROUTER_HEALTH: u16 = 19_244;

/// A running node.
pub struct Node {
    pub name: String,
    /// Its InternalIP.
    pub address: String,
    /// The address range of its pods.
    pub pod_cidr: String,
    /// Its address on the veth of each of its pods.
    pub gateway: String,
    pub namespace: Arc<Namespace>,
    number: u32,
    /// The number of pods that it has had.
    pods: AtomicU32,
    programs: Vec<Program>,
}

impl Node {
    /// Returns a command in the node's network.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// Returns an address for a new pod. Addresses of past pods are reused after 250 others.
    pub fn next_address(&self) -> String {
        let number = self.pods.fetch_add(1, Ordering::Relaxed) % 250;
        format!("10.244.{}.{}", self.number, number + 2)
    }

    fn build(number: u32) -> Node {
        Node {
            name: format!("node{number}"),
            address: format!("172.18.0.{}", 10 + number),
            pod_cidr: format!("10.244.{number}.0/24"),
            gateway: format!("10.244.{number}.1"),
            namespace: Arc::new(Namespace::new()),
            number,
            pods: AtomicU32::new(0),
            programs: Vec::new(),
        }
    }

    /// Creates the link to the other nodes.
    fn connect(&self, control: &Namespace, others: &[&Node]) {
        let Node { name, address, .. } = self;
        for (path, value) in [
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            ("net/ipv4/conf/all/send_redirects", "0"),
            ("net/ipv6/conf/all/disable_ipv6", "1"),
            ("net/ipv6/conf/default/disable_ipv6", "1"),
        ] {
            self.namespace.sysctl(path, value);
        }
        let path = self.namespace.path();
        control.ip(&format!(
            "link add {name} type veth peer name eth0 netns {path}"
        ));
        control.ip(&format!("link set {name} master br0 up"));
        control.ip(&format!("route add {} via {address}", self.pod_cidr));
        self.namespace
            .ip(&format!("addr add {address}/16 dev eth0"));
        self.namespace.ip("link set eth0 up");
        self.namespace
            .ip(&format!("route add default via {CONTROL}"));
        for other in others {
            let route = format!("route add {} via {}", other.pod_cidr, other.address);
            self.namespace.ip(&route);
        }
        // Traffic that leaves the cluster has the node's address.
        self.namespace.nft(&format!(
            "table ip outward {{ chain postrouting {{ type nat hook postrouting priority srcnat; \
             oifname eth0 ip saddr {} ip daddr != {{ {PODS}, 172.18.0.0/16 }} masquerade; }}; }}\n",
            self.pod_cidr
        ));
    }

    /// Registers the node with the API server, as a kubelet does.
    async fn register(&self, cluster: &Cluster) {
        let object = json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": {
                "kubernetes.io/hostname": self.name,
                "kubernetes.io/os": "linux",
            }},
            "spec": {"podCIDR": self.pod_cidr, "podCIDRs": [self.pod_cidr]},
        });
        let now = jiff::Timestamp::now().to_string();
        let resources = json!({"cpu": "8", "memory": "16Gi", "pods": "250"});
        let status = json!({"status": {
            "addresses": [
                {"type": "InternalIP", "address": self.address},
                {"type": "Hostname", "address": self.name},
            ],
            "capacity": resources,
            "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "a test's node",
                            "lastHeartbeatTime": now, "lastTransitionTime": now}],
        }});
        let nodes: Api<NodeObject> = Api::all(cluster.client());
        let object = serde_json::from_value(object).expect("a node");
        let made = nodes.create(&PostParams::default(), &object).await;
        made.expect("the node is made");
        let patched = nodes
            .patch_status(&self.name, &PatchParams::default(), &Patch::Merge(&status))
            .await;
        patched.expect("the node is ready");
    }

    fn start_proxy(&mut self, control: &Control) {
        let mut command = self.namespace.command(control.program("kube-proxy"));
        command.arg("--kubeconfig").arg(inside(&control.kubeconfig));
        command.args([
            "--proxy-mode=nftables",
            "--conntrack-max-per-core=0",
            "--oom-score-adj=0",
            "--iptables-min-sync-period=100ms",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
        ]);
        command.arg(format!("--hostname-override={}", self.name));
        command.arg(format!("--cluster-cidr={PODS}"));
        self.start(command, control, "kube-proxy");
    }

    fn start_router(&mut self, control: &Control) {
        let mut command = self.namespace.command(control.program("kube-router"));
        command.arg("--kubeconfig").arg(inside(&control.kubeconfig));
        command.args([
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
        ]);
        command.arg(format!("--health-port={ROUTER_HEALTH}"));
        command.arg(format!("--service-cluster-ip-range={SERVICES}"));
        command.arg(format!("--hostname-override={}", self.name));
        self.start(command, control, "kube-router");
    }

    fn start(&mut self, command: Command, control: &Control, name: &str) {
        let log = control.path(&format!("{name}-{}.log", self.name));
        self.programs.push(Program::start(command, &log));
    }

    /// Returns true if rules are active: kube-proxy's table for Services, kube-router's chain for policies.
    fn lacks(&self) -> Option<String> {
        let mut list = self.command("nft");
        let output = list.args(["list", "tables"]).output().expect("nft starts");
        let tables = String::from_utf8_lossy(&output.stdout).into_owned();
        if !tables.contains("kube-proxy") {
            return Some(format!("kube-proxy's rules on {}", self.name));
        }
        let mut list = self.command("iptables");
        let output = list.args(["-S", "FORWARD"]).output();
        let output = output.expect("iptables starts");
        let rules = String::from_utf8_lossy(&output.stdout).into_owned();
        let there = rules.contains("KUBE-ROUTER-FORWARD");
        (!there).then(|| format!("kube-router's rules on {}", self.name))
    }
}

/// Starts `count` nodes, and waits until they enforce policies.
pub fn start(cluster: &Cluster, count: u32) -> Vec<Node> {
    let mut nodes: Vec<Node> = (1..=count).map(Node::build).collect();
    for node in &nodes {
        let others: Vec<&Node> = nodes.iter().filter(|o| o.number != node.number).collect();
        node.connect(&cluster.control.namespace, &others);
    }
    for node in &mut nodes {
        cluster.run(node.register(cluster));
        node.start_proxy(&cluster.control);
        node.start_router(&cluster.control);
    }
    cluster.run(until(PATIENCE, "nodes", async || {
        match nodes.iter().find_map(Node::lacks) {
            None => Ok(()),
            Some(lack) => {
                let logs = nodes.iter().flat_map(|node| &node.programs);
                let logs: Vec<String> = logs.map(Program::last_words).collect();
                Err(format!("{lack}\n{}", logs.join("\n")))
            }
        }
    }));
    nodes
}
