//! Antrea.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const ARCHITECTURE: &str = "antrea-io/antrea/docs/design/architecture.md, NetworkPolicy: an ipBlock is mapped to address ranges";
const PROXY: &str = "antrea-io/antrea/docs/design/architecture.md, ClusterIP Service: AntreaProxy translates in OVS";
const PIPELINE: &str = "antrea-io/antrea/docs/design/ovs-pipeline.md";
const VERSIONS: &str = "1.x and 2.x";

pub const ANTREA: Facts = Facts {
    enforces: fact(true, ARCHITECTURE, VERSIONS),
    nodes: fact(true, ARCHITECTURE, VERSIONS),
    pods: fact(PodMatch::Always, ARCHITECTURE, VERSIONS),
    service_addresses: fact(false, PROXY, "with AntreaProxy, the default since 0.11"),
    ports: fact(
        EnforcedPorts::Pod,
        PROXY,
        "with AntreaProxy, the default since 0.11",
    ),
    masquerade: fact(SeenClient::Either, PIPELINE, VERSIONS),
    own_node: fact(
        true,
        "antrea-io/antrea/docs/design/ovs-pipeline.md: traffic of the local node passes",
        VERSIONS,
    ),
    end_port: fact(true, ARCHITECTURE, "1.2 and newer"),
    named_egress_ports: fact(true, ARCHITECTURE, VERSIONS),
    sctp: fact(true, ARCHITECTURE, VERSIONS),
    icmp: fact(Icmp::Dropped, PIPELINE, VERSIONS),
    established: fact(
        Established::Kept,
        "antrea-io/antrea/docs/design/ovs-pipeline.md: established connections skip the policy tables",
        VERSIONS,
    ),
    ports_per_rule: fact(None, ARCHITECTURE, VERSIONS),
    blocks_per_policy: fact(None, ARCHITECTURE, VERSIONS),
    bare_pods: fact(true, ARCHITECTURE, VERSIONS),
    host_network: fact(
        false,
        "antrea-io/antrea/docs/antrea-node-network-policy.md: nodes need a kind of their own",
        VERSIONS,
    ),
    windows: fact(
        true,
        "antrea-io/antrea/docs/design/windows-design.md",
        VERSIONS,
    ),
    dual_stack: fact(true, ARCHITECTURE, VERSIONS),
};
