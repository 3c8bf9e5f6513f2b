//! Hubble's labels of the ends of a connection.

use nanoseg_flow::PeerLabel;

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
}

/// The most exact label that the endpoint allows.
pub(super) fn build_label(facts: &EndpointFacts<'_>) -> Option<PeerLabel> {
    let namespace = facts.namespace.to_owned();
    if !facts.namespace.is_empty() && !facts.pod_name.is_empty() {
        return Some(PeerLabel::Pod {
            namespace,
            name: facts.pod_name.to_owned(),
        });
    }
    if let Some((kind, name)) = facts.workload
        && !facts.namespace.is_empty()
        && !name.is_empty()
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
        PeerLabel::Pod { .. } => 5,
        PeerLabel::Workload { .. } => 4,
        PeerLabel::ApiServer => 3,
        PeerLabel::Host => 2,
        PeerLabel::RemoteNode => 1,
        PeerLabel::World => 0,
    }
}
