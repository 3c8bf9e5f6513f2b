//! GraphML (http://graphml.graphdrawing.org): for yEd, Gephi, Cytoscape, NetworkX.

use super::{Approvals, Options, names};
use crate::escape;
use nanoseg_graph::{Edge, Graph, Peer};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The declared attributes: id, for what, name, type.
const KEYS: [(&str, &str, &str, &str); 18] = [
    ("kind", "node", "kind", "string"),
    ("label", "node", "label", "string"),
    ("namespace", "node", "namespace", "string"),
    ("workload_kind", "node", "workload_kind", "string"),
    ("address", "node", "address", "string"),
    ("dns_names", "node", "dns_names", "string"),
    ("elabel", "edge", "label", "string"),
    ("protocol", "edge", "protocol", "string"),
    ("port", "edge", "port", "int"),
    ("lesson", "edge", "lesson", "string"),
    ("reason", "edge", "reason", "string"),
    ("inferred", "edge", "inferred", "boolean"),
    ("connections", "edge", "connections", "long"),
    ("bytes_to_server", "edge", "bytes_to_server", "long"),
    ("bytes_to_client", "edge", "bytes_to_client", "long"),
    ("first", "edge", "first", "string"),
    ("last", "edge", "last", "string"),
    ("services", "edge", "services", "string"),
];

/// The additional attributes of edges if approvals are known.
const APPROVAL_KEYS: [(&str, &str, &str, &str); 2] = [
    ("allowed_by", "edge", "allowed_by", "string"),
    ("approved_by", "edge", "approved_by", "string"),
];

/// The graph as GraphML. Peers have the ids `n0`, `n1`, … (names are not valid XML ids).
pub fn graphml(graph: &Graph, options: Options, approvals: Option<&Approvals>) -> String {
    let edges = names::shown(graph, options);
    let peers = names::shown_peers(graph, &edges, options);
    let ids: BTreeMap<&Peer, usize> = peers
        .iter()
        .enumerate()
        .map(|(i, peer)| (*peer, i))
        .collect();
    let mut out = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
    );
    let more = approvals.map(|_| APPROVAL_KEYS).into_iter().flatten();
    for (id, target, name, kind) in KEYS.into_iter().chain(more) {
        let _ = writeln!(
            out,
            "  <key id=\"{id}\" for=\"{target}\" attr.name=\"{name}\" attr.type=\"{kind}\"/>"
        );
    }
    out.push_str("  <graph id=\"nanoseg\" edgedefault=\"directed\">\n");
    for (number, peer) in peers.iter().enumerate() {
        let _ = writeln!(out, "    <node id=\"n{number}\">");
        data(&mut out, &node_data(graph, peer));
        out.push_str("    </node>\n");
    }
    for (number, (client, server, edge)) in edges.iter().enumerate() {
        let id = |peer| ids.get(peer).copied().unwrap_or_default();
        let (source, target) = (id(client), id(server));
        let _ = writeln!(
            out,
            "    <edge id=\"e{number}\" source=\"n{source}\" target=\"n{target}\">"
        );
        data(&mut out, &edge_data(edge));
        if let Some(known) = approvals.map(|all| all.of(client, server, edge)) {
            let (rules, people) = (known.allowed_by.join("; "), known.approved_by.join("; "));
            data(&mut out, &[("allowed_by", rules), ("approved_by", people)]);
        }
        out.push_str("    </edge>\n");
    }
    out.push_str("  </graph>\n</graphml>\n");
    out
}

fn data(out: &mut String, data: &[(&str, String)]) {
    for (key, value) in data.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(
            out,
            "      <data key=\"{key}\">{}</data>",
            escape::xml(value)
        );
    }
}

fn node_data(graph: &Graph, peer: &Peer) -> Vec<(&'static str, String)> {
    let workload = peer.workload();
    let address = match peer {
        Peer::Outside(address) => address.to_string(),
        Peer::Unattributed(who) if who.name.is_none() => who.address.to_string(),
        _ => String::new(),
    };
    vec![
        ("kind", names::kind(peer).to_owned()),
        ("label", names::label(graph, peer)),
        (
            "namespace",
            workload.map(|w| w.namespace.clone()).unwrap_or_default(),
        ),
        (
            "workload_kind",
            workload.map(|w| w.kind.clone()).unwrap_or_default(),
        ),
        ("address", address),
        ("dns_names", names::dns_names(graph, peer).join(" ")),
    ]
}

fn edge_data(edge: &Edge) -> Vec<(&'static str, String)> {
    let time = |at: Option<nanoseg_net::Timestamp>| at.map(|t| t.to_string()).unwrap_or_default();
    let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
    let long = |value: u64| value.min(i64::MAX as u64).to_string();
    vec![
        ("elabel", names::port(edge)),
        ("protocol", edge.protocol.to_string()),
        ("port", edge.port.to_string()),
        ("lesson", names::lesson(&edge.lesson).to_owned()),
        (
            "reason",
            names::reason(&edge.lesson).unwrap_or_default().to_owned(),
        ),
        ("inferred", edge.inferred.to_string()),
        ("connections", long(edge.connections())),
        ("bytes_to_server", long(edge.bytes_to_server)),
        ("bytes_to_client", long(edge.bytes_to_client)),
        ("first", time(edge.first)),
        ("last", time(edge.last)),
        ("services", services.join(" ")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_shop_has_its_nodes_and_edges() {
        let text = graphml(&fixture::shop(false), Options::default(), None);
        assert_eq!(text.matches("<node ").count(), 6);
        assert_eq!(text.matches("<edge ").count(), 8);
        assert!(text.contains(
            "    <edge id=\"e0\" source=\"n0\" target=\"n3\">
      <data key=\"elabel\">9090/TCP</data>
      <data key=\"protocol\">TCP</data>
      <data key=\"port\">9090</data>
      <data key=\"lesson\">learned</data>
      <data key=\"inferred\">false</data>
      <data key=\"connections\">3</data>
      <data key=\"bytes_to_server\">300</data>
      <data key=\"bytes_to_client\">3000</data>
      <data key=\"first\">2026-01-05T10:00:00Z</data>
      <data key=\"last\">2026-01-05T10:05:00Z</data>
    </edge>
"
        ));
    }

    #[test]
    fn hostile_names_are_not_markup() {
        let text = graphml(&fixture::hostile(), Options::default(), None);
        assert!(!text.contains("<script"), "{text}");
    }
}
