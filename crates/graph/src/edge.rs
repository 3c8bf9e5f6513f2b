//! An edge with its evidence, and what it teaches.

use super::lesson::{Tally, decide};
use super::peer::Peer;
use super::sightings::{Corroboration, MAX_OBSERVERS, Outcome, Sightings};
use super::unguarded::UnguardedPeriod;
use nanoseg_flow::{ActivityWindows, Observers, Opening, Told, Verdict, Views};
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What an edge teaches (rule: only-conversations-teach).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "reason")]
pub enum Lesson {
    /// Observed and learned: belongs to `O`.
    Learned,
    /// Not seen, but belongs to `O` for the stated reason (rule: dns-over-tcp-implied).
    Implied(String),
    /// Seen, not learned, an operator should decide.
    Review(String),
    /// Seen, never learned.
    Ignored(String),
}

impl Lesson {
    /// Returns true if the edge belongs to `O`.
    pub fn teaches(&self) -> bool {
        matches!(self, Lesson::Learned | Lesson::Implied(_))
    }

    fn reason(&self) -> &str {
        match self {
            Lesson::Learned => "",
            Lesson::Implied(reason) | Lesson::Review(reason) | Lesson::Ignored(reason) => reason,
        }
    }
}

/// One flow record behind an edge, as shown to people.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Evidence {
    pub client: IpAddr,
    pub server: IpAddr,
    pub port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_as: Option<IpAddr>,
    pub verdict: Verdict,
    pub opening: Opening,
    pub connections: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// Client peer → server peer, protocol and port, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    pub protocol: Protocol,
    /// The server's own port (a pod port for a workload).
    pub port: u16,
    pub lesson: Lesson,
    /// No packet shows who opened it: the server was inferred from known or popular ports (rule: direction-inferred).
    pub inferred: bool,
    /// Connections by verdict; each counted once.
    pub verdicts: BTreeMap<Verdict, u64>,
    pub bytes_to_server: u64,
    pub bytes_to_client: u64,
    /// `None` for an implied edge.
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    #[serde(skip)]
    pub windows: ActivityWindows,
    /// The clients that had a conversation, by address: the first [`Edge::MAX_CLIENTS`] in order of address.
    #[serde(skip)]
    pub clients: BTreeSet<IpAddr>,
    /// The names under which the client itself had looked up the outside server that it called: the first
    /// [`Edge::MAX_NAMES`] in order (rule: names-that-the-client-asked-for).
    #[serde(skip)]
    pub looked_up: BTreeSet<String>,
    /// The Services through which it was called, `namespace/name:port`.
    pub services: BTreeSet<String>,
    /// The Service ports of those, for plugins that enforce before translation (rule: service-port-before-translation).
    #[serde(skip)]
    pub service_ports: BTreeSet<u16>,
    /// Node ports that a pod called: not translated yet when it leaves for another node.
    #[serde(skip)]
    pub node_ports: BTreeSet<u16>,
    /// The addresses from which a network plugin sees the client, where these are not the client's
    /// own: all nodes' for traffic through a NodePort (rule: node-port-from-any-node).
    pub enforced_from: BTreeSet<IpAddr>,
    /// At most [`Edge::MAX_EVIDENCE`] samples, the earliest first.
    pub evidence: Vec<Evidence>,
    /// How many flow records stand behind the edge in all.
    pub evidence_total: u64,
    /// The nodes whose agents saw it, at most [`MAX_OBSERVERS`].
    #[serde(default, skip_serializing_if = "Observers::is_empty")]
    pub observers: Observers,
    /// Which of them stand at its ends, and which agents that do saw nothing of it.
    #[serde(skip)]
    pub sightings: Sightings,
    /// Nodes whose agents should have seen its answered connections, and did not ([`super::Graph::corroborate`]).
    #[serde(skip)]
    pub one_sided: Observers,
    /// Nodes whose agents should have seen them, and may still tell of them.
    #[serde(skip)]
    pub waiting: Observers,
    /// When it was told by the receiver's clock, or its own times where nobody told it. Who tells it cannot move these
    /// back. `None` for an implied edge.
    #[serde(skip)]
    pub told: Option<Told>,
    /// What decides the lesson beyond the public fields.
    #[serde(skip)]
    pub tally: Tally,
    /// The time without a guard in which it was first answered ([`super::Graph::mark_unguarded`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unguarded: Option<UnguardedPeriod>,
}

