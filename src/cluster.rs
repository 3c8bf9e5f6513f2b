//! The room that reads cluster snapshots and manifests into [`crate::inventory::Objects`]: files, folders and
//! standard input; plain, gzip or zstd; YAML or JSON. The room `inventory` interprets the objects.
//!
//! Hostile YAML is refused. Input has at most [`MAX_BYTES`]. Nesting has at most 128 levels (the limit of both
//! `serde_yaml` and `serde_json`; brackets that nest deeper are refused before libyaml reads them, see
//! `nesting`). The expansion of aliases is limited: a file without aliases cannot have more values than bytes,
//! so more than [`EXTRA_VALUES`] on top of that is an error. `serde_yaml` itself counts only how often an alias
//! is followed, which limits nested aliases ("billion laughs") but not many aliases of one long list.

mod add;
mod connect_settings;
mod error;
mod field_lines;
mod field_path;
mod kinds;
mod large;
#[cfg(feature = "cluster")]
pub mod live;
mod nesting;
mod parse;
mod places;
mod policy_check;
mod shares;
mod source;
mod tree;

#[cfg(test)]
mod input_tests;
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

/// The most bytes that one file may have after decompression: 512 MiB. About 80 000 pods fit, as kubectl prints
/// them.
pub const MAX_BYTES: u64 = 512 << 20;

/// How many values the aliases of one file may add to those that are written out.
pub const EXTRA_VALUES: usize = 1_000_000;
