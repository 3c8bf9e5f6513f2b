//! Flow logs of which nothing can be given to a pod (rule: nothing-attributed-is-an-error): the wrong cluster, the wrong time, or
//! addresses that are not those of pods.

use crate::finding::{Code, Finding};
use crate::inventory::Inventory;
use crate::observe::flow_log::{FlowLogFormat, FlowLogRead};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// How many addresses a finding names.
const SAMPLES: usize = 5;

/// One finding for each format of which no flow has a pod at an end, one if no log has any flow, and for each log that has nodes' addresses in place of
/// pods'.
pub fn findings(read: &[FlowLogRead], inventory: &Inventory) -> Vec<Finding> {
    let pods = inventory.pods.iter().flat_map(|pod| &pod.addresses);
    let pods: BTreeSet<IpAddr> = pods.copied().collect();
    let nodes = inventory.node_addresses();
    let mut by_format: BTreeMap<FlowLogFormat, Vec<&FlowLogRead>> = BTreeMap::new();
    for one in read.iter().filter(|one| one.flows > 0) {
        by_format.entry(one.format).or_default().push(one);
    }
    let is_of_pods = |one: &&FlowLogRead| {
        let mut ends = one.ends.iter();
        one.named_ends || ends.any(|end| pods.contains(end) || inventory.in_cluster_range(*end))
    };
    let nothing = by_format
        .into_values()
        .filter(|logs| !logs.iter().any(is_of_pods))
        .map(|logs| nothing_attributed(&logs));
    let masked = read.iter().filter(|one| one.interface_addresses);
    let masked = masked.filter_map(|one| interface_addresses(one, &nodes));
    let empty = (!read.is_empty() && read.iter().all(|one| one.flows == 0)).then(|| {
        let names: Vec<&str> = read.iter().map(|one| one.name.as_str()).collect();
        let message = "has no connection at all; nothing was learned of it";
        Finding::new(Code::NothingAttributed, names.join(", "), message)
    });
    nothing.chain(masked).chain(empty).collect()
}

fn nothing_attributed(logs: &[&FlowLogRead]) -> Finding {
    let flows: u64 = logs.iter().map(|one| one.flows).sum();
    let names: Vec<&str> = logs.iter().map(|one| one.name.as_str()).collect();
    let ends: BTreeSet<&IpAddr> = logs.iter().flat_map(|one| &one.ends).collect();
    let message = format!(
        "has {flows} flows, and no end of any is a pod of the snapshot; nothing was learned of it"
    );
    let samples = ends.into_iter().take(SAMPLES).map(ToString::to_string);
    Finding::new(Code::NothingAttributed, names.join(", "), message).with_samples(samples)
}

fn interface_addresses(log: &FlowLogRead, nodes: &BTreeSet<IpAddr>) -> Option<Finding> {
    let found: Vec<String> = log
        .ends
        .iter()
        .filter(|end| nodes.contains(end))
        .take(SAMPLES)
        .map(ToString::to_string)
        .collect();
    let message = "has no pkt-srcaddr and pkt-dstaddr, and where addresses of nodes stand, pods may have talked";
    (!found.is_empty()).then(|| {
        Finding::new(Code::InterfaceAddresses, log.name.clone(), message).with_samples(found)
    })
}
