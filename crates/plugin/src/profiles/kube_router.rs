//! kube-router, also where k3s has it built in.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact, shown};

const POLICY: &str = "cloudnativelabs/kube-router pkg/controllers/netpol/policy.go";
const CONTROLLER: &str =
    "cloudnativelabs/kube-router pkg/controllers/netpol/network_policy_controller.go";
const READ: &str = "read in 2.10.0";
/// The tests that run kube-router itself.
const RUN: &str = "tests/it/cluster.rs";

pub const KUBE_ROUTER: Facts = Facts {
    enforces: shown(true, POLICY, READ, RUN),
    nodes: shown(true, POLICY, READ, RUN),
    pods: fact(PodMatch::Always, POLICY, READ),
    service_addresses: fact(
        false,
        "cloudnativelabs/kube-router/docs/how-it-works.md: it filters after DNAT",
        READ,
    ),
    ports: shown(
        EnforcedPorts::Pod,
        "cloudnativelabs/kube-router/docs/how-it-works.md: it filters after DNAT",
        READ,
        RUN,
    ),
    masquerade: fact(
        SeenClient::Either,
        "cloudnativelabs/kube-router pkg/controllers/netpol/network_policy_controller.go: it filters before masquerading, \
         so only nodes further on see a node",
        READ,
    ),
    own_node: shown(
        true,
        "cloudnativelabs/kube-router pkg/controllers/netpol/pod.go (--src-type LOCAL)",
        READ,
        RUN,
    ),
    end_port: fact(true, POLICY, "1.4 and newer"),
    named_egress_ports: fact(true, POLICY, READ),
    sctp: fact(
        true,
        "cloudnativelabs/kube-router pkg/controllers/netpol/network_policy_controller_test.go",
        READ,
    ),
    icmp: fact(Icmp::Common, CONTROLLER, READ),
    established: fact(Established::Kept, CONTROLLER, READ),
    ports_per_rule: fact(None, POLICY, READ),
    blocks_per_policy: fact(None, POLICY, READ),
    bare_pods: fact(
        true,
        "cloudnativelabs/kube-router pkg/controllers/netpol/utils.go (isNetPolActionable)",
        READ,
    ),
    host_network: fact(
        false,
        "cloudnativelabs/kube-router pkg/controllers/netpol/utils.go (isNetPolActionable)",
        READ,
    ),
    windows: fact(
        false,
        "cloudnativelabs/kube-router/docs/introduction.md: iptables and ipset",
        READ,
    ),
    dual_stack: fact(
        true,
        "cloudnativelabs/kube-router/docs/ipv6.md",
        "2.0 and newer",
    ),
};
