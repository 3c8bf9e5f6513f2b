//! What an operator must know of the graph: findings about edges and peers.

use super::attribute::Attribution;
use super::edge::{Edge, Lesson};
use super::listing::{SAMPLES, list};
use super::mesh;
use super::public_entry::{PublicEntryChoice, public_entries, public_entry_findings};
use super::service_gaps::missing_services;
use super::unseen_backends;
use super::{Graph, Peer, Unattributed, UnattributedReason};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::{OtherKind, OtherTraffic, OutOfBounds, Verdict};
use nanoseg_inventory::Inventory;
use nanoseg_net::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

/// Cloud metadata services: AWS, GCP, Azure and others share the first; the second is AWS over IPv6.
pub const METADATA: [&str; 2] = ["169.254.169.254", "fd00:ec2::254"];

/// All findings that the finished graph gives.
pub(super) fn findings(graph: &Graph, inventory: &Inventory) -> Vec<Finding> {
    let mut findings = of_edges(graph, inventory);
    // Where no pod has an address at all, another snapshot of the same kind would not help.
    if inventory.pods.iter().all(|pod| pod.addresses.is_empty()) {
        findings.retain(|finding| finding.code != Code::UnknownPod);
    }
    findings.extend(host_network(inventory));
    findings.extend(unseen_backends::findings(graph, inventory));
    findings
}

/// What agents told of connections of other nodes (rule: agent-speaks-for-its-node).
pub(super) fn out_of_bounds(by_node: &BTreeMap<Arc<str>, OutOfBounds>) -> Vec<Finding> {
    let findings = by_node.iter().map(|(node, told)| {
        let message = format!(
            "its agent told of {} connections ({} records) between others, the last at {}; nothing of it counts",
            told.connections, told.records, told.last
        );
        let samples = told.samples.iter();
        let samples = samples.map(|(client, server, protocol)| {
            format!("{client} → {server}/{protocol}")
        });
        Finding::new(Code::AgentOutOfBounds, format!("node {node}"), message).with_samples(samples)
    });
    findings.collect()
}

/// The findings that edges give.
pub(super) fn of_edges(graph: &Graph, inventory: &Inventory) -> Vec<Finding> {
    let edges = graph.edges();
    let mut findings = Vec::new();
    for (client, server, edge) in &edges {
        findings.extend(edge_findings(client, server, edge));
    }
    findings.extend(from_nodes(&edges));
    findings.extend(unknown_pods(&edges, inventory));
    findings.extend(missing_services(&edges));
    findings.extend(failed(&edges));
    findings.extend(egress(graph, &edges));
    findings.extend(crossings(&edges));
    findings.extend(mesh::findings(&edges, inventory));
    findings.extend(public_entry_findings(
        &public_entries(graph),
        PublicEntryChoice::Seen,
        |_| false,
    ));
    findings
}

/// Findings about one edge.
fn edge_findings(client: &Peer, server: &Peer, edge: &Edge) -> Vec<Finding> {
    let mut findings = Vec::new();
    let what = format!("{client} → {server} {}/{}", edge.port, edge.protocol);
    if is_metadata(server) {
        let how = match &edge.lesson {
            Lesson::Learned | Lesson::Implied(_) => {
                "answered; allowed since it was observed".into()
            }
            Lesson::Review(reason) | Lesson::Ignored(reason) => format!("{reason}; not allowed"),
        };
        let message = format!("called {}:{}, {how}", address_of(server), edge.port);
        findings.push(Finding::new(
            Code::MetadataService,
            client.to_string(),
            message,
        ));
    }
    if edge.inferred && edge.lesson.teaches() {
        let message = "no packet shows who opened it; the server was inferred from its port";
        findings.push(Finding::new(Code::InferredDirection, what.clone(), message));
    }
    if let Lesson::Review(reason) = &edge.lesson {
        findings.push(Finding::new(
            Code::OneWayUdp,
            what.clone(),
            format!("{reason}; not learned"),
        ));
    }
    findings
}

