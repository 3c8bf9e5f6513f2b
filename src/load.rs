//! Room 5b: loads what the commands work on: captures and flow logs, snapshots and manifests, the cluster as it is
//! now, the controller's state and what the controller publishes.
//!
//! Nothing here prints or knows an option: the command line passes plain settings, and gets values, typed errors
//! ([`LoadError`]) and [`Notice`]s.

#[cfg(feature = "cluster")]
mod api_error;
#[cfg(feature = "cluster")]
mod client;
mod cluster_source;
#[cfg(feature = "cluster")]
mod controller_state;
mod error;
#[cfg(feature = "cluster")]
pub mod evidence;
#[cfg(feature = "cluster")]
mod generated_folder;
mod locations;
mod notice;
#[cfg(feature = "cluster")]
mod objects;
mod observations;
#[cfg(feature = "cluster")]
pub mod page;
mod policies;
mod policy_sets;
#[cfg(feature = "cluster")]
mod probe_results;
#[cfg(feature = "cluster")]
mod published;
mod risk;
mod source_path;

#[cfg(feature = "cluster")]
pub use api_error::ApiError;
#[cfg(feature = "cluster")]
pub use client::BlockingClient;
pub use cluster_source::{read_source, read_sources};
pub use error::LoadError;
pub use locations::{PolicyLocations, invalid_policy};
pub use notice::{Notice, NoticeSink};
pub use observations::{LoadedTraffic, TrafficSource, hours_of, read_traffic, read_with_snapshots};
pub use policies::{
    EffectivePolicies, PolicySource, current, note_objects, note_pod_blocks, note_skipped,
    read_objects, read_policies,
};
pub use policy_sets::PolicySets;
#[cfg(feature = "cluster")]
pub use probe_results::read_probes;
#[cfg(feature = "cluster")]
pub use published::{Published, place, read_published, read_published_graph};
pub use risk::RiskSource;
pub use source_path::{SaidNodes, SourcePath};
