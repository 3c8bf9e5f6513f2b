//! Room 1a: who owned which address when. Pods, workloads, services, endpoints, nodes, namespaces.
//!
//! Built once from [`Objects`]; resolving an address takes the time as an argument. Reading files
//! is `cluster`'s, joining with traffic is `graph`'s.

mod model;
mod objects;
mod types;

pub use model::Inventory;
pub use objects::Objects;
pub use types::{
    ContainerPort, Namespace, Node, Owned, Pod, Service, ServiceEndpoint, ServicePort, Workload,
    WorkloadId,
};
