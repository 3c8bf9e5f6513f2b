//! Room 1a: who owned which address when. Pods, workloads and what runs in them, services, endpoints, nodes,
//! namespaces.
//!
//! Built once from [`Objects`]; resolving an address takes the time as an argument. Reading files
//! is `cluster`'s, joining with traffic is `graph`'s.

mod addresses;
mod build;
mod containers;
pub mod kubernetes;
mod model;
mod nodes;
mod objects;
mod others;
mod owners;
mod pods;
mod ranges;
mod scans;
mod services;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod types;

pub use addresses::{AddressBook, Owner};
pub use build::{MANAGED_BY, foreign_policies};
pub use containers::{Container, Image};
pub use model::Inventory;
pub use objects::Objects;
pub use others::OtherPolicy;
pub use owners::OwnerRule;
pub use scans::{Grade, ImageScan, ScanError, Vulnerability, parse_scans};
pub use types::{
    ContainerPort, Namespace, Node, Owned, Pod, Service, ServiceEndpoint, ServicePort, Workload,
    WorkloadId,
};
