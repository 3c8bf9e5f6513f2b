//! An edge as it is stored: with the facts that decided its lesson, so that it can be decided again when more
//! is known.

use super::edge::{Edge, Evidence};
use super::lesson::Tally;
use super::sightings::Sightings;
use nanoseg_flow::{ActivityWindows, Told, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// All of an edge, to be written and read with serde.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct StoredEdge(pub Edge);

/// Its parts: what is shown to people, and what is not.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts {
    edge: Edge,
    /// Scale, base and bits in hexadecimal digits: the bits are more than numbers of JSON hold.
    windows: (u8, i64, String),
    service_ports: BTreeSet<u16>,
    node_ports: BTreeSet<u16>,
    tally: Tally,
    #[serde(default, skip_serializing_if = "Sightings::is_empty")]
    sightings: Sightings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    clients: BTreeSet<IpAddr>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    looked_up: BTreeSet<String>,
}

impl From<StoredEdge> for Parts {
    fn from(StoredEdge(edge): StoredEdge) -> Self {
        let (scale, base, bits) = edge.windows.parts();
        Parts {
            windows: (scale, base, format!("{bits:x}")),
            service_ports: edge.service_ports.clone(),
            node_ports: edge.node_ports.clone(),
            tally: edge.tally,
            sightings: edge.sightings.clone(),
            told: edge.told,
            clients: edge.clients.clone(),
            looked_up: edge.looked_up.clone(),
            edge,
        }
    }
}

impl TryFrom<Parts> for StoredEdge {
    type Error = String;

    fn try_from(mut parts: Parts) -> Result<Self, String> {
        if parts.clients.is_empty() {
            // Earlier versions kept no clients but those of the samples.
            let answered = |one: &&Evidence| one.verdict == Verdict::Established;
            let samples = parts.edge.evidence.iter().filter(answered);
            parts.clients = samples.map(|one| one.client).collect();
        }
        let (scale, base, bits) = &parts.windows;
        let windows = u128::from_str_radix(bits, 16)
            .ok()
            .and_then(|bits| ActivityWindows::from_parts(*scale, *base, bits))
            .ok_or_else(|| format!("{:?} are no windows", parts.windows))?;
        Ok(StoredEdge(Edge {
            windows,
            service_ports: parts.service_ports,
            node_ports: parts.node_ports,
            tally: parts.tally,
            sightings: parts.sightings,
            clients: parts.clients.into_iter().take(Edge::MAX_CLIENTS).collect(),
            looked_up: parts.looked_up.into_iter().take(Edge::MAX_NAMES).collect(),
            told: parts.told.or_else(|| own_times(&parts.edge)),
            ..parts.edge
        }))
    }
}

/// What earlier versions stored was told at its own times, as far as is known.
fn own_times(edge: &Edge) -> Option<Told> {
    Some(Told {
        first: edge.first?,
        last: edge.last?,
    })
}
