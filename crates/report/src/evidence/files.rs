//! The files of a report, each complete in memory.

use super::text::{answers, standing};
use super::{EdgeLine, Enforced, Evidence, HourLine, ViolationLine, WorkloadLine, ocsf, page};
use crate::WorkloadEstimate;
use crate::graph::{Approvals, Approved, Format, GraphDocument, Options, id, render_with};
use crate::{Error, escape};
use nanoseg_graph::Graph;
use nanoseg_inventory::WorkloadId;
use nanoseg_net::{Timestamp, sha256_hex};
use nanoseg_record::ActionKind;
use serde::Serialize;
use std::collections::BTreeMap;

/// The content of a report's manifest: the digest of every other file, and the end of the record.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema: &'static str,
    period: &'a super::Period,
    namespaces: &'a [String],
    record_head: Option<&'a super::RecordHead>,
    /// The fingerprint of the key that signs the manifest, so that a removed signature is noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    signed_by: Option<&'a str>,
    files: Vec<ManifestFile<'a>>,
}

#[derive(Debug, Serialize)]
struct ManifestFile<'a> {
    path: &'a str,
    sha256: String,
    bytes: usize,
}

/// The name of the schema of `manifest.json`.
pub const MANIFEST_SCHEMA: &str = "nanoseg.dev/report-manifest/v1";

/// Returns every file of the report by its path: the same evidence gives the same bytes. `signed_by` is the
/// fingerprint of the key that will sign the manifest.
///
/// # Errors
/// This input causes none.
pub fn files(
    evidence: &Evidence,
    graph: &Graph,
    signed_by: Option<&str>,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let approvals = approvals(&evidence.edges);
    let document = GraphDocument::build_with(graph, Some(&approvals));
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let formats = [
        ("graph.json", Format::Json),
        ("graph.csv", Format::Csv),
        ("graph.graphml", Format::Graphml),
        ("graph.dot", Format::Dot),
        ("graph.mmd", Format::Mermaid),
        ("graph.svg", Format::Svg),
    ];
    for (name, format) in formats {
        let text = render_with(graph, format, Options::default(), Some(&approvals))?;
        files.insert(name.into(), text.into_bytes());
    }
    let picture = files
        .get("graph.svg")
        .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        .unwrap_or_default();
    let mut add = |name: &str, text: String| files.insert(name.to_owned(), text.into_bytes());
    add("events.ocsf.jsonl", ocsf::ocsf(&document));
    add("edges.csv", edges_csv(&evidence.edges));
    add("hours.csv", hours_csv(&evidence.hours));
    add("workloads.csv", workloads_csv(&evidence.workloads));
    add("isolation.csv", isolation_csv(&evidence.enforced));
    add("learning.csv", learning_csv(&evidence.learning.workloads));
    add("violations.csv", violations_csv(&evidence.violations));
    add("evidence.json", crate::json(evidence)?);
    add("report.md", page::markdown(evidence));
    add("index.html", page::html(evidence, &picture));
    let runs: Vec<&nanoseg_probe::Results> =
        evidence.tested.iter().map(|one| &one.results).collect();
    if !runs.is_empty() {
        add("probe.json", crate::json(&runs)?);
    }
    if !evidence.record.is_empty() {
        let lines = evidence.record.iter().map(|line| format!("{line}\n"));
        add("record.jsonl", lines.collect());
    }
    for (name, text) in &evidence.policies {
        add(&format!("policies/{name}"), text.clone());
    }
    let sums: String = files
        .iter()
        .map(|(name, bytes)| format!("{}  {name}\n", sha256_hex(bytes)))
        .collect();
    files.insert("SHA256SUMS".into(), sums.into_bytes());
    let manifest = Manifest {
        schema: MANIFEST_SCHEMA,
        period: &evidence.period,
        namespaces: &evidence.namespaces,
        record_head: evidence.record_head.as_ref(),
        signed_by,
        files: files
            .iter()
            .map(|(name, bytes)| ManifestFile {
                path: name,
                sha256: sha256_hex(bytes),
                bytes: bytes.len(),
            })
            .collect(),
    };
    let manifest = crate::json(&manifest)?;
    files.insert("manifest.json".into(), manifest.into_bytes());
    Ok(files)
}

/// What is known of each edge in addition to the graph.
fn approvals(edges: &[EdgeLine]) -> Approvals {
    let one = |edge: &EdgeLine| {
        let key = (
            edge.client.clone(),
            edge.server.clone(),
            edge.protocol,
            edge.port,
        );
        let known = Approved {
            allowed_by: edge.allowed_by.iter().map(ToString::to_string).collect(),
            approved_by: edge.approved_by.clone(),
        };
        (key, known)
    };
    Approvals(edges.iter().map(one).collect())
}

