//! The API's own documentation. Where it leaves something open, the value is what is safe on every plugin that follows it.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const API: &str = "API documentation of networking.k8s.io/v1 NetworkPolicy";
const CONCEPT: &str = "Kubernetes documentation, Network Policies";
const VERSIONS: &str = "networking.k8s.io/v1";

pub const SPEC: Facts = Facts {
    enforces: fact(true, CONCEPT, VERSIONS),
    nodes: fact(true, API, VERSIONS),
    pods: fact(
        PodMatch::Either,
        "API documentation of IPBlock: not defined for the addresses of pods",
        VERSIONS,
    ),
    service_addresses: fact(
        false,
        "Kubernetes documentation, Network Policies: behaviour of to and from selectors (not defined)",
        VERSIONS,
    ),
    ports: fact(
        EnforcedPorts::Pod,
        "Kubernetes documentation, Network Policies: behaviour of to and from selectors (not defined)",
        VERSIONS,
    ),
    masquerade: fact(
        SeenClient::Either,
        "Kubernetes documentation, Network Policies: behaviour of to and from selectors (not defined)",
        VERSIONS,
    ),
    own_node: fact(true, "API documentation of spec.ingress", VERSIONS),
    end_port: fact(true, "KEP-2079", "Kubernetes 1.25 and newer"),
    named_egress_ports: fact(true, "API documentation of NetworkPolicyPort", VERSIONS),
    sctp: fact(true, "KEP-614", "Kubernetes 1.20 and newer"),
    icmp: fact(Icmp::Unknown, CONCEPT, VERSIONS),
    established: fact(
        Established::Unknown,
        "Kubernetes documentation, Network Policies: existing connections (not defined)",
        VERSIONS,
    ),
    ports_per_rule: fact(None, API, VERSIONS),
    blocks_per_policy: fact(None, API, VERSIONS),
    bare_pods: fact(true, API, VERSIONS),
    host_network: fact(
        false,
        "Kubernetes documentation, Network Policies: hostNetwork pods",
        VERSIONS,
    ),
    windows: fact(true, API, VERSIONS),
    dual_stack: fact(true, API, VERSIONS),
};