/// Traffic that comes through nodes, one finding for each way to a port (rule: node-port-from-any-node).
fn from_nodes(edges: &[(&Peer, &Peer, &Edge)]) -> Vec<Finding> {
    let mut ways: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    let itself = ", and so is the client itself: in front of a pod on the node that is entered most plugins see the client, \
                  elsewhere that node";
    for (client, server, edge) in edges {
        if !edge.lesson.teaches() || edge.enforced_from.is_empty() || server.workload().is_none() {
            continue;
        }
        let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
        let through = match services.as_slice() {
            [] if !edge.node_ports.is_empty() => "host port".into(),
            [] => "NodePort".into(),
            services => services.join(", "),
        };
        let allowed = match edge.enforced_from.len() {
            1 => "the one address of nodes that is known is allowed".to_owned(),
            number => format!("the {number} addresses of all nodes are allowed"),
        };
        let server = format!("{server} {}/{}", edge.port, edge.protocol);
        // Who was seen as a node only cannot be named otherwise.
        let both = match client {
            Peer::Node(_) => {
                "; the clients themselves were not seen, so in front of a pod on the node that is entered they \
                 may be refused"
            }
            _ => itself,
        };
        let message = format!("comes through a node ({through}); {allowed}{both}");
        let clients = ways.entry((server, message)).or_default();
        clients.insert(client.to_string());
    }
    ways.into_iter()
        .map(|((server, message), clients)| {
            let from = match clients.len() {
                1 => clients.first().cloned().unwrap_or_default(),
                number => format!("{number} clients"),
            };
            let samples = match clients.len() {
                1 => BTreeSet::new(),
                _ => clients,
            };
            Finding::new(
                Code::NodePortFromNodes,
                format!("{from} → {server}"),
                message,
            )
            .with_samples(samples.into_iter().take(SAMPLES))
        })
        .collect()
}

fn unknown_pods(edges: &[(&Peer, &Peer, &Edge)], inventory: &Inventory) -> Vec<Finding> {
    let mut seen: BTreeMap<IpAddr, (Timestamp, BTreeSet<String>)> = BTreeMap::new();
    for (client, server, edge) in edges {
        for peer in [client, server] {
            if let Peer::Unattributed(Unattributed {
                address,
                reason: UnattributedReason::UnknownPod,
                ..
            }) = peer
            {
                let text = format!("{client} → {server} {}/{}", edge.port, edge.protocol);
                let first = edge.first.unwrap_or_default();
                let known = seen.entry(*address).or_insert((first, BTreeSet::new()));
                known.0 = known.0.min(first);
                known.1.insert(text);
            }
        }
    }
    seen.into_iter()
        .map(|(address, (first, edges))| {
            let cause = inventory.why_unknown(address, first);
            let message = format!(
                "lies in the cluster's ranges, but nobody is known to have had it at that time; not allowed ({cause})"
            );
            Finding::new(Code::UnknownPod, address.to_string(), message)
                .with_samples(edges.into_iter().take(SAMPLES))
        })
        .collect()
}

/// Traffic of pods that no policy can express, one finding for each sender (rule: inexpressible-is-reported).
pub(super) fn not_expressible(
    other: &[OtherTraffic],
    attribution: &Attribution<'_>,
) -> Vec<Finding> {
    // Such traffic is counted without times, so the latest owner of an address counts.
    let at = Timestamp::MAX.plus_nanos(-1);
    let pairs: BTreeSet<(IpAddr, IpAddr)> = other
        .iter()
        .map(|traffic| (traffic.source, traffic.destination))
        .collect();
    let mut by_sender: BTreeMap<Peer, BTreeSet<String>> = BTreeMap::new();
    for traffic in other {
        // Where both sides sent, one is the answer; it is not counted as traffic (rule: reply-opens-nothing).
        let answered = pairs.contains(&(traffic.destination, traffic.source));
        if answered && traffic.destination < traffic.source {
            continue;
        }
        let peer = |address| attribution.peer(attribution.client(address, at));
        let from = peer(traffic.source);
        let to = match traffic.kind {
            OtherKind::Group(_) => Peer::Outside(traffic.destination),
            _ => peer(traffic.destination),
        };
        if from.workload().is_none() && to.workload().is_none() {
            continue;
        }
        let way = if answered { "to and from" } else { "to" };
        let what = match traffic.kind {
            OtherKind::Group(protocol) => {
                format!("{protocol} to the group address {}", traffic.destination)
            }
            OtherKind::Icmp => format!("ICMP {way} {to}"),
            OtherKind::Protocol(number) => format!("IP protocol {number} {way} {to}"),
        };
        by_sender.entry(from).or_default().insert(what);
    }
    by_sender
        .into_iter()
        .map(|(from, what)| {
            Finding::new(
                Code::NotExpressible,
                from.to_string(),
                format!("has {}", list(&what)),
            )
            .with_samples(what.into_iter().take(SAMPLES))
        })
        .collect()
}

