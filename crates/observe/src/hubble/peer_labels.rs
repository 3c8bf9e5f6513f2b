//! Hubble's labels of the ends of a connection.

use nanoseg_flow::{PeerLabel, PodLabel};
use std::collections::BTreeSet;

/// An endpoint of an event, as far as it matters here.
#[derive(Debug, Default)]
pub(super) struct EndpointFacts<'a> {
    pub namespace: &'a str,
    pub pod_name: &'a str,
    /// Kind and name of the first workload.
    pub workload: Option<(&'a str, &'a str)>,
    pub labels: &'a [String],
    /// The numeric identity: small ones are reserved.
    pub identity: u64,
    /// The endpoint's cluster, and that of the node that saw it; empty where it is not said.
    pub cluster: &'a str,
    pub observer_cluster: Option<&'a str>,
}

/// The label in which Cilium names the cluster of an identity.
const CLUSTER_LABEL: &str = "k8s:io.cilium.k8s.policy.cluster=";
/// The name of a cluster that was given none.
const DEFAULT_CLUSTER: &str = "default";

impl EndpointFacts<'_> {
    /// The cluster, where it is not known to be the observer's (rule: other-cluster-is-outside).
    fn other_cluster(&self) -> Option<String> {
        let labelled = self
            .labels
            .iter()
            .find_map(|l| l.strip_prefix(CLUSTER_LABEL));
        let cluster = Some(self.cluster)
            .filter(|name| !name.is_empty())
            .or(labelled)?;
        (cluster != self.observer_cluster.unwrap_or(DEFAULT_CLUSTER)).then(|| cluster.to_owned())
    }

    /// The pod's own labels; Cilium adds others, which begin with its name, and marks where each is from.
    fn own_labels(&self) -> BTreeSet<String> {
        let own = self
            .labels
            .iter()
            .filter_map(|label| label.strip_prefix("k8s:"));
        own.filter(|label| !label.starts_with("io.cilium.") && !label.starts_with("io.kubernetes."))
            .map(str::to_owned)
            .collect()
    }
}

/// The most exact label that the endpoint allows.
pub(super) fn build_label(facts: &EndpointFacts<'_>) -> Option<PeerLabel> {
    let namespace = facts.namespace.to_owned();
    if !facts.namespace.is_empty() && !facts.pod_name.is_empty() {
        let owner = facts.workload.filter(|(_, name)| !name.is_empty());
        return Some(PeerLabel::Pod(PodLabel {
            owner: owner.map(|(kind, name)| (kind.to_owned(), name.to_owned())),
            labels: match owner {
                Some(_) => BTreeSet::new(),
                None => facts.own_labels(),
            },
            cluster: facts.other_cluster(),
            ..PodLabel::named(namespace, facts.pod_name)
        }));
    }
    if let Some((kind, name)) = facts.workload
        && !facts.namespace.is_empty()
        && !name.is_empty()
        && facts.other_cluster().is_none()
    {
        return Some(PeerLabel::Workload {
            namespace,
            kind: kind.to_owned(),
            name: name.to_owned(),
        });
    }
    let reserved = |name: &str| {
        facts
            .labels
            .iter()
            .any(|label| label.strip_prefix("reserved:") == Some(name))
    };
    // A remote API server has both labels; the numbers are those of cilium/pkg/identity/reserved.go.
    if reserved("kube-apiserver") || facts.identity == 7 {
        Some(PeerLabel::ApiServer)
    } else if reserved("host") || facts.identity == 1 {
        Some(PeerLabel::Host)
    } else if reserved("remote-node") || reserved("health") || matches!(facts.identity, 4 | 6) {
        Some(PeerLabel::RemoteNode)
    } else if reserved("world") || matches!(facts.identity, 2 | 9 | 10) {
        Some(PeerLabel::World)
    } else {
        // Unmanaged, init, unknown and identities without a pod: the address is more exact.
        None
    }
}

/// How exact a label is; of several labels of one end the most exact counts. Where a packet
/// has left for another node, Cilium takes pods there for that node.
pub(super) fn exactness(label: &PeerLabel) -> u8 {
    match label {
        PeerLabel::Pod(_) => 5,
        PeerLabel::Workload { .. } => 4,
        PeerLabel::ApiServer => 3,
        PeerLabel::Host => 2,
        PeerLabel::RemoteNode => 1,
        PeerLabel::World | PeerLabel::Network { .. } => 0,
    }
}
