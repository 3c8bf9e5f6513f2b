//! The Amazon VPC CNI with its network policy agent.

use crate::behaviour::{EnforcedPorts, Established, Icmp, PodMatch, SeenClient};
use crate::fact::{Facts, fact};

const GUIDE: &str =
    "Amazon EKS User Guide, Limit Pod traffic with Kubernetes network policies, Considerations";
const ENDPOINTS: &str = "aws/amazon-network-policy-controller-k8s pkg/resolvers/endpoints.go";
const CLUSTER_IPS: &str = "aws/amazon-network-policy-controller-k8s pkg/resolvers/endpoints.go \
                           (getMatchingServiceClusterIPs: the agent filters at the pod's interface, before DNAT); \
                           Amazon EKS User Guide, Considerations";
const VERSIONS: &str = "VPC CNI 1.14 and newer";

pub const AWS_VPC_CNI: Facts = Facts {
    enforces: fact(true, GUIDE, VERSIONS),
    nodes: fact(
        true,
        "aws/aws-network-policy-agent README.md: maps by address prefix",
        VERSIONS,
    ),
    pods: fact(
        PodMatch::Always,
        "aws/aws-network-policy-agent README.md: maps by address prefix",
        VERSIONS,
    ),
    service_addresses: fact(true, CLUSTER_IPS, VERSIONS),
    ports: fact(EnforcedPorts::Either, CLUSTER_IPS, VERSIONS),
    masquerade: fact(
        SeenClient::Either,
        "aws/aws-network-policy-agent README.md: it filters at the pod's interface",
        VERSIONS,
    ),
    own_node: fact(
        true,
        "aws/aws-network-policy-agent README.md; Amazon EKS User Guide: probes of the kubelet pass",
        VERSIONS,
    ),
    end_port: fact(true, ENDPOINTS, VERSIONS),
    named_egress_ports: fact(true, ENDPOINTS, VERSIONS),
    sctp: fact(true, ENDPOINTS, VERSIONS),
    icmp: fact(Icmp::Unknown, GUIDE, VERSIONS),
    established: fact(Established::Unknown, GUIDE, VERSIONS),
    ports_per_rule: fact(
        Some(24),
        "Amazon EKS User Guide, Considerations: combinations of ports for each protocol in each selector",
        VERSIONS,
    ),
    blocks_per_policy: fact(None, GUIDE, VERSIONS),
    bare_pods: fact(
        false,
        "Amazon EKS User Guide, Considerations: pods without metadata.ownerReferences",
        VERSIONS,
    ),
    host_network: fact(
        false,
        "aws/amazon-network-policy-controller-k8s pkg/resolvers/endpoints.go (computePodSelectorEndpoints)",
        VERSIONS,
    ),
    windows: fact(
        false,
        "Amazon EKS User Guide, Considerations: EC2 Linux nodes only, no Fargate",
        VERSIONS,
    ),
    dual_stack: fact(
        false,
        "Amazon EKS User Guide, Considerations: either IPv4 or IPv6",
        VERSIONS,
    ),
};
