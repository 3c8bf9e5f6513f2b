//! Traffic that was first seen while nothing guarded one of its ends: while the glass was broken, while a policy was
//! rolled back, or while a namespace was not enforced after it had been (rule: unguarded-traffic-is-marked). It says
//! what could be reached then, and not what is needed.

use super::{Edge, Graph, Peer};
use nanoseg_inventory::WorkloadId;
use nanoseg_net::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A network plugin needs a moment until policies that are back hold again, in seconds.
const LAG: i64 = 30;

/// Why no approved policy guarded an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnguardedCause {
    /// Break-glass had deleted the policies of the namespace.
    BrokenGlass,
    /// The workload's policy was rolled back, and no person had approved another.
    RolledBack,
    /// The namespace had been in mode Enforce, and was not any more.
    NotEnforced,
}

impl UnguardedCause {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            UnguardedCause::BrokenGlass => "broken-glass",
            UnguardedCause::RolledBack => "rolled-back",
            UnguardedCause::NotEnforced => "not-enforced",
        }
    }

    /// The cause as the end of "seen while …".
    pub fn words(self) -> &'static str {
        match self {
            UnguardedCause::BrokenGlass => "the glass was broken",
            UnguardedCause::RolledBack => "the policy was rolled back",
            UnguardedCause::NotEnforced => "the namespace was not enforced",
        }
    }
}

/// A time without a guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct UnguardedPeriod {
    pub from: Timestamp,
    /// `None`: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    pub cause: UnguardedCause,
}

impl UnguardedPeriod {
    fn contains(&self, at: Timestamp) -> bool {
        at >= self.from && self.to.is_none_or(|to| at <= to.plus_secs(LAG))
    }

    /// Whether a part of it is at `since` or later.
    fn reaches(&self, since: Timestamp) -> bool {
        self.to.is_none_or(|to| to >= since)
    }
}

/// `seen while the glass was broken, 2026-11-29 10:02–10:14 UTC`.
impl fmt::Display for UnguardedPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minute = |at: Timestamp| -> (String, String) {
            let text = at.to_string();
            let (date, time) = text.split_once('T').unwrap_or((&text, ""));
            (date.to_owned(), time.chars().take(5).collect())
        };
        let (date, from) = minute(self.from);
        write!(f, "seen while {}, {date} {from}", self.cause.words())?;
        match self.to.map(minute) {
            None => f.write_str(" UTC until now"),
            Some((same, to)) if same == date => write!(f, "–{to} UTC"),
            Some((other, to)) => write!(f, " – {other} {to} UTC"),
        }
    }
}

/// The times without a guard, of namespaces and of single workloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnguardedPeriods {
    pub namespaces: BTreeMap<String, Vec<UnguardedPeriod>>,
    pub workloads: BTreeMap<WorkloadId, Vec<UnguardedPeriod>>,
}

impl UnguardedPeriods {
    fn of<'a>(&'a self, peer: &Peer) -> impl Iterator<Item = &'a UnguardedPeriod> + use<'a> {
        let id = peer.workload();
        let namespace = id.and_then(|id| self.namespaces.get(&id.namespace));
        let workload = id.and_then(|id| self.workloads.get(id));
        namespace.into_iter().chain(workload).flatten()
    }

    /// Whether one of the ends was without a guard at `since` or later.
    pub fn reach(&self, client: &Peer, server: &Peer, since: Timestamp) -> bool {
        let mut all = self.of(client).chain(self.of(server));
        all.any(|period| period.reaches(since))
    }

    /// The earliest of the times in which an edge was first answered.
    fn first_seen_in(&self, client: &Peer, server: &Peer, edge: &Edge) -> Option<UnguardedPeriod> {
        let first = edge.tally.first_answered.or_else(|| edge.known_since())?;
        let all = self.of(client).chain(self.of(server));
        all.filter(|period| period.contains(first)).min().copied()
    }
}

impl Graph {
    /// Marks the edges that were first answered while an end had no guard.
    pub fn mark_unguarded(&mut self, periods: &UnguardedPeriods) {
        if periods == &UnguardedPeriods::default() {
            return;
        }
        let found =
            |client: &Peer, server: &Peer, edge: &Edge| periods.first_seen_in(client, server, edge);
        self.update_edges(|client, server, edge| {
            let unguarded = found(client, server, edge);
            (edge.unguarded != unguarded).then(|| Edge {
                unguarded,
                ..edge.clone()
            })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nanoseg_net::Protocol;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_764_410_520 + secs)
    }

    fn peer(name: &str) -> Peer {
        Peer::Workload(WorkloadId {
            namespace: "shop".into(),
            name: name.into(),
            kind: "Deployment".into(),
        })
    }

    fn marked(answered: Option<i64>, first: i64, periods: &UnguardedPeriods) -> bool {
        let mut edge = Edge::new(Protocol::Tcp, 80);
        edge.first = Some(at(first));
        edge.tally.first_answered = answered.map(at);
        let mut graph = Graph::default();
        graph.add_edge(&peer("web"), &peer("api"), edge);
        graph.mark_unguarded(periods);
        let edge = graph.edge(&peer("web"), &peer("api"), Protocol::Tcp, 80);
        edge.is_some_and(|edge| edge.unguarded.is_some())
    }

    fn glass(from: i64, to: Option<i64>) -> UnguardedPeriods {
        let period = UnguardedPeriod {
            from: at(from),
            to: to.map(at),
            cause: UnguardedCause::BrokenGlass,
        };
        UnguardedPeriods {
            namespaces: BTreeMap::from([("shop".to_owned(), vec![period])]),
            workloads: BTreeMap::new(),
        }
    }

    #[test]
    fn what_was_first_answered_without_a_guard_is_marked_and_what_was_known_before_is_not() {
        let periods = glass(100, Some(700));
        assert!(marked(Some(100), 100, &periods));
        assert!(marked(Some(700), 700, &periods));
        assert!(!marked(Some(99), 99, &periods));
        assert!(!marked(Some(740), 740, &periods));
        // The plugin needs a moment.
        assert!(marked(Some(720), 720, &periods));
        // It was tried in vain before, and answered only then.
        assert!(marked(Some(200), 10, &periods));
        // It goes on.
        assert!(marked(Some(9999), 9999, &glass(100, None)));
        // An edge that does not say when it was answered first.
        assert!(marked(None, 150, &periods));
    }

    #[test]
    fn the_words_name_the_cause_and_the_minutes() {
        let words = |from, to: Option<i64>| {
            let periods = glass(from, to);
            periods.namespaces["shop"][0].to_string()
        };
        assert_eq!(
            words(0, Some(720)),
            "seen while the glass was broken, 2025-11-29 10:02–10:14 UTC"
        );
        assert_eq!(
            words(0, None),
            "seen while the glass was broken, 2025-11-29 10:02 UTC until now"
        );
        assert_eq!(
            words(0, Some(86_400)),
            "seen while the glass was broken, 2025-11-29 10:02 – 2025-11-30 10:02 UTC"
        );
    }
}
