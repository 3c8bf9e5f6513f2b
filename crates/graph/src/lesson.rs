//! What an edge teaches: only real conversations do (rule: only-conversations-teach).

use super::edge::{Edge, Lesson};
use super::peer::Peer;
use nanoseg_flow::{FlowRecord, Opening, Verdict};
use nanoseg_net::{Protocol, Timestamp};
use serde::{Deserialize, Serialize};

/// The facts that decide the lesson beyond the edge itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tally {
    /// One-way datagrams to a declared port, and to others.
    pub declared_datagrams: u64,
    pub undeclared_datagrams: u64,
    /// The server was called as a DNS server.
    pub dns: bool,
    /// A packet showed who opened it. For UDP a known listener shows it as well; for TCP and SCTP
    /// it is an inference (rule: direction-inferred).
    pub opening_seen: bool,
    /// When it was answered first, as far as who told of it is believed; `None` if it never was, and in edges of earlier
    /// versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_answered: Option<Timestamp>,
}

impl Tally {
    /// Adds one record. `declared`: its server port is declared; `dns`: its server was called as a DNS server.
    pub fn add(&mut self, record: &FlowRecord, declared: bool, dns: bool) {
        self.dns |= dns;
        self.note_opening(record);
        let datagrams = record.one_way_datagrams();
        let known = if declared || record.via.is_some() {
            &mut self.declared_datagrams
        } else {
            &mut self.undeclared_datagrams
        };
        *known = known.saturating_add(datagrams);
    }

    /// Notes whether a packet of the record showed who opened it.
    pub fn note_opening(&mut self, record: &FlowRecord) {
        self.opening_seen |= match record.opening {
            Opening::Handshake | Opening::FirstPacket => true,
            Opening::Listener => record.protocol == Protocol::Udp,
            Opening::Undecided => false,
        };
        if matches!(record.verdict, Verdict::Established | Verdict::OneWay) {
            let first = record.believed_first();
            self.first_answered = earliest(self.first_answered, Some(first));
        }
    }

    /// Adds what may be counted already: of each count the larger.
    pub fn widen(&mut self, other: &Tally) {
        self.declared_datagrams = self.declared_datagrams.max(other.declared_datagrams);
        self.undeclared_datagrams = self.undeclared_datagrams.max(other.undeclared_datagrams);
        self.dns |= other.dns;
        self.opening_seen |= other.opening_seen;
        self.first_answered = earliest(self.first_answered, other.first_answered);
    }

    /// Adds what was seen elsewhere or at another time.
    pub fn merge(&mut self, other: &Tally) {
        self.declared_datagrams = self
            .declared_datagrams
            .saturating_add(other.declared_datagrams);
        self.undeclared_datagrams = self
            .undeclared_datagrams
            .saturating_add(other.undeclared_datagrams);
        self.dns |= other.dns;
        self.opening_seen |= other.opening_seen;
        self.first_answered = earliest(self.first_answered, other.first_answered);
    }
}

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// Decides. The rules in order: an unknown pod never teaches, an established connection always does,
/// one-way UDP does where it repeats to a declared port, everything else does not.
pub(super) fn decide(client: &Peer, server: &Peer, edge: &Edge) -> Lesson {
    let tally = &edge.tally;
    for (peer, side) in [(client, "client"), (server, "server")] {
        if let Peer::Unattributed(who) = peer {
            return Lesson::Ignored(format!("the {side} has no name: {}", who.reason.meaning()));
        }
    }
    if edge.verdicts.contains_key(&Verdict::Established) {
        return Lesson::Learned;
    }
    if edge.verdicts.contains_key(&Verdict::OneWay) {
        return match (tally.declared_datagrams, tally.undeclared_datagrams) {
            (2.., _) => Lesson::Learned,
            (1, _) => Lesson::Review("one-way UDP, seen only once on a declared port".into()),
            _ => Lesson::Review("one-way UDP to a port that nothing declares".into()),
        };
    }
    let words: Vec<&str> = edge
        .verdicts
        .keys()
        .map(|verdict| match verdict {
            Verdict::Unanswered => "unanswered",
            Verdict::Refused => "refused",
            Verdict::Dropped => "dropped by a policy",
            Verdict::Established | Verdict::OneWay => "",
        })
        .collect();
    Lesson::Ignored(words.join(", "))
}
