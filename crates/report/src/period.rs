//! The period that a report or a verification is about.

use nanoseg_net::Timestamp;
use serde::Serialize;

/// The requested period, and the time of the observations in it.
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
    /// Which part of the traffic counts for the period.
    pub counted: Counted,
    /// If traffic is counted by the hour: the requested period, widened to whole hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted_to: Option<Timestamp>,
}

/// Which part of the traffic counts for a period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Connections that began in the period.
    #[default]
    Connections,
    /// Connections that began in its whole hours.
    Hours,
    /// All connections of the source.
    Whole,
}

impl Period {
    /// Returns the same period for a source that has traffic by the hour only.
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

    /// Returns true if the requested period contains this time.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }

    /// Returns true if a state that lasted from `from` to `to` (`None`: it still lasts) overlaps the period.
    pub fn touches(&self, from: Timestamp, to: Option<Timestamp>) -> bool {
        let begins_in_time = self.to.is_none_or(|end| from < end);
        let is_over = self
            .from
            .is_some_and(|begin| from < begin && to.is_some_and(|to| to <= begin));
        begins_in_time && !is_over
    }

    /// Returns the part of a time range that is in the period.
    pub fn clip(&self, (begin, end): (Timestamp, Timestamp)) -> (Timestamp, Timestamp) {
        let begin = self.from.map_or(begin, |from| from.max(begin));
        let end = self.to.map_or(end, |to| to.min(end));
        (begin, end.max(begin))
    }
}
