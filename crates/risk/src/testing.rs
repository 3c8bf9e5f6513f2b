//! Workloads for tests.

use nanoseg_inventory::{Container, Image, Inventory, Pod, Workload, WorkloadId};
use std::collections::{BTreeMap, BTreeSet};

/// A Deployment `namespace/name` with one container of an image.
pub fn workload(name: &str, image: &str) -> Workload {
    let (namespace, name) = name.split_once('/').expect("namespace/name");
    let id = WorkloadId {
        namespace: namespace.into(),
        name: name.into(),
        kind: "Deployment".into(),
    };
    Workload {
        containers: vec![Container {
            name: "main".into(),
            image: Image::parse(image),
            running: None,
            privileged: false,
            capabilities: BTreeSet::new(),
            host_ports: BTreeSet::new(),
        }],
        ..Workload::new(id)
    }
}

/// A cluster of these workloads, in their order, with one pod each.
pub fn inventory<const N: usize>(workloads: [Workload; N]) -> Inventory {
    let mut inventory = Inventory::default();
    for mut workload in workloads {
        workload.pods = vec![inventory.pods.len()];
        inventory.pods.push(Pod {
            namespace: workload.id.namespace.clone(),
            name: workload.id.name.clone(),
            labels: BTreeMap::new(),
            workload: workload.id.clone(),
            node: None,
            host_network: false,
            addresses: Vec::new(),
            host_ports: Vec::new(),
            ports: Vec::new(),
            owned: Default::default(),
            network_up: None,
            own_resolvers: Default::default(),
            claimed_owner: None,
            template: false,
        });
        inventory.workloads.insert(workload.id.clone(), workload);
    }
    inventory
}
