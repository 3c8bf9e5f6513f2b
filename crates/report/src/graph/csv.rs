//! CSV (RFC 4180, but with line feeds): one line per edge, for spreadsheets.

use super::{Approvals, names};
use crate::escape;
use nanoseg_graph::{Edge, Graph, Peer};

const HEADER: &str = "client_kind,client_namespace,client,client_dns,server_kind,server_namespace,\
server,server_dns,protocol,port,lesson,reason,inferred,connections,bytes_to_server,\
bytes_to_client,first,last,services";

/// The graph as CSV. Several DNS names or Services in one field are separated by `;`.
///
/// If approvals are known, there are two more columns.
pub fn csv(graph: &Graph, approvals: Option<&Approvals>) -> String {
    let mut out = String::from(HEADER);
    if approvals.is_some() {
        out.push_str(",allowed_by,approved_by");
    }
    out.push('\n');
    for (client, server, edge) in graph.edges() {
        let mut fields = peer_fields(graph, client);
        fields.extend(peer_fields(graph, server));
        fields.extend(edge_fields(edge));
        if let Some(approvals) = approvals {
            let known = approvals.of(client, server, edge);
            fields.extend([known.allowed_by.join("; "), known.approved_by.join("; ")]);
        }
        let fields: Vec<String> = fields.iter().map(|field| escape::csv(field)).collect();
        out.push_str(&fields.join(","));
        out.push('\n');
    }
    out
}

fn peer_fields(graph: &Graph, peer: &Peer) -> Vec<String> {
    let (kind, namespace, name) = match peer {
        Peer::Workload(w) => (w.kind.clone(), w.namespace.clone(), w.name.clone()),
        Peer::Outside(address) => (
            names::kind(peer).to_owned(),
            String::new(),
            address.to_string(),
        ),
        Peer::ApiServer | Peer::Node(_) | Peer::Unattributed(_) => (
            names::kind(peer).to_owned(),
            String::new(),
            names::label(graph, peer),
        ),
    };
    vec![
        kind,
        namespace,
        name,
        names::dns_names(graph, peer).join(";"),
    ]
}

fn edge_fields(edge: &Edge) -> Vec<String> {
    let time = |at: Option<nanoseg_net::Timestamp>| at.map(|t| t.to_string()).unwrap_or_default();
    let services: Vec<&str> = edge.services.iter().map(String::as_str).collect();
    vec![
        edge.protocol.to_string(),
        edge.port.to_string(),
        names::lesson(&edge.lesson).to_owned(),
        names::reason(&edge.lesson).unwrap_or_default().to_owned(),
        edge.inferred.to_string(),
        edge.connections().to_string(),
        edge.bytes_to_server.to_string(),
        edge.bytes_to_client.to_string(),
        time(edge.first),
        time(edge.last),
        services.join(";"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fixture;

    #[test]
    fn the_first_edges_are_written_as_expected() {
        let text = csv(&fixture::shop(false), None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 9);
        assert_eq!(
            lines[1],
            "Deployment,monitoring,prometheus,,Deployment,shop,web,,TCP,9090,learned,,false,3,300,3000,2026-01-05T10:00:00Z,2026-01-05T10:05:00Z,"
        );
        assert_eq!(
            lines[8],
            "Deployment,shop,web,,unknown-pod,,10.1.9.9,,TCP,53,implied,\"DNS over TCP (RFC 7766)\",false,0,0,0,,,"
        );
        let commas = lines[0].matches(',').count();
        assert_eq!(lines[1].matches(',').count(), commas);
    }

    #[test]
    fn a_name_that_looks_like_a_formula_is_disarmed() {
        let text = csv(&fixture::hostile(), None);
        assert!(text.contains("\"'=cmd|' /C calc'!A0\""), "{text}");
        assert!(
            text.contains("<script>") && text.contains("\"\"]"),
            "quotes are doubled: {text}"
        );
    }
}
