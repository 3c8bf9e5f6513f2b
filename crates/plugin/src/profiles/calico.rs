//! Calico (iptables, nftables and eBPF data planes), and Canal, which is Calico's policy with flannel's network.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const CONVERSION: &str = "projectcalico/calico libcalico-go/lib/backend/k8s/conversion/conversion.go: an ipBlock becomes nets";
const DOCS: &str = "docs.tigera.io, Calico Open Source, Get started with Kubernetes network policy";
const VERSIONS: &str = "3.x";

pub const CALICO: Facts = Facts {
    enforces: fact(true, DOCS, VERSIONS),
    nodes: fact(true, CONVERSION, VERSIONS),
    pods: fact(PodMatch::Always, CONVERSION, VERSIONS),
    service_addresses: fact(
        false,
        "docs.tigera.io, Pre-DNAT policy: ordinary policy is enforced after DNAT",
        VERSIONS,
    ),
    ports: fact(
        EnforcedPorts::Pod,
        "docs.tigera.io, Pre-DNAT policy: ordinary policy is enforced after DNAT",
        VERSIONS,
    ),
    masquerade: fact(
        SeenClient::Either,
        "docs.tigera.io, Apply Calico policy to services exposed externally as cluster IPs; Kubernetes node ports",
        VERSIONS,
    ),
    own_node: fact(
        true,
        "projectcalico/calico felix/rules/static.go: a host reaches its own workloads",
        VERSIONS,
    ),
    end_port: fact(true, CONVERSION, "3.19 and newer"),
    named_egress_ports: fact(true, CONVERSION, VERSIONS),
    sctp: fact(true, CONVERSION, "3.3 and newer"),
    icmp: fact(Icmp::Dropped, DOCS, VERSIONS),
    established: fact(
        Established::Kept,
        "projectcalico/calico felix/rules/endpoints.go: RELATED and ESTABLISHED are accepted first",
        VERSIONS,
    ),
    ports_per_rule: fact(None, CONVERSION, VERSIONS),
    blocks_per_policy: fact(None, CONVERSION, VERSIONS),
    bare_pods: fact(true, DOCS, VERSIONS),
    host_network: fact(
        false,
        "docs.tigera.io, Protect hosts: they need host endpoints",
        VERSIONS,
    ),
    windows: fact(
        true,
        "docs.tigera.io, Calico for Windows",
        "Windows Server 2019 and newer",
    ),
    dual_stack: fact(
        true,
        "docs.tigera.io, Configure dual stack or IPv6 only",
        VERSIONS,
    ),
};
