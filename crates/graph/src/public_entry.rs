//! Public entries: ports of workloads that clients on the internet call, where new clients keep coming
//! (rule: public-entry-is-a-decision).

use super::findings::is_private;
use super::{Edge, Graph, Lesson, Peer};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::Verdict;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Protocol, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// With fewer clients nothing can be said of how they change.
const MIN_CLIENTS: usize = 3;
/// So many clients are a public of their own, however often each called.
const MANY_CLIENTS: usize = 10;
/// How many clients a finding shows.
const SAMPLES: usize = 5;

/// Who may call a public entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PublicEntryChoice {
    /// The clients that were seen.
    #[default]
    Seen,
    /// Every address that is not one of the cluster or of a private range.
    Anywhere,
}

/// A port of a workload whose clients on the internet keep changing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicEntry {
    pub workload: WorkloadId,
    pub protocol: Protocol,
    /// The pod's own port.
    pub port: u16,
    /// The ports of the Services through which they came, where these are others.
    pub service_ports: BTreeSet<u16>,
    /// The public addresses that were seen.
    pub clients: BTreeSet<IpAddr>,
    /// How many blocks of public addresses came beyond those (rule: outside-addresses-are-bounded).
    pub blocks: usize,
    /// How many of them had one connection only.
    pub once: usize,
    /// How many of them came in the last quarter of the time in which the entry was called.
    pub late: usize,
    /// The Services through which they came, `namespace/name:port`.
    pub services: BTreeSet<String>,
}

#[derive(Default)]
struct Callers<'a> {
    clients: BTreeMap<IpAddr, &'a Edge>,
    blocks: usize,
    services: BTreeSet<String>,
    service_ports: BTreeSet<u16>,
}

/// Returns the public entries of a graph. A port counts if at least three public addresses have called it and been
/// answered, and most of them once, or some for the first time near the end, or if they
/// are many: then the next connection is likely to come from somebody who was not seen.
pub fn public_entries(graph: &Graph) -> Vec<PublicEntry> {
    let mut ports: BTreeMap<(&WorkloadId, Protocol, u16), Callers> = BTreeMap::new();
    for (client, server, edge) in graph.edges() {
        let (Some(block), Peer::Workload(id)) = (client.outside_block(), server) else {
            continue;
        };
        // Also where they come through nodes: in front of a pod on the node that they entered, most plugins see the client
        // itself (rule: node-port-from-any-node).
        if is_private(block.network()) {
            continue;
        }
        let callers = ports.entry((id, edge.protocol, edge.port)).or_default();
        if let Peer::Outside(address) = client {
            if edge.lesson != Lesson::Learned {
                continue;
            }
            callers.clients.insert(*address, edge);
            callers.services.extend(edge.services.iter().cloned());
            let other = edge.service_ports.iter().filter(|port| **port != edge.port);
            callers.service_ports.extend(other);
        } else if edge.verdicts.contains_key(&Verdict::Established) {
            callers.blocks += 1;
        }
    }
    let entry = |((workload, protocol, port), callers): ((&WorkloadId, _, _), Callers)| {
        let connections = |edge: &Edge| edge.verdicts.values().sum::<u64>();
        let once = callers
            .clients
            .values()
            .filter(|edge| connections(edge) <= 1);
        let entry = PublicEntry {
            workload: workload.clone(),
            protocol,
            port,
            blocks: callers.blocks,
            once: once.count(),
            late: late(callers.clients.values().copied()),
            clients: callers.clients.into_keys().collect(),
            services: callers.services,
            service_ports: callers.service_ports,
        };
        let number = entry.clients.len();
        let changing = entry.once * 2 >= number || entry.late > 0 || number >= MANY_CLIENTS;
        let is_public = (number >= MIN_CLIENTS && changing) || entry.blocks > 0;
        is_public.then_some(entry)
    };
    ports.into_iter().filter_map(entry).collect()
}

/// The clients whose first connection lies in the last quarter of the time from the first to the last of all.
fn late<'a>(edges: impl Iterator<Item = &'a Edge> + Clone) -> usize {
    let first = edges.clone().filter_map(|edge| edge.first).min();
    let last = edges.clone().filter_map(|edge| edge.last).max();
    let (Some(first), Some(last)) = (first, last) else {
        return 0;
    };
    let nanos = |at: Timestamp| i128::from(at.nanos());
    let border = nanos(last) - (nanos(last) - nanos(first)) / 4;
    let starts = edges.filter_map(|edge| edge.first);
    starts.filter(|at| nanos(*at) > border).count()
}

/// Returns the findings about public entries, one for each workload. `stays_open` tells whether no policy isolates its
/// ingress.
pub fn public_entry_findings(
    entries: &[PublicEntry],
    choice: PublicEntryChoice,
    stays_open: impl Fn(&WorkloadId) -> bool,
) -> Vec<Finding> {
    let mut by_workload: BTreeMap<&WorkloadId, Vec<&PublicEntry>> = BTreeMap::new();
    for entry in entries {
        by_workload.entry(&entry.workload).or_default().push(entry);
    }
    by_workload
        .into_iter()
        .map(|(workload, entries)| {
            let ports: Vec<String> = entries.iter().map(|e| format!("{}/{}", e.port, e.protocol)).collect();
            let services: BTreeSet<&str> =
                entries.iter().flat_map(|e| &e.services).map(String::as_str).collect();
            let services: Vec<&str> = services.into_iter().collect();
            let clients: BTreeSet<IpAddr> = entries.iter().flat_map(|e| &e.clients).copied().collect();
            let largest = |of: fn(&PublicEntry) -> usize| entries.iter().map(|e| of(e)).max();
            let mut seen = format!(
                "is a public entry at {}: {} clients on the internet were seen",
                ports.join(", "),
                clients.len()
            );
            if entries.iter().any(|entry| entry.blocks > 0) {
                seen.push_str(", and many more that are counted by block");
            }
            if let Some(once @ 1..) = largest(|e| e.once) {
                seen.push_str(&format!(", {once} of them once"));
            }
            if let Some(late @ 1..) = largest(|e| e.late) {
                seen.push_str(&format!(", {late} of them new near the end"));
            }
            if !services.is_empty() {
                seen.push_str(&format!(", through {}", services.join(", ")));
            }
            let message = match choice {
                _ if stays_open(workload) => format!(
                    "{seen}; its ingress stays open for another reason, so nobody is kept out yet"
                ),
                PublicEntryChoice::Seen => format!(
                    "{seen}; its policy lets in these clients only, so the entry is closed to everybody else"
                ),
                PublicEntryChoice::Anywhere => format!(
                    "{seen}; its policy lets in anywhere, as asked for: every address that is not one of the cluster or of a private range"
                ),
            };
            Finding::new(Code::PublicEntry, workload.to_string(), message)
                .with_samples(clients.iter().take(SAMPLES).map(ToString::to_string))
        })
        .collect()
}
