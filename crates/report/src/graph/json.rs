//! JSON: the whole graph with its evidence, for programs. The shape is [`GraphDocument`].

use super::{Approvals, GraphDocument};
use crate::{Error, json as pretty};
use nanoseg_graph::Graph;

/// The graph as JSON, schema `nanoseg.dev/graph/v1`.
///
/// # Errors
/// Only if serde fails, which no graph makes it do.
pub fn json(graph: &Graph, approvals: Option<&Approvals>) -> Result<String, Error> {
    pretty(&GraphDocument::build_with(graph, approvals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_schema_names_every_field_of_an_edge() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&fixture::shop(false), None).unwrap()).unwrap();
        assert_eq!(value["schema"], "nanoseg.dev/graph/v1");
        let edge = &value["edges"][0];
        let keys: Vec<&String> = edge.as_object().unwrap().keys().collect();
        assert_eq!(keys.len(), 16);
        let golden = serde_json::json!({
            "client": "monitoring/prometheus[Deployment]", "server": "shop/web[Deployment]",
            "protocol": "TCP", "port": 9090, "lesson": {"kind": "learned", "reason": null},
            "inferred": false, "connections": 3, "verdicts": {"established": 3},
            "bytes_to_server": 300, "bytes_to_client": 3000,
            "first": "2026-01-05T10:00:00Z", "last": "2026-01-05T10:05:00Z",
            "services": [], "enforced_from": [], "evidence": [], "evidence_total": 0
        });
        assert_eq!(edge, &golden);
    }

    #[test]
    fn evidence_carries_addresses_and_times() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&fixture::shop(false), None).unwrap()).unwrap();
        let edges = value["edges"].as_array().unwrap();
        let web = edges.iter().find(|e| e["port"] == 8080).unwrap();
        assert_eq!(web["services"][0], "shop/app:80");
        assert_eq!(
            web["evidence"][0],
            serde_json::json!({
                "client": "10.1.0.2", "server": "10.1.0.3", "port": 8080,
                "via": "10.96.0.7:80", "seen_as": null, "verdict": "established",
                "opening": "handshake", "connections": 3,
                "first": "2026-01-05T10:00:00Z", "last": "2026-01-05T10:05:00Z"
            })
        );
    }

    #[test]
    fn hostile_names_come_back_as_they_were() {
        let value: serde_json::Value =
            serde_json::from_str(&json(&fixture::hostile(), None).unwrap()).unwrap();
        let peers = value["peers"].as_array().unwrap();
        assert!(peers.iter().any(|p| p["dns_names"][0] == fixture::HOSTILE));
    }
}
