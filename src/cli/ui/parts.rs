//! What a folder and a cluster have in common: containers of workloads, the record.

use crate::cli::record::event;
use crate::inventory::{Inventory, Objects, WorkloadId};
use crate::report::evidence::Event;
use crate::review::record::{Verifier, parse_line};
use crate::store::ReviewStore;
use k8s_openapi::api::core::v1::Container;
use std::collections::BTreeMap;
use std::path::Path;

/// The containers of each workload, by one of its pods.
pub fn containers(
    objects: &Objects,
    inventory: &Inventory,
) -> BTreeMap<WorkloadId, Vec<Container>> {
    let mut pods = BTreeMap::new();
    for pod in &objects.pods {
        let key = (
            pod.metadata.namespace.as_deref(),
            pod.metadata.name.as_deref(),
        );
        pods.insert(key, pod);
    }
    let mut found = BTreeMap::new();
    for workload in inventory.workloads.values() {
        let own = workload
            .pods
            .iter()
            .filter_map(|index| inventory.pods.get(*index));
        let spec = own
            .filter_map(|pod| pods.get(&(Some(pod.namespace.as_str()), Some(pod.name.as_str()))))
            .find_map(|pod| pod.spec.as_ref());
        let Some(spec) = spec else { continue };
        let all = spec
            .init_containers
            .iter()
            .flatten()
            .chain(&spec.containers);
        found.insert(workload.id.clone(), all.cloned().collect());
    }
    found
}

/// The events of a copy of the controller's state, and what is wrong with their chain.
pub fn record(state: Option<&Path>) -> anyhow::Result<(Vec<Event>, Option<String>)> {
    let Some(path) = state else {
        return Ok((Vec::new(), None));
    };
    let store = ReviewStore::open_read_only(path)?;
    let (mut events, mut problem) = (Vec::new(), None);
    let mut verifier = Verifier::default();
    store.record_lines(1, |number, line| {
        match parse_line(line) {
            Ok(entry) => {
                if let Err(found) = verifier.check(&entry) {
                    problem.get_or_insert(format!("entry {} {}", found.sequence, found.fault));
                }
                events.push(event(entry));
            }
            Err(error) => {
                problem.get_or_insert(format!("entry {number}: {error}"));
            }
        }
        true
    })?;
    Ok((events, problem))
}
