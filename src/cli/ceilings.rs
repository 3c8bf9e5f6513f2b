//! `--automatic-…`: the ceilings of automatic approval.

use super::units::parse_duration;
use crate::review::{AutomaticChange, Ceilings};
use clap::ValueEnum;
use std::time::Duration;

/// What automatic approval may do at most, whatever the Segmentation of a namespace says.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Ceilings of automatic approval")]
pub struct CeilingArgs {
    /// The shortest observation of a namespace before anything is approved automatically: 90s, 15m, 24h, 7d. A
    /// Segmentation may ask for more
    #[arg(
        long,
        env = "NANOSEG_AUTOMATIC_MINIMUM_DURATION",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = parse_duration
    )]
    automatic_minimum_duration: Duration,

    /// The smallest estimated share of a workload's edges that were observed, in percent
    #[arg(
        long,
        env = "NANOSEG_AUTOMATIC_MINIMUM_COVERAGE",
        value_name = "PERCENT",
        default_value_t = 80,
        value_parser = clap::value_parser!(u8).range(0..=100)
    )]
    automatic_minimum_coverage: u8,

    /// The most connections that a proposal that is approved automatically may open
    #[arg(
        long,
        env = "NANOSEG_AUTOMATIC_MAX_GAINED",
        value_name = "NUMBER",
        default_value_t = 100
    )]
    automatic_max_gained: u32,

    /// What a Segmentation may let automatic approval do beside that (repeatable); nothing if not given
    #[arg(
        long,
        env = "NANOSEG_AUTOMATIC_ALLOW",
        value_name = "CHANGE",
        value_enum,
        value_delimiter = ','
    )]
    automatic_allow: Vec<Change>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Change {
    /// Open connections to addresses outside the cluster.
    InternetEgress,
    /// Open connections with other namespaces.
    CrossNamespace,
    /// Close connections that recorded flows used.
    WouldBlock,
    /// Approve the policy of spec.defaultDeny.
    DefaultDeny,
}

impl CeilingArgs {
    pub fn ceilings(self) -> Ceilings {
        let allow = self.automatic_allow.into_iter().map(|change| match change {
            Change::InternetEgress => AutomaticChange::InternetEgress,
            Change::CrossNamespace => AutomaticChange::CrossNamespace,
            Change::WouldBlock => AutomaticChange::WouldBlock,
            Change::DefaultDeny => AutomaticChange::DefaultDeny,
        });
        let seconds = self.automatic_minimum_duration.as_secs();
        Ceilings {
            minimum_duration: i64::try_from(seconds).unwrap_or(i64::MAX),
            minimum_coverage: self.automatic_minimum_coverage,
            max_gained: self.automatic_max_gained,
            allow: allow.collect(),
        }
    }
}
