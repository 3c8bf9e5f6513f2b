//! Azure: its Network Policy Manager, and Azure CNI Powered by Cilium.

use super::cilium::CILIUM;
use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const NPM: &str = "Microsoft Learn, Secure traffic between pods by using network policies in AKS";
const TRANSLATE: &str =
    "Azure/azure-container-networking npm/pkg/controlplane/translation/translatePolicy.go";
const VERSIONS: &str = "NPM v2";

pub const AZURE_NPM: Facts = Facts {
    enforces: fact(true, NPM, VERSIONS),
    nodes: fact(true, TRANSLATE, VERSIONS),
    pods: fact(PodMatch::Always, TRANSLATE, VERSIONS),
    service_addresses: fact(
        false,
        "Microsoft Learn, Filtering load balancer or service traffic",
        VERSIONS,
    ),
    ports: fact(
        EnforcedPorts::Pod,
        "Microsoft Learn, Filtering load balancer or service traffic",
        VERSIONS,
    ),
    masquerade: fact(
        SeenClient::Either,
        "Microsoft Learn, Filtering load balancer or service traffic",
        VERSIONS,
    ),
    own_node: fact(true, NPM, VERSIONS),
    end_port: fact(true, TRANSLATE, VERSIONS),
    named_egress_ports: fact(true, "Microsoft Learn: on Linux; not on Windows", VERSIONS),
    sctp: fact(true, "Microsoft Learn: on Linux; not on Windows", VERSIONS),
    icmp: fact(Icmp::Unknown, NPM, VERSIONS),
    established: fact(
        Established::Kept,
        "Microsoft Learn, Editing/deleting network policies: active connections are not touched",
        VERSIONS,
    ),
    ports_per_rule: fact(None, NPM, VERSIONS),
    blocks_per_policy: fact(
        Some(4),
        "Microsoft Learn, Editing/deleting network policies: with more than four ipBlocks a change may open pods for a moment",
        VERSIONS,
    ),
    bare_pods: fact(true, NPM, VERSIONS),
    host_network: fact(false, NPM, VERSIONS),
    windows: fact(
        true,
        "Microsoft Learn: Windows Server 2022; no named ports, no SCTP, no except, no negative selectors",
        VERSIONS,
    ),
    dual_stack: fact(
        false,
        "Microsoft Learn, Limitations of Azure Network Policy Manager: no IPv6",
        VERSIONS,
    ),
};

const POWERED: &str = "Microsoft Learn, Azure CNI Powered by Cilium, Limitations: ipBlock cannot select nodes or pods";

pub const AZURE_CILIUM: Facts = Facts {
    nodes: fact(false, POWERED, "all"),
    pods: fact(PodMatch::Never, POWERED, "all"),
    host_network: fact(
        false,
        "Microsoft Learn, Azure CNI Powered by Cilium, Limitations: hostNetwork pods have the host's identity",
        "all",
    ),
    windows: fact(
        false,
        "Microsoft Learn, Azure CNI Powered by Cilium, Limitations: Linux only",
        "all",
    ),
    ..CILIUM
};
