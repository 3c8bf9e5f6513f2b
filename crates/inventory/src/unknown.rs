//! Why nobody is known to have had an address of the cluster at a time: the cause that is most likely.

use super::Inventory;
use nanoseg_net::Timestamp;
use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

/// Why an address has no known owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UnknownCause {
    /// No pod of the snapshots ever has it.
    Never {
        /// The node whose podCIDR it lies in.
        node: Option<String>,
        /// The snapshots have pods of this namespace only.
        only_namespace: Option<String>,
        /// No node of the snapshots has a podCIDR, so it may be a node's own address, such as its pods' gateway.
        no_pod_cidrs: bool,
        /// How many pods of the snapshots have no address: it may be one of theirs.
        without_address: usize,
    },
    /// It lies in the Services' range.
    OfServices,
    /// This pod (`namespace/name`) got it so many seconds later.
    StartedLater { pod: String, seconds: i64 },
    /// This pod gave it back so many seconds before.
    EndedBefore { pod: String, seconds: i64 },
}

impl fmt::Display for UnknownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnknownCause::Never {
                node,
                only_namespace,
                no_pod_cidrs,
                without_address,
            } => {
                f.write_str("no pod of the snapshots ever has it")?;
                match only_namespace {
                    Some(name) => write!(f, ", and they have pods of namespace {name} only")?,
                    None if *no_pod_cidrs => f.write_str(
                        ", so they were taken at another time, or it is a node's own: none of their Nodes has a podCIDR",
                    )?,
                    None => f.write_str(", so they were taken at another time")?,
                }
                match without_address {
                    0 => {}
                    1 => f.write_str("; one of their pods is without an address")?,
                    number => write!(f, "; {number} of their pods are without an address")?,
                }
                match node {
                    Some(node) => write!(f, "; it lies in the podCIDR of node {node}"),
                    None => Ok(()),
                }
            }
            UnknownCause::OfServices => f.write_str(
                "it lies in the range of Services, and no Service of the snapshots has it",
            ),
            UnknownCause::StartedLater { pod, seconds } => {
                write!(f, "{pod} got it only {seconds} s later")?;
                if *seconds <= 120 {
                    f.write_str(", if the clocks of the nodes agree")?;
                }
                Ok(())
            }
            UnknownCause::EndedBefore { pod, seconds } => {
                write!(f, "{pod} gave it back {seconds} s before")
            }
        }
    }
}

impl Inventory {
    /// The likely cause that nobody is known to have had `address` at `at`.
    pub fn why_unknown(&self, address: IpAddr, at: Timestamp) -> UnknownCause {
        let named = |index: usize| {
            let pod = self.pods.get(index);
            pod.map(|pod| format!("{}/{}", pod.namespace, pod.name))
                .unwrap_or_default()
        };
        let (before, after) = self.addresses.around(address, at);
        let before = before.map(|(pod, since)| (at.secs_since(since), pod));
        let after = after.map(|(pod, from)| (from.secs_since(at), pod));
        match (before, after) {
            (Some((seconds, pod)), after) if after.is_none_or(|(later, _)| seconds <= later) => {
                UnknownCause::EndedBefore {
                    pod: named(pod),
                    seconds,
                }
            }
            (_, Some((seconds, pod))) => UnknownCause::StartedLater {
                pod: named(pod),
                seconds,
            },
            _ if self
                .service_ranges
                .iter()
                .any(|range| range.contains(&address)) =>
            {
                UnknownCause::OfServices
            }
            _ => {
                let mut nodes = self.nodes.iter();
                let holds = |cidr: &ipnet::IpNet| cidr.contains(&address);
                let node = nodes.find(|node| node.pod_cidrs.iter().any(holds));
                let pods = self.pods.iter().filter(|pod| !pod.template);
                let without = pods.clone().filter(|pod| pod.addresses.is_empty()).count();
                let namespaces: BTreeSet<&String> = pods.map(|pod| &pod.namespace).collect();
                let only = namespaces.first().filter(|_| namespaces.len() == 1);
                UnknownCause::Never {
                    node: node.map(|node| node.name.clone()),
                    only_namespace: only.map(|name| (*name).clone()),
                    no_pod_cidrs: self.nodes.iter().all(|node| node.pod_cidrs.is_empty()),
                    without_address: without,
                }
            }
        }
    }
}
