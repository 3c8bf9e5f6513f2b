//! A point in time as captures and Kubernetes objects give it. There is no clock here: time is
//! always an argument.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A second in nanoseconds, the unit of [`Timestamp`].
pub const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Nanoseconds since the Unix epoch, UTC. Times outside 1677–2262 are clamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest time.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// The latest time.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The time this many nanoseconds after the Unix epoch (before it if negative).
    pub const fn from_nanos(nanos: i64) -> Self {
        Timestamp(nanos)
    }

    /// The time this many seconds after the Unix epoch, clamped at the ends.
    pub const fn from_secs(secs: i64) -> Self {
        Timestamp(secs.saturating_mul(SECOND))
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// The whole hours from the Unix epoch to here (negative before it).
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(HOUR)
    }

    /// The begin of an hour, as [`Timestamp::hour`] counts them, clamped at the ends.
    pub const fn from_hour(hour: i64) -> Self {
        Timestamp(hour.saturating_mul(HOUR))
    }

    /// This time moved by `nanos`, clamped at the ends.
    pub const fn plus_nanos(self, nanos: i64) -> Self {
        Timestamp(self.0.saturating_add(nanos))
    }

    /// This time moved by `secs`, clamped at the ends.
    pub const fn plus_secs(self, secs: i64) -> Self {
        self.plus_nanos(secs.saturating_mul(SECOND))
    }

    /// Whole seconds from `earlier` to here (negative if it is later).
    pub const fn secs_since(self, earlier: Timestamp) -> i64 {
        self.since(earlier).div_euclid(SECOND)
    }

    /// Nanoseconds from `earlier` to here (negative if it is later), clamped.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(t: Timestamp) -> Self {
        // Every i64 of nanoseconds is within jiff's years −9999 to 9999.
        jiff::Timestamp::from_nanosecond(i128::from(t.0)).unwrap_or_default()
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(t: jiff::Timestamp) -> Self {
        let nanos = t.as_nanosecond();
        Timestamp(nanos.clamp(i64::MIN as i128, i64::MAX as i128) as i64)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, with as many fraction digits as needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", jiff::Timestamp::from(*self))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        jiff::Timestamp::deserialize(deserializer).map(Timestamp::from)
    }
}
