//! Times as flow logs write them.

use nanoseg_net::Timestamp;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// RFC 3339, or seconds, milli-, micro- or nanoseconds since the Unix epoch as a number. Which of
/// those a number means follows from its size: each unit's range ends where the next one's begins, in
/// the year 5138 (seconds) or in March 1973 (the others).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlowTime(pub Timestamp);

/// A number of seconds is below this.
const SECONDS: i64 = 100_000_000_000;

impl FlowTime {
    pub fn parse(text: &str) -> Option<FlowTime> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(FlowTime(time.into()));
        }
        if let Ok(whole) = text.parse::<i64>() {
            return Some(FlowTime::from_whole(whole));
        }
        let fraction: f64 = text.parse().ok()?;
        fraction
            .is_finite()
            .then(|| FlowTime::from_fraction(fraction))
    }

    fn from_whole(number: i64) -> FlowTime {
        let size = number.unsigned_abs() / SECONDS as u64;
        let nanos = match size {
            0 => 1_000_000_000,
            1..1000 => 1_000_000,
            1000..1_000_000 => 1000,
            _ => 1,
        };
        FlowTime(Timestamp::from_nanos(number.saturating_mul(nanos)))
    }

    /// A number with a fraction. Seconds with a fraction hold less than nanoseconds in 64 bits, so the
    /// whole part is taken on its own.
    fn from_fraction(number: f64) -> FlowTime {
        let whole = FlowTime::from_whole(number.trunc() as i64).0;
        let unit = match number.abs() {
            n if n < SECONDS as f64 => 1e9,
            n if n < SECONDS as f64 * 1e3 => 1e6,
            n if n < SECONDS as f64 * 1e6 => 1e3,
            _ => 1.0,
        };
        FlowTime(whole.plus_nanos((number.fract() * unit).round() as i64))
    }
}

impl<'de> Deserialize<'de> for FlowTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;
        impl Visitor<'_> for Time {
            type Value = FlowTime;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in RFC 3339 or a number of seconds since 1970")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<FlowTime, E> {
                FlowTime::parse(text)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<FlowTime, E> {
                Ok(FlowTime::from_whole(number))
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<FlowTime, E> {
                Ok(FlowTime::from_whole(
                    i64::try_from(number).unwrap_or(i64::MAX),
                ))
            }
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<FlowTime, E> {
                Ok(FlowTime::from_fraction(number))
            }
        }
        deserializer.deserialize_any(Time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_a_number_follows_from_its_size() {
        let at = |text: &str| FlowTime::parse(text).unwrap().0;
        let expected = at("2026-01-01T00:00:00.5Z");
        for text in [
            "1767225600.5",
            "1767225600500",
            "1767225600500000",
            "1767225600500000000",
            "2026-01-01T01:00:00.5+01:00",
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        for text in ["", "yesterday", "NaN", "inf"] {
            assert_eq!(FlowTime::parse(text), None, "{text}");
        }
    }
}
