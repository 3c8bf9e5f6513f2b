//! Which agents saw the connections of an edge, and which did not (rule: edge-has-two-observers).
//!
//! A connection passes the nodes of both ends. If only the agent of one of them tells of it, either the other one's
//! batch is under way, or that node has no agent, or it did not happen as it is told.

use nanoseg_flow::{FlowRecord, Observers, Silence, Verdict, Views, silence_of};
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The most nodes that an edge names as its observers.
pub const MAX_OBSERVERS: usize = 16;
/// The most groups of nodes that an end of an edge keeps because they did not see it.
const MAX_UNSEEN: usize = 4;
/// Whether connections of an edge were seen at both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Corroboration {
    /// No agent told of it: it is of a file.
    NotOfAgents,
    /// The agents of both ends' nodes saw it, or that of the one node that has both ends.
    BothEnds,
    /// One end's agent saw it; nobody observed at the other end: it is outside of the cluster, or its node had no
    /// agent then.
    OneEnd,
    /// One end's agent saw it, and the batch of the other end's node may still be under way.
    Waiting(Observers),
    /// These nodes observed at that time, are where the other end was, and did not see it.
    OneSided(Observers),
}

impl Corroboration {
    /// Returns true if what was told may count as a reason to open anything: no agent that should have seen it is
    /// silent about it.
    pub fn is_trusted(&self) -> bool {
        match self {
            Corroboration::NotOfAgents | Corroboration::BothEnds | Corroboration::OneEnd => true,
            Corroboration::Waiting(_) | Corroboration::OneSided(_) => false,
        }
    }
}

impl fmt::Display for Corroboration {
    /// `seen at both ends`, `one-sided: node-b did not see it`, …
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corroboration::NotOfAgents => f.write_str("not of agents"),
            Corroboration::BothEnds => f.write_str("seen at both ends"),
            Corroboration::OneEnd => f.write_str("only one end was observed"),
            Corroboration::Waiting(nodes) => write!(f, "not yet told by {nodes}"),
            Corroboration::OneSided(nodes) => write!(f, "one-sided: {nodes} did not see it"),
        }
    }
}

/// Connections that were answered and those that failed are told apart: who forges one need not forge the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Conversations, and datagrams without an answer: what may teach.
    Answered,
    Failed,
}

/// The nodes of a record's ends at its time, as far as they have one. Several: the connection went to one of them,
/// and nothing tells to which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EndNodes {
    pub client: Observers,
    pub server: Observers,
}

/// What the agents of the ends' nodes tell of an edge.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sightings {
    answered: [Side; 2],
    failed: [Side; 2],
}

/// One end of an edge: which of its nodes saw it, and which did not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Side {
    /// Some of the end's own nodes that saw it.
    seen: Observers,
    /// While none is known to have seen any: the nodes of each, and the first and the last time.
    unseen: Vec<(Observers, Timestamp, Timestamp)>,
}

impl Sightings {
    /// Adds a record that agents told of.
    pub(super) fn add(&mut self, record: &FlowRecord, ends: &EndNodes) {
        if record.observers.is_empty() {
            return;
        }
        let sides = match record.verdict {
            Verdict::Established | Verdict::OneWay => &mut self.answered,
            Verdict::Unanswered | Verdict::Refused | Verdict::Dropped => &mut self.failed,
        };
        for (side, nodes) in sides.iter_mut().zip([&ends.client, &ends.server]) {
            side.add(nodes, &record.observers, (record.first, record.last));
        }
    }

    /// Adds what was seen of the same edge elsewhere or at another time.
    pub(super) fn merge(&mut self, other: &Sightings) {
        let sides = self.answered.iter_mut().chain(&mut self.failed);
        for (side, more) in sides.zip(other.answered.iter().chain(&other.failed)) {
            side.merge(more);
        }
    }

    /// Returns true if no side of `other` was seen by a node that is not known to have seen it here.
    pub(super) fn covers(&self, other: &Sightings) -> bool {
        let sides = self.answered.iter().chain(&self.failed);
        let mut both = sides.zip(other.answered.iter().chain(&other.failed));
        both.all(|(side, more)| !side.seen.is_empty() || more.seen.is_empty())
    }

