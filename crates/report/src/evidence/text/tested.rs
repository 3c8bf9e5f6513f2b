//! The section about what was tried.

use super::{Block, Section, table};
use crate::evidence::{Evidence, Tested};
use crate::words::{thousands, time};

/// The section; `None` if nothing was tried.
pub fn section(evidence: &Evidence) -> Option<Section> {
    if evidence.tested.is_empty() {
        return None;
    }
    let rows = evidence.tested.iter().map(row);
    let mut blocks = vec![
        Block::Text(
            "Real connections of a sample, made from inside pods by nanoseg probe; probe.json has each of them. Not told: \
             silence of who is not shown to listen, datagrams without an answer."
                .into(),
        ),
        table(
            &[
                "from",
                "cluster",
                "by",
                ">tried",
                ">allowed, get through",
                ">denied, are stopped",
                ">blocked though allowed",
                ">not blocked though denied",
                ">not told",
                "counts for this report",
            ],
            rows,
            "evidence.json",
        ),
    ];
    let differences: Vec<Vec<String>> = evidence.tested.iter().flat_map(differences).collect();
    if !differences.is_empty() {
        blocks.push(Block::Text("Otherwise than evaluated:".into()));
        blocks.push(table(
            &["at", "client", "server", "port", "result", "likely causes"],
            differences,
            "evidence.json",
        ));
    }
    Some(Section {
        title: "What was tried",
        blocks,
    })
}

fn row(tested: &Tested) -> Vec<String> {
    let figures = &tested.figures;
    let numbers = [
        figures.tried,
        figures.allowed_confirmed,
        figures.denied_confirmed,
        figures.blocked,
        figures.not_blocked,
        figures.not_told,
    ];
    let counts = match (tested.is_in_period, tested.changed_policies.as_slice()) {
        (false, _) => "no: it is not of this period".to_owned(),
        (true, []) => "yes".to_owned(),
        (true, some) => format!("no: other policies were in force: {}", some.join(", ")),
    };
    let mut row = vec![
        time(tested.from),
        tested.cluster.clone(),
        tested.by.clone().unwrap_or_default(),
    ];
    row.extend(numbers.map(|number| thousands(number as u64)));
    row.push(counts);
    row
}

fn differences(tested: &Tested) -> Vec<Vec<String>> {
    let row = |one: &nanoseg_probe::Tried| {
        let probe = &one.probe;
        let server = match &probe.through {
            Some(service) => format!("{} by Service {service}", probe.server),
            None => probe.server.to_string(),
        };
        let causes: Vec<String> = one.causes.iter().map(ToString::to_string).collect();
        vec![
            time(tested.from),
            probe.client.pod.to_string(),
            server,
            format!("{}/{}", probe.to.port(), probe.protocol),
            one.verdict.words().to_owned(),
            causes.join("; "),
        ]
    };
    tested.differences.iter().map(row).collect()
}
