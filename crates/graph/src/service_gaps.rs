//! Calls of Services of which the snapshot does not say what stands behind them, or that it lacks.

use super::attribute::{Attributed, Attribution};
use super::listing::{SAMPLES, list};
use super::{Edge, Peer, Unattributed, UnattributedReason};
use nanoseg_finding::{Code, Finding};
use nanoseg_flow::{FlowRecord, Verdict};
use nanoseg_inventory::EndpointSource;
use std::collections::{BTreeMap, BTreeSet};

const FOREIGN: &str =
    "and what stands behind it is not of its namespace; where the calls arrived was not seen";

/// Traffic to Services without endpoints.
#[derive(Default)]
pub(super) struct Orphans {
    by_service: BTreeMap<(Code, String, &'static str), BTreeSet<String>>,
}

impl Orphans {
    pub fn note(
        &mut self,
        attributed: &Attributed<'_>,
        record: &FlowRecord,
        attribution: &Attribution<'_>,
    ) {
        let (code, service, why) = match &attributed.service_access {
            Some(access) => {
                let (code, why) = if access.port.endpoints.is_empty() {
                    why_orphan(access.service.endpoint_source)
                } else {
                    (Code::ForeignEndpoint, FOREIGN)
                };
                (code, access.name(), why)
            }
            None => {
                let called = record.via.map(|via| (via.ip(), via.port()));
                let (address, port) = called.unwrap_or((record.server, record.port));
                let address = std::net::SocketAddr::new(address, port).to_string();
                let why = "but the Service has no such port in the snapshot";
                (Code::ServiceWithoutEndpoints, address, why)
            }
        };
        self.by_service
            .entry((code, service, why))
            .or_default()
            .insert(attribution.peer(attributed.client).to_string());
    }

    pub fn into_findings(self) -> Vec<Finding> {
        self.by_service
            .into_iter()
            .map(|((code, service, why), clients)| {
                let message = format!("was called by {}, {why}", list(&clients));
                Finding::new(code, service, message)
            })
            .collect()
    }
}

/// Why nothing is known to stand behind a Service, by what would tell it (rule: endpoints-of-each-service).
fn why_orphan(source: EndpointSource) -> (Code, &'static str) {
    match source {
        EndpointSource::Objects => (Code::ServiceWithoutEndpoints, "but has no ready endpoints"),
        EndpointSource::Selector => (
            Code::ServiceWithoutEndpoints,
            "but its selector selects no pod of the snapshot",
        ),
        EndpointSource::ControlPlane | EndpointSource::Unknown => (
            Code::UnknownEndpoints,
            "and the snapshot does not say what stands behind it",
        ),
    }
}

/// Answered calls of addresses that are, or may be, those of Services or pods which the snapshot lacks, one finding for each
/// end that was seen with some (rule: unexplained-address, service-range-is-declared).
pub(super) fn missing_services(edges: &[(&Peer, &Peer, &Edge)]) -> Vec<Finding> {
    let unexplained = |peer: &Peer| match peer {
        Peer::Unattributed(Unattributed {
            address,
            reason: UnattributedReason::UnexplainedAddress | UnattributedReason::UnknownService,
            ..
        }) => Some(*address),
        _ => None,
    };
    let is_of_services = |peer: &Peer| matches!(peer, Peer::Unattributed(who) if who.reason == UnattributedReason::UnknownService);
    let mut by_peer: BTreeMap<&Peer, (BTreeSet<String>, bool)> = BTreeMap::new();
    let answered = |edge: &Edge| edge.verdicts.contains_key(&Verdict::Established);
    for (client, server, edge) in edges.iter().filter(|(_, _, edge)| answered(edge)) {
        let port = format!("{}/{}", edge.port, edge.protocol);
        // Where neither end is explained, it is told of the client.
        let told = match (unexplained(client), unexplained(server)) {
            (_, Some(address)) => Some((*client, *server, format!("to {address} {port}"))),
            (Some(address), None) => Some((*server, *client, format!("from {address} at {port}"))),
            (None, None) => None,
        };
        if let Some((of, other, what)) = told {
            let known = by_peer.entry(of).or_default();
            known.0.insert(what);
            known.1 |= !is_of_services(other);
        }
    }
    by_peer
        .into_iter()
        .map(|(peer, (what, perhaps_nodes))| {
            let missing = if perhaps_nodes {
                "Services or Nodes are"
            } else {
                "Services are"
            };
            let message = format!(
                "has traffic {} that the snapshot does not explain: {missing} missing from it",
                list(&what)
            );
            Finding::new(Code::MissingServices, peer.to_string(), message)
                .with_samples(what.into_iter().take(SAMPLES))
        })
        .collect()
}
