//! A cluster, policies, and the connections that are asked for, as the oracles read them.

use nanoseg::net::Protocol;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What tests/go/oracle/oracle.go reads, under its names.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Case {
    pub namespaces: Vec<Namespace>,
    pub nodes: Vec<Node>,
    pub pods: Vec<Pod>,
    /// Addresses that no pod owns; a node's address may be among them.
    pub outside: Vec<IpAddr>,
    /// Objects as an API server has them, with `apiVersion` and `kind`.
    pub policies: Vec<Value>,
    /// Client and server: an index into `pods`, and after them into `outside`.
    pub pairs: Vec<(usize, usize)>,
    pub probes: Vec<Probe>,
    /// Settings of the plugin, by the names of its own configuration.
    pub options: BTreeMap<String, Vec<String>>,
}

pub type Labels = BTreeMap<String, String>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub name: String,
    pub labels: Labels,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub labels: Labels,
    pub addresses: Vec<IpAddr>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub labels: Labels,
    pub node: String,
    pub host_network: bool,
    pub addresses: Vec<IpAddr>,
    pub ports: Vec<Port>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    pub name: String,
    pub protocol: Protocol,
    pub number: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub protocol: Protocol,
    pub port: u16,
}

/// One end of a pair.
pub enum End<'a> {
    Pod(&'a Pod),
    Address(IpAddr),
}

impl Case {
    pub fn end(&self, index: usize) -> End<'_> {
        match self.pods.get(index) {
            Some(pod) => End::Pod(pod),
            None => End::Address(self.outside[index - self.pods.len()]),
        }
    }

    /// The node that an end is on the network of: of a pod on the host network, or of an address.
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.iter().find(|node| match self.end(index) {
            End::Pod(pod) => pod.host_network && pod.node == node.name,
            End::Address(address) => node.addresses.contains(&address),
        })
    }

    pub fn name(&self, index: usize) -> String {
        match self.end(index) {
            End::Pod(pod) => format!("{}/{}", pod.namespace, pod.name),
            End::Address(address) => address.to_string(),
        }
    }

    /// Every pair of which one end is a pod, a pod with itself too.
    pub fn all_pairs(&self) -> Vec<(usize, usize)> {
        let ends = 0..self.pods.len() + self.outside.len();
        let pairs = ends.clone().flat_map(|a| ends.clone().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.min(b) < &self.pods.len()).collect()
    }
}
