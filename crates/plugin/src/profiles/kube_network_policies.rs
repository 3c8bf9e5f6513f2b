//! kube-network-policies, alone, in kindnet, or beside flannel.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const ENGINE: &str = "kubernetes-sigs/kube-network-policies pkg/networkpolicy";
const README: &str = "kubernetes-sigs/kube-network-policies README.md: the first packet of each connection is judged in user space";
const VERSIONS: &str = "0.x and 1.x; kind 0.24 and newer";

pub const KUBE_NETWORK_POLICIES: Facts = Facts {
    enforces: fact(true, README, VERSIONS),
    nodes: fact(true, ENGINE, VERSIONS),
    pods: fact(PodMatch::Always, ENGINE, VERSIONS),
    service_addresses: fact(false, README, VERSIONS),
    ports: fact(EnforcedPorts::Pod, README, VERSIONS),
    masquerade: fact(SeenClient::Either, README, VERSIONS),
    own_node: fact(
        true,
        "kubernetes-sigs/kube-network-policies README.md: it runs the end-to-end tests of Kubernetes",
        VERSIONS,
    ),
    end_port: fact(true, ENGINE, VERSIONS),
    named_egress_ports: fact(true, ENGINE, VERSIONS),
    sctp: fact(true, ENGINE, VERSIONS),
    icmp: fact(Icmp::Unknown, README, VERSIONS),
    established: fact(Established::Kept, README, VERSIONS),
    ports_per_rule: fact(None, ENGINE, VERSIONS),
    blocks_per_policy: fact(None, ENGINE, VERSIONS),
    bare_pods: fact(true, ENGINE, VERSIONS),
    host_network: fact(false, ENGINE, VERSIONS),
    windows: fact(
        false,
        "kubernetes-sigs/kube-network-policies README.md: netfilter",
        VERSIONS,
    ),
    dual_stack: fact(true, ENGINE, VERSIONS),
};
