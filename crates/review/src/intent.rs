//! What a revision was approved to do: the connections that it was meant to allow, and those that it said it would
//! block. Kept with the revision for good (rule: rollback-needs-evidence).

use nanoseg_graph::Peer;
use nanoseg_net::Protocol;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The most connections in each list. What is beyond counts as not meant to be allowed, so that it triggers nothing.
pub(crate) const MOST_CONNECTIONS: usize = 500;

/// A connection between two peers. Unlike [`nanoseg_record::Connection`] it has the ends themselves and not their
/// names: two workloads of different kinds may share a name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IntendedConnection {
    pub client: Peer,
    pub server: Peer,
    pub protocol: Protocol,
    pub port: u16,
}

impl IntendedConnection {
    /// The connection, as the record has it.
    pub fn for_record(&self) -> nanoseg_record::Connection {
        nanoseg_record::Connection {
            client: self.client.to_string(),
            server: self.server.to_string(),
            protocol: self.protocol,
            port: self.port,
        }
    }
}

/// What a policy does with the connections that were known when it was reviewed, at its workload's own end, by
/// evaluation. Empty for a revision of a version that did not keep it: such a revision triggers nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Intent {
    /// Those that it was meant to allow.
    pub allows: BTreeSet<IntendedConnection>,
    /// Those that worked before, and that it said it would block.
    pub blocks: BTreeSet<IntendedConnection>,
}

impl Intent {
    /// Keeps at most [`MOST_CONNECTIONS`] of each list: first those between workloads, which are few, then those with
    /// addresses.
    pub fn new(
        allows: impl IntoIterator<Item = IntendedConnection>,
        blocks: impl IntoIterator<Item = IntendedConnection>,
    ) -> Intent {
        Intent {
            allows: bounded(allows),
            blocks: bounded(blocks),
        }
    }

    /// Notes that what was allowed for a time is closed.
    pub(crate) fn shut(&mut self, connection: &IntendedConnection) {
        self.allows.remove(connection);
        if self.blocks.len() < MOST_CONNECTIONS {
            self.blocks.insert(connection.clone());
        }
    }

    /// Notes that a person refused to open the connection: from now on it is closed on purpose.
    pub(crate) fn close(&mut self, connection: &IntendedConnection) {
        if let Some(connection) = self.allows.take(connection) {
            self.blocks.insert(connection);
        }
    }
}

fn bounded(
    connections: impl IntoIterator<Item = IntendedConnection>,
) -> BTreeSet<IntendedConnection> {
    let is_outside = |one: &IntendedConnection| {
        one.client.workload().is_none() || one.server.workload().is_none()
    };
    let mut all: Vec<IntendedConnection> = connections.into_iter().collect();
    all.sort_by(|a, b| (is_outside(a), a).cmp(&(is_outside(b), b)));
    all.dedup();
    all.truncate(MOST_CONNECTIONS);
    all.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, peer};

    #[test]
    fn a_long_list_keeps_the_connections_between_workloads() {
        let connection = |client: Peer| IntendedConnection {
            client,
            server: peer("shop/db"),
            protocol: Protocol::Tcp,
            port: 5432,
        };
        let outside = (0..3000u32).map(|n| Peer::Outside(std::net::Ipv4Addr::from(n).into()));
        let inside = Peer::Workload(id("shop/web"));
        let all = outside.chain([inside.clone()]).map(connection);
        let intent = Intent::new(all, []);
        assert_eq!(intent.allows.len(), MOST_CONNECTIONS);
        assert!(intent.allows.contains(&connection(inside)));
    }
}
