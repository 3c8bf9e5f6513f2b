//! OCSF 1.3 events of class Network Activity (4001), one line of JSON for each edge, for a SIEM.

use crate::flow::Verdict;
use crate::net::{Protocol, Timestamp};
use crate::report::graph::{EdgeDocument, GraphDocument, PeerDocument};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CATEGORY: u32 = 4;
const CLASS: u32 = 4001;
/// `Traffic`: a report of what went over a connection.
const TRAFFIC: u32 = 6;

/// One event for each observed edge; implied ones were not observed.
pub fn ocsf(graph: &GraphDocument) -> String {
    let peers: BTreeMap<&str, &PeerDocument> = graph
        .peers
        .iter()
        .map(|peer| (peer.id.as_str(), peer))
        .collect();
    let mut out = String::new();
    for edge in &graph.edges {
        let (Some(first), Some(last)) = (edge.first, edge.last) else {
            continue;
        };
        let ends = (
            peers.get(edge.client.as_str()),
            peers.get(edge.server.as_str()),
        );
        if let (Some(client), Some(server)) = ends {
            out.push_str(&event(edge, (client, server), (first, last)).to_string());
            out.push('\n');
        }
    }
    out
}

fn event(
    edge: &EdgeDocument,
    (client, server): (&PeerDocument, &PeerDocument),
    (first, last): (Timestamp, Timestamp),
) -> Value {
    let established = edge.verdicts.contains_key(&Verdict::Established);
    let (status, status_id) = match established {
        true => ("Success", 1),
        false => ("Failure", 2),
    };
    let mut destination = endpoint(server);
    destination["port"] = edge.port.into();
    json!({
        "activity_id": TRAFFIC,
        "activity_name": "Traffic",
        "category_name": "Network Activity",
        "category_uid": CATEGORY,
        "class_name": "Network Activity",
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + TRAFFIC,
        "severity": "Informational",
        "severity_id": 1,
        "status": status,
        "status_id": status_id,
        "time": millis(last),
        "start_time": millis(first),
        "end_time": millis(last),
        "count": edge.connections,
        "metadata": {
            "version": "1.3.0",
            "product": {
                "name": "nanoseg",
                "vendor_name": "nanoseg",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "connection_info": {
            "protocol_name": edge.protocol.to_string().to_lowercase(),
            "protocol_num": number(edge.protocol),
            "direction": "Unknown",
            "direction_id": 0,
        },
        "src_endpoint": endpoint(client),
        "dst_endpoint": destination,
        "traffic": {
            "bytes": edge.bytes_to_server.saturating_add(edge.bytes_to_client),
            "bytes_in": edge.bytes_to_client,
            "bytes_out": edge.bytes_to_server,
        },
        "unmapped": {
            "lesson": edge.lesson.kind,
            "services": edge.services,
        },
    })
}

fn endpoint(peer: &PeerDocument) -> Value {
    let mut endpoint = json!({"uid": peer.id, "name": peer.name.as_deref().unwrap_or(&peer.id)});
    if let Some(namespace) = &peer.namespace {
        endpoint["zone"] = namespace.as_str().into();
    }
    if let Some(address) = peer.address {
        endpoint["ip"] = address.to_string().into();
    }
    if let Some(name) = peer.dns_names.first() {
        endpoint["hostname"] = name.as_str().into();
    }
    endpoint
}

fn millis(at: Timestamp) -> i64 {
    at.nanos().div_euclid(1_000_000)
}

/// IANA's protocol numbers.
fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}
