//! What a source of flow records reports about the ends of a connection. Some sources (Cilium's
//! Hubble, Calico's flow logs, NetObserv) attribute traffic at the node, with more knowledge than an address and
//! a time give; the graph keeps such a label where the inventory knows the object that it names.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

/// What a source reports for one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerLabel {
    Pod(PodLabel),
    Workload {
        namespace: String,
        /// `Kind`, or `Kind.group` where the source gives the API group.
        kind: String,
        name: String,
    },
    /// A set of networks, by the name that the source has for it (Calico's `pub`, `pvt` and network sets).
    Network {
        name: String,
    },
    /// The node on which it was seen, or a hostNetwork pod there.
    Host,
    /// Another node of the cluster, or a hostNetwork pod there.
    RemoteNode,
    ApiServer,
    /// Outside the cluster.
    World,
}

/// A pod as a source names it, with what helps to find its workload when the pod is gone (rule: departed-pod-by-its-owner).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct PodLabel {
    pub namespace: String,
    /// Its name. One that ends in `*` means all pods that begin so.
    pub name: String,
    /// Kind (`Kind` or `Kind.group`) and name of the workload, where the source gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<(String, String)>,
    /// The pod's labels as `key=value`, where the source gives them and no owner.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub labels: BTreeSet<String>,
    /// The cluster of the mesh, where it may be another one than the observer's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
}

impl PodLabel {
    /// A pod of which only the name is known.
    pub fn named(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        PodLabel {
            namespace: namespace.into(),
            name: name.into(),
            ..PodLabel::default()
        }
    }
}

/// An address for an end that is known by its name only: in 100::/64, which is not in use (RFC 6666). The same
/// name always has the same one (FNV-1a). It is a key and nothing else: it is never shown or written.
pub fn stand_in_address(name: &str) -> IpAddr {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    IpAddr::V6(Ipv6Addr::from((0x0100_u128 << 112) | u128::from(hash)))
}

/// Returns true if the address is one of [`stand_in_address`].
pub fn is_stand_in(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if u128::from(address) >> 64 == 0x0100_u128 << 48)
}

/// What a source reports for both ends; `None` where it reports nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PeerLabels {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<PeerLabel>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<PeerLabel>,
    /// The Service that the client called: namespace and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_stand_in_address_that_is_no_other_address() {
        assert_eq!(stand_in_address("a/b"), stand_in_address("a/b"));
        assert_ne!(stand_in_address("a/b"), stand_in_address("a/c"));
        assert!(is_stand_in(stand_in_address("a/b")));
        for other in ["100:0:0:1::1", "10.0.0.1", "::1", "fd00::1"] {
            assert!(!is_stand_in(other.parse().unwrap()), "{other}");
        }
    }
}
