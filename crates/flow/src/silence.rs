//! What it means that a node's agent does not tell of a connection that passed its node.

use super::SPOOL_REACH;
use nanoseg_net::{TimeSpans, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// When each node's agent observed, by the batches that it sent ([`super::Aggregate::views`]).
pub type Views = BTreeMap<Arc<str>, TimeSpans>;

/// The clocks of two nodes differ by less than this, in seconds (rule: clocks-are-aligned).
const CLOCKS: i64 = 10;
/// An agent that observed for so long after a connection has told of it, in seconds: it reports an open connection
/// after seconds, and sends a batch every half a minute at the latest.
const SETTLED: i64 = 60;

/// What it means that a node's agent does not tell of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Silence {
    /// It observed then: the connection did not pass it.
    Observed,
    /// What it observed then may still come.
    UnderWay,
    /// It did not observe then.
    NotObserved,
}

/// What the silence of a node means about connections between `first` and `last`. `now` is the receiver's time.
pub fn silence_of(
    node: &str,
    (first, last): (Timestamp, Timestamp),
    views: &Views,
    now: Timestamp,
) -> Silence {
    let Some(view) = views.get(node) else {
        return Silence::NotObserved;
    };
    // At some time of the connections, for long enough before and after.
    let was_watching = |(from, until): (Timestamp, Timestamp)| {
        first.max(from.plus_secs(CLOCKS)) <= last.min(until.plus_secs(-SETTLED))
    };
    if view.iter().any(was_watching) {
        return Silence::Observed;
    }
    let until = view.range().map(|(_, until)| until);
    let has_told = until.is_some_and(|until| last.plus_secs(SETTLED) <= until);
    if !has_told && now.secs_since(last) <= SPOOL_REACH {
        Silence::UnderWay
    } else {
        Silence::NotObserved
    }
}
