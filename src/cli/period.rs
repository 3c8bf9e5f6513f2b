//! Options that say which period a command is about.

use crate::net::Timestamp;
use crate::report::period::Period;

/// The period: from when to when.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct PeriodArgs {
    /// The begin of the period, inclusive (RFC 3339; default: the first observation).
    #[arg(long, value_name = "TIME")]
    from: Option<jiff::Timestamp>,
    /// The end of the period, exclusive (RFC 3339; default: after the last observation).
    #[arg(long, value_name = "TIME")]
    to: Option<jiff::Timestamp>,
}

impl PeriodArgs {
    /// As a period.
    ///
    /// # Errors
    /// It is empty, ends before it begins, or has a time out of range.
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
        "{option} {at} is out of range: times from 1678 to 2262 are supported"
    );
    Ok(Some(kept))
}
