//! From captures and flow logs.

use super::LoadedEvidence;
use crate::flow::FlowResult;
use crate::graph::{GraphOptions, build};
use crate::inventory::{Inventory, Objects};
use crate::load::error::LoadError;
use crate::load::notice::NoticeSink;
use crate::load::observations::{TrafficSource, read_traffic};
use crate::load::policies::current;
use crate::net::Timestamp;
use crate::pipeline::evidence::EvidenceInputs;
use crate::report::evidence::{HourLine, Period, Source};
use std::collections::BTreeMap;

/// Loads what was observed in the period, with the policies of `objects`.
///
/// # Errors
/// Files that cannot be read.
pub fn from_traffic(
    source: TrafficSource,
    period: Period,
    objects: &Objects,
    notices: &dyn NoticeSink,
) -> Result<LoadedEvidence, LoadError> {
    let source = source.cut_at(period.from, period.to);
    let mut read = read_traffic(&source, objects, notices)?;
    read.keep(period);
    let built = build(&read.flows, &read.inventory, GraphOptions::default());
    let captures = read.inputs.captures.iter().map(|one| Source {
        name: one.name.clone(),
        what: format!("a capture of {} packets", one.packets),
    });
    let flows = read.inputs.flows.iter().map(|one| Source {
        name: one.name.clone(),
        what: format!(
            "{}: {} flows, {} malformed",
            one.format, one.flows, one.malformed
        ),
    });
    let sources = captures.chain(flows).collect();
    let mut findings = read.findings;
    findings.extend(built.findings);
    Ok(LoadedEvidence {
        inputs: EvidenceInputs {
            period,
            sources,
            findings,
            hours: hours(&read.flows, &read.inventory),
            observed: Some(period.clip(read.span)),
            ..EvidenceInputs::default()
        },
        graph: built.graph,
        policies: current(objects),
        inventory: read.inventory,
    })
}

/// The edges of each hour on its own, by when connections began.
fn hours(flows: &FlowResult, inventory: &Inventory) -> Vec<HourLine> {
    let mut by_hour: BTreeMap<i64, FlowResult> = BTreeMap::new();
    for record in &flows.records {
        by_hour
            .entry(record.first.hour())
            .or_default()
            .records
            .push(record.clone());
    }
    let options = GraphOptions::OBSERVED;
    let mut lines = Vec::new();
    for (hour, flows) in by_hour {
        let graph = build(&flows, inventory, options).graph;
        for (client, server, edge) in graph.edges() {
            lines.push(HourLine {
                hour: Timestamp::from_hour(hour),
                client: client.clone(),
                server: server.clone(),
                protocol: edge.protocol,
                port: edge.port,
                connections: edge.connections(),
                bytes_to_server: edge.bytes_to_server,
                bytes_to_client: edge.bytes_to_client,
            });
        }
    }
    lines.sort();
    lines
}
