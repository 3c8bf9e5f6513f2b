//! What people refused to open, and what would have to change before they are asked again
//! (rule: rejected-is-not-asked-again).

use super::IntendedConnection;
use nanoseg_graph::{Edge, Peer, UnguardedPeriods};
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// The volume of a refused connection is asked about again if it is so many times that of before, per hour …
const MUCH_MORE: u64 = 10;
/// … over so long, in seconds …
const VOLUME_SPAN: i64 = 3600;
/// … with so many connections at least.
const LEAST_CONNECTIONS: u64 = 100;
/// What is tried so soon after an opening ended is what was under way, in seconds.
const ENDING: i64 = 60;
const HOUR: i64 = 3600;

/// How a person refused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusedBy {
    /// The proposal that would open it was rejected.
    Rejection,
    /// The proposal was approved without it.
    Exception,
    /// It was approved for a time that is over.
    Expiry,
}

/// A connection that a person refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedConnection {
    pub connection: IntendedConnection,
    /// The DNS names of the end that is outside of the cluster, if one is: the same names at another address are the
    /// same connection.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub names: BTreeSet<String>,
    /// The person.
    pub by: String,
    /// When it was refused, or when the opening ended.
    pub at: Timestamp,
    /// The proposal that was decided about.
    pub proposal: String,
    pub how: RefusedBy,
    /// What was known of it then; `None`: nothing, so that only another connection is a change.
    #[serde(default)]
    pub seen: Option<SeenTraffic>,
}

/// The traffic of a connection up to some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeenTraffic {
    /// Connections that were answered.
    pub answered: u64,
    pub first: Option<Timestamp>,
}

impl SeenTraffic {
    pub fn of(edge: &Edge) -> SeenTraffic {
        SeenTraffic {
            answered: edge.answered(),
            first: edge.first,
        }
    }
}

/// What changed of the traffic since a person refused a connection. Nothing else is a reason to ask again: not more
/// connections as such, not a new pod of the same workload, not another address of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrafficChange {
    /// Nobody answered it before, and now the server does.
    Answered,
    /// Answered connections per hour.
    Volume { before: u64, now: u64 },
    /// It was open for a time, and is tried again since that is over.
    TriedAgain,
    /// Another client calls the same port of the same server.
    OtherClient { refused: String },
    /// The same client calls another port of the same server.
    OtherPort { refused: u16 },
}

impl fmt::Display for TrafficChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrafficChange::Answered => {
                f.write_str("nobody answered it then, and the server does now")
            }
            TrafficChange::Volume { before, now } => {
                write!(f, "there are {now} connections per hour, and were {before}")
            }
            TrafficChange::TriedAgain => f.write_str("it is tried again since the opening ended"),
            TrafficChange::OtherClient { refused } => {
                write!(f, "it is another client: {refused} was refused")
            }
            TrafficChange::OtherPort { refused } => {
                write!(f, "it is another port: {refused} was refused")
            }
        }
    }
}

impl RefusedConnection {
    /// Returns what changed of its traffic; `None`: nothing that counts. What was seen while nothing guarded its ends
    /// does not count.
    pub fn change(
        &self,
        edge: &Edge,
        periods: &UnguardedPeriods,
        now: Timestamp,
    ) -> Option<TrafficChange> {
        let (client, server) = (&self.connection.client, &self.connection.server);
        if self.how == RefusedBy::Expiry {
            let last = edge.believed_last()?;
            let is_later = last.secs_since(self.at) > ENDING;
            return is_later.then_some(TrafficChange::TriedAgain);
        }
        let seen = self.seen?;
        if periods.reach(client, server, self.at) {
            return None;
        }
        let answered = edge.answered();
        if seen.answered == 0 && answered > 0 {
            return Some(TrafficChange::Answered);
        }
        let since = now.secs_since(self.at);
        let more = answered.saturating_sub(seen.answered);
        if since < VOLUME_SPAN || more < LEAST_CONNECTIONS {
            return None;
        }
        let before = per_hour(seen.answered, self.at.secs_since(seen.first?));
        let now = per_hour(more, since);
        let is_much = now >= before.max(1).saturating_mul(MUCH_MORE);
        is_much.then_some(TrafficChange::Volume { before, now })
    }
}

/// Rounded up, and of one hour at least: so that few connections within minutes are no rate.
fn per_hour(count: u64, secs: i64) -> u64 {
    let secs = secs.max(HOUR).unsigned_abs();
    count.saturating_mul(HOUR.unsigned_abs()).div_ceil(secs)
}

/// Which end of a connection is outside of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outside {
    Client,
    Server,
}

/// A connection with an end outside of the cluster, by a name of that end.
type ByName = (Outside, Peer, Protocol, u16, String);

/// All refused connections, to look them up.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    all: BTreeMap<IntendedConnection, RefusedConnection>,
    by_name: BTreeMap<ByName, IntendedConnection>,
}

impl Refusals {
    pub fn new<'a>(refused: impl IntoIterator<Item = &'a RefusedConnection>) -> Refusals {
        let mut index = Refusals::default();
        for one in refused {
            for name in &one.names {
                if let Some(key) = by_name(&one.connection, name) {
                    index.by_name.insert(key, one.connection.clone());
                }
            }
            index.all.insert(one.connection.clone(), one.clone());
        }
        index
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Returns the refusal of a connection. `names`: the DNS names of outside addresses.
    pub fn of(
        &self,
        connection: &IntendedConnection,
        names: &BTreeMap<IpAddr, BTreeSet<String>>,
    ) -> Option<&RefusedConnection> {
        if let Some(found) = self.all.get(connection) {
            return Some(found);
        }
        let mut known = names_of(connection, names).into_iter().flatten();
        known.find_map(|name| self.all.get(self.by_name.get(&by_name(connection, name)?)?))
    }

    /// Returns a refused connection that this one is like, and how it differs.
    pub fn like(
        &self,
        connection: &IntendedConnection,
    ) -> Option<(&RefusedConnection, TrafficChange)> {
        self.all.values().find_map(|one| {
            let refused = &one.connection;
            if refused.server != connection.server || refused.protocol != connection.protocol {
                return None;
            }
            let (same_client, same_port) = (
                refused.client == connection.client,
                refused.port == connection.port,
            );
            let change = match (same_client, same_port) {
                (true, false) => TrafficChange::OtherPort {
                    refused: refused.port,
                },
                (false, true) => TrafficChange::OtherClient {
                    refused: refused.client.to_string(),
                },
                _ => return None,
            };
            Some((one, change))
        })
    }
}

fn by_name(connection: &IntendedConnection, name: &str) -> Option<ByName> {
    let (protocol, port) = (connection.protocol, connection.port);
    let key = |end, other: &Peer| (end, other.clone(), protocol, port, name.to_owned());
    match (&connection.client, &connection.server) {
        (other, Peer::Outside(_)) => Some(key(Outside::Server, other)),
        (Peer::Outside(_), other) => Some(key(Outside::Client, other)),
        _ => None,
    }
}

/// The DNS names of the end of a connection that is outside of the cluster.
pub fn names_of<'a>(
    connection: &IntendedConnection,
    names: &'a BTreeMap<IpAddr, BTreeSet<String>>,
) -> Option<&'a BTreeSet<String>> {
    match (&connection.client, &connection.server) {
        (_, Peer::Outside(address)) | (Peer::Outside(address), _) => names.get(address),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
