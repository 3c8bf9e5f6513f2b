//! Text about which workloads were isolated, and when.

use super::{Block, Section, table};
use crate::evidence::{Evidence, WorkloadLine};
use crate::words::{count, time};
use nanoseg_record::ActionKind;

/// The workloads that were not isolated at the end of the period, and the times when policies were in force.
pub fn section(evidence: &Evidence) -> Section {
    let mut blocks = workloads(evidence);
    blocks.extend(enforced(evidence));
    blocks.extend(lapses(evidence));
    Section {
        title: "Coverage",
        blocks,
    }
}

fn workloads(evidence: &Evidence) -> Vec<Block> {
    let open = evidence.workloads.iter().filter(|one| !one.is_closed());
    let rows: Vec<_> = open.map(row).collect();
    if rows.is_empty() {
        let text = "Every workload in scope is isolated in both directions.";
        return vec![Block::Text(text.into())];
    }
    let text = format!(
        "{} not isolated in both directions:",
        count(rows.len() as u64, "workload")
    );
    let header = ["workload", "kind", "ingress", "egress", "policies"];
    vec![Block::Text(text), table(&header, rows, "workloads.csv")]
}

fn row(one: &WorkloadLine) -> Vec<String> {
    let way = |isolated, allows_all| {
        if one.host_network {
            "host network"
        } else {
            standing(isolated, allows_all)
        }
    };
    vec![
        one.workload.to_string(),
        one.workload.kind.clone(),
        way(one.ingress, one.ingress_allows_all).to_owned(),
        way(one.egress, one.egress_allows_all).to_owned(),
        one.policies.join(", "),
    ]
}

/// The state of a workload in one direction, as text.
pub fn standing(isolated: bool, allows_all: bool) -> &'static str {
    match (isolated, allows_all) {
        (_, true) => "open: its policies allow everything",
        (true, false) => "isolated",
        (false, false) => "open",
    }
}

fn enforced(evidence: &Evidence) -> Vec<Block> {
    if evidence.enforced.is_empty() {
        return Vec::new();
    }
    let rows = evidence.enforced.iter().map(|one| {
        vec![
            one.workload
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            one.policy.clone(),
            time(one.from),
            one.to.map_or("still in force".into(), time),
            one.ended_by.map_or("", ActionKind::name).to_owned(),
        ]
    });
    let header = ["workload", "policy", "from", "to", "ended by"];
    vec![
        Block::Text("When workloads were isolated by an approved policy, by the record:".into()),
        table(&header, rows, "isolation.csv"),
    ]
}

/// The approved policies that nanoseg did not enforce as approved, and the times.
fn lapses(evidence: &Evidence) -> Vec<Block> {
    if evidence.lapses.is_empty() {
        return Vec::new();
    }
    let rows = evidence.lapses.iter().map(|one| {
        let why = match one.why {
            ActionKind::DriftGivenUp => "somebody changed it, and it was not put right",
            _ => "it was left in the cluster, and nobody kept it",
        };
        vec![
            one.policy.clone(),
            time(one.from),
            one.to.map_or("no end is recorded".into(), time),
            format!("{}: {why}", one.why),
        ]
    });
    let text = "When an approved policy was not as approved, or nobody kept it so. Where others put it right \
                again (GitOps), the record has no end of it:";
    let header = ["policy", "from", "to", "why"];
    vec![
        Block::Text(text.into()),
        table(&header, rows, "evidence.json"),
    ]
}
