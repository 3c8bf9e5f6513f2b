//! Cilium.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact, shown};

const CIDR: &str = "cilium/cilium Documentation/security/policy/layer3.rst (Selecting pods or nodes with CIDR / ipBlock), \
                    pkg/ipcache/metadata.go; cilium/cilium#20550, #12277";
const LXC: &str = "cilium/cilium bpf/bpf_lxc.c";
const READ: &str = "read in 1.20.2";
const RUN: &str = "tests/it/oracle/cilium.rs";

pub const CILIUM: Facts = Facts {
    enforces: fact(
        true,
        "cilium/cilium Documentation/network/kubernetes/policy.rst",
        READ,
    ),
    nodes: shown(
        false,
        CIDR,
        "all; policy-cidr-match-mode: nodes since 1.15",
        RUN,
    ),
    pods: shown(
        PodMatch::Never,
        "cilium/cilium Documentation/security/policy/layer3.rst; cilium/cilium#9209",
        "all; policy-cidr-match-mode: pods is in 1.20",
        RUN,
    ),
    service_addresses: fact(
        false,
        "cilium/cilium bpf/bpf_lxc.c: a Service is translated before egress is checked",
        READ,
    ),
    ports: fact(
        EnforcedPorts::Pod,
        "cilium/cilium bpf/bpf_lxc.c: a Service is translated before egress is checked",
        READ,
    ),
    masquerade: fact(
        SeenClient::Either,
        "cilium/cilium bpf/lib/nodeport.h: by the mode of load balancing; through a tunnel as world, not as the node",
        READ,
    ),
    own_node: shown(
        true,
        "cilium/cilium Documentation/cmdref/cilium-agent.md (allow-localhost: auto)",
        READ,
        RUN,
    ),
    end_port: shown(
        true,
        "cilium/cilium pkg/k8s/network_policy.go; cilium/cilium#16622",
        "1.16 and newer",
        RUN,
    ),
    named_egress_ports: shown(true, "cilium/cilium pkg/k8s/network_policy.go", READ, RUN),
    sctp: fact(
        false,
        "cilium/cilium Documentation/configuration/sctp.rst (enable-sctp is off by default)",
        "1.13 and newer",
    ),
    icmp: fact(
        Icmp::Dropped,
        "cilium/cilium Documentation/security/policy/layer4.rst: a rule with ports is for these ports only",
        READ,
    ),
    established: fact(Established::Cut, LXC, READ),
    ports_per_rule: fact(
        None,
        "cilium/cilium pkg/policy/api/rule_validation.go (40 ports in a rule of its own kind; NetworkPolicies are split)",
        READ,
    ),
    blocks_per_policy: fact(None, "cilium/cilium pkg/k8s/network_policy.go", READ),
    bare_pods: fact(true, "cilium/cilium pkg/k8s/network_policy.go", READ),
    host_network: shown(
        false,
        "cilium/cilium Documentation/security/policy/layer3.rst: they have the identity of their node",
        READ,
        RUN,
    ),
    windows: fact(
        false,
        "cilium/cilium Documentation/operations/system_requirements.rst: Linux only",
        READ,
    ),
    dual_stack: fact(
        true,
        "cilium/cilium Documentation/network/kubernetes/policy.rst",
        READ,
    ),
};
