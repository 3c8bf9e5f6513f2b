//! Room 1b: the communication graph. Joins flow records with the inventory: peers, edges, what each
//! edge teaches and why, and what of it a policy must allow.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod attribute;
mod build;
mod dns_drift;
mod dns_evidence;
mod edge;
mod edge_key;
mod end_nodes;
mod findings;
mod graph;
mod history;
mod implied_edges;
mod incremental;
mod inventory_listeners;
mod learning;
mod learning_progress;
mod lesson;
mod listing;
mod lookups;
mod masquerade;
mod mesh;
mod open_directions;
mod outside_blocks;
mod peer;
mod port_scan;
mod public_entry;
mod requirement;
mod service_gaps;
mod sightings;
mod standing;
mod stored_edge;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod unattributed;
mod unguarded;
mod unseen_backends;
mod vantage;

pub use build::{Built, GraphOptions, build, build_after, build_attempts};
pub use dns_drift::{
    DRIFT_BATCH, MAX_DRIFT_PER_NAME, MAX_DRIFT_PER_WORKLOAD, NameDrift, NameDrifts,
};
pub use dns_evidence::DnsEvidence;
pub use edge::{Edge, Evidence, Lesson};
pub use edge_key::EdgeKey;
pub use findings::{METADATA, is_private};
pub use graph::Graph;
pub use history::{FoldedScan, History};
pub use incremental::{Delta, GraphChange, IncrementalGraph};
pub use inventory_listeners::{InventoryListeners, address_epochs};
pub use learning::{Estimate, Learning, estimate};
pub use learning_progress::{Asked, Missing, Progress};
pub use lesson::Tally;
pub use lookups::ImpliedLookups;
pub use nanoseg_flow::Views;
pub use nanoseg_plugin::EnforcedPorts;
pub use open_directions::{
    IsolationOptions, NotHonoured, NotHonouredNeed, OpenDirections, OpenReason,
    UnattributedTraffic, WhyNotHonoured,
};
pub use outside_blocks::beyond_bound;
pub use peer::Peer;
pub use public_entry::{PublicEntry, PublicEntryChoice, public_entries, public_entry_findings};
pub use requirement::{End, Requirement, Requiring, ServiceEnforcements, requirements};
pub use sightings::{Corroboration, MAX_OBSERVERS, Outcome, Sightings, latest};
pub use stored_edge::StoredEdge;
pub use unattributed::{Unattributed, UnattributedReason};
pub use unguarded::{UnguardedCause, UnguardedPeriod, UnguardedPeriods};
pub use vantage::{CaptureNodes, Certainty, InView, UnseenPod, Vantage, nodes_of_capture};
