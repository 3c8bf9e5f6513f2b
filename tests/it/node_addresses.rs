//! The gateway of a node's pods, where no object of Kubernetes has it: from the node's interfaces by its agent into the
//! receiver's store (rule: node-by-address).

use crate::support::namespaces::{Namespace, lack};
use nanoseg::observe::read_node_addresses;
use nanoseg::store::FlowStore;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

/// A node as a bridge plugin leaves it.
fn node() -> Namespace {
    let node = Namespace::new();
    for words in [
        "link add eth0 type veth peer name outside",
        "addr add 192.0.2.7/24 dev eth0",
        "link set eth0 up",
        "link set outside up",
        "link add cni0 type bridge",
        "addr add 10.244.7.1/24 dev cni0",
        "addr add fd00:7::1/64 dev cni0 nodad",
        "link set cni0 up",
        "addr add 10.0.0.9/32 dev lo",
    ] {
        node.ip(words);
    }
    node
}

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn the_addresses_of_interfaces_with_traffic_are_read_and_no_others() {
    if let Some(lack) = lack() {
        eprintln!("skipped: needs {lack}");
        return;
    }
    let node = node();
    let read = || node.inside(read_node_addresses).expect("a list");
    assert_eq!(read(), set(&["192.0.2.7", "10.244.7.1", "fd00:7::1"]));
    // A plugin gives the gateway when the first pod comes, and may take it away.
    node.ip("addr del 10.244.7.1/24 dev cni0");
    node.ip("addr add 10.244.8.1/24 dev cni0");
    assert_eq!(read(), set(&["192.0.2.7", "10.244.8.1", "fd00:7::1"]));
}

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(node: &Namespace, arguments: &[&str]) -> Running {
    let mut command = node.command(env!("CARGO_BIN_EXE_nanoseg"));
    command.args(arguments).stderr(Stdio::null());
    Running(command.spawn().expect("it starts"))
}

#[test]
fn an_agent_tells_the_gateway_of_its_node_and_the_store_keeps_it() {
    if let Some(lack) = lack() {
        eprintln!("skipped: needs {lack}");
        return;
    }
    let node = node();
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("flows.db");
    let _receiver = start(
        &node,
        &[
            "receive",
            "--listen=127.0.0.1:4240",
            "--insecure-no-tls",
            "--insecure-no-auth",
            "--store",
            store.to_str().unwrap(),
        ],
    );
    let _agent = start(
        &node,
        &[
            "agent",
            "--node=node-7",
            "--source=conntrack",
            "--insecure",
            "--receiver=http://127.0.0.1:4240",
            "--window=1s",
            "--metrics-listen=none",
        ],
    );
    let deadline = Instant::now() + PATIENCE;
    let kept = loop {
        let stored = FlowStore::open_read_only(&store).and_then(|store| store.load());
        let kept = stored.ok().and_then(|all| {
            let (_, addresses) = all.node_addresses().of("node-7")?;
            Some(addresses.clone())
        });
        if kept.is_some() || Instant::now() > deadline {
            break kept.unwrap_or_default();
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(kept, set(&["192.0.2.7", "10.244.7.1", "fd00:7::1"]));
}