    /// Returns true if the agent of a client's own node saw some of it.
    pub(super) fn is_seen_at_client(&self) -> bool {
        let mut sides = [&self.answered, &self.failed].into_iter();
        sides.any(|sides| !sides[0].seen.is_empty())
    }

    /// Returns true if no agent told of it.
    pub fn is_empty(&self) -> bool {
        let mut sides = self.answered.iter().chain(&self.failed);
        sides.all(Side::is_empty)
    }

    /// Whether connections with this outcome were seen at both ends. `views`: when agents observed; `now` is the time
    /// by the receiver's clock. `None` if there was no such connection, or no agent told of one.
    pub fn corroboration(
        &self,
        outcome: Outcome,
        views: &Views,
        now: Timestamp,
    ) -> Option<Corroboration> {
        let sides = match outcome {
            Outcome::Answered => &self.answered,
            Outcome::Failed => &self.failed,
        };
        if sides.iter().all(Side::is_empty) {
            return None;
        }
        if sides.iter().all(|side| !side.seen.is_empty()) {
            return Some(Corroboration::BothEnds);
        }
        let (mut missing, mut waiting) = (Observers::default(), Observers::default());
        for side in sides.iter().filter(|side| side.seen.is_empty()) {
            for (nodes, first, last) in &side.unseen {
                match silence_of_all(nodes, (*first, *last), views, now) {
                    Silence::Observed => missing.extend(nodes),
                    Silence::UnderWay => waiting.extend(nodes),
                    Silence::NotObserved => {}
                }
            }
        }
        Some(match (missing.is_empty(), waiting.is_empty()) {
            (false, _) => Corroboration::OneSided(missing),
            (true, false) => Corroboration::Waiting(waiting),
            (true, true) => Corroboration::OneEnd,
        })
    }
}

impl Side {
    fn add(&mut self, nodes: &Observers, observers: &Observers, times: (Timestamp, Timestamp)) {
        let seen = nodes.iter().filter(|node| observers.contains(node));
        let seen: Observers = seen.cloned().collect();
        if !seen.is_empty() {
            self.note_seen(&seen);
        } else if !nodes.is_empty() {
            self.note_unseen(nodes, times);
        }
    }

    /// Who did not see other connections of the edge matters only while nobody saw any.
    fn note_seen(&mut self, nodes: &Observers) {
        self.seen.extend_up_to(nodes, MAX_OBSERVERS);
        if !self.seen.is_empty() {
            self.unseen.clear();
        }
    }

    fn note_unseen(&mut self, nodes: &Observers, times: (Timestamp, Timestamp)) {
        if !self.seen.is_empty() {
            return;
        }
        match self.unseen.binary_search_by(|(known, ..)| known.cmp(nodes)) {
            Ok(place) => {
                let (_, first, last) = &mut self.unseen[place];
                (*first, *last) = ((*first).min(times.0), (*last).max(times.1));
            }
            Err(place) => {
                self.unseen.insert(place, (nodes.clone(), times.0, times.1));
                self.unseen.truncate(MAX_UNSEEN);
            }
        }
    }

    fn merge(&mut self, other: &Side) {
        self.note_seen(&other.seen);
        for (nodes, first, last) in &other.unseen {
            self.note_unseen(nodes, (*first, *last));
        }
    }

    fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.unseen.is_empty()
    }
}

/// The latest time that any agent told of: not after the receiver's by more than a minute. `None` without agents.
pub fn latest(views: &Views) -> Option<Timestamp> {
    let ends = views.values().filter_map(|view| Some(view.range()?.1));
    ends.max()
}

/// What the silence of several nodes means, of which the connection must have passed one.
fn silence_of_all(
    nodes: &Observers,
    times: (Timestamp, Timestamp),
    views: &Views,
    now: Timestamp,
) -> Silence {
    let of_one = nodes.iter().map(|node| silence_of(node, times, views, now));
    of_one.max().unwrap_or(Silence::NotObserved)
}
