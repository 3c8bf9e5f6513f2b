//! Room 1b: the communication graph. Joins flow records with the inventory: peers, edges, what each
//! edge teaches and why, and what of it a policy must allow.

mod attribute;
mod build;
mod edge;
mod findings;
mod history;
mod implied;
mod incremental;
mod learning;
mod lesson;
mod listeners;
mod model;
mod peer;
mod requirement;
mod scan;
mod stored;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use build::{Built, EdgeKey, GraphOptions, build, build_after, build_attempts};
pub use edge::{Edge, Evidence, Lesson};
pub use findings::{METADATA, is_private};
pub use history::{FoldedScan, History};
pub use incremental::{Change, Delta, IncrementalGraph};
pub use learning::{Estimate, Learning, estimate};
pub use lesson::Tally;
pub use listeners::{InventoryListeners, address_epochs};
pub use model::Graph;
pub use peer::Peer;
pub use requirement::{
    End, Requirement, Requiring, ServiceEnforcement, ServiceEnforcements, requirements,
};
pub use stored::StoredEdge;
