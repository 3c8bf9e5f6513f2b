//! What a report adds to an edge of the graph: the rules that allow it, and who approved them.

use super::names;
use nanoseg_graph::{Edge, Peer};
use nanoseg_net::Protocol;
use std::collections::BTreeMap;

/// The rules that allow an edge, and who approved them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approved {
    /// `namespace/name ingress[0]` and the like.
    pub allowed_by: Vec<String>,
    /// `WHO at TIME`.
    pub approved_by: Vec<String>,
}

/// An edge by its client, server (ids of peers), protocol and port.
pub type EdgeId = (String, String, Protocol, u16);

/// The approvals of each edge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals(pub BTreeMap<EdgeId, Approved>);

impl Approvals {
    /// The approvals of an edge; `None` if none are known.
    pub fn of(&self, client: &Peer, server: &Peer, edge: &Edge) -> Approved {
        let key = (
            names::id(client),
            names::id(server),
            edge.protocol,
            edge.port,
        );
        self.0.get(&key).cloned().unwrap_or_default()
    }
}
