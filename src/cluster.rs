//! Room 4: reading cluster snapshots and manifests into [`crate::inventory::Objects`]. Files, folders
//! and standard input; plain, gzip or zstd; YAML or JSON. What the objects mean is `inventory`'s.
//!
//! Refused: hostile YAML. Input is cut off at [`MAX_BYTES`]. Nesting ends at 128 levels (`serde_yaml`
//! and `serde_json` both; deep brackets already before libyaml, see `nesting`). Aliases may not blow a
//! file up: without aliases it cannot have more values than bytes, so [`EXTRA_VALUES`] more than that
//! is an error. `serde_yaml` itself only counts how often an alias is followed, which bounds nested
//! aliases ("billion laughs") but not many aliases of one long list.

mod connect_settings;
mod error;
mod kinds;
mod large;
#[cfg(feature = "cluster")]
pub mod live;
mod nesting;
mod parse;
mod places;
mod shares;
mod source;
mod tree;

#[cfg(test)]
mod tests;

pub use connect_settings::ConnectSettings;
pub use error::ClusterError;
pub use kinds::append;
#[cfg(fuzzing)]
pub use large::both as read_both_ways;
pub use parse::{Counts, parse_objects};
pub use places::{PolicyPlace, policy_places};
pub use source::{SkippedFile, has_files, read_cluster};

/// The most bytes that one file may have after decompression: 512 MiB, about 80 000 pods as kubectl
/// prints them.
pub const MAX_BYTES: u64 = 512 << 20;

/// How many values the aliases of one file may add.
pub const EXTRA_VALUES: usize = 1_000_000;
