//! Room 5b: loads what the commands work on: captures and flow logs, snapshots and manifests, the cluster as it is
//! now, the controller's state and what the controller publishes.
//!
//! Nothing here prints or knows an option: the command line passes plain settings, and gets values, typed errors
//! ([`LoadError`]) and [`Notice`]s.

mod client;
mod controller_state;
mod error;
pub mod evidence;
mod generated_folder;
mod locations;
mod notice;
mod objects;
mod observations;
pub mod page;
mod policies;
mod policy_sets;
mod published;
mod risk;

pub use client::BlockingClient;
pub use error::{ApiError, LoadError};
pub use locations::{PolicyLocations, invalid_policy};
pub use notice::{Notice, NoticeSink};
pub use observations::{LoadedTraffic, TrafficSource, hours_of, read_traffic, read_with_snapshots};
pub use policies::{
    EffectivePolicies, PolicySource, current, note_skipped, read_objects, read_policies,
};
pub use policy_sets::PolicySets;
pub use published::{Published, place, read_published};
pub use risk::RiskSource;
