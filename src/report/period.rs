//! The period that a report or a verification is about.

use crate::net::Timestamp;
use serde::Serialize;

/// The time that was asked for, and the time that something was seen in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Period {
    /// Inclusive; absent: from the first observation on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Exclusive; absent: up to the last observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// What of the traffic counts as of the period.
    pub counted: Counted,
    /// Of hours: what was asked for, widened to whole ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_to: Option<Timestamp>,
}

/// What of the traffic counts as of a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Connections that began in it.
    #[default]
    Connections,
    /// The same by whole hours.
    Hours,
    /// All that the source holds.
    Whole,
}

impl Period {
    /// The same period where traffic is known by the hour only.
    #[must_use]
    pub fn by_the_hour(mut self) -> Period {
        let begin = |at: Timestamp| Timestamp::from_hour(at.hour());
        self.counted = Counted::Hours;
        self.counted_from = self.from.map(begin);
        self.counted_to = self.to.map(|to| match begin(to) {
            whole if whole == to => to,
            _ => Timestamp::from_hour(to.hour().saturating_add(1)),
        });
        self
    }

    /// Whether a time lies in what was asked for.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Whether something that went on from `from` to `to`, or still does, was so at some time of it.
    pub fn touches(&self, from: Timestamp, to: Option<Timestamp>) -> bool {
        let begins_in_time = self.to.is_none_or(|end| from < end);
        let is_over = self
            .from
            .is_some_and(|begin| from < begin && to.is_some_and(|to| to <= begin));
        begins_in_time && !is_over
    }

    /// The part of a time that lies in it.
    pub fn clip(&self, (begin, end): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
        let begin = self.from.map_or(begin, |from| from.max(begin));
        let end = self.to.map_or(end, |to| to.min(end));
        (begin, end.max(begin))
    }
}
