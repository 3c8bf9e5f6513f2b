//! OCSF 1.3 events of class Network Activity (4001), one line of JSON for each edge, for a SIEM.

use crate::graph::{EdgeDocument, GraphDocument, PeerDocument};
use nanoseg_flow::Verdict;
use nanoseg_net::{Protocol, Timestamp};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CATEGORY: u32 = 4;
const CLASS: u32 = 4001;
/// The version of the schema, <https://schema.ocsf.io/1.3.0/classes/network_activity>.
const VERSION: &str = "1.3.0";

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
    let (activity, activity_id) = activity(edge);
    let (status, status_id) = match activity_id {
        6 if edge.verdicts.contains_key(&Verdict::Established) => ("Success", 1),
        // One-way datagrams: no answer shows whether they were accepted.
        6 => ("Unknown", 0),
        _ => ("Failure", 2),
    };
    let (direction, direction_id) = match (is_inside(client), is_inside(server)) {
        (true, true) => ("Lateral", 3),
        (true, false) => ("Outbound", 2),
        (false, true) => ("Inbound", 1),
        (false, false) => ("Unknown", 0),
    };
    let mut destination = endpoint(server);
    destination["port"] = edge.port.into();
    json!({
        "activity_id": activity_id,
        "activity_name": activity,
        "category_name": "Network Activity",
        "category_uid": CATEGORY,
        "class_name": "Network Activity",
        "class_uid": CLASS,
        "type_name": format!("Network Activity: {activity}"),
        "type_uid": CLASS * 100 + activity_id,
        "severity": "Informational",
        "severity_id": 1,
        "status": status,
        "status_id": status_id,
        "time": millis(last),
        "start_time": millis(first),
        "end_time": millis(last),
        "count": edge.connections,
        "metadata": {
            "version": VERSION,
            "product": {
                "name": "nanoseg",
                "vendor_name": "nanoseg",
                "version": env!("CARGO_PKG_VERSION"),
            },
        },
        "connection_info": {
            "protocol_name": edge.protocol.to_string().to_lowercase(),
            "protocol_num": number(edge.protocol),
            "direction": direction,
            "direction_id": direction_id,
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
            "verdicts": edge.verdicts,
            "services": edge.services,
            "allowed_by": edge.allowed_by,
            "approved_by": edge.approved_by,
        },
    })
}

/// The activity, as the class names it: `Traffic` is a report of the traffic of connections.
fn activity(edge: &EdgeDocument) -> (&'static str, u32) {
    let has = |verdict| edge.verdicts.contains_key(&verdict);
    if has(Verdict::Established) || has(Verdict::OneWay) {
        ("Traffic", 6)
    } else if has(Verdict::Refused) || has(Verdict::Dropped) {
        ("Refuse", 5)
    } else {
        ("Fail", 4)
    }
}

/// Returns true if it is a part of the cluster.
fn is_inside(peer: &PeerDocument) -> bool {
    peer.kind != "outside"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    /// The fields that 1.3.0 requires of the class and its parts.
    const REQUIRED: [&str; 13] = [
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/type_uid",
        "/severity_id",
        "/time",
        "/metadata/version",
        "/metadata/product/vendor_name",
        "/metadata/product/name",
        "/connection_info/direction_id",
        "/src_endpoint/uid",
        "/dst_endpoint/uid",
        "/dst_endpoint/port",
    ];

    #[test]
    fn every_event_has_what_the_class_requires() {
        let graph = GraphDocument::build(&fixture::shop(false));
        let text = ocsf(&graph);
        let observed = graph.edges.iter().filter(|edge| edge.first.is_some());
        assert_eq!(text.lines().count(), observed.count());
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            for place in REQUIRED {
                let value = event.pointer(place);
                assert!(
                    value.is_some_and(|value| !value.is_null()),
                    "{place}: {event}"
                );
            }
            let number = |place: &str| event.pointer(place).and_then(Value::as_i64).unwrap();
            assert_eq!(number("/class_uid"), 4001);
            assert_eq!(number("/type_uid"), 400_100 + number("/activity_id"));
            assert!(number("/start_time") <= number("/end_time"));
            // Milliseconds: 2026-01-05 in seconds has ten digits.
            assert_eq!(number("/time").to_string().len(), 13);
        }
    }

    #[test]
    fn what_was_refused_is_no_traffic() {
        let text = ocsf(&GraphDocument::build(&fixture::shop(false)));
        let of = |kind: &str| {
            let events = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            events
                .filter(|event| event["unmapped"]["verdicts"].get(kind).is_some())
                .map(|event| (event["activity_id"].clone(), event["status_id"].clone()))
                .collect::<Vec<_>>()
        };
        assert!(
            of("established")
                .iter()
                .all(|one| *one == (6.into(), 1.into()))
        );
        let failed = [of("unanswered"), of("refused"), of("dropped")].concat();
        assert!(!failed.is_empty());
        assert!(failed.iter().all(|(_, status)| *status == 2), "{failed:?}");
    }
}
