//! OVN-Kubernetes, the plugin of OpenShift.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const GRESS: &str = "ovn-kubernetes/ovn-kubernetes go-controller/pkg/ovn/gress_policy.go: an ipBlock is a match by address";
const ACL: &str = "ovn-kubernetes/ovn-kubernetes go-controller/pkg/ovn: ACLs of egress are applied after load balancing";
const OKD: &str = "OKD documentation, About network policy";
const VERSIONS: &str = "OpenShift 4.12 and newer";

pub const OVN_KUBERNETES: Facts = Facts {
    enforces: fact(true, OKD, VERSIONS),
    nodes: fact(true, GRESS, VERSIONS),
    pods: fact(PodMatch::Always, GRESS, VERSIONS),
    service_addresses: fact(false, ACL, VERSIONS),
    ports: fact(EnforcedPorts::Pod, ACL, VERSIONS),
    masquerade: fact(SeenClient::Either, ACL, VERSIONS),
    own_node: fact(
        true,
        "OKD documentation, About network policy: traffic from localhost or the resident node cannot be blocked",
        VERSIONS,
    ),
    end_port: fact(true, GRESS, VERSIONS),
    named_egress_ports: fact(
        false,
        "ovn-kubernetes/ovn-kubernetes go-controller/pkg/ovn/gress_policy.go (addPortPolicy takes the number alone: \
         a name is every port of the protocol)",
        "read at 0254d0f",
    ),
    sctp: fact(true, OKD, VERSIONS),
    icmp: fact(
        Icmp::Dropped,
        "OKD documentation, About network policy: policies apply to ICMP",
        VERSIONS,
    ),
    established: fact(
        Established::Cut,
        "ovn-nb(5), ACL table, allow-related: established connections are looked at again",
        VERSIONS,
    ),
    ports_per_rule: fact(None, GRESS, VERSIONS),
    blocks_per_policy: fact(None, GRESS, VERSIONS),
    bare_pods: fact(true, OKD, VERSIONS),
    host_network: fact(
        false,
        "OKD documentation, About network policy: the host network namespace is not covered",
        VERSIONS,
    ),
    windows: fact(
        false,
        "ovn-kubernetes/ovn-kubernetes docs, Hybrid Overlay: pods on Windows are on no OVN switch",
        VERSIONS,
    ),
    dual_stack: fact(true, GRESS, VERSIONS),
};
