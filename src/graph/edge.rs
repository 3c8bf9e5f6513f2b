//! An edge with its evidence, and what it teaches.

use crate::flow::{Opening, Verdict, Windows};
use crate::net::{Protocol, Timestamp};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What an edge teaches (DESIGN §4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "reason")]
pub enum Lesson {
    /// Observed and learned: belongs to `O`.
    Learned,
    /// Not seen, but belongs to `O` for the stated reason (DESIGN §4.9).
    Implied(String),
    /// Seen, not learned, an operator should decide.
    Review(String),
    /// Seen, never learned.
    Ignored(String),
}

impl Lesson {
    /// Whether the edge belongs to `O`.
    pub fn teaches(&self) -> bool {
        matches!(self, Lesson::Learned | Lesson::Implied(_))
    }
}

/// One flow record behind an edge, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Evidence {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<IpAddr>,
    pub verdict: Verdict,
    pub opening: Opening,
    pub connections: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Client peer → server peer, protocol and port, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Edge {
    pub protocol: Protocol,
    /// The server's own port (a pod port for a workload).
    pub port: u16,
    pub lesson: Lesson,
    /// No packet shows who opened it: the server was inferred from known or popular ports (§4.1).
    pub inferred: bool,
    /// Connections by verdict; each counted once.
    pub verdicts: BTreeMap<Verdict, u64>,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    /// `None` for an implied edge.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    #[serde(skip)]
    pub windows: Windows,
    /// The Services through which it was called, `namespace/name:port`.
    pub services: BTreeSet<String>,
    /// The Service ports of those, for plugins that enforce before translation (DESIGN §4.5).
    #[serde(skip)]
    pub service_ports: BTreeSet<u16>,
    /// Node ports that a pod called: not translated yet when it leaves for another node.
    #[serde(skip)]
    pub node_ports: BTreeSet<u16>,
    /// The addresses from which a network plugin sees the client, where these are not the client's
    /// own: all nodes' for traffic through a NodePort (DESIGN §4.7).
    pub enforced_from: BTreeSet<IpAddr>,
    /// At most [`Edge::MAX_EVIDENCE`] samples, the earliest first.
    pub evidence: Vec<Evidence>,
    /// How many flow records stand behind the edge in all.
    pub evidence_total: u64,
}

impl Edge {
    /// How many flow records are kept as samples behind an edge.
    pub const MAX_EVIDENCE: usize = 8;

    /// An edge that nothing has been seen of yet.
    pub fn new(protocol: Protocol, port: u16) -> Self {
        Edge {
            protocol,
            port,
            lesson: Lesson::Ignored(String::new()),
            inferred: false,
            verdicts: BTreeMap::new(),
            bytes_to_server: 0,
            bytes_to_client: 0,
            first: None,
            last: None,
            windows: Windows::default(),
            services: BTreeSet::new(),
            service_ports: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            enforced_from: BTreeSet::new(),
            evidence: Vec::new(),
            evidence_total: 0,
        }
    }

    /// All connections, whatever their verdict.
    pub fn connections(&self) -> u64 {
        self.verdicts.values().sum()
    }
}
