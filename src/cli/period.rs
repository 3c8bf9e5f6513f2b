//! The time that a command looks at.

use crate::net::Timestamp;
use crate::report::evidence::Period;
use std::ops::Range;

/// From when to when.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct PeriodArgs {
    /// From this time on (RFC 3339); default: the first observation.
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// Before this time (RFC 3339); default: after the last observation.
    #[arg(long, value_name = "TIME")]
    to: Option<jiff::Timestamp>,
}

impl PeriodArgs {
    /// As a period.
    ///
    /// # Errors
    /// It is empty, ends before it begins, or has a time that cannot be told.
    pub fn period(&self) -> anyhow::Result<Period> {
        let period = Period {
            from: time("--from", self.from)?,
            to: time("--to", self.to)?,
            ..Period::default()
        };
        if let (Some(from), Some(to)) = (period.from, period.to) {
            anyhow::ensure!(
                from != to,
                "the period is empty: --from and --to are both {from}"
            );
            anyhow::ensure!(
                from < to,
                "the period ends before it begins: --from {from} --to {to}"
            );
        }
        Ok(period)
    }
}

fn time(option: &str, at: Option<jiff::Timestamp>) -> anyhow::Result<Option<Timestamp>> {
    let Some(at) = at else { return Ok(None) };
    let kept = Timestamp::from(at);
    anyhow::ensure!(
        jiff::Timestamp::from(kept) == at,
        "{option} {at} is out of range: times from 1678 to 2262 can be told"
    );
    Ok(Some(kept))
}

/// The hours since the Unix epoch that a period touches.
pub fn hours_of(period: Period) -> Range<i64> {
    const SECONDS: i64 = 3600;
    // Far enough, and without overflow when it becomes seconds.
    const FAR: i64 = i64::MAX / (SECONDS * 2);
    let first = period.from.map_or(-FAR, |from| from.hour());
    let end = period.to.map_or(FAR, |to| {
        to.hour() + i64::from(to > Timestamp::from_hour(to.hour()))
    });
    first..end
}
