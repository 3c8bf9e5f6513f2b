//! The kind of a violation: what is counted and recorded once, however many addresses it has.

use super::Violation;
use nanoseg_graph::{Peer, UnattributedReason};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Direction, Protocol};
use serde::{Deserialize, Serialize};

/// Violations that are counted as one (rule: violations-are-counted-by-kind).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ViolationKind {
    /// The workload whose policy denies it.
    pub workload: WorkloadId,
    pub direction: Direction,
    pub peer: PeerKind,
    /// `None`: all ports and peers of this kind that have no kind of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<(Protocol, u16)>,
}

/// The other end, without its address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PeerKind {
    Workload(WorkloadId),
    /// Workloads of a namespace that are too many to count apart.
    WorkloadsOf(String),
    ApiServer,
    Node,
    Outside,
    Unattributed(UnattributedReason),
}

impl PeerKind {
    fn of(peer: &Peer) -> PeerKind {
        match peer {
            Peer::Workload(id) => PeerKind::Workload(id.clone()),
            Peer::ApiServer => PeerKind::ApiServer,
            Peer::Node(_) => PeerKind::Node,
            Peer::Outside(_) => PeerKind::Outside,
            Peer::Unattributed(who) => PeerKind::Unattributed(who.reason),
        }
    }

    /// Workloads of a namespace together: whoever may make workloads cannot make kinds without end.
    fn group(&self) -> PeerKind {
        match self {
            PeerKind::Workload(id) => PeerKind::WorkloadsOf(id.namespace.clone()),
            other => other.clone(),
        }
    }
}

impl ViolationKind {
    /// The kind of a violation; `None` if the policy that denies it is nobody's.
    pub fn of(violation: &Violation) -> Option<ViolationKind> {
        let (own, peer) = match violation.denied_at {
            Direction::Ingress => (&violation.server, &violation.client),
            Direction::Egress => (&violation.client, &violation.server),
        };
        Some(ViolationKind {
            workload: own.workload()?.clone(),
            direction: violation.denied_at,
            peer: PeerKind::of(peer),
            port: Some((violation.protocol, violation.port)),
        })
    }

    /// The kind that stands for all others of the same workload, direction and group of peers.
    pub(super) fn rest(&self) -> ViolationKind {
        ViolationKind {
            workload: self.workload.clone(),
            direction: self.direction,
            peer: self.peer.group(),
            port: None,
        }
    }
}
