//! Room 1a: which address belonged to whom at which time. Pods, workloads and what runs in them, services, endpoints, nodes,
//! namespaces.
//!
//! Built once from [`Objects`]; resolving an address takes the time as an argument. Reading files
//! is `cluster`'s, joining with traffic is `graph`'s.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may read files and print"
    )
)]

mod addresses;
mod build;
mod claims;
mod container;
mod containers;
mod control_plane;
mod families;
mod foreign_endpoints;
mod gaps;
mod host_ports;
mod image_scans;
mod inventory;
mod jobs;
pub mod kubernetes;
mod label_evidence;
mod label_nature;
mod near;
mod network_plugin;
mod node_annotations;
mod nodes;
mod objects;
mod other_kinds;
mod other_policies;
mod owners;
mod pod_blocks;
mod pods;
mod presence;
mod ranges;
mod service_endpoints;
mod services;
mod snapshot_gap;
mod snapshots;
mod tenures;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod told_addresses;
mod types;
mod unknown;
mod value_shape;

pub use addresses::{AddressBook, Owner};
pub use build::{MANAGED_BY, foreign_policies, is_ours};
pub use container::{Container, Image};
pub use image_scans::{Grade, ImageScan, ScanError, Vulnerability, parse_scans};
pub use inventory::Inventory;
pub use label_nature::{LabelNature, label_nature};
pub use near::Nearness;
pub use network_plugin::network_plugin;
pub use objects::{ObjectRemark, Objects};
pub use other_kinds::{OtherKinds, judged_policy_findings};
pub use other_policies::{OtherPolicy, UnlistedKind, other_policy_findings};
pub use owners::OwnerRule;
pub use pod_blocks::{PodBlocks, pod_blocks};
pub use ranges::may_be_of_cluster;
pub use snapshot_gap::{SnapshotGap, SnapshotGapSpec};
pub use snapshots::{Snapshot, SnapshotMark};
pub use tenures::LinkSpan;
pub use told_addresses::ToldAddresses;
pub use types::{
    ContainerPort, EndpointSource, HostPort, Namespace, Node, OwnResolvers, Owned, Pod, Service,
    ServiceEndpoint, ServicePort, Workload, WorkloadId,
};
pub use unknown::UnknownCause;
pub use value_shape::names_a_release;