/// Failed connections, one finding for each client and verdict.
fn failed(edges: &[(&Peer, &Peer, &Edge)]) -> Vec<Finding> {
    let mut by_client: BTreeMap<(Code, &Peer), BTreeSet<String>> = BTreeMap::new();
    for (client, server, edge) in edges {
        if is_metadata(server) {
            continue;
        }
        let at_times = if edge.verdicts.contains_key(&Verdict::Established) {
            " at times"
        } else {
            ""
        };
        for verdict in edge.verdicts.keys() {
            let code = match verdict {
                Verdict::Refused => Code::RefusedConnections,
                Verdict::Unanswered => Code::UnansweredConnections,
                Verdict::Dropped => Code::DroppedConnections,
                Verdict::Established | Verdict::OneWay => continue,
            };
            let target = format!("{server} {}/{}{at_times}", edge.port, edge.protocol);
            by_client.entry((code, client)).or_default().insert(target);
        }
    }
    by_client
        .into_iter()
        .map(|((code, client), targets)| {
            let how = match code {
                Code::RefusedConnections => "was refused by",
                Code::DroppedConnections => "was kept by a policy from",
                _ => "got no answer from",
            };
            Finding::new(
                code,
                client.to_string(),
                format!("{how} {}", list(&targets)),
            )
        })
        .collect()
}

/// Learned egress to public addresses, one finding for each workload.
fn egress(graph: &Graph, edges: &[(&Peer, &Peer, &Edge)]) -> Vec<Finding> {
    let mut by_client: BTreeMap<&Peer, BTreeSet<String>> = BTreeMap::new();
    let learned = |edge: &Edge| edge.lesson == Lesson::Learned;
    for (client, server, edge) in edges.iter().filter(|(_, _, edge)| learned(edge)) {
        if let Peer::Outside(address) = server
            && !is_metadata(server)
            && !is_private(*address)
        {
            let name = match graph.names.get(address).and_then(|names| names.first()) {
                Some(name) => format!("{name} ({address}) {}/{}", edge.port, edge.protocol),
                None => format!("{address} {}/{}", edge.port, edge.protocol),
            };
            by_client.entry(client).or_default().insert(name);
        }
    }
    by_client
        .into_iter()
        .map(|(client, targets)| {
            let message = format!("talks to {}", list(&targets));
            Finding::new(Code::InternetEgress, client.to_string(), message)
                .with_samples(targets.into_iter().take(SAMPLES))
        })
        .collect()
}

/// Connections between namespaces, one finding for each server port and client namespace.
fn crossings(edges: &[(&Peer, &Peer, &Edge)]) -> Vec<Finding> {
    let mut by_server: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for (client, server, edge) in edges
        .iter()
        .filter(|(_, _, edge)| edge.lesson == Lesson::Learned)
    {
        if let (Some(from), Some(to)) = (client.workload(), server.workload())
            && from.namespace != to.namespace
        {
            let target = format!("{to} {}/{}", edge.port, edge.protocol);
            by_server
                .entry((target, from.namespace.clone()))
                .or_default()
                .insert(from.to_string());
        }
    }
    by_server
        .into_iter()
        .map(|((target, _), clients)| {
            let message = format!("is called from another namespace by {}", list(&clients));
            Finding::new(Code::CrossNamespace, target, message)
                .with_samples(clients.into_iter().take(SAMPLES))
        })
        .collect()
}

fn host_network(inventory: &Inventory) -> Vec<Finding> {
    inventory
        .workloads
        .values()
        .filter(|workload| workload.host_network)
        .map(|workload| {
            let message = format!(
                "{} uses its node's network; no policy can select it",
                workload.id.kind
            );
            Finding::new(Code::HostNetworkWorkload, workload.id.to_string(), message)
        })
        .collect()
}

fn is_metadata(peer: &Peer) -> bool {
    matches!(peer, Peer::Outside(address) if METADATA.contains(&address.to_string().as_str()))
}

fn address_of(peer: &Peer) -> String {
    match peer {
        Peer::Outside(address) => address.to_string(),
        other => other.to_string(),
    }
}

/// Private, shared (RFC 6598), link-local, loopback or unique-local.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let shared = a.octets()[0] == 100 && a.octets()[1] & 0xc0 == 64;
            a.is_private() || a.is_link_local() || a.is_loopback() || shared
        }
        IpAddr::V6(a) => a.is_unique_local() || a.is_unicast_link_local() || a.is_loopback(),
    }
}