impl Edge {
    /// How many flow records are kept as samples behind an edge.
    pub const MAX_EVIDENCE: usize = 8;
    /// How many clients are told apart: whether one pod used it or several counts, not how many hundred.
    pub const MAX_CLIENTS: usize = 8;

    /// How many names of an outside server are kept: one address of a content network has hundreds.
    pub const MAX_NAMES: usize = 16;

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
            windows: ActivityWindows::default(),
            clients: BTreeSet::new(),
            looked_up: BTreeSet::new(),
            services: BTreeSet::new(),
            service_ports: BTreeSet::new(),
            node_ports: BTreeSet::new(),
            enforced_from: BTreeSet::new(),
            evidence: Vec::new(),
            evidence_total: 0,
            observers: Observers::default(),
            sightings: Sightings::default(),
            one_sided: Observers::default(),
            waiting: Observers::default(),
            told: None,
            tally: Tally::default(),
            unguarded: None,
        }
    }

    /// Adds what was seen of the same edge elsewhere or at another time. The result does not depend on the
    /// order and grouping of merges; counts add up.
    ///
    /// The lesson is decided again from all that was seen, since it may take more than one part to teach. An
    /// implied edge stays implied unless it is learned now.
    pub fn merge(&mut self, other: &Edge, client: &Peer, server: &Peer) {
        for (verdict, count) in &other.verdicts {
            let known = self.verdicts.entry(*verdict).or_default();
            *known = known.saturating_add(*count);
        }
        self.bytes_to_server = self.bytes_to_server.saturating_add(other.bytes_to_server);
        self.bytes_to_client = self.bytes_to_client.saturating_add(other.bytes_to_client);
        self.first = self.first.into_iter().chain(other.first).min();
        self.last = self.last.max(other.last);
        self.windows.merge(&other.windows);
        self.note_clients(&other.clients);
        self.note_names(other.looked_up.iter().cloned());
        self.services.extend(other.services.iter().cloned());
        self.service_ports.extend(&other.service_ports);
        self.node_ports.extend(&other.node_ports);
        self.enforced_from.extend(&other.enforced_from);
        self.evidence.extend(other.evidence.iter().cloned());
        self.evidence_total = self.evidence_total.saturating_add(other.evidence_total);
        self.observers.extend_up_to(&other.observers, MAX_OBSERVERS);
        self.sightings.merge(&other.sightings);
        self.told = Told::merge(self.told, other.told);
        self.tally.merge(&other.tally);
        self.inferred &= other.inferred;
        let implied = [&self.lesson, &other.lesson].into_iter();
        let implied = implied.filter(|lesson| matches!(lesson, Lesson::Implied(_)));
        let implied = implied.min_by_key(|lesson| lesson.reason()).cloned();
        self.order_evidence();
        self.lesson = decide(client, server, self);
        if let Some(implied) = implied
            && !self.lesson.teaches()
        {
            self.lesson = implied;
        }
    }

    /// Returns true if `other`, of the same ends, adds no fact of another kind: only counts and times would
    /// change.
    pub(super) fn covers(&self, other: &Edge) -> bool {
        let repeats = |(verdict, _): (&Verdict, _)| self.verdicts.contains_key(verdict);
        // One-way datagrams teach only where they repeat.
        let may_teach = other.verdicts.contains_key(&Verdict::OneWay);
        other.verdicts.iter().all(repeats)
            && (self.lesson == Lesson::Learned || !may_teach)
            && other.services.is_subset(&self.services)
            && (other.looked_up.is_subset(&self.looked_up)
                || self.looked_up.len() >= Edge::MAX_NAMES)
            && other.service_ports.is_subset(&self.service_ports)
            && other.node_ports.is_subset(&self.node_ports)
            && other.enforced_from.is_subset(&self.enforced_from)
            && self.sightings.covers(&other.sightings)
            && self.tally.dns >= other.tally.dns
            && self.tally.opening_seen >= other.tally.opening_seen
    }

    /// Adds the facts of some of the records behind the edge, which may be counted in it already: all facts
    /// of another kind, and of each count the larger.
    pub(super) fn widen(&mut self, other: &Edge, client: &Peer, server: &Peer) {
        let most = |known: &mut u64, other: u64| *known = (*known).max(other);
        let counted = self.clone();
        self.merge(other, client, server);
        for (verdict, count) in &mut self.verdicts {
            let [a, b] = [&counted, other].map(|edge| edge.verdicts.get(verdict).copied());
            *count = a.max(b).unwrap_or(0);
        }
        self.bytes_to_server = counted.bytes_to_server;
        self.bytes_to_client = counted.bytes_to_client;
        most(&mut self.bytes_to_server, other.bytes_to_server);
        most(&mut self.bytes_to_client, other.bytes_to_client);
        self.evidence_total = counted.evidence_total;
        most(&mut self.evidence_total, other.evidence_total);
        self.tally = counted.tally;
        self.tally.widen(&other.tally);
        let lesson = decide(client, server, self);
        if lesson.teaches() || !matches!(self.lesson, Lesson::Implied(_)) {
            self.lesson = lesson;
        }
        self.evidence = [counted.evidence, other.evidence.clone()].concat();
        self.evidence.sort();
        self.evidence.dedup();
        self.order_evidence();
    }

    /// Decides what the edge teaches, from all that was seen of it.
    pub(super) fn settle(&mut self, client: &Peer, server: &Peer) {
        self.order_evidence();
        self.inferred = !self.tally.opening_seen;
        self.lesson = decide(client, server, self);
    }

    /// Adds clients that had a conversation, up to the bound.
    pub(super) fn note_clients<'a>(&mut self, clients: impl IntoIterator<Item = &'a IpAddr>) {
        self.clients.extend(clients);
        while self.clients.len() > Edge::MAX_CLIENTS {
            self.clients.pop_last();
        }
    }

    /// Adds names that the client had looked up, up to the bound.
    pub(super) fn note_names(&mut self, names: impl IntoIterator<Item = String>) {
        self.looked_up.extend(names);
        while self.looked_up.len() > Edge::MAX_NAMES {
            self.looked_up.pop_last();
        }
    }

    /// Connections that teach.
    pub(super) fn conversations(&self) -> u64 {
        let teaching = [Verdict::Established, Verdict::OneWay];
        let counts = teaching.iter().filter_map(|v| self.verdicts.get(v));
        counts.sum()
    }

    /// The earliest samples, in order.
    fn order_evidence(&mut self) {
        self.evidence
            .sort_by(|a, b| (a.first, a).cmp(&(b.first, b)));
        self.evidence.truncate(Edge::MAX_EVIDENCE);
    }

    /// How many connections were answered; datagrams that nobody answers count as well.
    pub fn answered(&self) -> u64 {
        let of = |verdict| self.verdicts.get(&verdict).copied().unwrap_or_default();
        of(Verdict::Established).saturating_add(of(Verdict::OneWay))
    }

    /// Returns true if no agent is silent that should have seen its answered connections.
    pub fn is_corroborated(&self) -> bool {
        self.one_sided.is_empty() && self.waiting.is_empty()
    }

    /// Since when it is known by the receiver's clock: nobody told of it before. The time of its first connection where
    /// agents did not tell of it.
    pub fn known_since(&self) -> Option<Timestamp> {
        self.told.map(|told| told.first).or(self.first)
    }

    /// The last time that it went on, as far as whoever told it is believed: never before a time that its node had told
    /// already (rule: told-by-the-receivers-clock).
    pub fn believed_last(&self) -> Option<Timestamp> {
        self.last.max(self.told.map(|told| told.last))
    }

    /// Whether connections with this outcome were seen at both ends. `views`: when each node's agent observed; `now`
    /// is the time by the receiver's clock.
    pub fn corroboration(&self, outcome: Outcome, views: &Views, now: Timestamp) -> Corroboration {
        let found = self.sightings.corroboration(outcome, views, now);
        found.unwrap_or(Corroboration::NotOfAgents)
    }

    /// All connections, whatever their verdict.
    pub fn connections(&self) -> u64 {
        self.verdicts.values().sum()
    }
}