fn line(fields: &[String]) -> String {
    let fields: Vec<String> = fields.iter().map(|field| escape::csv(field)).collect();
    fields.join(",") + "\n"
}

fn text(at: Option<Timestamp>) -> String {
    at.map(|at| at.to_string()).unwrap_or_default()
}

fn edges_csv(edges: &[EdgeLine]) -> String {
    let mut out = String::from(
        "client,server,protocol,port,lesson,connections,first_seen,last_seen,allowed_by,approved_by,note\n",
    );
    for edge in edges {
        let rules: Vec<String> = edge.allowed_by.iter().map(ToString::to_string).collect();
        out.push_str(&line(&[
            edge.client.clone(),
            edge.server.clone(),
            edge.protocol.to_string(),
            edge.port.to_string(),
            edge.lesson.to_owned(),
            edge.connections.to_string(),
            text(edge.first_seen),
            text(edge.last_seen),
            rules.join("; "),
            edge.approved_by.join("; "),
            match (edge.gone, edge.blocked) {
                (true, _) => "not-judged".into(),
                (false, true) => "not-allowed".into(),
                _ => String::new(),
            },
        ]));
    }
    out
}

fn hours_csv(hours: &[HourLine]) -> String {
    let mut out = String::from(
        "hour,client,server,protocol,port,connections,bytes_to_server,bytes_to_client\n",
    );
    for one in hours {
        out.push_str(&line(&[
            one.hour.to_string(),
            id(&one.client),
            id(&one.server),
            one.protocol.to_string(),
            one.port.to_string(),
            one.connections.to_string(),
            one.bytes_to_server.to_string(),
            one.bytes_to_client.to_string(),
        ]));
    }
    out
}

fn workloads_csv(workloads: &[WorkloadLine]) -> String {
    let mut out = String::from("namespace,workload,kind,ingress,egress,host_network,policies\n");
    for one in workloads {
        out.push_str(&line(&[
            one.workload.namespace.clone(),
            one.workload.name.clone(),
            one.workload.kind.clone(),
            standing(one.ingress, one.ingress_allows_all).to_owned(),
            standing(one.egress, one.egress_allows_all).to_owned(),
            one.host_network.to_string(),
            one.policies.join("; "),
        ]));
    }
    out
}

fn isolation_csv(enforced: &[Enforced]) -> String {
    let mut out = String::from("namespace,workload,kind,policy,from,to,ended_by\n");
    for one in enforced {
        let part = |of: fn(&WorkloadId) -> &String| {
            let workload = one.workload.as_ref();
            workload.map(|id| of(id).clone()).unwrap_or_default()
        };
        let namespace = one.policy.split('/').next().unwrap_or_default();
        out.push_str(&line(&[
            namespace.to_owned(),
            part(|id| &id.name),
            part(|id| &id.kind),
            one.policy.clone(),
            one.from.to_string(),
            text(one.to),
            one.ended_by.map_or("", ActionKind::name).to_owned(),
        ]));
    }
    out
}

fn learning_csv(workloads: &[WorkloadEstimate]) -> String {
    let mut out = String::from(
        "namespace,workload,kind,edges,coverage,missing_mass,unseen_low,unseen_high,last_new_edge,confidence\n",
    );
    let share = |share: Option<f64>| share.map(|share| format!("{share:.4}")).unwrap_or_default();
    for WorkloadEstimate { workload, estimate } in workloads {
        out.push_str(&line(&[
            workload.namespace.clone(),
            workload.name.clone(),
            workload.kind.clone(),
            estimate.edges.to_string(),
            share(estimate.coverage),
            share(estimate.missing_mass),
            estimate.unseen_low.to_string(),
            estimate.unseen_high.to_string(),
            text(estimate.last_new_edge),
            estimate.confidence.clone(),
        ]));
    }
    out
}

fn violations_csv(violations: &[ViolationLine]) -> String {
    let mut out = String::from("number,at,namespace,workload,connection,answer,decided\n");
    for one in violations {
        out.push_str(&line(&[
            one.sequence.to_string(),
            one.at.to_string(),
            one.namespace.clone(),
            one.workload.clone(),
            one.connection.clone(),
            one.reply.words().to_owned(),
            answers(one),
        ]));
    }
    out
}
