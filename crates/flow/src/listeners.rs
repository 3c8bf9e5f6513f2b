//! What the flow room asks about addresses and does not know itself; the caller has the inventory.

use super::{FlowRecord, Standing};
use nanoseg_net::{Protocol, Timestamp};
use std::net::{IpAddr, SocketAddr};

/// What the flow room needs to know about listeners and addresses; the caller knows the inventory. Where nothing is
/// known, packets have to prove everything themselves (rule: copies-are-proven).
pub trait Listeners {
    /// Returns true if something is known to listen at `address` and `port`.
    fn listens(&self, address: IpAddr, protocol: Protocol, port: u16, at: Timestamp) -> bool;

    /// What is known to happen to a packet for `called` that goes on to `arrived`. `None`: nothing leads from one to
    /// the other, as far as is known.
    fn translation(
        &self,
        _protocol: Protocol,
        _called: SocketAddr,
        _arrived: SocketAddr,
        _at: Timestamp,
    ) -> Option<Translation> {
        None
    }

    /// Returns true if both are known to be addresses of one node, or of it and of a pod on it.
    fn is_same_node(&self, _one: IpAddr, _other: IpAddr, _at: Timestamp) -> bool {
        false
    }

    /// Whether the agent of that node may tell of the connection (rule: agent-speaks-for-its-node).
    fn standing(&self, _node: &str, _record: &FlowRecord) -> Standing {
        Standing::Own
    }

    /// Whose address it is. `None`: not known.
    fn kind(&self, _address: IpAddr, _at: Timestamp) -> Option<AddressKind> {
        None
    }
}

/// A translation of the destination that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translation {
    /// A pod's address stays as it is on its way to another pod: a cluster IP, `externalTrafficPolicy: Local`.
    Direct,
    /// The source may become a node's own address: a node port, an external address.
    Masqueraded,
}

/// Whose address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// A pod's own: no translation puts another pod's in its place.
    Pod,
    /// A node's, which it may put in the place of a client's.
    Node,
    /// A Service's: what is sent there goes on to something else.
    Service,
    /// Outside of the cluster.
    Outside,
}

/// Listeners are not known, as on a node.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoListeners;

impl Listeners for NoListeners {
    fn listens(&self, _: IpAddr, _: Protocol, _: u16, _: Timestamp) -> bool {
        false
    }
}
