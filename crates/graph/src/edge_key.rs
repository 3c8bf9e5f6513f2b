//! What tells one edge from another.

use super::edge::Edge;
use super::peer::Peer;
use nanoseg_net::Protocol;
use std::collections::BTreeMap;

/// Client, server, protocol, port.
pub type EdgeKey = (Peer, Peer, Protocol, u16);

/// Edges in order of their keys.
pub(super) type Edges = BTreeMap<EdgeKey, Edge>;
